"""Routing: the index agrees with Starlette's first match, and routes declare methods, lane and draining."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import pytest
from helpers.exchange import Exchange
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Mount, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from asgi_app.errors import MethodNotAllowed, NotFound
from asgi_app.http.routing import RouteIndex, SegmentRoute, SegmentRouter, first_segments, path, path_where, serving
from asgi_app.runtime.scheduler import Lane

Outcome = tuple[str, dict[str, Any]] | int | str
"""The name of the route that matched and its parameters, or the status or the body of the response."""


class Named:
    """An endpoint that stores its name and the parameters in the scope."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["answered"] = self._name, scope["path_params"]


def named(template: str, number: int = 0) -> SegmentRoute:
    """Return a route with the name "number template"."""
    return SegmentRoute(template, Named(f"{number} {template}"))


def router_of(*routes: Any) -> SegmentRouter:
    return SegmentRouter(routes, lifespan=no_lifespan)


def no_lifespan(app: object) -> Any:
    raise NotImplementedError


def outcome(app: ASGIApp, sent: str, *, root_path: str = "", **more: Any) -> Outcome:
    """Return the outcome of a GET of the path `sent`, percent-encoded."""
    exchange = Exchange("GET", unquote(sent, errors="replace"))
    exchange.scope |= {"raw_path": sent.encode(), "root_path": root_path, "app": None, **more}
    try:
        run_to_end(exchange, app)
    except HTTPException as error:
        return error.status_code
    except NotFound:
        return 404
    answered: Outcome | None = exchange.scope.get("answered")
    if answered is not None:
        return answered
    return exchange.chunks[0].decode() if exchange.status == 200 else exchange.status or 0


def run_to_end(exchange: Exchange, app: ASGIApp) -> None:
    """Run an application that never waits, so without an event loop."""
    coroutine = exchange.run(app)
    with pytest.raises(StopIteration):
        coroutine.send(None)


def first_match(routes: list[SegmentRoute], sent: str, root_path: str = "") -> Outcome:
    """Return the outcome of the first route that matches, as Starlette's router finds it."""
    scope = Exchange("GET", unquote(sent, errors="replace")).scope
    for route in routes:
        asked = {**scope, "raw_path": sent.encode(), "root_path": root_path}
        match, found = route.matches(asked)
        if match is Match.FULL:
            number = routes.index(route)
            return f"{number} {route.path}", found["path_params"]
    return 404


SEGMENTS = ["a", "b", "users", "", "{x}", "{y}", "{z}"]
TEMPLATES = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4).map(lambda segments: "/" + "/".join(segments))
SENT = st.sampled_from(
    ["a", "b", "users", "", "c", "%61", "a%2Fb", "%2F", "%7Bx%7D", "{x}", "%ff", "%C3%BC", "a b", "."]
)
PATHS = st.lists(SENT, min_size=1, max_size=5).map(lambda segments: "/" + "/".join(segments))


def is_fixed_first(template: str) -> list[bool]:
    """Return a sort key that puts fixed segments before parameters, as route tables must."""
    return [segment.startswith("{") for segment in template.split("/")]


def names_are_unique(template: str) -> bool:
    names = [segment for segment in template.split("/") if segment.startswith("{")]
    return len(names) == len(set(names))


TABLES = st.lists(TEMPLATES.filter(names_are_unique), max_size=12).map(lambda table: sorted(table, key=is_fixed_first))


@hypothesis_settings(deadline=None, max_examples=300)
@given(TABLES, st.lists(PATHS, min_size=1, max_size=6))
@example(["/a/{x}/b", "/{x}/a/c"], ["/a/a/c"])
@example(["/users", "/users/stream", "/users/{x}"], ["/users/stream", "/users/stream/", "/users/%73tream"])
@example(["/{x}", "/{y}"], ["/a"])
def test_index_agrees_with_first_match(table: list[str], paths: list[str]) -> None:
    routes = [named(template, number) for number, template in enumerate(table)]
    router = router_of(*routes)
    for sent in paths:
        assert outcome(router, sent) == first_match(routes, sent)


@hypothesis_settings(deadline=None, max_examples=200)
@given(TABLES, PATHS, st.sampled_from(["/db", "/a", "/a/b", "/outer/inner", "/p/"]))
def test_index_agrees_with_first_match_below_prefix(table: list[str], sent: str, prefix: str) -> None:
    routes = [named(template, number) for number, template in enumerate(table)]
    whole = prefix + sent
    assert outcome(router_of(*routes), whole, root_path=prefix) == first_match(routes, whole, prefix)
    assert first_match(routes, whole, prefix) == first_match(routes, sent)


