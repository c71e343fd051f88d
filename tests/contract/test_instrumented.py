"""Middleware that instrumentation adds to Starlette sees every request, whenever it is added."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from helpers.service import client_of
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_app.app import create_app
from asgi_app.settings import Settings

pytestmark = pytest.mark.anyio

TARGETS = ("/livez", "/users?limit=1", "/nowhere")
ALL_ORIGINS = {"cors_origins": ("*",)}

seen: list[str] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


class Watching:
    """Middleware that records the path of each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            seen.append(scope["path"])
        await self.app(scope, receive, send)


Monkey = pytest.MonkeyPatch
_init, _build, _call = Starlette.__init__, Starlette.build_middleware_stack, Starlette.__call__


def patch_init(patch: Monkey) -> None:
    """Patch `__init__`, as old versions of Sentry did and as a subclass that replaces Starlette does."""

    def init(app: Starlette, *args: Any, **options: Any) -> None:
        _init(app, *args, **options)
        app.add_middleware(Watching)

    patch.setattr(Starlette, "__init__", init)


def patch_init_arguments(patch: Monkey) -> None:
    def init(app: Starlette, *args: Any, middleware: Any = (), **options: Any) -> None:
        _init(app, *args, middleware=[Middleware(Watching), *middleware], **options)

    patch.setattr(Starlette, "__init__", init)


def patch_build(patch: Monkey) -> None:
    """Patch as OpenTelemetry does for FastAPI."""
    patch.setattr(Starlette, "build_middleware_stack", lambda app: Watching(_build(app)))


def patch_call(patch: Monkey) -> None:
    """Patch as Sentry does."""

    async def call(app: Starlette, scope: Scope, receive: Receive, send: Send) -> None:
        await Watching(lambda *args: _call(app, *args))(scope, receive, send)

    patch.setattr(Starlette, "__call__", call)


def add_middleware(app: Starlette) -> None:
    app.add_middleware(Watching)


def insert_middleware(app: Starlette) -> None:
    app.user_middleware.insert(0, Middleware(Watching))


def wrap_build_of_the_object(app: Starlette) -> None:
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Watching(build())  # type: ignore[method-assign]


def insert_and_build(app: Starlette) -> None:
    """Build the stack as `StarletteInstrumentor.uninstrument_app` does."""
    insert_middleware(app)
    app.middleware_stack = app.build_middleware_stack()


def insert_and_reset(app: Starlette) -> None:
    insert_middleware(app)
    app.middleware_stack = None


def wrap_and_reset(app: Starlette) -> None:
    wrap_build_of_the_object(app)
    app.middleware_stack = None


async def ask(client: httpx.AsyncClient) -> None:
    for target in TARGETS:
        assert (await client.get(target)).status_code == (404 if target == "/nowhere" else 200)


@pytest.mark.parametrize("changes", [{}, ALL_ORIGINS], ids=["plain", "cors"])
@pytest.mark.parametrize("change", [patch_init, patch_init_arguments, patch_build, patch_call])
async def test_patched_before_create_app(
    settings: Settings, monkeypatch: Monkey, change: Callable[[Monkey], None], changes: dict[str, Any]
) -> None:
    change(monkeypatch)
    await _every_request_is_seen(create_app(msgspec.structs.replace(settings, **changes)))


@pytest.mark.parametrize("change", [patch_build, patch_call])
async def test_patched_after_create_app(
    settings: Settings, monkeypatch: Monkey, change: Callable[[Monkey], None]
) -> None:
    app = create_app(settings)
    change(monkeypatch)
    await _every_request_is_seen(app)


@pytest.mark.parametrize("change", [add_middleware, insert_middleware, wrap_build_of_the_object, insert_and_build])
async def test_added_after_create_app(settings: Settings, change: Callable[[Starlette], None]) -> None:
    app = create_app(settings)
    change(app)
    await _every_request_is_seen(app)


