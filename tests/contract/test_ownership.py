"""Ownership of a started application: other processes, event loops and lifespan entries are refused at once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import httpx
import pytest
from helpers.problems import problem
from helpers.service import client_of, serving
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_app.app import create_app, lifespan_of
from asgi_app.db import Database
from asgi_app.errors import AlreadyStarted, ShuttingDown, WrongEventLoop
from asgi_app.runtime.deadline import Deadline
from asgi_app.settings import Settings
from asgi_app.tables.cql import Statement
from contract.samples import ADA, every_loop

ONE_ROW = Statement("SELECT key FROM system.local", idempotent=True, writes=False)
OTHER_LOOPS: tuple[tuple[str, dict[str, Any]], ...] = (("asyncio", {}), ("asyncio", {"use_uvloop": True}), ("trio", {}))


async def elsewhere(function: Callable[..., Awaitable[Any]], *args: Any) -> list[Any]:
    """Call a function on new event loops of each kind, in other threads, and return each result or exception."""

    async def call() -> Any:
        try:
            return await function(*args)
        except Exception as error:
            return error

    def run(backend: str, options: dict[str, Any]) -> Any:
        return anyio.run(call, backend=backend, backend_options=options)

    return [await anyio.to_thread.run_sync(run, *loop) for loop in OTHER_LOOPS]


async def get(app: Any, path: str, method: str = "GET", **more: Any) -> httpx.Response:
    async with client_of(app) as client:
        return await client.request(method, path, **more)


async def in_a_task(function: Callable[..., Awaitable[Any]], *args: Any) -> None:
    """Await the function in a task of its own, as pytest-asyncio runs each half of a fixture."""

    async def run() -> None:
        await function(*args)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)


@pytest.mark.anyio
@every_loop
async def test_requests_on_another_loop_are_refused(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(settings) as (app, client):
        for method, path, body in (
            ("GET", "/users?limit=1", None),
            ("POST", "/users", ADA),
            ("GET", "/users/stream", None),
            ("GET", "/livez", None),
            ("GET", "/metrics", None),
            ("GET", "/nowhere", None),
        ):
            for response in await elsewhere(lambda m=method, p=path, b=body: get(app, p, m, json=b)):
                problem(response, 503, "wrong_event_loop")
                assert response.headers["x-request-id"]
        assert [record.levelname for record in caplog.records if record.name == "asgi_app.errors"] == ["WARNING"] * 18
        assert (await client.get("/metrics")).json()["total_queries"] == 0
        assert (await client.get("/users?limit=1")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        assert app.state.database.dispatcher.slots.in_flight == 0


@pytest.mark.anyio
@every_loop
async def test_database_refuses_another_loop(settings: Settings) -> None:
    async with serving(settings) as (app, _):
        database: Database = app.state.database
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: database.execute(ONE_ROW, deadline=Deadline.after(5)),
            lambda: database.execute_batch(ONE_ROW, [()], deadline=Deadline.after(5)),
            lambda: database.ping(Deadline.after(5)),
        ]
        for call in calls:
            assert {type(found) for found in await elsewhere(call)} == {WrongEventLoop}
        without_a_loop = database.execute(ONE_ROW, deadline=Deadline.after(5))
        with pytest.raises(WrongEventLoop):
            await anyio.to_thread.run_sync(without_a_loop.send, None)
        assert (await database.execute(ONE_ROW, deadline=Deadline.after(5))).row_count == 1


@pytest.mark.anyio
@every_loop
async def test_second_entry_is_refused(settings: Settings) -> None:
    app = create_app(settings)

    async def enter() -> None:
        async with app.router.lifespan_context(app):
            pytest.fail("it was entered twice")

    async with app.router.lifespan_context(app), client_of(app) as client:
        with pytest.raises(AlreadyStarted, match="has not been left yet"):
            await enter()
        assert {type(found) for found in await elsewhere(enter)} == {AlreadyStarted}
        assert (await client.get("/users?limit=1")).status_code == 200


@pytest.mark.anyio
@every_loop
async def test_concurrent_entries(settings: Settings) -> None:
    app = create_app(settings)
    entered: list[AbstractAsyncContextManager[Any]] = []
    refused: list[AlreadyStarted] = []

    async def enter() -> None:
        context = app.router.lifespan_context(app)
        try:
            await context.__aenter__()
            entered.append(context)
        except AlreadyStarted as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        tasks.start_soon(enter)
    assert (len(entered), len(refused)) == (1, 1)
    assert (await get(app, "/users?limit=1")).status_code == 200
    await entered[0].__aexit__(None, None, None)


@pytest.mark.anyio
@every_loop
async def test_restart_on_same_and_other_loops(settings: Settings) -> None:
    app = create_app(settings)

    async def serve_once() -> list[int]:
        async with app.router.lifespan_context(app):
            served = await get(app, "/users?limit=1")
        return [served.status_code, (await get(app, "/users")).status_code]

    assert await serve_once() == [200, 503]
    assert await serve_once() == [200, 503]
    assert await elsewhere(serve_once) == [[200, 503]] * len(OTHER_LOOPS)
    assert await serve_once() == [200, 503]


@pytest.mark.anyio
@every_loop
@pytest.mark.parametrize("what", ["lifespan", "lifespan_of", "database"])
async def test_enter_and_leave_in_different_tasks(settings: Settings, what: str) -> None:
    app = create_app(settings)
    parent = Starlette(routes=[Mount("/db", app)], lifespan=lifespan_of(app))
    contexts: dict[str, AbstractAsyncContextManager[Any]] = {
        "lifespan": app.router.lifespan_context(app),
        "lifespan_of": parent.router.lifespan_context(parent),
        "database": Database.open(settings),
    }
    context = contexts[what]
    await in_a_task(context.__aenter__)
    gc.collect()
    if what == "lifespan_of":
        assert (await get(parent, "/db/users?limit=1")).status_code == 200
    elif what == "lifespan":
        assert (await get(app, "/users?limit=1")).status_code == 200
    await in_a_task(context.__aexit__, None, None, None)
    problem(await get(app, "/users"), 503, "lifespan_not_started")


def test_each_step_in_its_own_task_and_loop(settings: Settings) -> None:
    """Test suites that call `run_until_complete` for each step do this."""
    owner, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    app = create_app(settings)
    context = app.router.lifespan_context(app)
    try:
        owner.run_until_complete(context.__aenter__())
        problem(other.run_until_complete(get(app, "/users?limit=1")), 503, "wrong_event_loop")
        with pytest.raises(WrongEventLoop, match="Leave it on that one"):
            other.run_until_complete(context.__aexit__(None, None, None))
        assert owner.run_until_complete(get(app, "/users?limit=1")).status_code == 200
        owner.run_until_complete(context.__aexit__(None, None, None))
        problem(owner.run_until_complete(get(app, "/users")), 503, "lifespan_not_started")
    finally:
        owner.close()
        other.close()


@pytest.mark.anyio
@every_loop
async def test_error_or_cancellation_closes_session(settings: Settings) -> None:
    app = create_app(settings)
    with pytest.raises(ZeroDivisionError):
        async with app.router.lifespan_context(app):
            by_error = app.state.database.session
            raise ZeroDivisionError
    with anyio.CancelScope() as scope:
        async with app.router.lifespan_context(app):
            by_cancellation = app.state.database.session
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert by_error.is_shutdown
    assert by_cancellation.is_shutdown


@pytest.mark.anyio
@every_loop
async def test_closed_database(settings: Settings) -> None:
    async with Database.open(settings) as database:
        await database.ping(Deadline.after(5))
    with pytest.raises(ShuttingDown, match="was closed"):
        await database.ping(Deadline.after(5))
