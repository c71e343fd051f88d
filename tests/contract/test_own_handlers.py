"""Handlers of one's own: typed rows, streams, the database, errors and authorization, by public names alone."""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import httpx
import msgspec
import pytest
from cassandra.cluster import Session
from helpers.cassandra import own_keyspace
from helpers.problems import problem
from helpers.service import client_of, settings_for
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp

from asgi_app import (
    Action,
    Forbidden,
    NotFound,
    Principal,
    Statement,
    create_app,
    database_of,
    deadline_of,
    json_response,
    path,
    principal_of,
    stream_rows,
)

pytestmark = pytest.mark.anyio

ID = "5f0c2a4e-0000-1000-8000-000000000001"


class Address(msgspec.Struct):
    street: str | None
    photo: bytes | None


class Everything(msgspec.Struct):
    id: uuid.UUID
    text: str
    whole: int
    amount: decimal.Decimal
    ratio: float
    yes: bool
    data: bytes
    day: datetime.date
    at: datetime.datetime
    clock: datetime.time
    pause: str
    host: ipaddress.IPv4Address
    hosts: Annotated[set[ipaddress.IPv4Address | ipaddress.IPv6Address] | None, "as a resource declares inet"]
    ids: set[uuid.UUID]
    blobs: list[bytes]
    by_number: dict[int, bytes]
    by_blob: dict[bytes, str]
    pair: tuple[int, bytes | None]
    home: Address
    v: list[float]
    nothing: str | None
    kept: str = "default"


WANTED = Everything(
    id=uuid.UUID(ID),
    text="naïve",
    whole=2**100,
    amount=decimal.Decimal("1.50"),
    ratio=float("inf"),
    yes=True,
    data=b"\xde\xad\xbe\xef\x00\x01",
    day=datetime.date(2026, 11, 28),
    at=datetime.datetime(2026, 11, 28, 9, tzinfo=datetime.UTC),
    clock=datetime.time(13, 14, 15, 500000),
    pause="1mo2d",
    host=ipaddress.IPv4Address("192.0.2.1"),
    hosts={ipaddress.IPv4Address("192.0.2.1"), ipaddress.IPv6Address("::1")},
    ids={uuid.UUID(ID)},
    blobs=[b"\x01", b""],
    by_number={1: b"\x02"},
    by_blob={b"\x03": "three"},
    pair=(1, None),
    home=Address("Main", b"\x04"),
    v=[1.0, 0.5],
    nothing=None,
)

TABLES = (
    "CREATE TYPE {0}.address (street text, photo blob)",
    "CREATE TABLE {0}.everything (id timeuuid PRIMARY KEY, text text, whole varint, amount decimal, ratio double, "
    "yes boolean, data blob, day date, at timestamp, clock time, pause duration, host inet, hosts set<inet>, "
    "ids set<uuid>, blobs list<blob>, by_number map<int, blob>, by_blob map<blob, text>, pair tuple<int, blob>, "
    "home address, v vector<float, 2>, nothing text, more text)",
    "INSERT INTO {0}.everything (id, text, whole, amount, ratio, yes, data, day, at, clock, pause, host, hosts, ids, "
    "blobs, by_number, by_blob, pair, home, v, more) VALUES (" + ID + ", 'naïve', 1267650600228229401496703205376, "
    "1.50, Infinity, true, 0xdeadbeef0001, '2026-11-28', '2026-11-28 09:00:00Z', '13:14:15.5', 1mo2d, '192.0.2.1', "
    "{{'192.0.2.1', '::1'}}, {{" + ID + "}}, [0x01, 0x], {{1: 0x02}}, {{0x03: 'three'}}, (1, null), "
    "{{street: 'Main', photo: 0x04}}, [1.0, 0.5], 'not in the struct')",
    "CREATE TABLE {0}.numbers (part int, number int, label text, PRIMARY KEY (part, number))",
)


