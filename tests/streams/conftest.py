"""A keyspace with many users that nobody changes, beside the run's own to write in."""

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
    """A keyspace with `MANY` users, which no test changes."""
    with own_keyspace(cql) as name:
        seed(cql, name, MANY, lambda _: None)
        yield name


@pytest.fixture(scope="session")
def crowd(cql: Session, crowded: str) -> list[User]:
    """The users of the crowded keyspace as the driver reads them, in the order of their tokens."""
    return stored_users(cql, f"{crowded}.users")


@pytest.fixture(scope="session")
def crowded_settings(node_address: tuple[str, int], crowded: str) -> Settings:
    return settings_for(node_address, crowded)


@pytest.fixture
def users(cql: Session, keyspace: str) -> str:
    """The table's name in CQL; the table is empty."""
    table = f"{keyspace}.users"
    cql.execute(f"TRUNCATE {table}")
    return table
