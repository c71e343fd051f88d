"""How soon /health and /readyz tell that Cassandra has gone, and that it is back: a node of the test's own."""

from __future__ import annotations

import time
from collections.abc import Iterator

import anyio
import httpx
import pytest
from helpers.cassandra import connected, create, unused_keyspace
from helpers.service import serving, settings_for

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


async def seconds_until(client: httpx.AsyncClient, status: int) -> float:
    """How long it takes until both paths have the status, asked again and again."""
    began = time.monotonic()
    while [(await client.get(path)).status_code for path in PATHS] != [status] * len(PATHS):
        assert time.monotonic() < began + 10 * SOON, f"not {status} within {10 * SOON} s"
        await anyio.sleep(0.02)
    return time.monotonic() - began


async def test_both_are_right_within_two_seconds_of_cassandra_going_and_coming_back(node: LocalNode) -> None:
    keyspace = unused_keyspace()  # it goes with the node
    with connected(node.host, node.port) as cql:
        create(cql, keyspace)
    async with serving(settings_for((node.host, node.port), keyspace)) as (_, client):
        for _ in range(2):
            await seconds_until(client, 200)
            node.pause()
            assert await seconds_until(client, 503) < SOON + SLACK
            assert (await client.get("/livez")).status_code == 200
            await anyio.sleep(SOON)  # away for longer than a ping may take
            node.resume()
            assert await seconds_until(client, 200) < SOON + SLACK
        assert (await client.get("/users?limit=1")).status_code == 200
