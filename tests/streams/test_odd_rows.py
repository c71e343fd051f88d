"""Large rows, and cells that no Python value can represent."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import pytest
from cassandra.cluster import Session
from contract.samples import every_loop
from helpers.service import client_of, serving, settings_for
from helpers.waiting import LONG
from starlette.requests import Request
from starlette.routing import Route

from asgi_app.app import create_app
from asgi_app.settings import Settings
from asgi_app.stream import RowStream, stream_rows
from asgi_app.tables.cql import Statement
from streams.stored import ids_of, stream, write_users

pytestmark = pytest.mark.anyio

READERS = 20
LONG_AGO = -(2**63)
FAR_AHEAD = 2**63 - 1

ODD_COLUMNS = {
    "moment": ("timestamp", str(FAR_AHEAD), "+292278994-08-17T07:12:55.807Z"),
    "day": ("date", "0", "-5877641-06-23"),
    "clock": ("time", "86399999999999", "23:59:59.999999999"),
    "whole": ("varint", "-" + "7" * 5000, "-" + "7" * 5000),
    "exact": ("decimal", "1.50E+100", "1.50E+100"),
    "double_nan": ("double", "NaN", "NaN"),
    "double_low": ("double", "-Infinity", "-Infinity"),
    "single_high": ("float", "Infinity", "Infinity"),
    "span": ("duration", "-1y2mo3d4h", "-1y2mo3d4h"),
    "bytes": ("blob", "0xff00", "0xff00"),
    "texts": ("list<timestamp>", f"[{LONG_AGO}]", ["-292275055-05-16T16:47:04.192Z"]),
}
"""By column: the CQL type, the CQL literal, and the value in JSON."""


@pytest.fixture(scope="module")
def odd_table(cql: Session, keyspace: str) -> Iterator[str]:
    """Create a table with the cells of `ODD_COLUMNS` in each row, and return its name."""
    table = f"{keyspace}.odd_rows"
    columns = ", ".join(f"{name} {cql_type}" for name, (cql_type, _, _) in ODD_COLUMNS.items())
    cql.execute(f"CREATE TABLE IF NOT EXISTS {table} (id int PRIMARY KEY, {columns})")
    literals = ", ".join(literal for _, literal, _ in ODD_COLUMNS.values())
    for number in range(50):
        cql.execute(f"INSERT INTO {table} (id, {', '.join(ODD_COLUMNS)}) VALUES ({number}, {literals})")
    yield table
    cql.execute(f"DROP TABLE {table}")


@pytest.fixture(scope="module")
async def odd_client(anyio_backend: Any, settings: Settings, odd_table: str) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of an application that also streams the odd table, at /odd."""

    async def odd(request: Request) -> RowStream:
        statement = Statement(f"SELECT * FROM {odd_table}", idempotent=True, writes=False)
        return stream_rows(request, statement, fetch_size=7)

    app = create_app(settings)
    app.router.routes.append(Route("/odd", odd))
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


@pytest.fixture
def strange_users(cql: Session, users: str) -> dict[str, dict[str, Any]]:
    """Write users with times that no Python value can represent; return them by id, as JSON shows them."""
    shown: dict[str, dict[str, Any]] = {}
    times = {
        LONG_AGO: "-292275055-05-16T16:47:04.192Z",
        -62135596800001: "+0000-12-31T23:59:59.999Z",
        253402300800000: "+10000-01-01T00:00:00.000Z",
        FAR_AHEAD: "+292278994-08-17T07:12:55.807Z",
    }
    for stored, text in times.items():
        for _ in range(25):
            user_id = uuid.uuid4()
            cql.execute(
                f"INSERT INTO {users} (id, name, age, created_at) VALUES ({user_id}, '\x01\"\\', -2147483648, {stored})"
            )
            shown[str(user_id)] = {
                "id": str(user_id),
                "name": '\x01"\\',
                "email": None,
                "age": -2147483648,
                "created_at": text,
                "updated_at": None,
            }
    return shown


