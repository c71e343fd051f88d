"""Slices of a table: together they are the table, alone or several at once, as a stream, as pages and as files."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import httpx
import msgspec
import pytest
from cassandra.cluster import Session
from contract.resource_service import keyspace_with, serving_resources
from contract.samples import every_loop
from helpers.exchange import Exchange
from helpers.murmur3 import id_with_token
from helpers.service import serving, settings_for
from helpers.waiting import eventually
from starlette.applications import Starlette

from asgi_app import Resource
from asgi_app.settings import Settings
from asgi_app.tables.slices import slices
from streams.conftest import MANY
from streams.stored import User, stream, streamed, walk

pytestmark = pytest.mark.anyio

FIRST, LAST = -(2**63), 2**63 - 1


@pytest.fixture(scope="module")
async def crowded_service(
    anyio_backend: Any, crowded_settings: Settings
) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    async with serving(crowded_settings) as started:
        yield started


# --- many rows


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, pytest.param(4096, marks=pytest.mark.long)])
async def test_the_slices_of_a_count_are_the_stream(
    crowded_service: tuple[Starlette, httpx.AsyncClient], crowd: list[User], count: int
) -> None:
    app = crowded_service[0]
    parts = [await streamed(app, f"slice={part}&fetch_size=5000") for part in slices(count)]
    assert list(chain(*parts)) == crowd


async def test_the_pages_of_a_slice_are_its_stream(
    crowded_service: tuple[Starlette, httpx.AsyncClient], crowd: list[User]
) -> None:
    app, client = crowded_service
    wanted = await streamed(app, "slice=2/7&age_filter=50")
    assert 0 < len(wanted) < MANY / 7
    assert list(chain(*await walk(client, slice="2/7", age_filter=50, fetch_size=1000))) == wanted


async def test_a_token_of_a_slice_is_for_that_slice(crowded_service: tuple[Starlette, httpx.AsyncClient]) -> None:
    client = crowded_service[1]
    page = (await client.get("/users/stream/pages", params={"slice": "2/7", "fetch_size": 10})).json()
    same = await client.get("/users/stream/pages", params={"slice": "2/7", "page_state": page["page_state"]})
    assert same.status_code == 200
    other = await client.get("/users/stream/pages", params={"slice": "3/7", "page_state": page["page_state"]})
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "query.slice")


@pytest.mark.parametrize("query", ["parallel=8", "parallel=64&fetch_size=200", "parallel=2&slice=3/7"])
async def test_slices_that_are_read_at_once_have_each_row_once(
    crowded_service: tuple[Starlette, httpx.AsyncClient], crowd: list[User], query: str
) -> None:
    app = crowded_service[0]
    wanted = await streamed(app, "slice=3/7") if "slice" in query else crowd
    found = await streamed(app, query)
    assert len(found) == len(wanted)
    assert sorted(found, key=_id) == sorted(wanted, key=_id)


async def test_a_filter_and_a_limit_apply_to_slices(
    crowded_service: tuple[Starlette, httpx.AsyncClient], crowd: list[User]
) -> None:
    app = crowded_service[0]
    wanted = [user for user in crowd if user["age"] >= 95]
    found = [await streamed(app, f"age_filter=95&slice={part}") for part in slices(3)]
    assert list(chain(*found)) == wanted
    assert sorted(await streamed(app, "age_filter=95&parallel=4"), key=_id) == sorted(wanted, key=_id)
    assert await streamed(app, "limit=1234&parallel=8") == crowd[:1234]  # with a limit they are in order
    assert await streamed(app, "limit=3&slice=1/1") == crowd[:3]


def _id(user: User) -> str:
    identity: str = user["id"]
    return identity


# --- files


async def test_an_export_is_the_stream_as_a_file(
    crowded_service: tuple[Starlette, httpx.AsyncClient],
) -> None:
    app, client = crowded_service
    wanted = sorted(await streamed(app, "slice=3/7"), key=_id)
    for form, read in READERS.items():
        params = {"slice": "3/7", "fetch_size": 5000}
        answer = await client.get(f"/users/export.{form}", params=params, headers={"accept": "text/html"})
        assert answer.headers["content-disposition"] == f'attachment; filename="users-3-of-7.{form}"'
        assert answer.headers["accept-ranges"] == "none"
        assert "vary" not in answer.headers  # the address alone chooses the form
        found = sorted(read(answer.content, len(wanted)), key=_id)
        assert found == wanted, form


READERS: Mapping[str, Callable[[bytes, int], list[User]]] = {
    "ndjson": lambda body, _: _ndjson(body),
    "json": lambda body, _: json.loads(body),
    "msgpack": lambda body, count: msgspec.msgpack.decode(b"\xdd" + count.to_bytes(4, "big") + body),  # as one array
    "csv": lambda body, _: [{**row, "age": int(row["age"])} for row in csv.DictReader(io.StringIO(body.decode()))],
}


async def test_an_export_has_few_pages(crowded_service: tuple[Starlette, httpx.AsyncClient]) -> None:
    app, client = crowded_service
    await client.get("/users/export.ndjson?limit=1")  # from now on the size of a row is known
    await eventually(lambda: not app.state.database.dispatcher.slots.throttles_pages)
    before = _statements(app)
    await client.get("/users/export.ndjson?parallel=1")
    assert MANY // 2000 <= _statements(app) - before <= MANY // 2000 + 1


async def test_head_of_an_export_reads_nothing(crowded_service: tuple[Starlette, httpx.AsyncClient]) -> None:
    app, client = crowded_service
    before = _statements(app)
    answer = await client.head("/users/export.ndjson")
    assert answer.status_code == 200
    assert "content-length" not in answer.headers
    assert answer.headers["accept-ranges"] == "none"
    assert answer.headers["content-disposition"] == 'attachment; filename="users.ndjson"'
    assert _statements(app) == before


async def test_an_export_has_no_other_endings(crowded_service: tuple[Starlette, httpx.AsyncClient]) -> None:
    assert (await crowded_service[1].get("/users/export.xlsx")).status_code == 422  # no id of a user
    assert (await crowded_service[1].get("/users/export")).status_code == 422


def _ndjson(body: bytes) -> list[Any]:
    return [json.loads(line) for line in body.splitlines()]


def _statements(app: Starlette) -> int:
    database = app.state.database
    database.publish_state()
    total: int = database.metrics.summary()["total_queries"]
    return total


# --- mistakes


@pytest.mark.parametrize("address", ["/users/stream", "/users/stream/pages", "/users/export.csv"])
@pytest.mark.parametrize("text", ["", "0/1", "2/1", "1/65537", "x", "1/1/1", "-1/2"])
async def test_a_slice_that_is_none_is_refused(client: httpx.AsyncClient, address: str, text: str) -> None:
    answer = await client.get(address, params={"slice": text})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["query.slice"]


@pytest.mark.parametrize("text", ["0", "65", "x", ""])
async def test_a_number_of_slices_at_once_that_is_none_is_refused(client: httpx.AsyncClient, text: str) -> None:
    for address in ("/users/stream", "/users/export.json"):
        answer = await client.get(address, params={"parallel": text})
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["query.parallel"]


async def test_slices_need_the_murmur3_partitioner(app: Starlette, client: httpx.AsyncClient, users: str) -> None:
    metadata = app.state.database.session.cluster.metadata
    usual, metadata.partitioner = metadata.partitioner, "org.apache.cassandra.dht.RandomPartitioner"
    try:
        for address in ("/users/stream", "/users/stream/pages", "/users/export.json"):
            answer = await client.get(address, params={"slice": "1/2"})
            assert (answer.status_code, answer.json()["code"]) == (422, "partitioner_unsupported")
        assert (await client.get("/users/export.json")).json() == []
    finally:
        metadata.partitioner = usual


# --- where the rows are


class Point(msgspec.Struct):
    """A row of a table whose partitions have static values and any number of rows."""

    id: uuid.UUID
    n: int
    note: str | None = None
    of_all: str | None = None


POINTS = Resource(
    Point, "points", partition_key=("id",), clustering=("n",), static=("of_all",), allow_filtering=("note",)
)
WIDE = 3_000
"""Rows of the wide partition: more than ten pages."""


def _edges() -> Iterator[int]:
    """Yield the tokens at the ends of the ring and around the bounds of slices."""
    yield from (FIRST + 1, FIRST + 2, -1, 0, 1, LAST - 1, LAST)
    for count in (2, 3, 7, 64):
        for part in slices(count):
            yield from (max(part.bounds.after, FIRST + 1), part.bounds.after + 1, part.bounds.until)


@pytest.fixture(scope="module")
def points(cql: Session) -> Iterator[str]:
    """Create a table with keys at all edges, two with the token at each end, a wide partition and a static one."""
    with keyspace_with(cql, [POINTS]) as name:
        insert = cql.prepare(f"INSERT INTO {name}.points (id, n, of_all) VALUES (?, ?, 'x')")
        for token in {*_edges()}:
            cql.execute(insert, (id_with_token(token), 0))
        for token in (LAST, FIRST):  # the token of a key with the hash -2^63 is 2^63-1
            cql.execute(insert, (id_with_token(token, 1), 0))
        for n in range(WIDE):
            cql.execute(insert, (id_with_token(12345), n))
        cql.execute(f"INSERT INTO {name}.points (id, of_all) VALUES (%s, 'alone')", (id_with_token(6789),))
        yield name


@pytest.fixture(scope="module")
async def points_client(
    anyio_backend: Any, node_address: tuple[str, int], points: str
) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_resources(settings_for(node_address, points), [POINTS]) as (_, client):
        yield client


@pytest.mark.parametrize("count", [1, 3, 64, 256])
async def test_each_key_is_in_one_slice_wherever_it_lies(
    points_client: httpx.AsyncClient, points: str, cql: Session, count: int
) -> None:
    rows = list(cql.execute(f"SELECT token(id) AS place, id, n FROM {points}.points"))
    assert max(Counter(row.id for row in rows).values()) == WIDE
    assert {row.place for row in rows} >= {FIRST + 1, LAST}
    assert any(row.n is None for row in rows)
    total = 0
    for part in slices(count):
        wanted = [(str(row.id), row.n) for row in rows if part.bounds.after < row.place <= part.bounds.until]
        answer = await points_client.get("/points/-/stream", params={"slice": str(part), "fetch_size": 250})
        assert [(row["id"], row["n"]) for row in answer.json()] == wanted
        total += len(wanted)
    assert total == len(rows)


@every_loop
@pytest.mark.parametrize("parallel", [1, 2, 8])
async def test_every_point_is_exported_once(
    points_client: httpx.AsyncClient, points: str, cql: Session, parallel: int
) -> None:
    wanted = Counter((str(row.id), row.n) for row in cql.execute(f"SELECT id, n FROM {points}.points"))
    answer = await points_client.get("/points/-/export.ndjson", params={"parallel": parallel, "fetch_size": 100})
    assert Counter((row["id"], row["n"]) for row in _ndjson(answer.content)) == wanted


async def test_pages_of_a_slice_of_a_resource(points_client: httpx.AsyncClient) -> None:
    stream_of_it = (await points_client.get("/points/-/stream", params={"slice": "33/64"})).json()
    walked: list[Any] = []
    params = {"slice": "33/64", "fetch_size": "500"}
    while True:
        page = (await points_client.get("/points/-/pages", params=params)).json()
        walked += page["rows"]
        if not page["has_more"]:
            break
        params = {"page_state": page["page_state"]}
    assert walked == stream_of_it
    assert len(walked) >= 3


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"slice": "1/2", "id": str(uuid.UUID(int=0))}, "query.slice"),
        ({"slice": "1/2", "id.in": str(uuid.UUID(int=0))}, "query.slice"),
        ({"slice": "7"}, "query.slice"),
        ({"parallel": "0"}, "query.parallel"),
    ],
)
async def test_what_cannot_be_sliced_is_refused(
    points_client: httpx.AsyncClient, params: dict[str, str], field: str
) -> None:
    for verb in ("stream", "export.csv"):
        answer = await points_client.get(f"/points/-/{verb}", params=params)
        assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


async def test_one_partition_is_exported_whole(points_client: httpx.AsyncClient) -> None:
    params = {"id": str(id_with_token(12345)), "order": "-n", "select": "n"}
    answer = await points_client.get("/points/-/export.ndjson", params=params)
    assert [row["n"] for row in _ndjson(answer.content)] == list(reversed(range(WIDE)))


# --- one slice of several fails, or its client leaves


async def test_a_client_that_leaves_ends_all_slices(
    crowded_service: tuple[Starlette, httpx.AsyncClient],
) -> None:
    app = crowded_service[0]

    async def leave(exchange: Exchange) -> None:
        exchange.disconnect()

    answer = await stream(app, "parallel=8", on_chunk=leave)
    assert not answer.complete
    assert app.state.database.open_streams == 0
