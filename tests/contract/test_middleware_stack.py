"""Responses are the same in every middleware stack: added middleware and handlers, debug, CORS, mounted in a parent."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import msgspec
import pytest
from helpers.exchange import Exchange
from helpers.problems import problem
from helpers.service import client_of
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_app.app import create_app, lifespan_of
from asgi_app.errors import NotFound, QueueFull
from asgi_app.http.routing import path
from asgi_app.settings import Settings
from contract.samples import ADA, JSON, create

pytestmark = pytest.mark.anyio

PAGE = "https://app.example.org"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
SAME = {"X-Request-ID": "the-same"}
"""A fixed request id, so that responses are equal."""


# --- routes that a user adds


async def answers(request: Request) -> Response:
    return PlainTextResponse(f"own {request.path_params['name']}")


async def has_a_bug(request: Request) -> Response:
    raise RuntimeError("a bug")


async def finds_nothing(request: Request) -> Response:
    raise HTTPException(404, "nothing of mine")


async def is_missing(request: Request) -> Response:
    raise NotFound


async def is_full(request: Request) -> Response:
    raise QueueFull


async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
    """Begin a response, then fail."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError("too late for an answer")


class BreaksOff:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await breaks_off(scope, receive, send)


MINE = {"answers": answers, "bug": has_a_bug, "nothing": finds_nothing, "missing": is_missing, "full": is_full}


def with_own_routes(app: Starlette) -> Starlette:
    for name, endpoint in MINE.items():
        app.router.routes.append(Route(f"/mine/{name}/{{name}}", endpoint))
        app.router.routes.append(path(f"/ours/{name}/{{name}}", None, get=endpoint))
    app.router.routes.append(Route("/mine/broken", BreaksOff()))
    return app


# --- the surroundings of the service


class Watched:
    """A user's middleware, which adds a header field to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def mark(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-watched", b"yes")]}
            await send(message)

        await self.app(scope, receive, mark)


class OwnError(Exception):
    """A user's exception, which has a handler."""


async def own_error(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"own error {error}", 418)


def as_made(app: Starlette) -> None: ...


def middleware(app: Starlette) -> None:
    app.add_middleware(Watched)


def handler(app: Starlette) -> None:
    app.add_exception_handler(OwnError, own_error)


def debug(app: Starlette) -> None:
    app.debug = True


def everything(app: Starlette) -> None:
    for surround in (middleware, handler, debug):
        surround(app)


def asked_before_it_starts(app: Starlette) -> None:
    """Change nothing: `clients` sends a request before the lifespan starts, so that Starlette builds its stack then."""


SURROUNDINGS: dict[str, tuple[Callable[[Starlette], None], dict[str, Any]]] = {
    "as made": (as_made, {}),
    "middleware": (middleware, {}),
    "handler": (handler, {}),
    "debug": (debug, {}),
    "cors": (as_made, {"cors_origins": (PAGE,)}),
    "everything": (everything, {"cors_origins": ("*",)}),
    "asked before it starts": (asked_before_it_starts, {}),
}


def made(name: str, settings: Settings) -> Starlette:
    surround, changes = SURROUNDINGS[name]
    app = with_own_routes(create_app(msgspec.structs.replace(settings, **changes)))
    surround(app)
    return app


@pytest.fixture(scope="module")
async def clients(anyio_backend: Any, settings: Settings) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """Yield a client of a started service for each of `SURROUNDINGS`."""
    async with AsyncExitStack() as opened:
        found = {}
        for name in SURROUNDINGS:
            app = made(name, settings)
            found[name] = await opened.enter_async_context(client_of(app))
            if name.startswith("asked before"):
                problem(await found[name].get("/users"), 503, "lifespan_not_started")
            await opened.enter_async_context(app.router.lifespan_context(app))
        yield found


@pytest.fixture(scope="module")
async def user_id(clients: dict[str, httpx.AsyncClient]) -> str:
    return str((await create(clients["as made"]))["id"])


@pytest.fixture(autouse=True)
def bugs_are_expected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.CRITICAL):
        yield


