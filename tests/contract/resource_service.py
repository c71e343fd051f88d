"""A service with resources on tables of its own keyspace, for the tests of reads over HTTP."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Annotated, Any

import httpx
import msgspec
from cassandra.cluster import Session
from helpers.cassandra import own_keyspace
from helpers.service import client_of
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from asgi_app.app import create_app
from asgi_app.http.auth import Action, ApiKeys, Principal
from asgi_app.settings import Secret, Settings
from asgi_app.tables.ddl import schema_statements
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import CQLType, Index

EVENTS_KEY, OTHERS_KEY = "E" * 40, "O" * 40

_api_keys = ApiKeys([Secret(f"reader:read.events:{EVENTS_KEY}"), Secret(f"other:read.users+write.events:{OTHERS_KEY}")])


def identify(connection: HTTPConnection, action: Action) -> Principal:
    """Return the owner of the API key, or else the client that `X-User` names, who may do everything."""
    if "x-api-key" in connection.headers:
        return _api_keys(connection, action)
    return Principal(connection.headers.get("x-user", "anyone"), frozenset(("read", "write")))


@contextmanager
def keyspace_with(cql: Session, resources: Sequence[Resource], *more: str) -> Iterator[str]:
    """Create a keyspace with the tables of the resources, and remove it at the end.

    `more` are statements to run after that; `{ks}` in them is the keyspace.
    """
    with own_keyspace(cql, ()) as name:
        for ddl in schema_statements(name, [each.table for each in resources], None, indexes=True):
            cql.execute(ddl)
        for statement in more:
            cql.execute(statement.replace("{ks}", name))
        yield name


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


class Event(msgspec.Struct):
    """A row of a table with a composite key, a static, an indexed, a filtered and a hidden column."""

    tenant: str
    day: datetime.date
    at: datetime.datetime
    id: uuid.UUID
    kind: str | None = None
    n: Annotated[int | None, Index()] = None
    tags: set[str] | None = None
    secret: str | None = None
    owner: str | None = None


class Point(msgspec.Struct):
    """A row with a vector."""

    id: int
    embedding: Annotated[list[float] | None, CQLType("vector<float, 3>"), Index(similarity="cosine")] = None
    color: Annotated[str | None, Index()] = None
    secret: str | None = None


EVENTS = Resource(
    Event,
    "events",
    partition_key=("tenant", "day"),
    clustering=("-at", "id"),
    static=("owner",),
    hidden=("secret",),
    allow_filtering=("kind",),
    consistency=("LOCAL_ONE", "TWO"),
)
MINE = replace(EVENTS, path="mine", bound={"tenant": lambda principal: principal.name}, consistency=())
TODAY = replace(
    EVENTS,
    path="today",
    bound={"tenant": lambda principal: principal.name, "day": lambda _principal: datetime.date(2026, 11, 28)},
)
POINTS = Resource(Point, "points", partition_key=("id",), hidden=("secret",), consistency=("LOCAL_ONE", "TWO"))

_INSERT = "INSERT INTO {{ks}}.events (tenant, day, at, id, kind, n, tags, secret) VALUES ({})"


def event(tenant: str, day: int, hour: int, number: int) -> dict[str, Any]:
    """Return one of the events of `EVENT_ROWS` as answers have it."""
    return {
        "tenant": tenant,
        "day": f"2026-11-{day}",
        "at": f"2026-11-{day}T{hour:02}:00:00.000Z",
        "id": str(uuid.UUID(int=number)),
        "kind": "login" if number % 2 else "logout",
        "n": number,
        "tags": [f"t{number}"],
        "owner": f"owner of {tenant} {day}",
    }


EVENT_ROWS: dict[int, dict[str, Any]] = {
    number: event(tenant, day, hour, number)
    for number, (tenant, day, hour) in enumerate(
        [
            ("acme", 28, 9),
            ("acme", 28, 10),
            ("acme", 28, 11),
            ("acme", 28, 11),
            ("acme", 28, 12),
            ("acme", 29, 9),
            ("acme", 29, 10),
            ("acme", 29, 11),
            ("beta", 28, 9),
            ("beta", 28, 10),
            ("a/b", 28, 9),
            ("", 28, 9),
        ],
        1,
    )
}
"""The stored events by number."""

EVENT_STATEMENTS = [
    _INSERT.format(
        f"'{row['tenant']}', '{row['day']}', '{row['at']}', {row['id']}, '{row['kind']}', {row['n']}, {{'t{number}'}},"
        " 'kept from clients'"
    )
    for number, row in EVENT_ROWS.items()
] + [
    f"INSERT INTO {{ks}}.events (tenant, day, owner) VALUES ('{tenant}', '{day}', '{owner}')"
    for tenant, day, owner in {(row["tenant"], row["day"], row["owner"]) for row in EVENT_ROWS.values()}
]
"""The statements that store the events. `{ks}` is the keyspace."""


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    """Return the numbers of events in an answer. Fails if one of them is not as it was stored."""
    assert all(row == EVENT_ROWS[row["n"]] for row in rows), rows
    return [row["n"] for row in rows]
