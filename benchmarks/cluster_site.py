"""Three small nodes on this machine that make one cluster, with a keyspace of three replicas."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil
from cassandra import ConsistencyLevel, DriverException
from cassandra.cluster import NoHostAvailable
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import SimpleStatement

from asgi_app.cli.sample_data import sample_user
from asgi_app.local_node import LocalNode, NodeSpec, local_node
from asgi_app.settings import ContactPoint
from asgi_app.tables.builtin import TABLES, USERS
from asgi_app.tables.cql import Queries
from asgi_app.tables.ddl import create_schema, network_replication
from benchmarks.failure import ContenderFailed
from benchmarks.site import Site, session_on

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
HEAP = "400m"

_KEYSPACE = "asgi_cassandra_bench"
_NEEDED_BYTES = 5 * 2**30
_AT_ONCE = 16
_TRIES = 5
_PATIENCE_SECONDS = 90.0
_LOOK_SECONDS = 0.2


class ClusterSite(NamedTuple):
    """A site on the cluster, and its nodes."""

    site: Site
    nodes: list[LocalNode]

    def resident(self) -> list[int]:
        """Resident bytes of each node now."""
        return [int(psutil.Process(node.pid).memory_info().rss) for node in self.nodes]


def obstacle() -> str:
    """Why there can be no three nodes on this machine; empty where there can."""
    if psutil.virtual_memory().available < _NEEDED_BYTES:
        return f"less than {_NEEDED_BYTES / 2**30:.0f} GiB of memory is free"
    try:
        _free_port()
    except OSError as error:
        return f"it has no {', '.join(HOSTS)}: {error}"
    return ""


@contextmanager
def cluster_site(site: Site, rows: int) -> Iterator[ClusterSite]:
    """Three nodes with the first `rows` users of `asgi_app.cli.sample_data`, and some of those that `site` has.

    Nothing of them is left afterwards. Raises LocalNodeError or ContenderFailed.
    """
    folder = site.folder / "cluster"
    folder.mkdir()
    with _three_nodes(folder) as nodes:
        node = ContactPoint(nodes[0].host, nodes[0].port)
        _fill(node, rows)
        yield ClusterSite(replace(site, node=node, keyspace=_KEYSPACE, folder=folder), nodes)


@contextmanager
def _three_nodes(folder: Path) -> Iterator[list[LocalNode]]:
    """The first boots alone, the others at once. They are killed afterwards, as nobody needs their data."""
    port, storage_port = _free_port(), _free_port()
    first, *others = (
        local_node(NodeSpec(folder / host, host=host, port=port, storage_port=storage_port, seeds=HOSTS[:1], heap=HEAP))
        for host in HOSTS
    )
    print(f"cluster: booting {len(HOSTS)} nodes", file=sys.stderr)
    with ExitStack() as running:
        nodes = [running.enter_context(first)]
        with ThreadPoolExecutor() as booting:
            nodes += booting.map(running.enter_context, others)
        try:
            yield nodes
        finally:
            for node in nodes:
                node.kill()


def _free_port() -> int:
    """A port that is free on every host. Raises OSError where a host is not of this machine."""
    with ExitStack() as probes:
        first = probes.enter_context(socket.create_server((HOSTS[0], 0)))
        port: int = first.getsockname()[1]
        for host in HOSTS[1:]:
            probes.enter_context(socket.create_server((host, port)))
        return port


def _fill(node: ContactPoint, rows: int) -> None:
    """Raises ContenderFailed."""
    with session_on(node) as session:
        create_schema(session, _KEYSPACE, network_replication(len(HOSTS)), TABLES)
        _wait_for_every_replica(session)
        print(f"cluster: writing {rows} users", file=sys.stderr)
        insert = session.prepare(Queries(_KEYSPACE, USERS).insert.cql)
        insert.consistency_level = ConsistencyLevel.ALL  # so that nothing is left to be repaired by what is measured
        _write(session, insert, [msgspec.structs.astuple(sample_user(number)) for number in range(rows)])


def _write(session: Any, insert: Any, rows: list[tuple[Any, ...]]) -> None:
    """Few at once, and again what was not done: nodes that have just booted are slow. Raises ContenderFailed."""
    for _ in range(_TRIES):
        results = execute_concurrent_with_args(session, insert, rows, _AT_ONCE, raise_on_first_error=False)
        rows = [row for row, (done, _) in zip(rows, results, strict=True) if not done]
        if not rows:
            return
    raise ContenderFailed(f"the cluster did not take {len(rows)} rows in {_TRIES} tries")


def _wait_for_every_replica(session: Any) -> None:
    """Until the nodes see each other, which none of them tells. Raises ContenderFailed."""
    limit = time.monotonic() + _PATIENCE_SECONDS
    while not _every_replica_answers(session):
        if time.monotonic() > limit:
            raise ContenderFailed(f"not every node of the cluster answers after {_PATIENCE_SECONDS:g} s")
        time.sleep(_LOOK_SECONDS)


def _every_replica_answers(session: Any) -> bool:
    cql = f"SELECT id FROM {_KEYSPACE}.users LIMIT 1"  # noqa: S608 - an identifier of our own
    statement = SimpleStatement(cql, consistency_level=ConsistencyLevel.ALL)
    try:
        session.execute(statement)
    except (DriverException, NoHostAvailable):
        return False
    return True
