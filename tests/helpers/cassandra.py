"""A driver session of the tests, beside the application's, and keyspaces that are dropped after use."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import RoundRobinPolicy

from asgi_app.tables.builtin import TABLES
from asgi_app.tables.cql import Queries, create_keyspace
from asgi_app.tables.table import Table

NODE_VARIABLE = "TEST_CASSANDRA_NODE"
"""The environment variable that names a running node (host:port) to use, which saves the boot of a fresh one."""

ONE_REPLICA = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
DDL_TIMEOUT = 60.0
"""Seconds that a schema change may take: generous, because a node that creates its first tables is slow."""


@contextmanager
def connected(host: str, port: int) -> Iterator[Session]:
    """Open a plain driver session, to write what the service never would and to read what it wrote.

    Its threads do not change while it is open, because it ignores schema changes and has one worker: tests that count
    threads hold beside other users of the node.
    """
    profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=DDL_TIMEOUT)
    cluster = Cluster(
        [(host, port)],
        port=port,
        protocol_version=4,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        control_connection_timeout=DDL_TIMEOUT,
        executor_threads=1,
        schema_metadata_enabled=False,
        schema_event_refresh_window=-1,  # disabled
    )
    try:
        yield cluster.connect()
    finally:
        cluster.shutdown()


@contextmanager
def own_keyspace(session: Session, tables: Iterable[Table] = TABLES, *, durable: bool = False) -> Iterator[str]:
    """Create a keyspace with `tables`, as `create` does; remove it at the end of the context. Returns its name."""
    name = unused_keyspace()
    create(session, name, tables, durable=durable)
    try:
        yield name
    finally:
        remove(session, name)


def remove(session: Session, keyspace: str) -> None:
    """Drop a keyspace that is no longer needed, if there is one, from a node that outlives the run.

    The run's own node ends with it. A drop makes Cassandra flush every table with unflushed writes, also those of its
    schema, which takes it half a second.
    """
    if NODE_VARIABLE in os.environ:
        session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")


def unused_keyspace() -> str:
    """Return a name for a new keyspace."""
    return f"contract_{uuid.uuid4().hex}"


def create(session: Session, keyspace: str, tables: Iterable[Table] = TABLES, *, durable: bool = False) -> None:
    """Create a keyspace and tables if they do not exist.

    Unless it is `durable`, its writes are in no commit log, so that TRUNCATE writes no file, and a node that is killed
    loses them.
    """
    session.execute(f"{create_keyspace(keyspace, ONE_REPLICA)} AND durable_writes = {durable}")
    for table in tables:
        session.execute(Queries(keyspace, table).create_table())


def count(session: Session, table: str) -> int:
    """Return the number of rows of `keyspace.table`."""
    return len(list(session.execute(f"SELECT * FROM {table}")))


def column(session: Session, table: str, name: str) -> list[Any]:
    """Return the values of one column of all rows, in Cassandra's order."""
    return [row[0] for row in session.execute(f"SELECT {name} FROM {table}")]
