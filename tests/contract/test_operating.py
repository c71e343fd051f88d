"""The operational endpoints: welcome, health, probes."""

from __future__ import annotations

import time
from datetime import datetime

import anyio
import httpx
import pytest
from helpers.service import serving
from starlette.applications import Starlette

import asgi_app
from asgi_app.settings import Settings
from contract.samples import MOMENT, every_loop

pytestmark = [pytest.mark.anyio, every_loop]


async def test_root_names_the_service(client: httpx.AsyncClient) -> None:
    response = await client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert isinstance(body["message"], str)
    assert body["version"] == asgi_app.__version__
    assert isinstance(body["docs"], str)


async def test_health_while_cassandra_answers(client: httpx.AsyncClient, keyspace: str) -> None:
    response = await client.get("/health")
    assert response.status_code == 200
    body = response.json()
    assert body == {
        "status": "healthy",
        "cassandra": "connected",
        "keyspace": keyspace,
        "cassandra_connected": True,
        "timestamp": body["timestamp"],
    }
    assert MOMENT.fullmatch(body["timestamp"])
    assert abs(datetime.fromisoformat(body["timestamp"]).timestamp() - time.time()) < 10
    assert response.headers["cache-control"] == "no-store"


async def test_readiness_and_liveness(client: httpx.AsyncClient) -> None:
    assert (await client.get("/livez")).status_code == 200
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["missing_tables"]) == (200, [])


async def test_a_thousand_concurrent_probes_are_answered(settings: Settings) -> None:
    async with serving(settings) as (app, client):
        statuses: list[int] = []

        async def probe(path: str) -> None:
            statuses.append((await client.get(path)).status_code)

        async with anyio.create_task_group() as tasks:
            for _ in range(500):
                tasks.start_soon(probe, "/health")
                tasks.start_soon(probe, "/readyz")
        assert statuses == [200] * 1000
        assert _idle(app)


def _idle(app: Starlette) -> bool:
    return app.state.database.dispatcher.slots.in_flight == app.state.database.dispatcher.slots.waiting == 0
