"""The data that contenders read: a real Cassandra node with keyspaces of the service's sample rows."""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from cassandra import ConsistencyLevel, DriverException, OperationTimedOut, WriteTimeout
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import ServerError
from cassandra.query import SimpleStatement

from asgi_app.cli.console import node_progress
from asgi_app.cli.sample_data import WRITE_TIMESTAMP, sample_user
from asgi_app.cli.session import open_session
from asgi_app.driver.bulk_writes import write_rows
from asgi_app.driver.cluster import ClusterUnreachableError
from asgi_app.local_node import LocalNodeError, NodeSpec, local_node
from asgi_app.settings import ContactPoint, Settings
from asgi_app.tables.builtin import TABLES, USERS, User
from asgi_app.tables.cql import Queries, quoted
from asgi_app.tables.ddl import create_schema, network_replication
from asgi_app.tables.table import Table
from benchmarks.processes import ContenderFailed, port_of_all

FAILURES = (ContenderFailed, ClusterUnreachableError, LocalNodeError)
"""The errors that end a run; each has a sentence for the user."""

_MOST_KNOWN = 1000  # users of a site that single reads request
_HEAP = "2g"  # minutes of writing at full speed need more than the heap for development
_HEAP_OF_SEVERAL = "768m"
_ROWS_OF_A_CHUNK, _BATCHES_IN_FLIGHT, _ATTEMPTS = 1000, 4, 10
_CQL_PORT, _STORAGE_PORT = 9042, 7000  # the usual ones; the first free ports above them are taken
_BOOT_SECONDS = 300.0  # nodes that boot at once share the processors
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
    """Running Cassandra nodes, of which `node` is one, and a scratch folder. Keyspaces have so many replicas."""

    node: ContactPoint
    folder: Path
    replicas: int = 1

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
            _seed(self.node, keyspace, rows, self.replicas)
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
def prepared_ground(node: ContactPoint | None, nodes: int = 1) -> Iterator[Ground]:
    """Use the node, or start as many as `nodes` and end them at the end; each of these has a replica of every row.

    Raises LocalNodeError, and ContenderFailed if a node dies.
    """
    with tempfile.TemporaryDirectory(prefix="asgi-cassandra-bench-") as scratch:
        folder = Path(scratch)
        with _booted(_specs(folder, nodes)) if node is None else nullcontext(node) as found:
            yield Ground(found, folder, nodes)


def first_users(site: Site, count: int) -> list[tuple[Any, ...]]:
    """Read the first rows of `users` in token order with the plain driver."""
    with session_on(site.node) as session:
        select = session.prepare(Queries(site.keyspace, USERS).every_row.cql)
        return list(islice(session.execute(select), count))


def session_on(node: ContactPoint) -> AbstractContextManager[Any]:
    """Open a session of the plain driver with the service's cluster settings; its rows are tuples."""
    return open_session(Settings(cassandra_hosts=(node,)))


def write(session: Any, keyspace: str, table: Table, structs: Iterable[msgspec.Struct]) -> None:
    """Write rows of a table. Raises ContenderFailed if Cassandra does not take them in time, again and again."""
    cql = Queries(keyspace, table).insert_at.cql
    rows = ((*msgspec.structs.astuple(each), WRITE_TIMESTAMP) for each in structs)
    while chunk := list(islice(rows, _ROWS_OF_A_CHUNK)):
        _write_chunk(session, cql, chunk)


def _write_chunk(session: Any, cql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write rows, and all of them again after a timeout: nodes that have just booted may be slow."""
    for _ in range(_ATTEMPTS):
        try:
            write_rows(session, cql, rows, lambda _: None, in_flight=_BATCHES_IN_FLIGHT)
            return
        except (WriteTimeout, OperationTimedOut) as error:
            why = error
    raise ContenderFailed(f"Cassandra does not take rows in time: {why}") from why


def _wait_for_replicas(session: Any, select: str) -> None:
    """Wait until every replica has the table: nodes that have just booted hear of it late. Raises ContenderFailed."""
    statement = SimpleStatement(select, consistency_level=ConsistencyLevel.ALL)
    until = time.monotonic() + _BOOT_SECONDS
    while True:
        try:
            session.execute(statement)
            return
        except (DriverException, NoHostAvailable, ServerError) as error:
            if time.monotonic() > until:
                raise ContenderFailed(f"not every node answers: {error}") from error
            time.sleep(1)


def _seed(node: ContactPoint, keyspace: str, rows: int, replicas: int) -> None:
    began = time.monotonic()
    with session_on(node) as session:
        create_schema(session, keyspace, network_replication(replicas), TABLES)
        _wait_for_replicas(session, Queries(keyspace, USERS).every_row.cql)
        write(session, keyspace, USERS, map(sample_user, range(rows)))
    print(f"seeded {rows} users at {rows / (time.monotonic() - began):.0f} rows/s", file=sys.stderr)


def _specs(folder: Path, count: int) -> list[NodeSpec]:
    """Describe one node, or the nodes of a cluster on loopback addresses."""
    if count == 1:
        return [NodeSpec(folder / "node", heap=_HEAP)]
    hosts = [f"127.0.0.{number}" for number in range(1, count + 1)]
    port, storage_port = port_of_all(hosts, _CQL_PORT), port_of_all(hosts, _STORAGE_PORT)
    return [
        NodeSpec(
            folder / host,
            host=host,
            port=port,
            storage_port=storage_port,
            seeds=(hosts[0],),
            heap=_HEAP_OF_SEVERAL,
            boot_timeout=_BOOT_SECONDS,
        )
        for host in hosts
    ]


@contextmanager
def _booted(specs: Sequence[NodeSpec]) -> Iterator[ContactPoint]:
    """Run the nodes: the first is a seed, and the others boot at once when it answers."""
    with ExitStack() as running, ThreadPoolExecutor() as booting:
        with node_progress() as show:
            first = running.enter_context(local_node(specs[0], progress=show))
        nodes = [first, *booting.map(running.enter_context, map(local_node, specs[1:]))]
        try:
            yield ContactPoint(first.host, first.port)
        except Exception as error:
            dead = next((node for node in nodes if not node.is_running()), None)
            if dead is None:
                raise
            end = "\n".join(dead.log_file.read_text(errors="replace").splitlines()[-_LOG_LINES:])
            raise ContenderFailed(f"Cassandra ended; the end of its log:\n{end}") from error
