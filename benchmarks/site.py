"""The data that contenders read: a real Cassandra node with keyspaces of the service's sample rows."""

from __future__ import annotations

import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from asgi_app.cli.console import node_progress
from asgi_app.cli.sample_data import sample_user, seed
from asgi_app.cli.session import open_session
from asgi_app.driver.cluster import ClusterUnreachableError
from asgi_app.local_node import LocalNodeError, NodeSpec, local_node
from asgi_app.settings import ContactPoint, Settings
from asgi_app.tables.builtin import TABLES, USERS, User
from asgi_app.tables.cql import Queries, quoted
from asgi_app.tables.ddl import create_schema, network_replication
from benchmarks.processes import ContenderFailed

FAILURES = (ContenderFailed, ClusterUnreachableError, LocalNodeError)
"""The errors that end a run; each has a sentence for the user."""

_MOST_KNOWN = 1000  # users of a site that single reads request
_HEAP = "2g"  # minutes of writing at full speed need more than the heap for development
_LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class Site:
    """A keyspace with sample rows. Requests are about `users`; `folder` is for scratch files."""

    node: ContactPoint
    keyspace: str
    users: tuple[User, ...]
    folder: Path

    def environment(self) -> dict[str, str]:
        """Return the settings with which a contender finds the keyspace; the service reads the same variables."""
        return {"CASSANDRA_HOSTS": f"{self.node.host}:{self.node.port}", "CASSANDRA_KEYSPACE": self.keyspace}


@dataclass(frozen=True, slots=True)
class Ground:
    """A running Cassandra node and a scratch folder."""

    node: ContactPoint
    folder: Path

    def version(self) -> str:
        """Return the version of the node."""
        with session_on(self.node) as session:
            return str(session.execute("SELECT release_version FROM system.local").one()[0])

    @contextmanager
    def site(self, rows: int) -> Iterator[Site]:
        """Make a keyspace with this many sample users, and drop it at the end."""
        keyspace = f"asgi_cassandra_bench_{uuid.uuid4().hex[:8]}"
        folder = self.folder / keyspace
        folder.mkdir()
        try:
            _seed(self.node, keyspace, rows)
            yield Site(self.node, keyspace, tuple(map(sample_user, range(min(rows, _MOST_KNOWN)))), folder)
        finally:
            with session_on(self.node) as session:
                session.execute(f"DROP KEYSPACE IF EXISTS {quoted(keyspace)}", timeout=60)


def parse_node(text: str) -> ContactPoint:
    """Parse `host:port`. Raises ValueError."""
    host, separator, port = text.rpartition(":")
    if not (separator and host and port.isdecimal()):
        raise ValueError(f"{text!r} is not host:port")
    return ContactPoint(host, int(port))


@contextmanager
def prepared_ground(node: ContactPoint | None) -> Iterator[Ground]:
    """Use the node, or start one and end it at the end. Raises LocalNodeError, and ContenderFailed if it dies."""
    with tempfile.TemporaryDirectory(prefix="asgi-cassandra-bench-") as scratch:
        folder = Path(scratch)
        with _booted_node(folder / "node") if node is None else nullcontext(node) as found:
            yield Ground(found, folder)


def first_users(site: Site, count: int) -> list[tuple[Any, ...]]:
    """Read the first rows of `users` in token order with the plain driver."""
    with session_on(site.node) as session:
        select = session.prepare(Queries(site.keyspace, USERS).every_row.cql)
        return list(islice(session.execute(select), count))


def session_on(node: ContactPoint) -> AbstractContextManager[Any]:
    """Open a session of the plain driver with the service's cluster settings; its rows are tuples."""
    return open_session(Settings(cassandra_hosts=(node,)))


def _seed(node: ContactPoint, keyspace: str, rows: int) -> None:
    with session_on(node) as session:
        create_schema(session, keyspace, network_replication(1), TABLES)
        report = seed(session, keyspace, rows, lambda done: None)
    print(f"seeded {rows} users at {report.rows_per_second:.0f} rows/s", file=sys.stderr)


@contextmanager
def _booted_node(data: Path) -> Iterator[ContactPoint]:
    with node_progress() as show, local_node(NodeSpec(data, heap=_HEAP), progress=show) as node:
        try:
            yield ContactPoint(node.host, node.port)
        except Exception as error:
            if node.is_running():
                raise
            end = "\n".join(node.log_file.read_text(errors="replace").splitlines()[-_LOG_LINES:])
            raise ContenderFailed(f"Cassandra ended; the end of its log:\n{end}") from error
