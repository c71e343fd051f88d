"""What a connected cluster is: its product, its nodes and their clocks, its keyspaces, and what the role may do.

For the command line. The functions block, and raise the driver's errors.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cassandra import Unauthorized

from asgi_app.driver.errors import is_driver_error
from asgi_app.driver.installed_driver import driver_name, is_tested

_CLOCK_READS = 3
"""How often a node is asked for its time: the answer that took the shortest counts."""

_LOCAL = "SELECT * FROM system.local WHERE key = 'local'"
_NODE = "SELECT toTimestamp(now()), schema_version FROM system.local WHERE key = 'local'"
_HAS_VERSIONS = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system' AND table_name = 'versions'"
_VERSIONS = "SELECT version FROM system.versions WHERE key = 'local'"
_KEYSPACES = "SELECT keyspace_name, replication, durable_writes FROM system_schema.keyspaces"


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the driver knows it.

    `is_up` is None for a node that the driver has not tried. `clock_ahead` is how many seconds the node's clock is
    ahead of this machine's, give or take `clock_error`. These and `schema_version` are None if the node was not asked:
    it is down, or the driver has no connection to it because it is in another data centre.
    """

    address: str
    data_center: str | None
    rack: str | None
    version: str | None
    is_up: bool | None
    clock_ahead: float | None = None
    clock_error: float | None = None
    schema_version: str | None = None


@dataclass(frozen=True, slots=True)
class Keyspace:
    """A keyspace: its name and its replication, as the schema has it."""

    name: str
    replication: Mapping[str, str]
    durable_writes: bool


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """A connected cluster. `data_center` is that of the node that the driver reads the cluster's state from."""

    name: str | None
    product: str
    partitioner: str | None
    protocol_version: int
    tls: bool
    driver: str
    driver_is_tested: bool
    data_center: str | None
    nodes: tuple[Node, ...]

    @property
    def schema_versions(self) -> int:
        """How many versions of the schema the nodes that were asked have."""
        return len({node.schema_version for node in self.nodes} - {None})


def cluster_facts(session: Any) -> ClusterFacts:
    """Return the facts about the cluster of a connected session."""
    cluster = session.cluster
    local = _first_row(session, _LOCAL)
    return ClusterFacts(
        name=cluster.metadata.cluster_name,
        product=_product(session, local),
        partitioner=str(local.get("partitioner") or "").rpartition(".")[2] or None,
        protocol_version=int(cluster.protocol_version),
        tls=cluster.ssl_context is not None,
        driver=driver_name(),
        driver_is_tested=is_tested(),
        data_center=getattr(cluster.get_control_connection_host(), "datacenter", None),
        nodes=tuple(sorted(_nodes(session), key=lambda node: (node.data_center or "", node.address))),
    )


def keyspaces(session: Any) -> Mapping[str, Keyspace]:
    """Return the keyspaces that the role sees, by name."""
    rows = session.execute(_KEYSPACES)
    return {name: Keyspace(name, dict(replication), durable) for name, replication, durable in rows}


def may_execute(session: Any, cql: str) -> bool:
    """Return whether the role may run a statement that Cassandra refuses for another reason if it does permit it.

    Then it reads and writes nothing: see `read_of_nothing` in `asgi_app.tables.cql`.
    """
    try:
        session.execute(cql)
    except Unauthorized:
        return False
    except Exception as error:
        if not is_driver_error(error):
            raise
    return True


def _first_row(session: Any, cql: str) -> dict[str, Any]:
    result = session.execute(cql)
    row = result.one()
    return {} if row is None else dict(zip(result.column_names, row, strict=True))


def _product(session: Any, local: Mapping[str, Any]) -> str:
    if local.get("dse_version"):
        return f"DataStax Enterprise {local['dse_version']}"
    if session.execute(_HAS_VERSIONS).one() is not None:
        return f"ScyllaDB {_first_row(session, _VERSIONS).get('version', '')}".strip()
    return f"Apache Cassandra {local.get('release_version', '')}".strip()


def _nodes(session: Any) -> Iterator[Node]:
    for host in session.cluster.metadata.all_hosts():
        node = Node(str(host.endpoint), host.datacenter, host.rack, host.release_version, host.is_up)
        yield _asked(session, host, node) if host.is_up else node


def _asked(session: Any, host: Any, node: Node) -> Node:
    """Return the node with what it says itself; as it is if the driver has no connection to it."""
    answers = []
    for _ in range(_CLOCK_READS):
        before = time.time()
        try:
            moment, schema_version = session.execute(_NODE, host=host).one()
        except Exception as error:
            if not is_driver_error(error):
                raise
            return node
        after = time.time()
        answers.append(((after - before) / 2, _seconds(moment) - (before + after) / 2, str(schema_version)))
    half, ahead, version = min(answers)
    return replace(node, clock_ahead=ahead, clock_error=half + 0.001, schema_version=version)  # it tells milliseconds


def _seconds(moment: Any) -> float:
    """Return the driver's time, which is in UTC without a zone, as seconds since 1970."""
    return float(moment.replace(tzinfo=datetime.UTC).timestamp())
