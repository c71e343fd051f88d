"""What `check` says of replication, nodes and clocks, for clusters that are larger than the one of the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from asgi_app.cli.check_cluster import cluster_dangers, replication_problems
from asgi_app.driver.cluster_facts import ClusterFacts, Keyspace, Node
from asgi_app.settings import ContactPoint, Secret, Settings

SIMPLE, NETWORK = "org.apache.cassandra.locator.SimpleStrategy", "org.apache.cassandra.locator.NetworkTopologyStrategy"


def node(number: int, data_center: str = "west", *, is_up: bool | None = True, **facts: Any) -> Node:
    return Node(f"10.0.0.{number}:9042", data_center, "r1", "5.0.9", is_up, **facts)


def facts(*nodes: Node) -> ClusterFacts:
    return ClusterFacts("c", "Apache Cassandra 5.0.9", "M3", 4, True, "driver 1", True, "west", nodes)


def keyspace(strategy: str = NETWORK, *, durable: bool = True, **replication: str) -> Keyspace:
    return Keyspace("shop", {"class": strategy, **replication}, durable)


THREE = facts(node(1), node(2), node(3))


@pytest.mark.parametrize(
    ("cluster", "replication", "changes", "words"),
    [
        (THREE, {"west": "3"}, {}, None),
        (THREE, {"east": "3"}, {}, "no replicas in the data centre west"),
        (THREE, {"east": "3"}, {"cassandra_consistency": "QUORUM"}, None),
        (THREE, {"west": "3"}, {"cassandra_local_dc": "east"}, "no replicas in the data centre east"),
        (facts(node(1)), {"west": "3"}, {}, "needs 2 of 3 replicas in the data centre west for LOCAL_QUORUM; 1 "),
        (facts(node(1)), {"west": "3"}, {"cassandra_consistency": "LOCAL_ONE"}, None),
        (facts(node(1), node(2, is_up=False), node(3, is_up=None)), {"west": "3/1"}, {}, None),
    ],
)
def test_consistency_that_cannot_be_reached(
    cluster: ClusterFacts, replication: Mapping[str, str], changes: dict[str, Any], words: str | None
) -> None:
    found = list(replication_problems(cluster, [keyspace(**replication)], Settings(**changes)))
    assert [problem.name for problem in found] == (["keyspace shop"] if words else [])
    assert not words or words in found[0].message


@pytest.mark.parametrize(
    ("cluster", "of", "place", "words"),
    [
        (THREE, keyspace(west="1"), "keyspace shop", "has one replica"),
        (THREE, keyspace(SIMPLE, replication_factor="1"), "keyspace shop", "has one replica"),
        (THREE, keyspace(west="2"), "keyspace shop", "has two replicas"),
        (THREE, keyspace(durable=False, west="3"), "keyspace shop", "durable_writes"),
        (facts(node(1), node(2, "east")), keyspace(SIMPLE, replication_factor="3"), "keyspace shop", "SimpleStrategy"),
        (facts(node(1), node(2, is_up=False)), keyspace(west="3"), "node 10.0.0.2:9042", "is down"),
        (
            facts(node(1, schema_version="a"), node(2, schema_version="b"), node(3)),
            keyspace(west="3"),
            "schema",
            "2 versions",
        ),
        (
            facts(node(1, clock_ahead=-1.5, clock_error=0.1)),
            keyspace(west="3"),
            "node 10.0.0.1:9042",
            "has a clock 1.5 s behind this machine's: of two writes the one with the later time wins",
        ),
        (
            facts(node(1, clock_ahead=61.0, clock_error=0.1)),
            keyspace(west="3"),
            "node 10.0.0.1:9042",
            "has a clock 61.0 s ahead of this machine's, more than ASGI_CASSANDRA_WRITE_TIMESTAMP_MARGIN",
        ),
    ],
)
def test_danger_of_a_cluster(cluster: ClusterFacts, of: Keyspace, place: str, words: str) -> None:
    (danger,) = cluster_dangers(cluster, [of], Settings())
    assert danger.name == place
    assert words in danger.message


def test_cluster_without_dangers() -> None:
    close = facts(*(node(number, clock_ahead=0.7, clock_error=0.3, schema_version="a") for number in (1, 2, 3)))
    remote = Settings(
        cassandra_hosts=(ContactPoint("10.0.0.1"),), cassandra_username="app", cassandra_password=Secret("x")
    )
    assert list(cluster_dangers(close, [keyspace(west="3"), keyspace("LocalStrategy")], remote)) == []


def test_cluster_that_lets_everybody_in() -> None:
    remote = Settings(cassandra_hosts=(ContactPoint("10.0.0.1"),))
    (danger,) = cluster_dangers(THREE, [keyspace(west="3")], remote)
    assert danger.name == "CASSANDRA_USERNAME"
