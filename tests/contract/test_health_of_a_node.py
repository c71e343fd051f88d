"""How soon /health and /readyz tell that Cassandra has gone, and that it is back: a node of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest
from helpers.cassandra import connected, create, unused_keyspace
from helpers.service import serving, settings_for
from helpers.waiting import seconds_until_status

from asgi_app.local_node import LocalNode, NodeSpec, local_node

pytestmark = [pytest.mark.anyio, pytest.mark.long]

SOON = 2.0
SLACK = 1.0
"""Seconds more that a busy machine may take."""

PATHS = ("/health", "/readyz")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNode]:
    """To be frozen; it goes on afterwards, so that it can be ended."""
    with local_node(NodeSpec(data=tmp_path_factory.mktemp("node"))) as node:
        try:
            yield node
        finally:
            node.resume()


async def test_both_are_right_within_two_seconds_of_cassandra_going_and_coming_back(node: LocalNode) -> None:
    keyspace = unused_keyspace()  # it goes with the node
    with connected(node.host, node.port) as cql:
        create(cql, keyspace)
    async with serving(settings_for((node.host, node.port), keyspace)) as (_, client):
        for _ in range(2):
            await seconds_until_status(client, PATHS, 200, 10 * SOON)
            node.pause()
            assert await seconds_until_status(client, PATHS, 503, 10 * SOON) < SOON + SLACK
            assert (await client.get("/livez")).status_code == 200
            await anyio.sleep(SOON)  # away for longer than a ping may take
            node.resume()
            assert await seconds_until_status(client, PATHS, 200, 10 * SOON) < SOON + SLACK
        assert (await client.get("/users?limit=1")).status_code == 200
