"""Answers under overload, on the real node.

Slots are held by calls of the application's dispatcher that report when the test does; everything else is real.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from helpers.calls import call
from helpers.service import client_of, serving
from helpers.waiting import eventually
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_app.app import create_app
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.dispatcher import Dispatcher, OnDone
from asgi_app.runtime.scheduler import Lane, SlotLimits
from asgi_app.settings import Settings
from contract.samples import ADA, every_loop

pytestmark = pytest.mark.anyio

LIMITS: dict[str, Any] = {"max_in_flight": 4, "max_waiting": 2, "max_wait": 0.3, "max_stream_pages": 2}
AT_ONCE = 0.5
"""Seconds a refusal may take. It takes milliseconds unless it waits for something, even on a busy machine."""

LONG = 30.0
NO_USER = f"/users/{uuid.UUID(int=0)}"
DATA = [("GET", NO_USER), ("GET", "/users"), ("POST", "/users"), ("DELETE", NO_USER), ("GET", "/animal/Strix/aluco")]


def tight(settings: Settings, **changes: Any) -> Settings:
    """Return the settings with few slots, and without keeping health reports."""
    return msgspec.structs.replace(settings, **(LIMITS | {"health_ttl": 0} | changes))


@asynccontextmanager
async def holding(app: Starlette, lanes: Iterable[Lane]) -> AsyncIterator[None]:
    """Run calls of these lanes that hold a slot, or wait for one, until the block ends and all slots are free."""
    dispatcher: Dispatcher = app.state.database.dispatcher
    reports: list[OnDone[None]] = []
    over = threading.Event()

    def start(timeout: float, done: OnDone[None]) -> None:
        reports.append(done)
        if over.is_set():
            done(None, None)

    async def hold(lane: Lane) -> None:
        await call(dispatcher, start, Deadline.after(LONG), lane)

    async with anyio.create_task_group() as tasks:
        wanted = list(lanes)
        for lane in wanted:
            tasks.start_soon(hold, lane)
        await eventually(lambda: dispatcher.slots.in_flight + dispatcher.slots.waiting == len(wanted))
        await eventually(lambda: len(reports) == dispatcher.slots.in_flight)
        try:
            yield
        finally:
            over.set()
            for done in list(reports):
                done(None, None)
    await eventually(lambda: dispatcher.slots.in_flight == dispatcher.slots.waiting == 0)


async def seconds_of(client: httpx.AsyncClient, method: str, path: str) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    response = await client.request(method, path, json=ADA if method == "POST" else None)
    return response, time.monotonic() - began


def assert_refused(response: httpx.Response, code: str) -> None:
    problem = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (503, 503, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["retry-after"]) >= 1
    assert response.headers["cache-control"] == "no-store"
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["instance"] == response.request.url.path


@every_loop
async def test_a_full_queue_refuses_at_once_and_an_empty_one_serves(settings: Settings) -> None:
    async with serving(tight(settings, max_wait=LONG)) as (app, client):
        async with holding(app, [Lane.REQUESTS] * 6):
            for method, path in DATA:
                response, seconds = await seconds_of(client, method, path)
                assert_refused(response, "queue_full")
                assert seconds < AT_ONCE
            for path in ("/livez", "/readyz", "/health", "/metrics"):
                assert (await client.get(path)).status_code == 200, path
        assert (await client.get(NO_USER)).status_code == 404
        assert (await client.get("/users?limit=1")).status_code == 200


async def test_a_mounted_application_refuses_in_the_same_way(settings: Settings) -> None:
    app = create_app(tight(settings, max_wait=LONG))
    outer = Starlette(routes=[Mount("/api", app)])
    async with app.router.lifespan_context(app), client_of(outer) as client, holding(app, [Lane.REQUESTS] * 6):
        assert_refused(await client.get(f"/api{NO_USER}"), "queue_full")
        assert (await client.get("/api/readyz")).status_code == 200


async def test_a_full_queue_of_requests_does_not_refuse_streams(settings: Settings) -> None:
    async with serving(tight(settings, max_wait=LONG)) as (app, client):
        async with anyio.create_task_group() as tasks:
            streamed: list[int] = []

            async def stream(path: str) -> None:
                streamed.append((await client.get(path)).status_code)

            async with holding(app, [Lane.REQUESTS] * 6):
                for path in ("/users/stream?limit=1", "/animal/Strix", "/animal/a%2Fb", "/plant/Rosa"):
                    tasks.start_soon(stream, path)
                await eventually(lambda: app.state.database.dispatcher.slots.waiting_of(Lane.PAGES) == 4)
        assert streamed == [200] * 4


async def test_a_full_queue_refuses_by_route_not_by_text(settings: Settings) -> None:
    async with serving(tight(settings, max_wait=LONG)) as (app, client), holding(app, [Lane.REQUESTS] * 6):
        for path in ("/%75sers", "/animal/a%2Fb/c%2Fd"):
            response = await client.get(path)
            assert (response.status_code, response.json()["code"]) == (503, "queue_full")
        for path in ("/users/a/b", "/animal/"):  # no route
            assert (await client.get(path)).status_code == 404


async def test_a_request_waits_for_a_slot_for_max_wait(settings: Settings) -> None:
    async with serving(tight(settings)) as (app, client), holding(app, [Lane.REQUESTS] * 4):
        response, seconds = await seconds_of(client, "GET", NO_USER)
        assert_refused(response, "queue_timeout")
        assert LIMITS["max_wait"] * 0.9 <= seconds < LIMITS["max_wait"] + AT_ONCE


@every_loop
async def test_streams_that_hold_all_their_slots_stop_no_other_request(settings: Settings) -> None:
    async with serving(tight(settings, max_request_timeout=LONG)) as (app, client):
        async with holding(app, [Lane.PAGES] * 10):
            assert app.state.database.dispatcher.slots.in_flight == LIMITS["max_stream_pages"]
            for path, status in ((NO_USER, 404), ("/users?limit=1", 200), ("/health", 200), ("/readyz", 200)):
                assert (await client.get(path)).status_code == status, path
            late = await client.get("/users/stream?limit=1", headers={"X-Request-Timeout": "0.5"})
            assert late.status_code == 503 or late.status_code == 504
        assert (await client.get("/users/stream?limit=1")).status_code == 200


@pytest.mark.parametrize("beside", [1, 2])
async def test_streams_are_throttled_beside_a_read(
    settings: Settings, beside: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgi_app.runtime.scheduler.REQUEST_IDLE_SECONDS", LONG)
    monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", LONG)
    wide = tight(settings, max_in_flight=8, max_stream_pages=3, stream_pages_beside_reads=beside)
    async with serving(wide) as (app, client):
        assert (await client.get(NO_USER)).status_code == 404
        async with holding(app, [Lane.PAGES] * 3):
            assert app.state.database.dispatcher.slots.in_flight_of(Lane.PAGES) == beside


async def test_a_flood_of_reads_is_served_or_refused_and_frees_every_slot(settings: Settings) -> None:
    async with serving(tight(settings)) as (app, client):
        await client.get(NO_USER)
        seen: Counter[int] = Counter()
        probes: Counter[int] = Counter()
        flooding = True

        async def flood() -> None:
            for _ in range(20):
                seen[(await client.get(NO_USER)).status_code] += 1

        async def probe() -> None:
            while flooding:
                for path in ("/readyz", "/health"):
                    probes[(await client.get(path)).status_code] += 1

        async with anyio.create_task_group() as probing:
            probing.start_soon(probe)
            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(flood)
            flooding = False
        assert set(seen) == {404, 503}
        assert sum(seen.values()) == 1000
        assert set(probes) == {200}
        dispatcher: Dispatcher = app.state.database.dispatcher
        await eventually(
            lambda: dispatcher.slots.in_flight == dispatcher.slots.waiting == dispatcher.threads_in_use == 0
        )
        assert dispatcher.slots.in_flight_of(Lane.PROBES) == 0
        assert [(await client.get(NO_USER)).status_code for _ in range(10)] == [404] * 10


@pytest.mark.parametrize("max_in_flight", [1, 2, 4, 256])
def test_every_lane_has_a_slot_and_requests_keep_some(max_in_flight: int) -> None:
    limits = replace(SlotLimits(), max_in_flight=max_in_flight, max_pages=1000)
    assert all(limits.slots(lane) >= 1 for lane in Lane)
    if max_in_flight >= 4:
        assert limits.slots(Lane.PAGES) + limits.slots(Lane.DIAGNOSTICS) < max_in_flight
