"""A keyspace with many users that no test changes, beside the keyspace of the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cassandra.cluster import Session
from helpers.cassandra import own_keyspace
from helpers.service import settings_for

from asgi_app.cli.sample_data import seed
from asgi_app.settings import Settings
from streams.stored import User, stored_users

MANY = 100_000


@pytest.fixture(scope="session")
def crowded(cql: Session) -> Iterator[str]:
    """Create a keyspace with `MANY` users, which no test changes, and return its name."""
    with own_keyspace(cql) as name:
        seed(cql, name, MANY, lambda _: None)
        yield name


@pytest.fixture(scope="session")
def crowd(cql: Session, crowded: str) -> list[User]:
    """Return the users of the crowded keyspace as the driver reads them, in token order."""
    return stored_users(cql, f"{crowded}.users")


@pytest.fixture(scope="session")
def crowded_settings(node_address: tuple[str, int], crowded: str) -> Settings:
    return settings_for(node_address, crowded)


@pytest.fixture
def users(cql: Session, keyspace: str) -> str:
    """Empty the table of users, and return its name in CQL."""
    table = f"{keyspace}.users"
    cql.execute(f"TRUNCATE {table}")
    return table