USERS = ("/users", "/users/stream", "/users/{user_id}", "/animal/{genus}/{species}")


@pytest.fixture
def users() -> SegmentRouter:
    return router_of(*(named(template) for template in USERS))


@pytest.mark.parametrize(
    ("sent", "template", "parameters"),
    [
        ("/users", "/users", {}),
        ("/users/stream", "/users/stream", {}),
        ("/users/%73tream", "/users/stream", {}),
        ("/users/streams", "/users/{user_id}", {"user_id": "streams"}),
        ("/users/a%2Fb", "/users/{user_id}", {"user_id": "a/b"}),
        ("/users/%2F", "/users/{user_id}", {"user_id": "/"}),
        ("/users/a%25b", "/users/{user_id}", {"user_id": "a%b"}),
        ("/users/%7Buser_id%7D", "/users/{user_id}", {"user_id": "{user_id}"}),
        ("/users/%C3%BC", "/users/{user_id}", {"user_id": "ü"}),
        ("/users/%ff", "/users/{user_id}", {"user_id": "\udcff"}),
        ("/animal/a%2Fb/c%2Fd", "/animal/{genus}/{species}", {"genus": "a/b", "species": "c/d"}),
    ],
)
def test_segments_are_split_before_decoding(
    users: SegmentRouter, sent: str, template: str, parameters: dict[str, str]
) -> None:
    assert outcome(users, sent) == (f"0 {template}", parameters)


@pytest.mark.parametrize(
    "sent",
    [
        "/",
        "/users/",
        "/users//",
        "//users",
        "/users/a/",
        "/users/a/b",
        "/animal//b",
        "/animal/a/",
        "/Users",
        "/users%2Fa",
    ],
)
def test_extra_or_empty_segment_does_not_match(users: SegmentRouter, sent: str) -> None:
    assert outcome(users, sent) == 404


def test_scope_without_raw_path(users: SegmentRouter) -> None:
    assert outcome(users, "/users/x y", raw_path=None) == ("0 /users/{user_id}", {"user_id": "x y"})
    assert outcome(users, "/users/ü", raw_path=b"") == ("0 /users/{user_id}", {"user_id": "ü"})


def test_backtracking_from_fixed_segment() -> None:
    """If no route follows a fixed segment, the parameter at its place is tried, and gets its value."""
    router = router_of(named("/a/b/c"), named("/a/{x}/d"), named("/{y}/b/{z}"))
    assert outcome(router, "/a/b/c") == ("0 /a/b/c", {})
    assert outcome(router, "/a/b/d") == ("0 /a/{x}/d", {"x": "b"})
    assert outcome(router, "/a/b/e") == ("0 /{y}/b/{z}", {"y": "a", "z": "e"})
    assert outcome(router, "/a/c/e") == 404


def test_routes_changed_after_first_request(users: SegmentRouter) -> None:
    assert outcome(users, "/users/batch") == ("0 /users/{user_id}", {"user_id": "batch"})
    users.routes.append(named("/users/batch", 1))
    assert outcome(users, "/users/batch") == ("1 /users/batch", {})
    users.routes[-1] = named("/users/batch", 2)
    assert outcome(users, "/users/batch") == ("2 /users/batch", {})
    users.routes.insert(0, named("/users/batch", 3))
    assert outcome(users, "/users/batch") == ("3 /users/batch", {})
    del users.routes[0], users.routes[-1]
    assert outcome(users, "/users/batch") == ("0 /users/{user_id}", {"user_id": "batch"})
    users.routes[:] = []
    assert outcome(users, "/users") == 404


# --- beside other kinds of routes


async def plain(request: Request) -> Response:
    return PlainTextResponse(f"plain {request.path_params.get('rest', '')}")


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(f"mounted {scope['root_path']}")(scope, receive, send)


def beside(users: SegmentRouter) -> SegmentRouter:
    users.routes[:0] = [Route("/plain/{rest:path}", plain), Mount("/static", page)]
    users.routes.append(Route("/users/{rest:path}", plain))
    users.routes.append(Mount("/", page))
    return users


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("/plain/a/b", "plain a/b"),
        ("/static/x.css", "mounted /static"),
        ("/users/a", ("0 /users/{user_id}", {"user_id": "a"})),
        ("/users/stream", ("0 /users/stream", {})),
        ("/users/a/b/c", "plain a/b/c"),
        ("/anything/else", "mounted "),
    ],
)
def test_fallback_to_other_routes(users: SegmentRouter, sent: str, expected: Outcome) -> None:
    assert outcome(beside(users), sent) == expected


