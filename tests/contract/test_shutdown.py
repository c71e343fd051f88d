"""POST /shutdown: the service is not ready, refuses new requests, and ends the running ones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import count
from helpers.curl import curl
from helpers.exchange import Exchange
from helpers.problems import problem
from helpers.service import client_of, serving, settings_for
from helpers.waiting import eventually
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_app.http.extensions import StreamAborted
from asgi_app.runtime.drain import Drain
from asgi_app.settings import Secret, Settings
from contract.samples import ADA, every_loop, insert_users

pytestmark = pytest.mark.anyio

TOKEN = "an-admin-token-of-the-tests"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def settings(node_address: tuple[str, int], keyspace: str) -> Settings:
    return settings_for(node_address, keyspace, admin_token=Secret(TOKEN), diagnostics=True)


class Asked:
    """Replaces the end of the process, which runs the tests, and counts how often the application asks for it."""

    def __init__(self, app: Starlette) -> None:
        self.times = 0
        self.drain: Drain = app.state.service.drain
        self.drain.on_asked = self._count

    def _count(self) -> None:
        self.times += 1


@asynccontextmanager
async def guarded(settings: Settings, **changes: Any) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient, Asked]]:
    """Run a service with an admin token that does not end its process."""
    changed = Settings(**{name: getattr(settings, name) for name in settings.__struct_fields__} | changes)
    async with serving(changed) as (app, client):
        yield app, client, Asked(app)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "BREW"])
async def test_shutdown_is_404_without_a_configured_token(
    node_address: tuple[str, int], keyspace: str, method: str
) -> None:
    async with serving(settings_for(node_address, keyspace)) as (_, client):
        response = await client.request(method, "/shutdown", headers=AUTHORIZED)
        assert response.status_code == 404
        if method != "HEAD":
            problem(response, 404, "not_found")
        assert (await client.get("/readyz")).status_code == 200


WRONG: dict[str, list[str]] = {
    "none": [],
    "another": ["Bearer wrong"],
    "a longer one": [f"Bearer {TOKEN}x"],
    "a part": [f"Bearer {TOKEN[:-1]}"],
    "empty": ["Bearer "],
    "not ASCII": ["Bearer é"],
    "another scheme": ["Basic eA=="],
    "no scheme": [TOKEN],
}


@pytest.mark.parametrize("sent", WRONG.values(), ids=list(WRONG))
async def test_a_wrong_token_is_401(client: httpx.AsyncClient, sent: list[str]) -> None:
    headers = [(b"authorization", value.encode("latin-1")) for value in sent]
    response = await client.post("/shutdown", headers=headers)
    problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"].startswith('Bearer realm="')
    assert (await client.get("/readyz")).status_code == 200


async def test_two_tokens_are_400(client: httpx.AsyncClient) -> None:
    refused = await client.post("/shutdown", headers=[("Authorization", f"Bearer {TOKEN}")] * 2)
    problem(refused, 400, "invalid_header", "header.Authorization")
    assert (await client.get("/readyz")).status_code == 200


async def test_another_method_is_405(client: httpx.AsyncClient) -> None:
    refused = await client.get("/shutdown", headers=AUTHORIZED)
    problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "POST"


@every_loop
async def test_after_shutdown_probes_answer_and_new_requests_are_refused(
    settings: Settings, cql: Session, users: str, no_users: None
) -> None:
    async with guarded(settings) as (_, client, asked):
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["draining"], "connection" in ready.headers) == (200, False, False)
        done = await curl(client, f'-X POST http://localhost:8000/shutdown -H "Authorization: Bearer {TOKEN}"')
        assert done.status_code == 202
        assert done.json() == {
            "message": "Shutdown initiated",
            "status": "shutting down",
            "requests_under_way": 0,
            "grace_seconds": 30.0,
        }
        assert asked.times == 1
        await eventually(lambda: asked.drain.is_over)

        ready = await client.get("/readyz")
        assert (ready.status_code, ready.headers["content-type"]) == (503, "application/json")
        assert ready.json() == {"status": "not ready", "connected": True, "missing_tables": [], "draining": True}
        for path in ("/livez", "/health", "/metrics"):
            assert (await client.get(path)).status_code == 200
        for method, path in (("GET", "/users"), ("GET", "/users/stream"), ("GET", "/nowhere"), ("DELETE", "/users/x")):
            refused = await client.request(method, path)
            problem(refused, 503, "shutting_down")
            assert refused.headers["connection"] == "close"
        problem(await client.post("/users", json=ADA), 503, "shutting_down")
        assert count(cql, users) == 0
        assert (await client.post("/shutdown", headers=AUTHORIZED)).status_code == 202


async def test_over_http_2_no_connection_header_is_sent(settings: Settings) -> None:
    async with guarded(settings) as (app, _, asked):
        asked.drain.cut()
        asked.drain.begin()
        exchange = Exchange("GET", "/users")
        exchange.scope["http_version"] = "2"
        await exchange.run(app)
        assert exchange.status == 503
        assert "connection" not in exchange.headers


async def test_a_mounted_application_answers_probes_while_draining(settings: Settings) -> None:
    async with guarded(settings) as (app, _, asked), client_of(Starlette(routes=[Mount("/api", app)])) as client:
        assert (await client.post("/api/shutdown", headers=AUTHORIZED)).status_code == 202
        await eventually(lambda: asked.drain.is_over)
        assert (await client.get("/api/livez")).status_code == 200
        assert (await client.get("/api/readyz")).json()["draining"] is True
        problem(await client.get("/api/users"), 503, "shutting_down")


class Slow:
    """A stream whose client reads nothing until `go_on` is set."""

    def __init__(self) -> None:
        self.go_on = anyio.Event()
        self.exchange = Exchange("GET", "/users/stream", query=b"fetch_size=1", on_chunk=self._take)
        self.error: BaseException | None = None

    async def _take(self, _: Exchange) -> None:
        await self.go_on.wait()

    async def run(self, app: Starlette) -> None:
        try:
            await self.exchange.run(app)
        except StreamAborted as error:
            self.error = error


@every_loop
async def test_running_requests_end_normally(
    settings: Settings, cql: Session, users: str, no_users: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "asgi_app.drain")
    await anyio.to_thread.run_sync(insert_users, cql, users, [1, 2, 3, 4, 5])
    async with guarded(settings) as (app, client, asked), anyio.create_task_group() as tasks:
        slow = Slow()
        tasks.start_soon(slow.run, app)
        await eventually(lambda: slow.exchange.status == 200)
        assert (await client.post("/shutdown", headers=AUTHORIZED)).json()["requests_under_way"] == 1
        assert "draining: 1 request under way" in caplog.messages
        await eventually(lambda: asked.drain.refusing)
        assert not asked.drain.is_over
        problem(await client.get("/users"), 503, "shutting_down")
        slow.go_on.set()
        await eventually(lambda: asked.drain.is_over)
        assert slow.error is None
        assert slow.exchange.complete
        assert len(json.loads(b"".join(slow.exchange.chunks))) == 5


@every_loop
async def test_requests_are_cut_after_the_grace_period(
    settings: Settings, cql: Session, users: str, no_users: None
) -> None:
    await anyio.to_thread.run_sync(insert_users, cql, users, [1, 2, 3, 4, 5])
    async with guarded(settings, shutdown_grace=0.2) as (app, client, asked), anyio.create_task_group() as tasks:
        slow = Slow()
        answers: list[httpx.Response] = []

        async def ask(path: str) -> None:
            answers.append(await client.get(path))

        tasks.start_soon(slow.run, app)
        tasks.start_soon(ask, "/long_running_query")
        await eventually(lambda: slow.exchange.status == 200 and asked.drain.under_way == 2)
        began = anyio.current_time()
        await client.post("/shutdown", headers=AUTHORIZED)
        await eventually(lambda: asked.drain.is_over)
        assert 0.2 <= anyio.current_time() - began < 8
        assert isinstance(slow.error, StreamAborted)
        assert not slow.exchange.complete
        await eventually(lambda: len(answers) == 1)
        problem(answers[0], 503, "shutting_down")


async def test_a_write_that_is_cut_has_an_unknown_outcome(settings: Settings) -> None:
    async with guarded(settings, shutdown_grace=0.0) as (app, client, asked), anyio.create_task_group() as tasks:
        post = Exchange("POST", "/users", headers=[(b"content-type", b"application/json")], body=[b"{"], whole=False)
        tasks.start_soon(post.run, app)
        await eventually(lambda: asked.drain.under_way == 1 and post.received > 1)
        await client.post("/shutdown", headers=AUTHORIZED)
        await eventually(lambda: post.complete)
        found = json.loads(b"".join(post.chunks))
        assert (post.status, found["code"], found["outcome"]) == (503, "shutting_down", "unknown")


@every_loop
async def test_requests_are_served_during_the_drain_delay(settings: Settings) -> None:
    async with guarded(settings, drain_delay=60.0) as (_, client, asked):
        await client.post("/shutdown", headers=AUTHORIZED)
        assert (await client.get("/readyz")).status_code == 503
        served = await client.get("/users")
        assert (served.status_code, served.headers["connection"]) == (200, "close")
    assert asked.drain.is_over  # the end of the lifespan does not wait for the delay


@every_loop
async def test_the_end_of_the_lifespan_drains_then_closes_session_and_cluster(
    settings: Settings, cql: Session, users: str, no_users: None
) -> None:
    await anyio.to_thread.run_sync(insert_users, cql, users, [1, 2, 3, 4, 5])
    closed: list[str] = []
    async with anyio.create_task_group() as tasks:
        slow = Slow()
        async with guarded(settings) as (app, _, asked):
            session = app.state.database.session
            _report_call(session, "shutdown", closed, "session")
            _report_call(session.cluster, "shutdown", closed, "cluster")
            tasks.start_soon(slow.run, app)
            await eventually(lambda: slow.exchange.status == 200)
            tasks.start_soon(_set_when, lambda: asked.drain.refusing, slow.go_on)
        assert slow.exchange.complete
        assert closed[:2] == ["session", "cluster"]
        assert session.is_shutdown
        assert session.cluster.is_shutdown


def _report_call(owner: Any, name: str, calls: list[str], what: str) -> None:
    original = getattr(owner, name)

    def reporting() -> None:
        calls.append(what)
        original()

    setattr(owner, name, reporting)


async def _set_when(condition: Any, event: anyio.Event) -> None:
    await eventually(condition)
    event.set()