async def _every_request_is_seen(app: Starlette) -> None:
    async with app.router.lifespan_context(app), client_of(app) as client:
        await ask(client)
        await ask(client)
    assert seen == [target.partition("?")[0] for target in TARGETS * 2]


@pytest.mark.parametrize("change", [insert_and_build, insert_and_reset, wrap_and_reset, None])
async def test_added_after_first_request(
    settings: Settings, monkeypatch: Monkey, change: Callable[[Starlette], None] | None
) -> None:
    app = create_app(settings)
    async with app.router.lifespan_context(app), client_of(app) as client:
        await ask(client)
        assert seen == []
        if change is None:
            patch_call(monkeypatch)
        else:
            change(app)
        await ask(client)
        await ask(client)
    assert len(seen) == 2 * len(TARGETS)


# --- OpenTelemetry


@pytest.fixture
def instrumentor() -> Iterator[StarletteInstrumentor]:
    made = StarletteInstrumentor()
    yield made
    if made.is_instrumented_by_opentelemetry:
        made.uninstrument()


@pytest.mark.parametrize("otel", [False, True])
@pytest.mark.parametrize("changes", [{}, ALL_ORIGINS], ids=["plain", "cors"])
@pytest.mark.parametrize("way", ["all", "one"])
async def test_opentelemetry_instrumentation_one_server_span(
    settings: Settings,
    spans: InMemorySpanExporter,
    instrumentor: StarletteInstrumentor,
    way: str,
    changes: dict[str, Any],
    otel: bool,
) -> None:
    if way == "all":
        instrumentor.instrument()
    app = create_app(msgspec.structs.replace(settings, otel=otel, **changes))
    if way == "one":
        instrumentor.instrument_app(app)
    async with app.router.lifespan_context(app), client_of(app) as client:
        spans.clear()
        await ask(client)
        await ask(client)
    found = [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]
    assert [span.name for span in found] == ["GET /livez", "GET /users", "GET"] * 2
    assert len({span.context.trace_id for span in found}) == 2 * len(TARGETS)
    inner = [span for span in spans.get_finished_spans() if span.instrumentation_scope.name == "asgi_app"]
    assert {span.kind for span in inner} == ({SpanKind.INTERNAL, SpanKind.CLIENT} if otel else set())


# --- Sentry, in a process of its own because it patches the whole process


@pytest.mark.parametrize("moment", ["before", "after", "late"])
def test_sentry_sees_every_request(settings: Settings, moment: str) -> None:
    point = settings.cassandra_hosts[0]
    arguments = [moment, point.host, str(point.port), settings.keyspace]
    command = [sys.executable, "-c", _UNDER_SENTRY, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == ["/livez", "/users", "/users/{user_id}"] * 2


_UNDER_SENTRY = """
import json, sys, uuid

import anyio, httpx, sentry_sdk
from sentry_sdk.integrations.starlette import StarletteIntegration
from sentry_sdk.transport import Transport

from asgi_app.app import create_app
from asgi_app.settings import ContactPoint, Settings

moment, host, port, keyspace = sys.argv[1:]
transactions = []


class Kept(Transport):
    "Sends nothing."

    def capture_envelope(self, envelope):
        for item in envelope.items:
            if item.type == "transaction":
                transactions.append(item.payload.json["transaction"])


def patch():
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=Kept,
        traces_sample_rate=1.0,
        default_integrations=False,
        integrations=[StarletteIntegration()],
    )


async def main():
    if moment == "before":
        patch()
    app = create_app(Settings(cassandra_hosts=(ContactPoint(host, int(port)),), cassandra_keyspace=keyspace))
    if moment == "after":
        patch()
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        if moment == "late":
            await client.get("/livez")
            patch()
        for _ in range(2):
            for target in ("/livez", "/users?limit=1", f"/users/{uuid.uuid4()}"):
                await client.get(target)
    print(json.dumps(transactions))


anyio.run(main)
"""