@every_loop
async def test_cells_beyond_python_values_are_streamed(
    odd_client: httpx.AsyncClient, cql: Session, users: str, strange_users: dict[str, Any]
) -> None:
    plain = write_users(cql, users, [1] * READERS)
    reads = 0
    done = anyio.Event()

    async def read(user_id: str) -> None:
        nonlocal reads
        while not done.is_set():
            answer = await odd_client.get(f"/users/{user_id}")
            assert (answer.status_code, answer.json()["id"]) == (200, user_id)
            reads += 1

    async with anyio.create_task_group() as tasks:
        for user_id in plain:
            tasks.start_soon(read, user_id)
        for form in ("json", "ndjson", "msgpack", "csv"):
            await _check_odd(odd_client, form)
            answer = await odd_client.get("/users/stream?fetch_size=9")
            found = {user["id"]: user for user in answer.json()}
            assert {user_id: found[user_id] for user_id in strange_users} == strange_users
            assert set(found) == {*strange_users, *plain}
            assert (await odd_client.get(f"/users/stream?format={form}")).status_code == 200
        done.set()
    assert reads >= READERS


async def _check_odd(client: httpx.AsyncClient, form: str) -> None:
    answer = await client.get("/odd", params={"format": form})
    assert answer.status_code == 200
    if form == "json":
        rows = answer.json()
        assert sorted(row["id"] for row in rows) == list(range(50))
        for row in rows:
            assert {name: row[name] for name in ODD_COLUMNS} == {name: it[2] for name, it in ODD_COLUMNS.items()}
    elif form == "ndjson":
        assert len([json.loads(line) for line in answer.content.splitlines()]) == 50
    else:
        assert answer.content.count(b"+292278994-08-17T07:12:55.807Z") == 50


# --- large rows

FAT = 1_000_000
PAGE_BYTES = 4 * 1024 * 1024


async def test_large_rows_make_small_pages(
    node_address: tuple[str, int], keyspace: str, cql: Session, users: str
) -> None:
    ids = write_users(
        cql, users, [1] * 30, name="x" * FAT, at_once=1
    )  # more concurrent writes fill the socket, and the driver gives up
    async with serving(settings_for(node_address, keyspace)) as (app, _):
        for chunks in ((await stream(app)).chunks, (await stream(app)).chunks):
            assert sorted(ids_of(json.loads(b"".join(chunks)))) == sorted(ids)
            assert all(len(chunk) < 2 * PAGE_BYTES for chunk in chunks[1:])
        assert len(chunks) >= 30 * FAT // (2 * PAGE_BYTES)
        assert len(chunks[0]) < 2 * PAGE_BYTES  # the size of the rows is known by now


async def test_pages_become_small_within_one_stream_of_large_rows(
    node_address: tuple[str, int], keyspace: str, cql: Session, users: str
) -> None:
    ids = write_users(cql, users, [1] * 400, name="x" * 20_000, at_once=10)
    most = 128 * 1024
    async with serving(settings_for(node_address, keyspace, max_page_bytes=most)) as (app, client):
        chunks = (await stream(app, "fetch_size=5000")).chunks
        assert sorted(ids_of(json.loads(b"".join(chunks)))) == sorted(ids)
        assert max(map(len, chunks[1:])) < 2 * most
        page = (await client.get("/users/stream/pages?fetch_size=5000")).content
        assert len(page) < 2 * most


async def test_pages_are_small_while_requests_are_active(
    node_address: tuple[str, int], keyspace: str, cql: Session, users: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgi_app.runtime.scheduler.REQUEST_IDLE_SECONDS", LONG)
    ids = write_users(cql, users, [1] * 400, name="x" * 5_000, at_once=20)
    most = 64 * 1024
    async with serving(settings_for(node_address, keyspace, page_bytes_beside_reads=most)) as (app, client):
        largest = max(map(len, (await stream(app, "fetch_size=200")).chunks))
        assert largest > 10 * most
        assert (await client.get(f"/users/{ids[0]}")).status_code == 200
        chunks = (await stream(app, "fetch_size=200")).chunks
        assert sorted(ids_of(json.loads(b"".join(chunks)))) == sorted(ids)
        assert max(map(len, chunks)) < 2 * most


async def test_line_ends_and_empty_texts_in_ndjson_and_csv(cql: Session, users: str, client: httpx.AsyncClient) -> None:
    name = "a\u2028b\u2029c\x85d\ve\x1cf"
    cql.execute(f"INSERT INTO {users} (id, name, email) VALUES (%s, %s, '')", (uuid.uuid4(), name))
    async with client.stream("GET", "/users/stream", headers={"Accept": "application/jsonl"}) as answer:
        assert answer.headers["content-type"] == "application/jsonl"
        (line,) = [line async for line in answer.aiter_lines()]
    user = json.loads(line)
    assert (user["name"], user["email"], user["age"]) == (name, "", None)
    record = (await client.get("/users/stream?format=csv")).content.decode().split("\r\n")[1]
    assert record == f'{user["id"]},{name},"",,,'
