"""The database in a route of another application than the service: all rows of a statement, and what is not for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing

import msgspec
import pytest
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from helpers.cassandra import own_keyspace
from helpers.service import client_of, settings_for
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from asgi_app import (
    Database,
    Deadline,
    Statement,
    create_app,
    database_of,
    deadline_of,
    json_response,
    lifespan_of,
    path,
    principal_of,
    stream_rows,
)
from asgi_app.errors import DeadlineExceeded, LifespanNotStarted, StatementRefused

pytestmark = pytest.mark.anyio

NUMBERS = range(2500)
"""More than two pages."""


class Number(msgspec.Struct):
    number: int


class Label(msgspec.Struct):
    label: str


@pytest.fixture(scope="module")
def keyspace(cql: Session) -> Iterator[str]:
    with own_keyspace(cql, ()) as name:
        cql.execute(f"CREATE TABLE {name}.numbers (part int, number int, label text, PRIMARY KEY (part, number))")
        insert = cql.prepare(f"INSERT INTO {name}.numbers (part, number) VALUES (1, ?)")
        execute_concurrent_with_args(cql, insert, [(number,) for number in NUMBERS], raise_on_first_error=True)
        yield name


@pytest.fixture
def numbers(keyspace: str) -> Statement:
    return Statement(f"SELECT number, label FROM {keyspace}.numbers WHERE part = ?", idempotent=True, writes=False)


@pytest.fixture
def service(node_address: tuple[str, int], keyspace: str) -> Starlette:
    async def own(request: Request) -> Response:
        return json_response(deadline_of(request).left() > 0)

    return create_app(settings_for(node_address, keyspace), routes=[path("/own", None, get=own)])


@pytest.fixture
async def database(service: Starlette) -> AsyncIterator[Database]:
    async with service.router.lifespan_context(service):
        yield service.state.database


async def test_rows_are_all_rows(database: Database, numbers: Statement) -> None:
    found = [row async for row in database.rows(numbers, [1], deadline=Deadline.after(60))]
    assert found == [{"number": number, "label": None} for number in NUMBERS]
    typed = [row async for row in database.rows(numbers, [1], Number, deadline=Deadline.after(60))]
    assert typed == [Number(number) for number in NUMBERS]
    assert [row async for row in database.rows(numbers, [2], deadline=Deadline.after(60))] == []


async def test_deadline_is_for_all_pages(database: Database, numbers: Statement) -> None:
    deadline, found = Deadline.after(60), []

    async def read() -> None:
        async for row in database.rows(numbers, [1], Number, deadline=deadline):
            found.append(row.number)
            deadline.expires_at = 0.0  # the first page is here, and its rows can be read

    with pytest.raises(DeadlineExceeded):
        await read()
    assert 0 < len(found) < len(NUMBERS)
    assert found == [*NUMBERS][: len(found)]


async def test_loop_that_is_left_holds_nothing(database: Database, numbers: Statement) -> None:
    async with aclosing(database.rows(numbers, [1], deadline=Deadline.after(60))) as rows:
        assert (await anext(rows))["number"] == 0
        assert database.dispatcher.slots.in_flight == 0


async def test_errors_of_rows(database: Database, numbers: Statement, keyspace: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        await anext(database.rows(numbers, [1], Label, deadline=Deadline.after(60)))
    wrong = Statement(f"SELECT nothing FROM {keyspace}.numbers", idempotent=True, writes=False)
    with pytest.raises(StatementRefused):
        await anext(database.rows(wrong, deadline=Deadline.after(60)))


Use = Callable[[Request], object]

USES: dict[str, Use] = {
    "database_of": database_of,
    "deadline_of": deadline_of,
    "stream_rows": lambda request: stream_rows(
        request, Statement("SELECT * FROM x.y", idempotent=True, writes=False), fetch_size=1
    ),
}


def outcome(use: Use, request: Request) -> str:
    """Return the name and the message of the error that a use of a request raises."""
    try:
        use(request)
    except (RuntimeError, LifespanNotStarted) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_request_of_a_parent_is_none_of_the_service(service: Starlette, use: Use) -> None:
    def route(request: Request) -> Response:
        return JSONResponse([outcome(use, request), principal_of(request.scope)])

    parent = Starlette(routes=[Mount("/db", service), Route("/route", route)], lifespan=lifespan_of(service))
    parent.state.service = "something of the parent's"
    async with parent.router.lifespan_context(parent), client_of(parent) as client:
        (raised, principal) = (await client.get("/route")).json()
        assert raised.startswith("ForeignRequest: ")
        assert "Deadline.after(seconds)" in raised
        assert principal is None
        assert (await client.get("/db/own")).json() is True


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_request_of_a_parent_that_is_a_function(service: Starlette, use: Use) -> None:
    async def parent(scope: Scope, receive: Receive, send: Send) -> None:
        response = JSONResponse(outcome(use, Request(scope)))
        await response(scope, receive, send)

    async with service.router.lifespan_context(service), client_of(parent) as client:
        assert (await client.get("/")).json().startswith("ForeignRequest: ")


async def test_middleware_around_the_service_has_its_database_and_no_deadline(service: Starlette) -> None:
    seen: list[str] = []

    class Outside:
        def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                seen.extend(outcome(use, Request(scope)).partition(":")[0] for use in (database_of, deadline_of))
            await self.app(scope, receive, send)

    service.add_middleware(Outside)
    async with service.router.lifespan_context(service), client_of(service) as client:
        assert (await client.get("/own")).json() is True
    assert seen == ["no error", "ForeignRequest"]
    async with client_of(service) as client:
        assert (await client.get("/own")).json()["code"] == "lifespan_not_started"
    assert seen[2:] == ["LifespanNotStarted", "ForeignRequest"]
