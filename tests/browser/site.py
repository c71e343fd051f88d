"""The service at three addresses of one server: `/`, mounted below `/db`, and below `/cut` behind what cuts that off.

Below `/million` it is the service too, but its stream of users has a million rows, more than a test can write first.
Below `/many` its document has many tables.

uvicorn browser.site:parent
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import msgspec
from contract.written import documents, everything, founds, items, longs, readings, rides, tallies
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_app import Action, CQLType, Principal, Query, Resource, create_app, lifespan_of
from asgi_app.errors import Unauthorized
from browser.many import multiplied


class Member(msgspec.Struct):
    """A row with columns that must not be null, and one that nobody sees."""

    id: str
    name: str
    motto: str = "none"
    secret: str | None = None


class Large(msgspec.Struct):
    """A row of integers that have more digits than JavaScript's numbers, and a map that its partition shares."""

    a: Annotated[int, CQLType("bigint")]
    b: int
    n: Annotated[int, CQLType("bigint")] | None = None
    ns: Annotated[list[int], CQLType("list<bigint>")] | None = None
    counts: Annotated[dict[str, int], CQLType("map<text, bigint>")] | None = None


members = Resource(Member, "members", partition_key=("id",), hidden=("secret",))
larges = Resource(Large, "larges", partition_key=("a",), clustering=("b",), static=("counts",))
RESOURCES = (everything, items, documents, tallies, founds, readings, longs, rides, members, larges)
KEYSPACE = os.environ.get("CASSANDRA_KEYSPACE", "test_keyspace")
QUERIES = (
    Query("/recent/{tenant}", f"SELECT id, kind, size FROM {KEYSPACE}.items WHERE tenant = :tenant AND day = :day"),
    Query("/names", f"SELECT id, name, age FROM {KEYSPACE}.users", stream=True),
    Query("/numbers", f"SELECT c, blobasbigint(d) AS n FROM {KEYSPACE}.longs WHERE a = :a AND b = :b", stream=True),
    Query("/person/{id}", f"SELECT name, email FROM {KEYSPACE}.users WHERE id = :id", one=True),
    Query(
        "/rename/{id}",
        f"UPDATE {KEYSPACE}.users SET name = :name WHERE id = :id IF EXISTS",
        writes=True,
        method="POST",
    ),
)


def take_bearer(connection: HTTPConnection, _: Action) -> Principal:
    """Take the token of the environment, in no other field than Authorization."""
    if connection.headers.get("authorization") != f"Bearer {os.environ['BEARER']}":
        raise Unauthorized
    return Principal("bearer")


PREFIXES = ("/", "/db/", "/cut/")

app = create_app(resources=RESOURCES, queries=QUERIES, examples=True, diagnostics=True)
bearer = create_app(authorize=take_bearer)


def as_a_proxy_cuts(prefix: str, served: ASGIApp) -> ASGIApp:
    """Return an application that gets requests below the prefix as a proxy forwards them that hides the prefix."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        path, raw = scope["path"].removeprefix(prefix), scope["raw_path"].removeprefix(prefix.encode())
        await served({**scope, "root_path": "", "path": path, "raw_path": raw}, receive, send)

    return answer


MILLION = 1_000_000
ROWS_AT_ONCE = 500


ROW = '{"id":"a5b74f63-ee69-5ad7-b859-%012d","name":"Ann","email":"ann@example.org","age":36,"created_at":null}\n'
ROW_BYTES = len(ROW % 0)


async def million_users(_: Request) -> StreamingResponse:
    """Answer with a million rows as NDJSON, as fast as the client reads them."""

    async def parts() -> AsyncIterator[str]:
        for first in range(0, MILLION, ROWS_AT_ONCE):
            yield "".join(ROW % number for number in range(first, first + ROWS_AT_ONCE))

    return StreamingResponse(parts(), media_type="application/x-ndjson")


async def many_tables(_: Request) -> JSONResponse:
    """Answer with a document of many tables. None of them is served."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://many") as client:
        return JSONResponse(multiplied((await client.get("/openapi.json")).json()))


parent = Starlette(
    routes=[
        Mount("/db", app),
        Mount("/cut", as_a_proxy_cuts("/cut", app)),
        Route("/million/users/stream", million_users),
        Mount("/million", app),
        Route("/many/openapi.json", many_tables),
        Mount("/many", app),
    ],
    lifespan=lifespan_of(app),
)
parent.router.default = app  # not a Mount, which matches no path with the end of a line in it
