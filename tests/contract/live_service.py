"""A service of tables of the live schema, made by CQL alone, in a keyspace of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
from cassandra.cluster import Session
from helpers.cassandra import own_keyspace
from helpers.service import client_of, settings_for
from helpers.waiting import seconds_until

from asgi_app.app import create_app
from asgi_app.catalog import Catalog
from asgi_app.http.context import Service

ALL = ("*",)
PATIENCE = 10.0
"""Seconds within which a change of the schema must be served: many times what it takes."""


@contextmanager
def keyspace_of(cql: Session, *statements: str) -> Iterator[str]:
    """Create a keyspace, run the statements, and remove it at the end. `{ks}` in them is the keyspace."""
    with own_keyspace(cql, ()) as name:
        for statement in statements:
            cql.execute(statement.replace("{ks}", name))
        yield name


@asynccontextmanager
async def live_service(
    node: tuple[str, int], keyspace: str, *, options: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    """Serve a keyspace: by default all tables, writable. Returns the started service and a client.

    `options` are arguments of `create_app`, `settings` further ones of `Settings`.
    """
    defaults = {"tables": ALL, "writable": ALL}
    app = create_app(settings_for(node, keyspace, **(defaults | settings)), **(options or {}))
    async with app.router.lifespan_context(app), client_of(app, raise_app_exceptions=False) as client:
        yield app.state.service, client


async def served_as(client: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
    """Wait until a GET of the path has the status, without a request that fails, and return the answer."""
    answers: list[httpx.Response] = []

    async def look() -> bool:
        answers.append(await client.get(path))
        return answers[-1].status_code == status

    await seconds_until(f"{path} is {status}", look, PATIENCE)
    return answers[-1]


async def until_version(catalog: Catalog, version: int) -> None:
    """Wait until the catalog has another version: it has served a change that no request has asked for."""

    async def look() -> bool:
        return catalog.version != version

    await seconds_until("the change is served", look, PATIENCE)
