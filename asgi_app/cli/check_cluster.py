"""Find the problems and dangers of a cluster and a keyspace in the facts that were read about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from asgi_app.driver.cluster_facts import ClusterFacts, Keyspace
from asgi_app.settings import Problem, Settings
from asgi_app.settings.dangers import is_loopback

CLOCK_SECONDS = 0.5
"""Report a node whose clock differs by more seconds. Synchronized clocks differ by less."""


def replication_problems(facts: ClusterFacts, keyspaces: Iterable[Keyspace], settings: Settings) -> Iterator[Problem]:
    """Yield the keyspaces in which the configured consistency level of a data centre can never be reached."""
    level, local = settings.cassandra_consistency, settings.cassandra_local_dc or facts.data_center
    up = sum(node.data_center == local and node.is_up is not False for node in facts.nodes)
    for keyspace in keyspaces:
        factor = replicas(keyspace, local)
        if factor is None or not level.startswith("LOCAL_"):
            continue
        needed = factor // 2 + 1 if level == "LOCAL_QUORUM" else 1
        if not factor:
            message = f"has no replicas in the data centre {local}, so that {level} is never reached there"
            yield Problem(f"keyspace {keyspace.name}", message)
        elif needed > up:
            message = (
                f"needs {needed} of {factor} replicas in the data centre {local} for {level}; {up} nodes are up there"
            )
            yield Problem(f"keyspace {keyspace.name}", message)


def cluster_dangers(facts: ClusterFacts, keyspaces: Iterable[Keyspace], settings: Settings) -> Iterator[Problem]:
    """Yield what may lose rows or leave them open, by the variable or the part of the cluster to look at."""
    remote = [point.host for point in settings.cassandra_hosts if not is_loopback(point.host)]
    has_login = settings.cassandra_username or settings.astra_db_secure_bundle_path
    if remote and not has_login:
        yield Problem("CASSANDRA_USERNAME", "is not set, and Cassandra lets in whoever reaches it without a password")
    for keyspace in keyspaces:
        yield from _replication(facts, keyspace, settings)
    yield from _nodes(facts)
    yield from _clocks(facts, settings)


def replicas(keyspace: Keyspace, data_center: str | None) -> int | None:
    """Return the number of replicas in a data centre; None if the strategy does not say it."""
    strategy = _strategy(keyspace)
    if strategy == "SimpleStrategy":
        return _number(keyspace.replication.get("replication_factor", "0"))
    if strategy == "NetworkTopologyStrategy" and data_center is not None:
        return _number(keyspace.replication.get(data_center, "0"))
    return None


def _strategy(keyspace: Keyspace) -> str:
    return keyspace.replication.get("class", "").rpartition(".")[2]


def _number(text: str) -> int | None:
    """Return a replication factor; `3/1` has one transient replica of three."""
    number = text.partition("/")[0]
    return int(number) if number.isdecimal() else None


def _replication(facts: ClusterFacts, keyspace: Keyspace, settings: Settings) -> Iterator[Problem]:
    place = f"keyspace {keyspace.name}"
    factor = replicas(keyspace, settings.cassandra_local_dc or facts.data_center)
    if factor == 1:
        yield Problem(place, "has one replica: its rows are away while their node is, and lost with its disk")
    if factor == 2:
        yield Problem(place, "has two replicas: a quorum is both, so that no node may be away")
    if len({node.data_center for node in facts.nodes}) > 1 and "SimpleStrategy" in keyspace.replication.get(
        "class", ""
    ):
        yield Problem(place, "has the SimpleStrategy, which does not know of the cluster's data centres")
    if not keyspace.durable_writes:
        yield Problem(place, "has durable_writes off: writes are lost if their replicas end at the same time")


def _nodes(facts: ClusterFacts) -> Iterator[Problem]:
    for node in facts.nodes:
        if node.is_up is False:
            yield Problem(f"node {node.address}", "is down")
    if facts.schema_versions > 1:
        yield Problem(
            "schema", f"the nodes have {facts.schema_versions} versions of it; the tables below are those of one"
        )


def _clocks(facts: ClusterFacts, settings: Settings) -> Iterator[Problem]:
    for node in facts.nodes:
        if node.clock_ahead is None or node.clock_error is None:
            continue
        differs = abs(node.clock_ahead) - node.clock_error
        place, way = f"node {node.address}", "ahead of" if node.clock_ahead > 0 else "behind"
        sentence = f"has a clock {abs(node.clock_ahead):.1f} s {way} this machine's"
        if differs >= settings.write_timestamp_margin:
            yield Problem(
                place, f"{sentence}, more than ASGI_CASSANDRA_WRITE_TIMESTAMP_MARGIN: changes of new rows can be lost"
            )
        elif differs >= CLOCK_SECONDS:
            yield Problem(
                place, f"{sentence}: of two writes the one with the later time wins, so synchronize the clocks"
            )