def comparable(response: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return the parts of a response that must not depend on the surroundings."""
    headers = [(name, without_origin(value) if name == "vary" else value) for name, value in response.headers.items()]
    return response.status_code, sorted(set(headers) - {("x-watched", "yes"), ("vary", "")}), response.content


def without_origin(vary: str) -> str:
    return ", ".join(name for name in vary.split(", ") if name != "Origin")


REQUESTS: list[tuple[str, str, dict[str, Any], int, str | None]] = [
    ("GET", "/users/{user_id}", {}, 200, None),
    ("HEAD", "/users/{user_id}", {}, 200, None),
    ("GET", f"/users/{UNKNOWN_ID}", {}, 404, "not_found"),
    ("HEAD", f"/users/{UNKNOWN_ID}", {}, 404, None),
    ("GET", "/users/none", {}, 422, "invalid_input"),
    ("GET", "/users?limit=0", {}, 422, "invalid_input"),
    ("POST", "/users", {"json": ADA | {"age": -1}}, 422, "invalid_input"),
    ("POST", "/users", {"content": b"{", "headers": JSON}, 400, "malformed_json"),
    ("POST", "/users", {"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported_media_type"),
    ("PATCH", f"/users/{UNKNOWN_ID}", {"json": {"age": 3}}, 404, "not_found"),
    ("DELETE", f"/users/{UNKNOWN_ID}", {}, 204, None),
    ("GET", "/users", {"headers": {"X-Request-Timeout": "x"}}, 400, "invalid_header"),
    ("GET", "/users/stream?limit=0", {}, 200, None),
    ("PUT", "/users", {}, 405, "method_not_allowed"),
    ("OPTIONS", "/users", {}, 405, "method_not_allowed"),
    ("GET", "/nowhere", {}, 404, "not_found"),
    ("POST", "/users/", {"json": ADA}, 404, "not_found"),
    ("POST", "/shutdown", {}, 404, "not_found"),
    ("GET", "/livez", {}, 200, None),
    ("GET", "/", {}, 200, None),
    ("GET", "/mine/answers/x", {}, 200, None),
    ("HEAD", "/mine/answers/x", {}, 200, None),
    ("GET", "/mine/bug/x", {}, 500, "internal_error"),
    ("HEAD", "/mine/bug/x", {}, 500, None),
    ("GET", "/mine/nothing/x", {}, 404, "not_found"),
    ("GET", "/mine/missing/x", {}, 404, "not_found"),
    ("GET", "/mine/full/x", {}, 503, "queue_full"),
    ("GET", "/ours/answers/x", {}, 200, None),
    ("POST", "/ours/answers/x", {}, 405, "method_not_allowed"),
    ("GET", "/ours/bug/x", {}, 500, "internal_error"),
    ("GET", "/ours/nothing/x", {}, 404, "not_found"),
    ("GET", "/ours/missing/x", {}, 404, "not_found"),
    ("GET", "/ours/full/x", {}, 503, "queue_full"),
]


@pytest.mark.parametrize(
    ("method", "target", "options", "status", "code"), REQUESTS, ids=[f"{one[0]} {one[1]} {one[3]}" for one in REQUESTS]
)
async def test_same_response_in_every_stack(
    clients: dict[str, httpx.AsyncClient],
    user_id: str,
    method: str,
    target: str,
    options: dict[str, Any],
    status: int,
    code: str | None,
) -> None:
    sent = {**options, "headers": {**options.get("headers", {}), **SAME}}
    found = {
        name: await client.request(method, target.replace("{user_id}", user_id), **sent)
        for name, client in clients.items()
    }
    expected = found["as made"]
    assert expected.status_code == status
    if code is not None:
        assert (expected.json()["code"], expected.json()["request_id"]) == (code, "the-same")
        assert expected.headers["content-type"] == "application/problem+json"
    for name, response in found.items():
        assert comparable(response) == comparable(expected), name
        assert response.headers.get("x-watched") == ("yes" if name in ("middleware", "everything") else None)
        assert ("Origin" in response.headers.get("vary", "")) == (name in ("cors", "everything"))


@pytest.mark.parametrize("name", SURROUNDINGS)
async def test_error_after_response_start_breaks_response_off(settings: Settings, name: str) -> None:
    """The server must close the connection, so that no client mistakes half a response for a whole one."""
    app = made(name, settings)
    async with app.router.lifespan_context(app):
        for _ in range(2):
            exchange = Exchange("GET", "/mine/broken")
            with pytest.raises(RuntimeError, match="too late"):
                await exchange.run(app)
            assert len(exchange.messages) == 2
            assert exchange.messages[-1]["type"] == "http.response.pathsend"  # every server refuses it at this point
            assert not exchange.complete
            assert exchange.headers["x-request-id"]


@pytest.mark.parametrize("name", SURROUNDINGS)
async def test_503_before_and_after_lifespan(settings: Settings, name: str) -> None:
    app = made(name, settings)
    async with client_of(app) as client:
        before = await client.get("/users", headers=SAME)
        problem(before, 503, "lifespan_not_started")
        async with app.router.lifespan_context(app):
            assert (await client.get("/livez")).status_code == 200
        after = await client.get("/users", headers=SAME)
        assert comparable(after) == comparable(before)


@pytest.mark.parametrize("name", SURROUNDINGS)
async def test_added_route_405(clients: dict[str, httpx.AsyncClient], name: str) -> None:
    response = await clients[name].post("/mine/answers/x")
    problem(response, 405, "method_not_allowed")
    assert sorted(response.headers["allow"].split(", ")) == ["GET", "HEAD"]


async def test_added_exception_handler(settings: Settings) -> None:
    async def raises(request: Request) -> Response:
        raise OwnError("of mine")

    async def no_page(request: Request, error: Exception) -> Response:
        return PlainTextResponse("no page of mine", 404)

    app = create_app(settings)
    app.router.routes += [Route("/mine", raises), path("/ours", None, get=raises)]
    app.add_exception_handler(OwnError, own_error)
    app.add_exception_handler(404, no_page)
    async with app.router.lifespan_context(app), client_of(app) as client:
        for target in ("/mine", "/ours"):
            response = await client.get(target, headers=SAME)
            assert (response.status_code, response.text) == (418, "own error of mine")
            assert response.headers["x-request-id"] == "the-same"
        assert (await client.get("/nowhere")).text == "no page of mine"
        problem(await client.get(f"/users/{UNKNOWN_ID}"), 404, "not_found")


async def test_replaced_exception_handler(settings: Settings) -> None:
    app = create_app(settings)
    own = [kind for kind in app.exception_handlers if isinstance(kind, type) and issubclass(NotFound, kind)]
    app.add_exception_handler(own[0], own_error)
    async with app.router.lifespan_context(app), client_of(app) as client:
        response = await client.get(f"/users/{UNKNOWN_ID}")
        assert (response.status_code, response.text[:9]) == (418, "own error")


async def test_added_middleware_that_responds(settings: Settings) -> None:
    class Closed:
        def __init__(self, app: ASGIApp, status: int) -> None:
            self.app, self.status = app, status

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await Response(status_code=self.status)(scope, receive, send)
            else:
                await self.app(scope, receive, send)

    app = create_app(settings)
    app.add_middleware(Closed, status=451)
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert [(await client.get(target)).status_code for target in ("/livez", "/users", "/nowhere")] == [451] * 3


async def test_middleware_cannot_be_added_after_first_request(clients: dict[str, httpx.AsyncClient]) -> None:
    """Starlette raises, because middleware added then would never run."""
    app: Any = clients["as made"]._transport.app  # type: ignore[attr-defined]
    await clients["as made"].get("/livez")
    with pytest.raises(RuntimeError, match="Cannot add middleware"):
        app.add_middleware(Watched)


# --- below a parent


async def parents_answer(request: Request, error: Exception) -> Response:
    return PlainTextResponse("the parent's answer", 400)


PARENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "with handlers": {"exception_handlers": dict.fromkeys((HTTPException, RuntimeError, NotFound), parents_answer)},
    "with middleware": {"middleware": [Middleware(Watched)]},
}


@pytest.mark.parametrize("options", PARENTS.values(), ids=PARENTS)
async def test_two_mounted_services_respond_as_alone(
    clients: dict[str, httpx.AsyncClient], settings: Settings, user_id: str, options: dict[str, Any]
) -> None:
    """A parent's exception handlers are not used for errors of the services."""
    short, long = made("as made", settings), made("handler", settings)
    mounts = [Mount("/short", short), Mount("/long", long), Route("/own/{name}", finds_nothing)]
    parent = Starlette(routes=mounts, lifespan=lifespan_of(short, long), **options)
    async with parent.router.lifespan_context(parent), client_of(parent) as client:
        for method, target, more, status, _ in REQUESTS:
            sent = {**more, "headers": {**more.get("headers", {}), **SAME}}
            place = target.replace("{user_id}", user_id)
            alone = await clients["as made"].request(method, place, **sent)
            assert alone.status_code == status
            for prefix in ("/short", "/long"):
                response = await client.request(method, prefix + place, **sent)
                found = response.status_code, response.content.replace(f'"{prefix}/'.encode(), b'"/')
                assert found == (status, alone.content), (prefix, method, target)
        own = await client.get("/own/x")
        assert own.text == ("the parent's answer" if "exception_handlers" in options else "nothing of mine")
        assert "x-request-id" not in own.headers