def routes(keyspace: str) -> list[Any]:
    everything = Statement(f"SELECT * FROM {keyspace}.everything WHERE id = ?", idempotent=True, writes=False)
    numbers = Statement(f"SELECT number FROM {keyspace}.numbers WHERE part = ?", idempotent=True, writes=False)
    add = Statement(f"INSERT INTO {keyspace}.numbers (part, number) VALUES (?, ?)", idempotent=True, writes=True)

    async def typed(request: Request) -> ASGIApp:
        key = uuid.UUID(request.path_params["id"])
        result = await database_of(request).execute(everything, [key], deadline=deadline_of(request))
        rows = result.rows(Everything)
        if not rows:
            raise NotFound("There is no such thing.")
        return json_response({"same": rows == [WANTED], "client": principal_of(request.scope).name})  # type: ignore[union-attr]

    async def stream(request: Request) -> ASGIApp:
        return stream_rows(request, numbers, [int(request.path_params["part"])], fetch_size=3)

    async def write(request: Request) -> ASGIApp:
        part = int(request.path_params["part"])
        for number in range(10):
            await database_of(request).execute(add, [part, number], deadline=deadline_of(request))
        return json_response({"written": 10}, 201)

    async def null_where_none_may_be(request: Request) -> ASGIApp:
        class Labelled(msgspec.Struct):
            label: str

        rows = Statement(f"SELECT label FROM {keyspace}.numbers WHERE part = ?", idempotent=True, writes=False)
        result = await database_of(request).execute(rows, [7], deadline=deadline_of(request))
        return json_response(len(result.rows(Labelled)))

    async def refuse(request: Request) -> ASGIApp:
        status = int(request.path_params["status"])
        raise HTTPException(status, request.query_params.get("detail"), {"Allow": "GET", "X-Mine": "yes"})

    return [
        path("/things/{id}", "things", get=typed),
        path("/numbers/{part}", "numbers", get=stream, post=write),
        path("/labels", "labels", get=null_where_none_may_be),
        path("/refused/{status}", "refused", get=refuse),
    ]


@pytest.fixture(scope="module")
def tables(cql: Session) -> Iterator[str]:
    with own_keyspace(cql, ()) as name:
        for statement in TABLES:
            cql.execute(statement.format(name))
        yield name


def no_things_for_nobody(connection: HTTPConnection, action: Action) -> Principal:
    if connection.headers.get("x-user") == "nobody" and action == Action("read", "things"):
        raise Forbidden
    return Principal("ada")


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, node_address: tuple[str, int], tables: str) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings_for(node_address, tables), routes=routes(tables), authorize=no_things_for_nobody)
    async with app.router.lifespan_context(app), client_of(app, raise_app_exceptions=False) as started:
        yield started


async def test_rows_have_the_types_of_the_struct(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/things/{ID}")).json() == {"same": True, "client": "ada"}


async def test_error_of_a_handler_is_a_problem(client: httpx.AsyncClient) -> None:
    found = problem(await client.get("/things/5f0c2a4e-0000-1000-8000-00000000000f"), 404, "not_found")
    assert found["detail"] == "There is no such thing."


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_request"),
        (401, "unauthorized"),
        (418, "i_m_a_teapot"),
        (429, "too_many_requests"),
        (499, "status_499"),
        (500, "internal_server_error"),
        (507, "insufficient_storage"),
    ],
)
async def test_http_exception_of_a_handler_is_a_problem_with_its_status(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, status: int, code: str
) -> None:
    answer = await client.get(f"/refused/{status}?detail=because")
    found = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (found["status"], found["code"], found["detail"]) == (status, code, "because")
    assert (found["instance"], found["request_id"]) == (f"/refused/{status}", answer.headers["x-request-id"])
    assert (answer.headers["x-mine"], answer.headers["cache-control"]) == ("yes", "no-store")
    failures = [record for record in caplog.records if record.name == "asgi_app.errors"]
    assert [getattr(record, "error", None) for record in failures] == ([code] if status >= 500 else [])
    assert all("because" in record.getMessage() for record in failures)


async def test_http_exceptions_that_the_service_has_errors_for(client: httpx.AsyncClient) -> None:
    assert problem(await client.get("/refused/404?detail=gone"), 404, "not_found")["detail"] == "gone"
    assert problem(await client.get("/refused/405?detail=no"), 405, "method_not_allowed")
    led = await client.get("/refused/303")
    assert (led.status_code, led.content, led.headers["x-mine"]) == (303, b"", "yes")


async def test_handler_writes_and_streams(client: httpx.AsyncClient) -> None:
    assert (await client.post("/numbers/7")).json() == {"written": 10}
    assert (await client.get("/numbers/7")).json() == [{"number": number} for number in range(10)]
    assert (await client.get("/numbers/7?format=csv")).text.splitlines()[:2] == ["number", "0"]
    assert (await client.head("/numbers/7")).content == b""
    problem(await client.get("/numbers/7", headers={"X-Request-Timeout": "0.000000001"}), 504, "deadline_exceeded")


async def test_null_in_a_field_that_is_not_optional_is_a_bug_of_the_handler(client: httpx.AsyncClient) -> None:
    await client.post("/numbers/7")
    problem(await client.get("/labels"), 500, "internal_error")


async def test_route_is_authorized_by_its_name(client: httpx.AsyncClient) -> None:
    problem(await client.get(f"/things/{ID}", headers={"X-User": "nobody"}), 403, "forbidden")
    assert (await client.get("/numbers/8", headers={"X-User": "nobody"})).json() == []


async def test_nothing_but_ones_own_is_served(client: httpx.AsyncClient) -> None:
    problem(await client.get("/users"), 404, "not_found")
    assert (await client.get("/livez")).status_code == 200
