"""The lifespan: before it, during it, started again, and after it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
import trio
from cassandra.cluster import Session
from helpers.cassandra import own_keyspace
from helpers.loops import LOOPS
from helpers.ports import free_port
from helpers.problems import problem
from helpers.service import client_of, serving, settings_for
from helpers.waiting import wait_until
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_app.app import create_app
from asgi_app.settings import Settings
from contract.samples import ADA, create, every_loop

UNSTARTED = [("GET", "/"), ("GET", "/health"), ("GET", "/users"), ("POST", "/users"), ("GET", "/nowhere")]


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "path"), UNSTARTED)
async def test_503_without_lifespan(settings: Settings, method: str, path: str) -> None:
    async with client_of(create_app(settings)) as client:
        found = problem(await client.request(method, path), 503, "lifespan_not_started")
    assert "`lifespan=lifespan_of(app)`" in found["detail"]
    assert "`app.router.lifespan_context(app)`" in found["detail"]
    assert "server that runs lifespans" in found["detail"]
    assert "was mounted" not in found["detail"]


@pytest.mark.anyio
async def test_503_in_parent_without_lifespan(settings: Settings) -> None:
    parent = Starlette(routes=[Mount("/api", create_app(settings))])
    async with parent.router.lifespan_context(parent), client_of(parent) as client:
        problem(await client.get("/api/users"), 503, "lifespan_not_started")


@pytest.mark.anyio
async def test_mounted_in_parent_with_lifespan(settings: Settings) -> None:
    app = create_app(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with app.router.lifespan_context(app):
            yield

    parent = Starlette(routes=[Mount("/api", app)], lifespan=lifespan)
    async with parent.router.lifespan_context(parent), client_of(parent) as client:
        created = await client.post("/api/users", json=ADA)
        assert created.status_code == 201
        assert created.headers["location"] == f"/api/users/{created.json()['id']}"
        assert (await client.get(created.headers["location"])).json() == created.json()
        problem(await client.get("/api/nowhere"), 404, "not_found")
        problem(await client.get("/api/users/x"), 422, "invalid_input", "path.user_id")


@pytest.mark.anyio
async def test_restart(settings: Settings) -> None:
    app = create_app(settings)
    async with client_of(app) as client:
        for _ in range(2):
            async with app.router.lifespan_context(app):
                assert (await client.get("/users")).status_code == 200
            problem(await client.get("/users"), 503, "lifespan_not_started")


@pytest.mark.anyio
@every_loop
async def test_two_applications_in_one_process(settings: Settings, node_address: tuple[str, int], cql: Session) -> None:
    with own_keyspace(cql) as other:
        async with serving(settings) as (_, one):
            async with serving(settings_for(node_address, other, max_body_bytes=500)) as (_, two):
                in_one, in_two = await create(one), await create(two)
                assert (await two.get("/users/stream")).json() == [in_two]
                problem(await two.get(f"/users/{in_one['id']}"), 404, "not_found")
                problem(await one.get(f"/users/{in_two['id']}"), 404, "not_found")
                problem(await two.post("/users", content=b" " * 501, headers=_JSON), 413, "body_too_large")
                problem(await one.post("/users", content=b" " * 501, headers=_JSON), 400, "malformed_json")
                token = (await one.get("/users/stream/pages?fetch_size=1")).json()["page_state"]
                if token is not None:
                    refused = await two.get("/users/stream/pages", params={"page_state": token})
                    problem(refused, 422, "invalid_page_state", "query.page_state")
                assert (await two.get("/health")).json()["keyspace"] == other
            assert (await one.get(f"/users/{in_one['id']}")).json() == in_one


@pytest.mark.anyio
async def test_page_tokens_outlive_process_with_configured_keys(node_address: tuple[str, int], keyspace: str) -> None:
    from asgi_app.settings import Secret

    old, new = Secret("o" * 32), Secret("n" * 32)
    async with serving(settings_for(node_address, keyspace, page_keys=(old,))) as (_, client):
        await create(client)
        await create(client)
        token = (await client.get("/users/stream/pages?fetch_size=1")).json()["page_state"]
    for keys, status in (((new, old), 200), ((old,), 200), ((new,), 422), ((), 422)):
        async with serving(settings_for(node_address, keyspace, page_keys=keys)) as (_, client):
            response = await client.get("/users/stream/pages", params={"page_state": token})
            assert response.status_code == status


_JSON = {"Content-Type": "application/json"}
POOLS_OF_THE_LOOP = ("asyncio_", "AnyIO worker thread", "Trio thread")
EXECUTORS = "ThreadPoolExecutor"
"""How the names of the driver's executor threads begin. They come when they are first needed, and are at most two."""


async def _use(settings: Settings, open_threads: list[list[str]]) -> None:
    """Start the application, serve bursts of requests of every kind, and stop it."""
    async with serving(settings) as (app, client):
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(client.get, "/users/stream?fetch_size=1&limit=3")
                    tasks.start_soon(_post, client)
                    tasks.start_soon(client.get, "/health")
            open_threads.append([thread.name for thread in threading.enumerate()])
        assert app.state.database.dispatcher.slots.in_flight == 0
        tasks_inside = _task_count()
    assert _task_count() < tasks_inside


async def _post(client: httpx.AsyncClient) -> None:
    assert (await client.post("/users", json=ADA)).status_code == 201


def _task_count() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return trio.lowlevel.current_statistics().tasks_living


@pytest.mark.parametrize(("backend", "options"), LOOPS.values(), ids=LOOPS)
def test_threads_are_bounded_and_end(settings: Settings, cql: Session, backend: str, options: dict[str, Any]) -> None:
    before = set(threading.enumerate())
    while_open: list[list[str]] = []
    anyio.run(_use, settings, while_open, backend=backend, backend_options=options)

    # Beside the driver's own (two executors, timers, heartbeat, reactor): the dispatcher's submitter and its four.
    assert max(map(len, while_open)) - len(before) <= 16
    first, second, third = (sum(not name.startswith(EXECUTORS) for name in names) for names in while_open)
    assert third <= max(first, second)
    wait_until("the application's threads have ended", lambda: not _extra(before))


def _extra(before: set[threading.Thread]) -> list[threading.Thread]:
    return [
        thread
        for thread in set(threading.enumerate()) - before
        if thread.is_alive() and not (thread.daemon and thread.name.startswith(POOLS_OF_THE_LOOP[2]))
    ]


@pytest.mark.anyio
async def test_no_task_is_left(settings: Settings) -> None:
    before = asyncio.all_tasks()
    async with serving(settings) as (_, client):
        await create(client)
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before


@pytest.mark.anyio
async def test_serves_while_cassandra_is_down(unused_port: int, keyspace: str) -> None:
    async with serving(settings_for(("127.0.0.1", unused_port), keyspace)) as (_, client):
        health = await client.get("/health")
        assert health.status_code == 503
        assert health.headers["content-type"] == "application/json"
        assert health.json() == {
            "status": "unhealthy",
            "cassandra": "disconnected",
            "keyspace": keyspace,
            "cassandra_connected": False,
            "timestamp": health.json()["timestamp"],
        }
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/")).status_code == 200
        for path in ("/users", "/users/stream", "/users/stream/pages", "/animal/a", "/animal/a/b", "/plant/a"):
            problem(await client.get(path), 503, "not_connected")
        problem(await client.post("/users", json=ADA), 503, "not_connected")
        problem(await client.post("/users", json={}), 422, "invalid_input", "/name", "/email", "/age")


@pytest.fixture
def unused_port() -> int:
    """Return a port on which nothing listens."""
    return free_port()