def test_scope_of_matched_route_is_as_starlettes(users: SegmentRouter) -> None:
    exchange = Exchange("GET", "/users/a")
    exchange.scope["path_params"] = {"outer": "kept"}
    run_to_end(exchange, users)
    scope = exchange.scope
    assert scope["path_params"] == {"outer": "kept", "user_id": "a"}
    assert (scope["route"], scope["endpoint"]) == (users.routes[2], users.routes[2].endpoint)  # type: ignore[attr-defined]
    assert scope["router"] is users
    slow = Exchange("GET", "/users/a")
    slow.scope["path_params"] = {"outer": "kept"}
    run_to_end(slow, Router(users.routes))
    said = {"path_params", "endpoint", "answered"}
    assert {name: scope[name] for name in said} == {name: slow.scope[name] for name in said}


def test_nested_mounts(users: SegmentRouter) -> None:
    parent = Router([Mount("/outer", Router([Mount("/inner", users)]))])
    assert outcome(parent, "/outer/inner/users/a%2Fb") == ("0 /users/{user_id}", {"user_id": "a/b"})
    assert outcome(parent, "/outer/inner/users") == ("0 /users", {})
    assert outcome(parent, "/outer/users") == 404


def test_router_mounted_in_router() -> None:
    """The outer router leaves its split path in the scope; the inner one must not use it."""
    inner = router_of(named("/b"), named("/a/b", 9))
    outer = router_of(named("/x"), Mount("/a", inner))
    assert outcome(outer, "/a/b") == ("0 /b", {})


