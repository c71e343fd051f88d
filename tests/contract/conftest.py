"""What a test needs to look behind the application's back."""

from __future__ import annotations

import pytest
from cassandra.cluster import Session


@pytest.fixture
def users(keyspace: str) -> str:
    """The table's name in CQL."""
    return f"{keyspace}.users"


@pytest.fixture
def no_users(cql: Session, users: str) -> None:
    """The table, emptied."""
    cql.execute(f"TRUNCATE {users}")
