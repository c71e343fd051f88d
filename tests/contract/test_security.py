"""Security: the authorize hook, API keys, CORS, trusted hosts, limits of requests, encoded paths."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import msgspec
import pytest
from helpers.exchange import Exchange
from helpers.problems import problem
from helpers.service import client_of, serving
from helpers.waiting import eventually
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from asgi_app.app import create_app
from asgi_app.errors import Forbidden, Unauthorized
from asgi_app.http.auth import Action, Authorize, Principal
from asgi_app.http.context import principal_of
from asgi_app.settings import Secret, Settings, SettingsError
from contract.samples import ADA, OWL, every_loop

pytestmark = pytest.mark.anyio

ID = "00000000-0000-4000-8000-000000000000"
READER, WRITER, OLD, OPERATOR = ("R" * 40, "W" * 40, "O" * 40, "P" * 40)
KEYS = (
    Secret(f"reader:read:{READER}"),
    Secret(f"writer@example.org:read.users+write.users:{WRITER}"),
    Secret(f"writer@example.org:read.users+write.users:{OLD}"),
    Secret(f"ops:operate:{OPERATOR}"),
)
CHEAP = {"x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer"}
PAGE = "https://app.example.org"


def changed(settings: Settings, **changes: Any) -> Settings:
    return msgspec.structs.replace(settings, **changes)


@asynccontextmanager
async def guarded(settings: Settings, authorize: Authorize) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings, authorize=authorize, diagnostics=True)
    async with app.router.lifespan_context(app), client_of(app, raise_app_exceptions=False) as client:
        yield client


# The hook


@every_loop
@pytest.mark.parametrize("waits", [False, True])
async def test_hook_gets_declared_action(settings: Settings, waits: bool) -> None:
    asked: list[tuple[str, Action]] = []

    def note(connection: HTTPConnection, action: Action) -> Principal:
        asked.append((connection.headers["x-user"], action))
        return Principal("ada")

    async def note_later(connection: HTTPConnection, action: Action) -> Principal:
        await anyio.lowlevel.checkpoint()
        return note(connection, action)

    wanted = [
        ("GET", "/users", "read", "users"),
        ("HEAD", "/%75sers", "read", "users"),
        ("POST", "/users", "write", "users"),
        ("DELETE", f"/users/{ID}", "write", "users"),
        ("GET", "/animal/a%2Fb", "read", "animals"),
        ("GET", "/plant/a", "read", "plants"),
        ("GET", "/health", "read", "health"),
        ("GET", "/metrics", "read", "metrics"),
        ("GET", "/performance/async?requests=1", "operate", "diagnostics"),
        ("POST", "/context_manager_safety/query_error", "operate", "diagnostics"),
    ]
    async with guarded(settings, note_later if waits else note) as client:
        for method, path, *_ in wanted:
            await client.request(method, path, headers={"X-User": "ada"})
        for path in ("/livez", "/readyz", "/nowhere"):  # probes and unknown paths need no permission
            await client.get(path)
        assert (await client.put("/users")).status_code == 405
    assert asked == [("ada", Action(verb, resource)) for _, _, verb, resource in wanted]  # type: ignore[arg-type]


async def test_refused_before_body_is_read(settings: Settings) -> None:
    def refuse(connection: HTTPConnection, action: Action) -> Principal:
        raise Unauthorized if action.verb == "read" else Forbidden("Only reading is allowed here.")

    app = create_app(settings, authorize=refuse)
    async with app.router.lifespan_context(app), client_of(app) as client:
        refused = await client.get("/users")
        problem(refused, 401, "unauthorized")
        assert refused.headers["www-authenticate"].startswith("Bearer ")
        exchange = Exchange("POST", "/users", body=[b"x"], whole=False)
        await exchange.run(app)
        assert (exchange.status, exchange.received) == (403, 0)
        assert json.loads(exchange.chunks[0])["detail"] == "Only reading is allowed here."


async def test_principal_for_handlers_and_log(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    @dataclass
    class Somebody:
        name: str

    seen: list[Any] = []
    app = create_app(settings, authorize=lambda *_: Somebody("eve\n\x1b[31m" + "x" * 200))

    async def look(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        seen.append(principal_of(scope))

    caplog.set_level(logging.DEBUG, logger="asgi_app.access")
    async with app.router.lifespan_context(app), client_of(look) as client:
        await client.get("/users")
        await client.get("/livez")
    assert [getattr(it, "name", "")[:3] for it in seen] == ["eve", ""]
    lines = [record.getMessage() for record in caplog.records if record.name == "asgi_app.access"]
    assert all(line.isprintable() and len(line) < 300 for line in lines)
    assert [" by eve%0A" in line for line in lines] == [True, False]


@pytest.mark.parametrize("answer", [None, "ada", object()])
async def test_hook_without_principal_is_500(settings: Settings, answer: Any) -> None:
    async with guarded(settings, lambda *_: answer) as client:
        problem(await client.get("/users"), 500, "internal_error")


@every_loop
async def test_slow_hook_is_bounded_by_deadline(settings: Settings) -> None:
    async def hang(*_: Any) -> Principal:
        await anyio.sleep_forever()
        raise AssertionError

    async with guarded(settings, hang) as client:
        problem(await client.get("/users", headers={"X-Request-Timeout": "0.05"}), 504, "deadline_exceeded")


# API keys


@pytest.fixture(scope="module")
async def keyed(anyio_backend: Any, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(changed(settings, api_keys=KEYS, diagnostics=True)) as (_, client):
        yield client


@pytest.mark.parametrize(
    ("key", "method", "path", "status"),
    [
        (READER, "GET", "/users", 200),
        (READER, "GET", "/plant/a", 200),
        (READER, "GET", "/metrics", 200),
        (READER, "DELETE", f"/users/{ID}", 403),
        (READER, "GET", "/context_manager_safety/status", 403),
        (WRITER, "DELETE", f"/users/{ID}", 204),
        (OLD, "DELETE", f"/users/{ID}", 204),
        (WRITER, "GET", "/plant/a", 403),
        (OPERATOR, "GET", "/context_manager_safety/status", 200),
        (OPERATOR, "GET", "/users", 403),
        (None, "GET", "/livez", 200),
        (None, "GET", "/readyz", 200),
    ],
)
async def test_api_key_scopes(keyed: httpx.AsyncClient, key: str | None, method: str, path: str, status: int) -> None:
    ways: list[dict[str, str]] = [{"Authorization": f"bearer  {key}"}, {"X-API-Key": key}] if key else [{}]
    for headers in ways:
        assert (await keyed.request(method, path, headers=headers)).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": READER},
        {"Authorization": f"Basic {READER}"},
        {"Authorization": f"Bearer {READER}x"},
        {"Authorization": f"Bearer reader:read:{READER}"},
        {"X-API-Key": ""},
        {"X-API-Key": READER[:-1]},
        {"X-API-Key": b"\xff" * 40},
        {"X-API-Key": "wrong", "Authorization": f"Bearer {READER}"},
    ],
    ids=str,
)
async def test_unknown_api_key_is_401(keyed: httpx.AsyncClient, headers: dict[str, Any]) -> None:
    refused = await keyed.get("/users", headers=headers)
    problem(refused, 401, "unauthorized")
    assert "www-authenticate" in refused.headers
    assert READER[:20] not in refused.text


async def test_user_is_shown_only_to_clients_that_may_read(settings: Settings) -> None:
    async with serving(changed(settings, api_keys=(Secret(f"blind:write.users:{WRITER}"),))) as (_, client):
        client.headers["X-API-Key"] = WRITER
        made = await client.post("/users", json=ADA)
        for method in ("PUT", "PATCH"):
            changed_user = await client.request(method, made.headers["location"], json=ADA)
            assert (changed_user.status_code, changed_user.content) == (204, b"")
        problem(await client.get(made.headers["location"]), 403, "forbidden")
        problem(await client.patch(f"/users/{ID}", json=ADA), 404, "not_found")


async def test_applied_change_of_a_user_is_told_when_the_permission_to_read_cannot_be_had(settings: Settings) -> None:
    def authorize(_: HTTPConnection, action: Action) -> Principal:
        if action == Action("read", "users"):
            raise Unauthorized
        return Principal("blind")

    async with guarded(settings, authorize) as client:
        made = await client.post("/users", json=ADA)
        answer = await client.patch(made.headers["location"], json=ADA)
        problem(answer, 401, "unauthorized", outcome="applied")


async def test_api_keys_are_not_logged(keyed: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for path in ("/users", "/nowhere", f"/users/{ID}"):
        await keyed.get(path, headers={"X-API-Key": WRITER})
    figures = await keyed.get("/metrics", headers={"X-API-Key": READER, "Accept": "text/plain"})
    assert figures.status_code == 200
    assert WRITER not in caplog.text + figures.text + repr(keyed)
    assert " by writer@example.org " in caplog.text


def told_at_start(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "asgi_app.start"]


async def test_scopes_of_unknown_resources_are_told_at_start(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    keys = (Secret(f"shop:read.user+write.users+read:{'s' * 32}"), Secret(f"ci:read.Metrics:{'c' * 32}"))
    async with serving(changed(settings, api_keys=keys)):
        await eventually(lambda: len(told_at_start(caplog)) == 2)
    known = "animals, diagnostics, docs, health, metrics, plants, service, users"
    assert told_at_start(caplog) == [
        f"the API key {key} has the scope {scope}, and there is no such resource; there are: {known}"
        for key, scope in (("shop", "read.user"), ("ci", "read.Metrics"))
    ]


async def test_api_keys_with_hook_fail_startup(settings: Settings) -> None:
    app = create_app(changed(settings, api_keys=KEYS), authorize=lambda *_: Principal("x"))
    with pytest.raises(SettingsError, match="ASGI_CASSANDRA_API_KEYS"):
        async with app.router.lifespan_context(app):
            pass


# Browsers


def preflight(origin: str, method: str = "POST", headers: str = "content-type,x-api-key") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


async def test_cors_of_configured_origin(settings: Settings) -> None:
    configured = changed(settings, cors_origins=(PAGE,), api_keys=KEYS)
    async with serving(configured) as (_, client):
        asked = await client.options("/users", headers=preflight(PAGE))
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == PAGE
        assert "x-request-id" in asked.headers
        assert asked.headers.items() >= CHEAP.items()
        own = preflight(PAGE, headers="cassandra-consistency, cassandra-ttl, if-match, if-none-match")
        assert (await client.options("/users", headers=own)).status_code == 200
        answers = [
            await client.get("/users", headers={"Origin": PAGE, "X-API-Key": READER}),
            await client.get("/users", headers={"Origin": PAGE}),
            await client.get("/nowhere", headers={"Origin": PAGE, "X-API-Key": READER}),
            await client.get("/users", headers={"Origin": PAGE, "X-Request-Timeout": "x"}),
        ]
        assert [answer.status_code for answer in answers] == [200, 401, 404, 400]
        for answer in answers:
            assert answer.headers["access-control-allow-origin"] == PAGE
            assert "Origin" in answer.headers["vary"]
            assert {"ETag", "Link", "Location", "Retry-After"} <= set(
                answer.headers["access-control-expose-headers"].split(", ")
            )
            assert "access-control-allow-credentials" not in answer.headers
        other = await client.get("/users", headers={"Origin": "https://evil.example", "X-API-Key": READER})
        assert "access-control-allow-origin" not in other.headers
        assert (await client.options("/users", headers={"X-API-Key": READER})).status_code == 405


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        (preflight("https://evil.example"), "Origin"),
        (preflight(PAGE, "BREW"), "Access-Control-Request-Method"),
        (preflight(PAGE, headers="x-other"), "Access-Control-Request-Headers"),
    ],
)
async def test_refused_preflight_names_header(settings: Settings, headers: dict[str, str], field: str) -> None:
    async with serving(changed(settings, cors_origins=(PAGE,))) as (_, client):
        problem(await client.options("/users", headers=headers), 400, "invalid_header", f"header.{field}")


async def test_cors_of_any_origin(settings: Settings) -> None:
    async with serving(changed(settings, cors_origins=("*",))) as (_, client):
        for response in (
            await client.get("/users", headers={"Origin": "null"}),
            await client.options("/users", headers=preflight("null")),
        ):
            assert response.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("path", ["/", "/users", "/users/stream", "/users/x", "/nowhere", "/animal"])
async def test_security_headers_on_every_response(client: httpx.AsyncClient, path: str) -> None:
    for headers in ({}, {"X-Request-Timeout": "x"}):
        response = await client.get(path, headers=headers)
        assert response.headers.items() >= CHEAP.items()
        assert "strict-transport-security" not in response.headers


async def test_security_headers_by_setting(settings: Settings) -> None:
    async with serving(changed(settings, security_headers=False, hsts_seconds=3600)) as (_, client):
        response = await client.get("/nowhere")
        assert not CHEAP.keys() & response.headers.keys()
        assert response.headers["strict-transport-security"] == "max-age=3600"


# Hosts, limits, fields that are there twice


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("api.example.org", 200),
        ("API.Example.ORG:8443", 200),
        ("a.b.internal", 200),
        ("[::1]:80", 200),
        ("internal", 400),
        ("xinternal", 400),
        ("evil.example", 400),
        ("api.example.org.evil.example", 400),
        ("api.example.org:80@evil", 400),
        (".internal", 400),
        ("evil/.internal", 400),
        ("a b.internal", 400),
        ("", 400),
        (None, 400),
    ],
)
async def test_trusted_hosts(settings: Settings, host: str | None, status: int) -> None:
    trusted = changed(settings, trusted_hosts=("api.example.org", "*.internal", "[::1]"))
    exchange = Exchange("GET", "/livez")
    exchange.scope["headers"] = [] if host is None else [(b"host", host.encode())]
    async with serving(trusted) as (app, _):
        await exchange.run(app)
    assert exchange.status == status
    if status == 400:
        assert json.loads(exchange.chunks[0])["errors"][0]["field"] == "header.Host"


@pytest.mark.parametrize("name", ["Host", "Content-Type", "Authorization", "X-API-Key", "Origin"])
async def test_repeated_header_field_is_400(client: httpx.AsyncClient, name: str) -> None:
    host = {"Host": "localhost:8000"}.get(name, "a")
    response = await client.get("/users", headers=[(name, host), (name, "b")])
    problem(response, 400, "invalid_header", f"header.{name}")


async def test_url_length_limit(settings: Settings) -> None:
    async with serving(changed(settings, max_url_bytes=256)) as (_, client):
        for path in ("/users?x=" + "y" * (256 - 9), "/nowhere" + "/" * (256 - 8 - 1)):
            assert len(path) in (255, 256)
            assert (await client.get(path)).status_code in (200, 404)
            found = problem(await client.get(path + "zz"), 414, "uri_too_long")
            assert "256 bytes" in found["detail"]


async def test_header_size_and_count_limits(client: httpx.AsyncClient) -> None:
    assert (await client.get("/users", headers={"X-Filler": "x" * 15_000})).status_code == 200
    problem(await client.get("/users", headers={"X-Filler": "x" * 16_384}), 431, "headers_too_large")
    many = [(f"X-{number}", "") for number in range(90)]
    assert (await client.get("/users", headers=many)).status_code == 200
    problem(await client.get("/users", headers=[*many, *many]), 431, "headers_too_large")


@every_loop
async def test_stalled_body_is_408(settings: Settings) -> None:
    exchange = Exchange(
        "POST", "/users", headers=[(b"content-type", b"application/json")], body=[b'{"name":'], whole=False
    )
    async with serving(changed(settings, body_timeout=0.05)) as (app, _):
        with anyio.fail_after(10):
            await exchange.run(app)
    assert (exchange.status, json.loads(exchange.chunks[0])["code"]) == (408, "request_timeout")
    assert exchange.headers["connection"] == "close"


async def test_no_connection_close_for_http_2(settings: Settings) -> None:
    exchange = Exchange("POST", "/users", headers=[(b"content-type", b"application/json")], body=[b"{"], whole=False)
    exchange.scope["http_version"] = "2"
    async with serving(changed(settings, body_timeout=0.05)) as (app, _):
        await exchange.run(app)
    assert exchange.status == 408
    assert "connection" not in exchange.headers


# Paths, plain, below a mount, and behind a proxy that has a prefix

GENERA = ["a/b", "..", ".", "%", "a%2Fb", " ", "é", "\u4e16", "\U0001f989", "a;b", "a?b#c", "\u202e", "'\"\\", "\x7f"]


def mounted(app: Starlette, *prefixes: str) -> Any:
    """Return the application below two nested mounts; the test runs its lifespan."""
    for prefix in reversed(prefixes):
        app = Starlette(routes=[Mount(prefix, app), Route("/users", lambda _: PlainTextResponse("the parent's"))])
    return app


def behind(root_path: str, *, prepended: bool) -> Callable[[Any], Any]:
    """Return a wrapper that sets `root_path`. ASGI has the prefix in the path as well, but some proxies remove it."""

    def wrap(app: Any) -> Any:
        async def called(scope: Any, receive: Any, send: Any) -> None:
            scope = {**scope, "root_path": root_path}
            if prepended:
                scope |= {"path": root_path + scope["path"], "raw_path": root_path.encode() + scope["raw_path"]}
            await app(scope, receive, send)

        return called

    return wrap


PLACES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "plain": (lambda app: app, ""),
    "mounted": (lambda app: mounted(app, "/db"), "/db"),
    "mounted, encoded": (lambda app: mounted(app, "/db"), "/%64b"),
    "mounted twice": (lambda app: mounted(app, "/api", "/v1"), "/api/v1"),
    "mounted at a parameter": (lambda app: mounted(app, "/{tenant:path}/-"), "/acme/-"),
    "root_path": (behind("/prefix", prepended=True), ""),
    "root_path, not English": (behind("/pr\u00e4fix x", prepended=True), ""),
    "root_path taken off": (behind("/prefix", prepended=False), ""),
}


@pytest.mark.parametrize("place", PLACES)
async def test_key_arrives_as_sent(app: Starlette, place: str) -> None:
    wrap, prefix = PLACES[place]
    async with client_of(wrap(app)) as client:
        for genus in GENERA:
            written = await client.post(f"{prefix}/animal", json=OWL | {"genus": genus})
            assert written.status_code == 201
            segment = "".join(f"%{byte:02x}" for byte in genus.encode())
            answer = await client.get(f"{prefix}/animal/{segment}/{OWL['species']}")
            assert (answer.status_code, answer.json()["genus"]) == (200, genus)


NOT_THERE: Sequence[str] = (
    "//users",
    "/users/",
    "/users//",
    "/%2Fusers",
    "/users%2F",
    "/./users",
    "/x/../users",
    "/%2e/users",
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("path", NOT_THERE)
async def test_encoded_slash_is_not_a_separator(app: Starlette, place: str, path: str) -> None:
    wrap, prefix = PLACES[place]
    exchange = Exchange("GET", prefix + path)
    exchange.scope["path"] = (prefix + path).replace("%2F", "/").replace("%2e", ".").replace("%64", "d")
    await exchange.run(wrap(app))
    assert (exchange.status, json.loads(exchange.chunks[0])["code"]) == (404, "not_found")


@pytest.mark.parametrize("place", ["plain", "mounted"])
@pytest.mark.parametrize("segment", ["%ff", "%c3", "a%fe", "%ed%a0%80"])
async def test_segment_that_is_not_utf_8_is_422(app: Starlette, place: str, segment: str) -> None:
    wrap, prefix = PLACES[place]
    async with client_of(wrap(app)) as client:
        problem(await client.get(f"{prefix}/animal/{segment}"), 422, "invalid_input", "path.genus")
        problem(await client.get(f"{prefix}/users/{segment}"), 422, "invalid_input", "path.user_id")


async def test_raw_path_in_utf_8(app: Starlette, client: httpx.AsyncClient) -> None:
    await client.post("/animal", json=OWL | {"genus": "Eulé"})
    exchange = Exchange("GET", f"/animal/Eulé/{OWL['species']}")
    await exchange.run(app)
    assert (exchange.status, json.loads(exchange.chunks[0])["genus"]) == (200, "Eulé")


async def test_all_security_settings_together(settings: Settings) -> None:
    strict = changed(settings, api_keys=KEYS, cors_origins=(PAGE,), trusted_hosts=("localhost",), hsts_seconds=60)
    async with serving(strict) as (_, client):
        headers = {"Origin": PAGE, "X-API-Key": WRITER}
        created = await client.post("/users", json=ADA, headers=headers)
        assert created.status_code == 201
        assert (await client.get(created.headers["location"], headers=headers)).json() == created.json()
