"""One real Cassandra node for the whole run, booted by the first test that asks for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from asgi_app.local_node import NodeSpec, local_node

NODE_VARIABLE = "TEST_CASSANDRA_NODE"
"""Names a node to use (host:port) in place of a fresh one, which saves its boot while you work on the tests."""

NodeAddress = tuple[str, int]


@pytest.fixture(scope="session")
def node_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeAddress]:
    """Host and port of a running node, the same for every test: give each suite a keyspace of its own."""
    named = os.environ.get(NODE_VARIABLE)
    if named:
        yield _running_node(named)
        return
    # More heap than a demo has: the suites of the whole run share this node.
    spec = NodeSpec(data=tmp_path_factory.mktemp("cassandra"), heap="768m")
    with local_node(spec) as node:
        yield node.host, node.port


def _running_node(named: str) -> NodeAddress:
    """The address that the variable names. Fails the run where nothing listens, which is what was asked for."""
    host, _, port = named.rpartition(":")
    if not host or not port.isdigit():
        pytest.fail(f"{NODE_VARIABLE} must be host:port.")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        pytest.fail(f"{NODE_VARIABLE}: nothing answers at {named} ({error}).")
    return host, int(port)
