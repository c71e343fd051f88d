"""A driver session of the tests' own, beside the application's, and keyspaces that are dropped again."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import RoundRobinPolicy

from asgi_app.tables.builtin import TABLES
from asgi_app.tables.cql import Queries, create_keyspace
from asgi_app.tables.table import Table

ONE_REPLICA = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
DDL_TIMEOUT = 60.0
"""Seconds: a node that boots its first tables on a busy machine may take long, and must not fail a run."""


@contextmanager
def connected(host: str, port: int) -> Iterator[Session]:
    """A plain driver session, to write what the service never would and to see what it wrote."""
    profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=DDL_TIMEOUT)
    cluster = Cluster(
        [(host, port)],
        port=port,
        protocol_version=4,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        control_connection_timeout=DDL_TIMEOUT,
    )
    try:
        yield cluster.connect()
    finally:
        cluster.shutdown()


@contextmanager
def own_keyspace(session: Session, tables: Iterable[Table] = TABLES) -> Iterator[str]:
    """A new keyspace with `tables`, for as long as the context lasts."""
    name = unused_keyspace()
    create(session, name, tables)
    try:
        yield name
    finally:
        session.execute(f"DROP KEYSPACE IF EXISTS {name}")


def unused_keyspace() -> str:
    """The name of a keyspace that is not there."""
    return f"contract_{uuid.uuid4().hex}"


def create(session: Session, keyspace: str, tables: Iterable[Table] = TABLES) -> None:
    """Create a keyspace and tables, those that are not there yet."""
    session.execute(create_keyspace(keyspace, ONE_REPLICA))
    for table in tables:
        session.execute(Queries(keyspace, table).create_table())


def count(session: Session, table: str) -> int:
    """How many rows `keyspace.table` has."""
    return len(list(session.execute(f"SELECT * FROM {table}")))


def column(session: Session, table: str, name: str) -> list[Any]:
    """The values of one column, over all rows, in the server's order."""
    return [row[0] for row in session.execute(f"SELECT {name} FROM {table}")]
