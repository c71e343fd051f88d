"""The ground the contenders stand on: a real Cassandra node with a keyspace of our own, filled with sample rows."""

from __future__ import annotations

import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from cassandra.concurrent import execute_concurrent_with_args

from asgi_app.cli.sample_data import sample_user, seed
from asgi_app.driver.cluster import build_cluster
from asgi_app.local_node import NodeSpec, Progress, local_node
from asgi_app.settings import ContactPoint, Settings
from asgi_app.tables.builtin import TABLES, USERS
from asgi_app.tables.cql import Queries, create_keyspace, quoted
from benchmarks.failure import ContenderFailed
from benchmarks.sample import User, sample_users

_REPLICATION = "{'class': 'SimpleStrategy', 'replication_factor': 1}"


_FEW = 1000  # users of a seeded site that are read one by one


@dataclass(frozen=True, slots=True)
class Site:
    """Where contenders find Cassandra and their rows; `folder` is a scratch directory that goes away at the end."""

    node: ContactPoint
    node_version: str
    keyspace: str
    users: tuple[User, ...]
    folder: Path

    def environment(self) -> dict[str, str]:
        """What a contender is told, by the variables the service itself reads."""
        return {"CASSANDRA_HOSTS": f"{self.node.host}:{self.node.port}", "CASSANDRA_KEYSPACE": self.keyspace}


def parse_node(text: str) -> ContactPoint:
    """`host:port` as given on the command line. Raises ValueError."""
    host, separator, port = text.rpartition(":")
    if not (separator and host and port.isdecimal()):
        raise ValueError(f"{text!r} is not host:port")
    return ContactPoint(host, int(port))


@contextmanager
def prepared_site(node: ContactPoint | None, rows: int) -> Iterator[Site]:
    """A site on `node`, or on one booted for it. Afterwards the keyspace is dropped and what was booted has ended."""
    with tempfile.TemporaryDirectory(prefix="asgi-cassandra-bench-") as scratch:
        folder = Path(scratch)
        with _booted_node(folder / "node") if node is None else nullcontext(node) as found:
            keyspace = f"asgi_cassandra_bench_{uuid.uuid4().hex[:8]}"
            users = tuple(sample_users(rows))
            try:
                version = _fill(found, keyspace, users)
                yield Site(found, version, keyspace, users, folder)
            finally:
                _drop(found, keyspace)


@contextmanager
def scratch_site(site: Site) -> Iterator[Site]:
    """A keyspace of its own on the same node, with the same rows, for what writes. It is dropped afterwards."""
    keyspace = f"asgi_cassandra_bench_scratch_{uuid.uuid4().hex[:8]}"
    folder = site.folder / keyspace
    folder.mkdir()
    try:
        _fill(site.node, keyspace, site.users)
        yield replace(site, keyspace=keyspace, folder=folder)
    finally:
        _drop(site.node, keyspace)


@cache
def first_users(node: ContactPoint, keyspace: str, count: int) -> tuple[User, ...]:
    """The first rows of `users` in the order of their tokens, as the plain driver gives them to this process.

    They are read once, so ask only for a keyspace whose rows do not change.
    """
    with session_on(node) as session:
        select = session.prepare(Queries(keyspace, USERS).every_row.cql)
        select.fetch_size = count
        return tuple(_user(row) for row in islice(session.execute(select), count))


def _user(row: tuple[Any, ...]) -> User:
    user = User(*row)  # the driver's times are in UTC and do not say so
    return user._replace(created_at=user.created_at.replace(tzinfo=UTC), updated_at=user.updated_at.replace(tzinfo=UTC))


@contextmanager
def seeded_site(site: Site, rows: int, *, keep: bool) -> Iterator[Site]:
    """On the same node a keyspace whose `users` are the first `rows` of `asgi_app.cli.sample_data`; `users` has some.

    It is dropped afterwards unless `keep`, which also takes what an earlier run has kept.
    """
    keyspace = f"asgi_cassandra_bench_stream_{rows}" + ("" if keep else f"_{uuid.uuid4().hex[:8]}")
    folder = site.folder / keyspace
    folder.mkdir()
    few = tuple(User(*msgspec.structs.astuple(sample_user(number))) for number in range(min(rows, _FEW)))
    try:
        _seed(site.node, keyspace, rows)
        yield Site(site.node, site.node_version, keyspace, few, folder)
    finally:
        if not keep:
            _drop(site.node, keyspace)


def _seed(node: ContactPoint, keyspace: str, rows: int) -> None:
    mark = f"{quoted(keyspace)}.seeded"
    with session_on(node) as session:
        session.execute(create_keyspace(keyspace, _REPLICATION))
        session.execute(f"CREATE TABLE IF NOT EXISTS {mark} (users int PRIMARY KEY)")
        is_seeded = f"SELECT users FROM {mark} WHERE users = %s"  # noqa: S608 - an identifier of our own
        if session.execute(is_seeded, (rows,)).one():
            return
        for table in TABLES:
            session.execute(Queries(keyspace, table).create_table())
        print(f"seeding {rows} users", file=sys.stderr)
        report = seed(session, keyspace, rows, _nobody)
        print(f"seeded at {report.rows_per_second:.0f} rows/s", file=sys.stderr)
        session.execute(f"INSERT INTO {mark} (users) VALUES (%s)", (rows,))  # noqa: S608 - as above


def _nobody(rows: int) -> None:
    """Is told how far the seeding is."""


_HEAP = "2g"
"""More than a node of development has: some minutes of writing as fast as it goes are too much for 512 MB."""

_LOG_LINES = 15


@contextmanager
def _booted_node(data: Path) -> Iterator[ContactPoint]:
    """Raises ContenderFailed with the end of the node's log where it has not lived as long as it was needed."""
    with local_node(NodeSpec(data, heap=_HEAP), progress=_StageLines()) as node:
        try:
            yield ContactPoint(node.host, node.port)
        except Exception as error:
            if node.is_running():
                raise
            end = "\n".join(node.log_file.read_text(errors="replace").splitlines()[-_LOG_LINES:])
            raise ContenderFailed(f"Cassandra ended; its log says last:\n{end}") from error


class _StageLines:
    """One line for each stage of a node's start."""

    def __init__(self) -> None:
        self._told = ""

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self._told:
            self._told = progress.stage
            print(f"node: {progress.message}", file=sys.stderr)


@contextmanager
def session_on(node: ContactPoint) -> Iterator[Any]:
    """A session of the plain driver with the service's cluster settings; rows are tuples."""
    cluster = build_cluster(Settings(cassandra_hosts=(node,)))
    try:
        yield cluster.connect()
    finally:
        cluster.shutdown()


def _fill(node: ContactPoint, keyspace: str, users: tuple[User, ...]) -> str:
    """Create the keyspace, its tables and the users; return the node's version."""
    with session_on(node) as session:
        session.execute(create_keyspace(keyspace, _REPLICATION))
        for table in TABLES:
            session.execute(Queries(keyspace, table).create_table())
        insert = session.prepare(Queries(keyspace, USERS).insert.cql)
        execute_concurrent_with_args(session, insert, users, concurrency=50)
        version: str = session.execute("SELECT release_version FROM system.local").one()[0]
    return version


def _drop(node: ContactPoint, keyspace: str) -> None:
    with session_on(node) as session:
        session.execute(f"DROP KEYSPACE IF EXISTS {quoted(keyspace)}", timeout=30)
