"""Fixtures: the settings of the node, a keyspace for the run, and unused keyspaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from cassandra.cluster import Session
from helpers.cassandra import own_keyspace, remove, unused_keyspace


@pytest.fixture(scope="session")
def node_settings(node_address: tuple[str, int]) -> Mapping[str, str]:
    """Return the variables that name the node."""
    host, port = node_address
    return {"CASSANDRA_HOSTS": host, "CASSANDRA_PORT": str(port)}


@pytest.fixture(scope="session")
def settings(cql: Session, node_settings: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Yield the variables that name the node and a keyspace with the three tables."""
    with own_keyspace(cql) as keyspace:
        yield {**node_settings, "CASSANDRA_KEYSPACE": keyspace}


@pytest.fixture
def fresh_keyspace(cql: Session) -> Iterator[str]:
    """Yield the name of a keyspace that does not exist; remove it afterwards."""
    name = unused_keyspace()
    yield name
    remove(cql, name)
