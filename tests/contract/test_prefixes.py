"""Prefixes that must be encoded in header fields, and parents that rewrite only one of the two paths."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.exchange import Exchange
from helpers.prefixes import ODD_PREFIXES, Ask, walk
from helpers.problems import problem
from helpers.service import BASE, client_of
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_app.app import create_app
from asgi_app.settings import Settings
from contract.samples import ADA

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Starlette]:
    """Yield a started application, for any parent."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


def asking(client: httpx.AsyncClient) -> Ask:
    async def ask(method: str, target: str, body: object) -> httpx.Response:
        return await client.request(method, httpx.URL(BASE).copy_with(raw_path=target.encode()), json=body)

    return ask


@pytest.mark.parametrize("prefix", ODD_PREFIXES.values(), ids=ODD_PREFIXES)
async def test_links_below_odd_mount(database: Starlette, prefix: str) -> None:
    async with client_of(Starlette(routes=[Mount("/{tenant}", database)])) as client:
        await walk(asking(client), prefix)


async def test_links_below_nested_odd_mounts(database: Starlette) -> None:
    inner = Starlette(routes=[Mount("/{inner}", database)])
    async with client_of(Starlette(routes=[Mount("/{outer}", inner)])) as client:
        await walk(asking(client), "/%E2%82%AC/a%20%25b")


async def test_link_never_names_another_host(database: Starlette) -> None:
    async with client_of(Starlette(routes=[Mount("/{anything:path}/at", database)])) as client:
        await walk(asking(client), "/x/%2F/y/at")
        created = await asking(client)("POST", "//evil.example/at/users", ADA)
        assert created.headers["location"].startswith("/%2Fevil.example/at/users/")
        assert (await asking(client)("GET", created.headers["location"], None)).json() == created.json()


@pytest.mark.parametrize(
    "root_path", ["/€", "/ü", "/a b", '/a>b"', "/a\r\nSet-Cookie: x=y", "/100%", "/\udcff", "/a?b#c"]
)
async def test_write_below_odd_root_path(
    database: Starlette, cql: Session, users: str, no_users: None, root_path: str
) -> None:
    headers = [(b"content-type", b"application/json")]
    exchange = Exchange("POST", "/users", headers=headers, body=[json.dumps(ADA).encode()])
    exchange.scope |= {"root_path": root_path}
    await exchange.run(database)
    assert exchange.status == 201
    assert exchange.headers["location"].isprintable()
    assert "set-cookie" not in exchange.headers
    assert len(list(cql.execute(f"SELECT id FROM {users}"))) == 1


# --- parents that rewrite


def rewriting(app: ASGIApp, change: Callable[[Scope], dict[str, Any]]) -> ASGIApp:
    async def parent(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, **change(scope)}, receive, send)

    return parent


def path_alone(scope: Scope) -> dict[str, Any]:
    return {"path": scope["path"].replace("/v1/people", "/users")}


def both(scope: Scope) -> dict[str, Any]:
    return {**path_alone(scope), "raw_path": scope["raw_path"].replace(b"/v1/people", b"/users")}


def no_raw_path(scope: Scope) -> dict[str, Any]:
    return {**path_alone(scope), "raw_path": None}


@pytest.mark.parametrize("change", [path_alone, both, no_raw_path])
async def test_parent_rewrites_path(database: Starlette, change: Callable[[Scope], dict[str, Any]]) -> None:
    async with client_of(rewriting(database, change)) as client:
        created = await client.post("/v1/people", json=ADA)
        assert created.status_code == 201
        assert created.headers["location"] == f"/users/{created.json()['id']}"
        assert (await client.get(f"/v1/people/{created.json()['id']}")).json() == created.json()
        assert (await client.get(created.headers["location"])).json() == created.json()


def prefix_off_path(scope: Scope) -> dict[str, Any]:
    return {"path": scope["path"].removeprefix("/d%b"), "root_path": "/d%b"}


def prefix_off_both(scope: Scope) -> dict[str, Any]:
    return {**prefix_off_path(scope), "raw_path": scope["raw_path"].removeprefix(b"/d%25b")}


def prefix_as_root_path_alone(scope: Scope) -> dict[str, Any]:
    return {"root_path": "/d%b"}


@pytest.mark.parametrize("change", [prefix_off_path, prefix_off_both, prefix_as_root_path_alone])
async def test_parent_removes_prefix(database: Starlette, change: Callable[[Scope], dict[str, Any]]) -> None:
    async with client_of(rewriting(database, change)) as client:
        await walk(asking(client), "/d%25b")


async def test_parent_removes_prefix_without_root_path(database: Starlette) -> None:
    parent = rewriting(database, lambda scope: {"path": scope["path"].removeprefix("/db")})
    async with client_of(parent) as client:
        ask = asking(client)
        owl = {"genus": "a/b", "species": "c", "image_url": "", "size_cm": 1, "sightings": 1, "taxonomy": ["a"]}
        assert (await ask("POST", "/db/animal", owl)).headers["location"] == "/animal/a%2Fb/c"
        assert (await ask("GET", "/db/animal/a%2Fb/c", None)).json() == owl
        problem(await ask("GET", "/db/animal/a/b/c", None), 404, "not_found")
