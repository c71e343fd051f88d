"""How soon /health and /readyz report that Cassandra stopped answering and that it answers again."""

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
"""Seconds within which both endpoints are right."""

SLACK = 1.0
"""Seconds more that a busy machine may take."""

PATHS = ("/health", "/readyz")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNode]:
    """A node of this module, which tests pause. It is resumed at the end, so that it can shut down."""
    with local_node(NodeSpec(data=tmp_path_factory.mktemp("node"), throwaway=True)) as node:
        try:
            yield node
        finally:
            node.resume()


async def test_health_and_readiness_follow_a_paused_node_within_two_seconds(node: LocalNode) -> None:
    keyspace = unused_keyspace()  # not dropped: it ends with the node
    with connected(node.host, node.port) as cql:
        create(cql, keyspace)
    async with serving(settings_for((node.host, node.port), keyspace)) as (_, client):
        for _ in range(2):
            await seconds_until_status(client, PATHS, 200, 10 * SOON)
            node.pause()
            assert await seconds_until_status(client, PATHS, 503, 10 * SOON) < SOON + SLACK
            assert (await client.get("/livez")).status_code == 200
            await anyio.sleep(SOON)  # the node stays away for longer than a ping may take
            node.resume()
            assert await seconds_until_status(client, PATHS, 200, 10 * SOON) < SOON + SLACK
        assert (await client.get("/users?limit=1")).status_code == 200
