"""A service with resources on tables of its own keyspace, for the tests of reads over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
from cassandra.cluster import Session
from helpers.cassandra import ONE_REPLICA, unused_keyspace
from helpers.service import client_of
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from asgi_app.app import create_app
from asgi_app.http.auth import Action, ApiKeys, Principal
from asgi_app.settings import Secret, Settings
from asgi_app.tables.cql import create_keyspace
from asgi_app.tables.ddl import schema_statements
from asgi_app.tables.resource import Resource

EVENTS_KEY, OTHERS_KEY = "E" * 40, "O" * 40

_api_keys = ApiKeys([Secret(f"reader:read.events:{EVENTS_KEY}"), Secret(f"other:read.users+write.events:{OTHERS_KEY}")])


def identify(connection: HTTPConnection, action: Action) -> Principal:
    """Return the owner of the API key, or else the client that `X-User` names, who may do everything."""
    if "x-api-key" in connection.headers:
        return _api_keys(connection, action)
    return Principal(connection.headers.get("x-user", "anyone"), frozenset(("read", "write")))


@contextmanager
def keyspace_with(cql: Session, resources: Sequence[Resource], *more: str) -> Iterator[str]:
    """Create a keyspace with the tables of the resources, and drop it at the end.

    `more` are statements to run after that; `{ks}` in them is the keyspace.
    """
    name = unused_keyspace()
    cql.execute(create_keyspace(name, ONE_REPLICA))
    try:
        for ddl in schema_statements(name, [each.table for each in resources], None, indexes=True):
            cql.execute(ddl)
        for statement in more:
            cql.execute(statement.replace("{ks}", name))
        yield name
    finally:
        cql.execute(f"DROP KEYSPACE {name}")


@asynccontextmanager
async def serving_resources(
    settings: Settings, resources: Sequence[Resource], **options: Any
) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    """Run an application with these resources; return the application and a client of it.

    `options` are arguments of `create_app`.
    """
    app = create_app(settings, resources=resources, **{"authorize": identify, **options})
    async with app.router.lifespan_context(app), client_of(app, raise_app_exceptions=False) as client:
        yield app, client