@pytest.mark.anyio
async def test_websocket_route(users: SegmentRouter) -> None:
    async def accept(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    users.routes.append(WebSocketRoute("/users", accept))
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = Exchange("GET", "/users").scope | {"type": "websocket", "subprotocols": []}
    await users(scope, receive, send)
    assert sent == ["websocket.accept", "websocket.close"]


# --- the route is found once


def scope_of(sent: str) -> Scope:
    return Exchange("GET", unquote(sent)).scope | {"raw_path": sent.encode()}


def test_found_route_is_kept_for_its_router_and_path(users: SegmentRouter) -> None:
    scope = scope_of("/animal/a%2Fb/c")
    found = users.find(scope)
    assert (found.route, found.values) == (users.routes[3], ["a/b", "c"])
    assert users.find(scope) is found
    other = router_of(named("/animal/{genus}/{species}"))
    assert other.find(scope).route is other.routes[0]
    scope |= {"path": "/users", "raw_path": b"/users"}
    assert users.find(scope).route is users.routes[0]


def test_router_uses_the_route_that_was_found(users: SegmentRouter) -> None:
    exchange = Exchange("GET", "/users/a")
    users.find(exchange.scope).values[:] = ["kept"]
    run_to_end(exchange, users)
    assert exchange.scope["path_params"] == {"user_id": "kept"}


def test_path_that_was_rewritten_after_the_route_was_found(users: SegmentRouter) -> None:
    exchange = Exchange("GET", "/users/a")
    users.find(exchange.scope)
    exchange.scope |= {"path": "/users/b", "raw_path": b"/users/b"}
    run_to_end(exchange, users)
    assert exchange.scope["path_params"] == {"user_id": "b"}


# --- what a route declares


async def nothing(request: Request) -> ASGIApp:
    return PlainTextResponse("")


DECLARED = (
    path("/row/{key}", None, lane=Lane.REQUESTS, get=nothing),
    path_where(lambda _: True, "/probe", None, lane=Lane.PROBES, while_draining=True, get=nothing),
)


@pytest.mark.parametrize(
    ("sent", "lane", "while_draining"),
    [
        ("/row/a%2Fb", Lane.REQUESTS, False),
        ("/%72ow/a", Lane.REQUESTS, False),
        ("/row/a/b", None, False),
        ("/probe", Lane.PROBES, True),
        ("/nowhere", None, False),
    ],
)
def test_lane_and_draining_are_declared_by_the_route(sent: str, lane: Lane | None, while_draining: bool) -> None:
    router, scope = router_of(*DECLARED), scope_of(sent)
    assert (router.lane(scope), router.serves_while_draining(scope)) == (lane, while_draining)


# --- methods


async def answer(request: Request) -> ASGIApp:
    return PlainTextResponse(request.method)


@pytest.fixture
def methods() -> SegmentRouter:
    return router_of(
        path("/both", None, get=answer, post=answer),
        path("/write", None, post=answer, delete=answer),
        path_where(lambda scope: "there" in scope, "/perhaps", None, get=answer),
    )


@pytest.mark.parametrize(
    ("sent", "method", "allowed"),
    [
        ("/both", "PUT", ("GET", "HEAD", "POST")),
        ("/both", "OPTIONS", ("GET", "HEAD", "POST")),
        ("/both", "BREW", ("GET", "HEAD", "POST")),
        ("/write", "GET", ("DELETE", "POST")),
        ("/write", "HEAD", ("DELETE", "POST")),
    ],
)
def test_method_not_allowed_names_allowed_methods(
    methods: SegmentRouter, sent: str, method: str, allowed: tuple[str, ...]
) -> None:
    coroutine = Exchange(method, sent).run(methods)
    with pytest.raises(MethodNotAllowed) as raised:
        coroutine.send(None)
    assert raised.value.headers()["Allow"] == ", ".join(allowed)


@pytest.mark.parametrize(
    ("sent", "method"), [("/both", "GET"), ("/both", "HEAD"), ("/both", "POST"), ("/write", "DELETE")]
)
def test_allowed_method(methods: SegmentRouter, sent: str, method: str) -> None:
    exchange = Exchange(method, sent)
    run_to_end(exchange, methods)
    assert (exchange.status, exchange.chunks) == (200, [method.encode()])


def test_conditional_path(methods: SegmentRouter) -> None:
    with pytest.raises(NotFound):
        Exchange("GET", "/perhaps").run(methods).send(None)
    exchange = Exchange("GET", "/perhaps")
    exchange.scope["there"] = True
    run_to_end(exchange, methods)
    assert exchange.status == 200


def test_bare_router_answers_not_found_as_starlette(users: SegmentRouter) -> None:
    exchange = Exchange("GET", "/nowhere")
    run_to_end(exchange, users)
    assert (exchange.status, exchange.chunks) == (404, [b"Not Found"])


@hypothesis_settings(deadline=None)
@given(st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_any_key_round_trip(genus: str, species: str) -> None:
    sent = f"/animal/{quote(genus, safe='', errors='replace')}/{quote(species, safe='', errors='replace')}"
    found = outcome(router_of(*(named(template) for template in USERS)), sent)
    expected = {"genus": genus, "species": species}
    clean = {name: text.encode("utf-8", "replace").decode() for name, text in expected.items()}
    assert found == (("0 /animal/{genus}/{species}", clean) if genus else 404)


def test_more_routes_are_asked_for_by_the_first_segment() -> None:
    asked: list[str] = []
    live = RouteIndex([named("/events"), named("/events/{id}"), named("/events/-/stream")])

    def more(segment: str) -> RouteIndex | None:
        asked.append(segment)
        return live if segment == "events" else None

    router = router_of(named("/users"), named("/users/{id}"))
    assert outcome(router, "/events") == 404
    with serving(router, more):
        assert outcome(router, "/users/a%2Fb") == ("0 /users/{id}", {"id": "a/b"})
        assert asked == []
        assert outcome(router, "/events/a%2Fb") == ("0 /events/{id}", {"id": "a/b"})
        assert outcome(router, "/events/-/stream") == ("0 /events/-/stream", {})
        assert outcome(router, "/events/a/b") == 404
        assert outcome(router, "/users/a/b") == 404
        assert outcome(router, "/") == 404
        assert set(asked) == {"events", "users", ""}
    assert outcome(router, "/events") == 404


def test_routes_that_are_left_out_return() -> None:
    routes = [named("/users"), named("/users/{id}"), named("/livez")]
    router = router_of(*routes)
    assert first_segments(router) == {"users", "livez"}
    assert first_segments(router, routes[:2]) == {"livez"}
    with serving(router, lambda _: None, without=routes[:2]):
        assert outcome(router, "/users") == 404
        assert outcome(router, "/livez") == ("0 /livez", {})
        router.routes.append(named("/added"))
        assert outcome(router, "/added") == ("0 /added", {})
    assert outcome(router, "/users/1") == ("0 /users/{id}", {"id": "1"})
    assert outcome(router, "/added") == ("0 /added", {})
