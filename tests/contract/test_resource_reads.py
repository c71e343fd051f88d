"""Reads of resources over HTTP: rows, lists and their filters, lists of keys, searches, who may read what."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from cassandra.cluster import Session
from helpers.figures import scrape
from helpers.ports import free_port
from helpers.problems import problem
from helpers.service import settings_for
from starlette.applications import Starlette

from asgi_app.db import Database
from asgi_app.errors import ReadFailed
from asgi_app.resources.table.reading import READS_AT_ONCE
from asgi_app.runtime.deadline import Deadline
from asgi_app.tables.resource import Resource
from contract.resource_service import (
    EVENT_ROWS,
    EVENT_STATEMENTS,
    EVENTS,
    EVENTS_KEY,
    MINE,
    OTHERS_KEY,
    POINTS,
    TODAY,
    keyspace_with,
    numbers,
    serving_resources,
)

pytestmark = pytest.mark.anyio

VECTORS = {
    1: ("[1, 0, 0]", "red"),
    2: ("[0.9, 0.1, 0]", "blue"),
    3: ("[0, 1, 0]", "red"),
    4: ("[-1, 0, 0]", "blue"),
}


class Small(msgspec.Struct):
    """A row of a table that does not fit, or that changes."""

    id: int
    a: str | None = None
    b: int | None = None


class Setting(msgspec.Struct):
    """A row of a virtual table."""

    name: str
    value: str | None = None


GONE = Resource(Small, "gone", partition_key=("id",))
CHANGED = Resource(Small, "changed", partition_key=("id",))
BRIEF = Resource(Small, "brief", partition_key=("id",))
SETTINGS = Resource(Setting, "settings", keyspace="system_views", partition_key=("name",), writes="none")
RESOURCES = (EVENTS, MINE, TODAY, POINTS, GONE, CHANGED, BRIEF, SETTINGS)


@pytest.fixture(scope="module")
def keyspace(cql: Session) -> Iterator[str]:
    """The keyspace of this module, with the events and some points."""
    points = [
        f"INSERT INTO {{ks}}.points (id, embedding, color, secret) VALUES ({number}, {vector}, '{color}', 'kept')"
        for number, (vector, color) in VECTORS.items()
    ]
    others = [
        "CREATE TABLE {ks}.changed (id int PRIMARY KEY, a int)",
        "INSERT INTO {ks}.brief (id, a, b) VALUES (1, 'x', 2)",
    ]
    with keyspace_with(cql, (EVENTS, POINTS, BRIEF), *EVENT_STATEMENTS, *points, *others) as name:
        yield name


@pytest.fixture(scope="module")
async def service(
    anyio_backend: Any, node_address: tuple[str, int], keyspace: str
) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    """A running application, and a client of it."""
    async with serving_resources(settings_for(node_address, keyspace, health_ttl=0.0), RESOURCES) as started:
        yield started


def path_of(number: int) -> str:
    row = EVENT_ROWS[number]
    return f"/events/{row['tenant']}/{row['day']}/{row['at']}/{row['id']}"


# Rows


async def test_row_has_all_columns_but_hidden_ones(client: httpx.AsyncClient) -> None:
    found = await client.get(path_of(1))
    assert (found.status_code, found.json()) == (200, EVENT_ROWS[1])
    assert list(found.json()) == list(EVENT_ROWS[1])
    assert found.headers["content-type"] == "application/json"
    assert found.headers["cache-control"] == "no-store"
    assert "etag" not in found.headers
    assert "location" not in found.headers


async def test_absent_row_is_404(client: httpx.AsyncClient) -> None:
    found = problem(await client.get(path_of(1)[:-1] + "f"), 404, "not_found")
    assert found["detail"] == "Event not found"
    query = "tenant=acme&day=2026-11-28&at=2026-11-28T09:00:00Z&id=00000000-0000-0000-0000-00000000000f"
    problem(await client.get(f"/events/-/row?{query}"), 404, "not_found")


HEADS = [
    path_of(1),
    path_of(1)[:-1] + "f",
    "/events",
    "/events/acme/2026-11-28",
    "/events/acme/2026-11-28/2026-11-28T11:00:00Z",
    "/events/-/pages",
    "/events/-/partitions",
    "/events/-/row?tenant=acme&day=2026-11-28&at=2026-11-28T09:00:00Z&id=00000000-0000-0000-0000-000000000001",
    "/events/-/row",
    "/events/-/stream",
    "/events/-/stream?format=csv",
    "/events?none=1",
    "/events?page_state=x",
    "/events/-/pages?page_state=x",
    "/events/-/stream?limit=x",
    "/events/acme",
]


@pytest.mark.parametrize("target", HEADS)
async def test_head_answers_as_get_without_a_body(client: httpx.AsyncClient, target: str) -> None:
    got, head = await client.get(target), await client.head(target)
    assert (head.status_code, head.content) == (got.status_code, b"")
    for name in ("content-type", "cache-control", "vary"):
        assert head.headers.get(name) == got.headers.get(name), name


async def test_head_reads_no_rows_of_a_list(
    client: httpx.AsyncClient, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed = spy(monkeypatch, app.state.database)
    for target in ("/events", "/events/-/pages", "/events/-/partitions", "/events/-/stream", "/events/acme/2026-11-28"):
        assert (await client.head(target)).status_code == 200
    assert executed == []


# Lists and filters


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/events/acme/2026-11-28", [5, 3, 4, 2, 1]),
        ("/events/acme/2026-11-28?order=at", [1, 2, 4, 3, 5]),
        ("/events/acme/2026-11-28?order=-at", [5, 3, 4, 2, 1]),
        ("/events/acme/2026-11-28?limit=2", [5, 3]),
        ("/events/acme/2026-11-28?order=at&limit=2", [1, 2]),
        ("/events/acme/2026-11-28/2026-11-28T11:00:00.000Z", [3, 4]),
        ("/events/acme/2026-11-28/2026-11-28T11:00:00Z?order=-id", [4, 3]),
        ("/events/acme/2026-11-28?at.gte=2026-11-28T11:00:00Z", [5, 3, 4]),
        ("/events/acme/2026-11-28?at.gt=2026-11-28T09:00:00Z&at.lte=2026-11-28T11:00:00Z", [3, 4, 2]),
        ("/events/acme/2026-11-28?at.in=2026-11-28T09:00:00Z&at.in=2026-11-28T12:00:00Z", [5, 1]),
        ("/events/acme/2026-11-28?at.lt=2026-11-28T10:00:00%2B01:00", []),
        ("/events/acme/2026-11-28?kind=login", [5, 3, 1]),
        ("/events/a%2Fb/2026-11-28", [11]),
        ("/events?tenant=&day=2026-11-28", [12]),
        ("/events/none/2026-11-28", []),
        ("/events?tenant=acme&day=2026-11-29", [8, 7, 6]),
        ("/events?n=3", [3]),
        ("/events?n=99", []),
        ("/events/acme/2026-11-28?n.lt=3", [2, 1]),
    ],
)
async def test_list_is_in_the_order_of_the_key(client: httpx.AsyncClient, target: str, expected: list[int]) -> None:
    found = await client.get(target)
    assert (found.status_code, found.headers["content-type"]) == (200, "application/json"), found.text
    assert numbers(found.json()) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=100", set(EVENT_ROWS)),
        ("kind=login&limit=100", {1, 3, 5, 7, 9, 11}),
        ("kind.gt=login&limit=100", {2, 4, 6, 8, 10, 12}),
        ("n.gte=4&n.lt=7", {4, 5, 6}),
        ("n.gte=4&kind=login", {5, 7, 9, 11}),
        ("tenant=acme&day.in=2026-11-28&day.in=2026-11-29", {1, 2, 3, 4, 5, 6, 7, 8}),
        ("tenant.in=beta&tenant.in=acme&day.in=2026-11-28&limit=50", {1, 2, 3, 4, 5, 9, 10}),
        ("tenant.in=beta&day=2026-11-28&at.gte=2026-11-28T10:00:00Z", {10}),
        ("per_partition_limit=1&limit=50", {5, 8, 10, 11, 12}),
        ("tenant=acme&day.in=2026-11-28&day.in=2026-11-29&per_partition_limit=2", {5, 3, 8, 7}),
    ],
)
async def test_list_has_the_rows_that_the_filters_leave(
    client: httpx.AsyncClient, query: str, expected: set[int]
) -> None:
    for target in (f"/events?{query}", f"/events/-/stream?{query}"):
        found = await client.get(target)
        assert found.status_code == 200, found.text
        assert set(numbers(found.json())) == expected
        assert len(found.json()) == len(expected)
    found = await client.get(f"/events/-/pages?{query}")
    assert set(numbers(found.json()["rows"])) == expected


async def test_list_has_ten_rows_without_a_limit(client: httpx.AsyncClient) -> None:
    assert len((await client.get("/events")).json()) == 10


async def test_partition_with_static_columns_alone_is_a_row_without_the_rest(
    client: httpx.AsyncClient, cql: Session, keyspace: str
) -> None:
    cql.execute(f"INSERT INTO {keyspace}.events (tenant, day, owner) VALUES ('static', '2026-11-28', 'o')")
    row = {**dict.fromkeys(EVENT_ROWS[1]), "tenant": "static", "day": "2026-11-28", "owner": "o"}
    for target in ("/events/static/2026-11-28", "/events/-/stream?tenant=static&day=2026-11-28"):
        assert (await client.get(target)).json() == [row]
    cql.execute(f"DELETE FROM {keyspace}.events WHERE tenant = 'static' AND day = '2026-11-28'")


KEY = "tenant=acme&day=2026-11-28"
REFUSED = [
    ("/events?none=1", "query.none", "is not a column or an option"),
    ("/events?kind.like=1", "query.kind.like", "has an operator that does not exist"),
    ("/events?secret=kept", "query.secret", "is not a column or an option"),
    ("/events/-/stream?select=kind,secret", "query.select", "names what is not a column"),
    ("/events?tenant=acme", "query.tenant", "so it needs day too"),
    ("/events?day=2026-11-28", "query.day", "so it needs tenant too"),
    ("/events?at=2026-11-28T09:00:00Z", "query.at", "so it needs tenant and day too"),
    (f"/events?{KEY}&id={uuid.UUID(int=1)}", "query.id", "so at must be given by `=` before it"),
    (f"/events?{KEY}&at.gt=2026-11-28T09:00:00Z&id={uuid.UUID(int=1)}", "query.id", "so at must be given"),
    ("/events?tenant.gt=a&day=2026-11-28", "query.tenant.gt", "takes only `=` and `.in`"),
    ("/events?tags.contains=t1", "query.tags.contains", "no index"),
    ("/events?tags=t1", "query.tags", "not frozen is only searched for its members"),
    ("/events?kind.contains=t1", "query.kind.contains", "only lists, sets and maps contain members"),
    ("/events?n.in=1&n.in=2", "query.n.in", "does not serve this operator"),
    ("/events?n=1&n=2", "query.n", "is given more than once"),
    ("/events?n=x", "query.n", "must be an integer from -2147483648 to 2147483647"),
    (f"/events?{KEY}&n=1&order=at", "query.order", "cannot be combined with a filter that an index serves"),
    ("/events?order=at", "query.order", "needs one partition"),
    ("/events?tenant=acme&day.in=2026-11-28&order=at", "query.order", "needs one partition"),
    ("/events/acme/2026-11-28?order=kind", "query.order", "is not an order"),
    ("/events/acme/2026-11-28?order=id", "query.order", "is not an order"),
    ("/events?tenant.in=acme&day=2026-11-28&n=1", "query.tenant.in", "cannot be combined with an index"),
    ("/events?owner=o", "query.owner", "no index"),
    ("/events?limit=0", "query.limit", "must be an integer from 1 to 100"),
    ("/events?limit=101", "query.limit", "must be an integer from 1 to 100"),
    ("/events?limit=1&limit=2", "query.limit", "is given more than once"),
    ("/events?select=kind", "query.select", "but of /-/stream, /-/export, /-/pages"),
    ("/events?fetch_size=1", "query.fetch_size", "is not an option of this operation, but of /-/stream"),
    ("/events?format=csv", "query.format", "is not an option of this operation"),
    ("/events/-/pages?format=csv", "query.format", "is not an option of this operation"),
    ("/events/-/stream?page_state=x", "query.page_state", "but of the list of rows, /-/pages, /-/partitions"),
    ("/events/-/stream?format=xml", "query.format", "must be one of"),
    ("/events/-/stream?fetch_size=5001", "query.fetch_size", "must be an integer from 1 to 5000"),
    ("/events/-/partitions?per_partition_limit=1", "query.per_partition_limit", "is not an option"),
    ("/events/-/partitions?kind=login", "query.kind", "partitions are found by their key"),
    ("/events?per_partition_limit=0", "query.per_partition_limit", "must be an integer from 1"),
    ("/events/acme/2026-11-28?tenant=beta", "query.tenant", "is given by the address"),
    (f"/events?{KEY}&at.gt=2026-11-28T09:00:00Z&at.gte=2026-11-28T09:00:00Z", "query.at.gte", "cannot be combined"),
    ("/points?embedding=[1,0,0]", "query.embedding", "only the nearest ones"),
    ("/points?color.gt=a", "query.color.gt", "does not serve this operator"),
    ("/points?id.gt=1", "query.id.gt", "takes only `=` and `.in`"),
]


@pytest.mark.parametrize(("target", "field", "reason"), REFUSED, ids=[target for target, *_ in REFUSED])
async def test_refused_parameter_says_why(client: httpx.AsyncClient, target: str, field: str, reason: str) -> None:
    response = await client.get(target)
    assert response.status_code == 422, response.text
    errors = {error["field"]: error for error in response.json()["errors"]}
    problem(response, 422, "invalid_input", *errors)
    assert reason in errors[field]["message"]
    assert "secret" not in errors[field].get("usable", [])
    if field.split(".")[1] in ("none", "kind", "n", "at") and "operator" in reason:
        assert {"tenant", "tenant.in", "at.gte", "kind", "n.gte"} <= set(errors[field]["usable"])


async def test_every_wrong_parameter_is_named(client: httpx.AsyncClient) -> None:
    found = await client.get("/events?none=1&n=x&limit=0&day=2026-13-01")
    problem(found, 422, "invalid_input", "query.day", "query.limit", "query.n", "query.none")


async def test_long_lists_of_a_parameter_are_bounded(client: httpx.AsyncClient) -> None:
    query = "&".join(f"tenant.in=t{number}" for number in range(101))
    found = await client.get(f"/events?{query}&day=2026-11-28")
    problem(found, 422, "invalid_input", "query.tenant.in")


# Lists of whole keys


def spy(monkeypatch: pytest.MonkeyPatch, database: Database) -> list[tuple[str, Deadline]]:
    """Record the statement and the deadline of each execution."""
    executed: list[tuple[str, Deadline]] = []
    execute = database.execute

    def recorded(statement: Any, *args: Any, **options: Any) -> Any:
        executed.append((statement.cql, options["deadline"]))
        return execute(statement, *args, **options)

    monkeypatch.setattr(database, "execute", recorded)
    return executed


def keys(*asked: int) -> str:
    return "&".join(f"id.in={number}" for number in asked)


@pytest.mark.parametrize("asked", [[3, 1, 2], [4, 99, 1], [98, 99], [2], [1, 2, 1], [*range(100, 4, -1), 4, 3, 2, 1]])
async def test_list_of_keys_is_answered_in_its_order(client: httpx.AsyncClient, asked: list[int]) -> None:
    expected = [number for number in dict.fromkeys(asked) if number in VECTORS]
    found = await client.get(f"/points?{keys(*asked)}")
    assert [row["id"] for row in found.json()] == expected
    assert "link" not in found.headers
    searched = await client.post("/points/-/search", json={"where": {"id.in": asked}})
    assert searched.content == found.content


async def test_list_of_composite_keys_is_answered_in_its_order(client: httpx.AsyncClient) -> None:
    ids = "&".join(f"id.in={uuid.UUID(int=number)}" for number in (4, 7, 3))
    days = "day.in=2026-11-29&day.in=2026-11-28"
    at = "at.in=2026-11-28T11:00:00Z&at.in=2026-11-29T10:00:00Z"
    found = await client.get(f"/events?tenant=acme&{days}&{at}&{ids}")
    assert numbers(found.json()) == [7, 4, 3]
    mine = await client.get(f"/mine?{days}&{at}&{ids}", headers={"X-User": "acme"})
    assert [row["n"] for row in mine.json()] == [7, 4, 3]


async def test_more_than_a_hundred_keys_are_422(client: httpx.AsyncClient) -> None:
    problem(await client.get(f"/points?{keys(*range(101))}"), 422, "invalid_input", "query.id.in")
    body = {"where": {"id.in": list(range(101))}}
    problem(await client.post("/points/-/search", json=body), 422, "invalid_input", "/where/id.in")


async def test_list_of_keys_has_no_limit(client: httpx.AsyncClient) -> None:
    problem(await client.get(f"/points?{keys(1, 2)}&limit=5"), 422, "invalid_input", "query.limit")
    found = await client.get(f"/points?{keys(*range(50))}")
    assert len(found.json()) == len(VECTORS)


async def test_list_of_keys_has_one_deadline(
    client: httpx.AsyncClient, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed = spy(monkeypatch, app.state.database)
    await client.get(f"/points?{keys(*range(60))}")
    assert len(executed) == 60
    assert len({id(deadline) for _, deadline in executed}) == 1
    assert len({statement for statement, _ in executed}) == 1
    late = await client.get(f"/points?{keys(*range(60))}", headers={"X-Request-Timeout": "0.001"})
    problem(late, 504, "deadline_exceeded")


async def test_list_of_keys_is_read_some_at_a_time(
    client: httpx.AsyncClient, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    database: Database = app.state.database
    execute, running, most = database.execute, 0, 0

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await execute(*args, **options)
        finally:
            running -= 1

    monkeypatch.setattr(database, "execute", counted)
    assert len((await client.get(f"/points?{keys(*range(100))}")).json()) == len(VECTORS)
    assert 1 < most <= READS_AT_ONCE


async def test_one_failed_read_fails_the_whole_list(
    client: httpx.AsyncClient, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    database: Database = app.state.database
    execute = database.execute

    def third_fails(statement: Any, values: Any, **options: Any) -> Any:
        if values[0] == (3).to_bytes(4, "big"):
            raise ReadFailed
        return execute(statement, values, **options)

    monkeypatch.setattr(database, "execute", third_fails)
    problem(await client.get(f"/points?{keys(1, 2, 3, 4)}"), 503, "read_failed")
    assert len((await client.get(f"/points?{keys(1, 2, 4)}")).json()) == 3


# Searches


async def test_search_filters_as_a_list_does(client: httpx.AsyncClient) -> None:
    where = {"tenant": "acme", "day": "2026-11-28", "at.gte": "2026-11-28T11:00:00Z"}
    found = await client.post("/events/-/search", json={"where": where})
    assert (found.status_code, numbers(found.json())) == (200, [5, 3, 4])
    assert found.headers["cache-control"] == "no-store"
    assert "link" not in found.headers
    body = {"where": {"tenant": "acme", "day": "2026-11-28"}, "order": "at", "limit": 2, "select": ["n", "kind"]}
    found = await client.post("/events/-/search", json=body)
    assert found.json() == [{"kind": "login", "n": 1}, {"kind": "logout", "n": 2}]
    assert len((await client.post("/events/-/search", json={})).json()) == 10


async def test_nearest_rows_have_their_similarity(client: httpx.AsyncClient) -> None:
    found = await client.post("/points/-/search", json={"near": {"embedding": [1, 0, 0]}})
    assert found.status_code == 200, found.text
    rows = found.json()
    assert [row["id"] for row in rows] == [1, 2, 3, 4]
    assert list(rows[0]) == ["id", "embedding", "color", "$similarity"]
    assert [row["$similarity"] for row in rows] == sorted((row["$similarity"] for row in rows), reverse=True)
    assert (rows[0]["$similarity"], rows[3]["$similarity"]) == (1.0, 0.0)
    assert "link" not in found.headers


async def test_nearest_rows_with_a_filter_and_a_limit(client: httpx.AsyncClient) -> None:
    near = {"embedding": [1, 0.0, 0]}
    found = await client.post("/points/-/search", json={"near": near, "where": {"color": "red"}, "limit": 1000})
    assert [row["id"] for row in found.json()] == [1, 3]
    found = await client.post("/points/-/search", json={"near": near, "limit": 1, "select": ["color"]})
    assert found.json() == [{"color": "red", "$similarity": 1.0}]


SEARCHES: list[tuple[Any, str]] = [
    ([], ""),
    ({"where": []}, "/where"),
    ({"where": {"id.in": 1}}, "/where/id.in"),
    ({"where": {"id.in": []}}, "/where/id.in"),
    ({"where": {"id.in": [1, None]}}, "/where/id.in"),
    ({"where": {"id": None}}, "/where/id"),
    ({"where": {"id": "1"}}, "/where/id"),
    ({"where": {"id": 1.0}}, "/where/id"),
    ({"where": {"secret": "kept"}}, "/where/secret"),
    ({"where": {"a/b~c": 1}}, "/where/a~1b~0c"),
    ({"other": 1}, "/other"),
    ({"page_state": "x"}, "/page_state"),
    ({"limit": 101}, "/limit"),
    ({"limit": "1"}, "/limit"),
    ({"limit": True}, "/limit"),
    ({"select": []}, "/select"),
    ({"select": ["secret"]}, "/select"),
    ({"select": "id"}, "/select"),
    ({"near": {}}, "/near"),
    ({"near": {"embedding": [1, 0, 0], "id": 1}}, "/near"),
    ({"near": {"color": [1, 0, 0]}}, "/near/color"),
    ({"near": {"none": [1, 0, 0]}}, "/near/none"),
    ({"near": {"embedding": [1, 0]}}, "/near/embedding"),
    ({"near": {"embedding": [1, 0, 0, 0]}}, "/near/embedding"),
    ({"near": {"embedding": [1, 0, None]}}, "/near/embedding"),
    ({"near": {"embedding": [1, 0, "x"]}}, "/near/embedding"),
    ({"near": {"embedding": [0, 0, 0]}}, "/near/embedding"),
    ({"near": {"embedding": [1e-30, 0, 0]}}, "/near/embedding"),
    ({"near": {"embedding": [1e30, 1e30, 0]}}, "/near/embedding"),
    ({"near": {"embedding": None}}, "/near/embedding"),
    ({"near": {"embedding": [1, 0, 0]}, "limit": 1001}, "/limit"),
    ({"near": {"embedding": [1, 0, 0]}, "limit": 0}, "/limit"),
    ({"near": {"embedding": [1, 0, 0]}, "order": "id"}, "/order"),
    ({"near": {"embedding": [1, 0, 0]}, "per_partition_limit": 1}, "/per_partition_limit"),
    ({"near": {"embedding": [1, 0, 0]}, "where": {"id.in": [1, 2]}}, "/where/id.in"),
]


@pytest.mark.parametrize(("body", "field"), SEARCHES, ids=[repr(body) for body, _ in SEARCHES])
async def test_wrong_search_is_422_by_pointer(client: httpx.AsyncClient, body: Any, field: str) -> None:
    response = await client.post("/points/-/search", json=body)
    assert response.status_code == 422, response.text
    fields = [error["field"] for error in response.json()["errors"]]
    assert any(found == field or found.startswith(f"{field}/") for found in fields), fields


async def test_search_takes_json_alone(client: httpx.AsyncClient) -> None:
    problem(await client.post("/points/-/search", content=b"{"), 415, "unsupported_media_type")
    json_type = {"Content-Type": "application/json"}
    problem(await client.post("/points/-/search", content=b"{", headers=json_type), 400, "malformed_json")
    problem(
        await client.post("/points/-/search", content=b"{}", headers={"Content-Type": "text/csv"}),
        415,
        "unsupported_media_type",
    )
    problem(await client.post("/points/-/search?limit=1", json={}), 422, "invalid_input", "query.limit")


# Partitions


async def test_partitions_are_the_partition_keys(client: httpx.AsyncClient) -> None:
    found = await client.get("/events/-/partitions")
    expected = {(row["tenant"], row["day"]) for row in EVENT_ROWS.values()}
    assert sorted((row["tenant"], row["day"]) for row in found.json()) == sorted(expected)
    assert all(set(row) == {"tenant", "day"} for row in found.json())
    found = await client.get("/events/-/partitions?tenant=acme&day.in=2026-11-28&day.in=2026-01-01")
    assert found.json() == [{"tenant": "acme", "day": "2026-11-28"}]


async def test_every_resource_has_partitions(client: httpx.AsyncClient) -> None:
    found = await client.get("/points/-/partitions")
    assert sorted(row["id"] for row in found.json()) == sorted(VECTORS)


# Consistency

TWO = {"Cassandra-Consistency": "TWO", "X-Request-Timeout": "0.3"}
"""Asks for two replicas, which are more than the one node of the tests can have, and not long: reads are retried."""

EVERY_READ = [
    path_of(1),
    "/events",
    "/events?n=1",
    "/events/acme/2026-11-28",
    "/events/-/pages",
    "/events/-/stream",
    "/events/-/partitions",
    "/points?id.in=1&id.in=2",
    "/points/-/row?id=1",
]


@pytest.mark.parametrize("target", EVERY_READ)
async def test_consistency_of_a_read(client: httpx.AsyncClient, target: str) -> None:
    assert (await client.get(target, headers={"Cassandra-Consistency": " local_one "})).status_code == 200
    problem(await client.get(target, headers=TWO), 503, "consistency_unavailable")
    for level in ("ALL", "LOCAL_ONE, LOCAL_ONE", "", "x", "SERIAL"):
        found = await client.get(target, headers={"Cassandra-Consistency": level})
        problem(found, 400, "invalid_header", "header.Cassandra-Consistency")


async def test_consistency_where_none_may_be_asked_for(client: httpx.AsyncClient) -> None:
    for target in ("/mine/2026-11-28", "/mine/-/pages?day=2026-11-28", "/brief", "/brief/1"):
        found = await client.get(target, headers={"Cassandra-Consistency": "LOCAL_ONE", "X-User": "acme"})
        problem(found, 400, "invalid_header", "header.Cassandra-Consistency")


async def test_consistency_of_searches(client: httpx.AsyncClient) -> None:
    near = {"near": {"embedding": [1, 0, 0]}}
    for body in ({"where": {"id": 1}}, {"where": {"id.in": [1, 2]}}):
        found = await client.post("/points/-/search", json=body, headers=TWO)
        problem(found, 503, "consistency_unavailable")
    found = await client.post("/points/-/search", json=near, headers={"Cassandra-Consistency": "LOCAL_ONE"})
    assert found.status_code == 200
    for level in ("TWO", "x"):
        found = await client.post("/points/-/search", json=near, headers={"Cassandra-Consistency": level})
        problem(found, 400, "invalid_header", "header.Cassandra-Consistency")


# Bound columns


async def test_bound_column_is_the_clients(client: httpx.AsyncClient) -> None:
    acme, beta = {"X-User": "acme"}, {"X-User": "beta"}
    found = await client.get("/mine/2026-11-28", headers=acme)
    assert [row["n"] for row in found.json()] == [5, 3, 4, 2, 1]
    assert all("tenant" not in row for row in found.json())
    assert [row["n"] for row in (await client.get("/mine/2026-11-28", headers=beta)).json()] == [10, 9]
    assert (await client.get("/mine/2026-11-28", headers={"X-User": "none"})).json() == []
    address = path_of(1).removeprefix("/events/acme")
    assert (await client.get(f"/mine{address}", headers=acme)).json()["n"] == 1
    problem(await client.get(f"/mine{address}", headers=beta), 404, "not_found")
    query = "day=2026-11-28&at=2026-11-28T09:00:00Z&id=00000000-0000-0000-0000-000000000001"
    assert (await client.get(f"/mine/-/row?{query}", headers=acme)).json()["n"] == 1
    problem(await client.get(f"/mine/-/row?{query}", headers=beta), 404, "not_found")
    for verb in ("pages", "stream", "partitions"):
        found = await client.get(f"/mine/-/{verb}?day=2026-11-28", headers=beta)
        assert found.status_code == 200, found.text
        assert "tenant" not in found.text.replace("owner of", "")
        assert "acme" not in found.text
    found = await client.post("/mine/-/search", json={"where": {"n.gte": 1, "day": "2026-11-28"}}, headers=beta)
    assert {row["n"] for row in found.json()} == {9, 10}


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("/mine?tenant=acme&day=2026-11-28", "query.tenant"),
        ("/mine?tenant.in=acme&day=2026-11-28", "query.tenant.in"),
        ("/mine/-/stream?select=tenant&day=2026-11-28", "query.select"),
        ("/mine/-/row?tenant=acme", "query.tenant"),
    ],
)
async def test_bound_column_cannot_be_named(client: httpx.AsyncClient, target: str, field: str) -> None:
    found = await client.get(target, headers={"X-User": "beta"})
    assert found.status_code == 422
    errors = {error["field"]: error for error in found.json()["errors"]}
    assert "tenant" not in errors[field].get("usable", [])


async def test_rest_of_a_partly_bound_partition_key_is_needed(client: httpx.AsyncClient) -> None:
    for target in ("/mine", "/mine/-/pages", "/mine/-/stream", "/mine/-/partitions"):
        found = problem(await client.get(target, headers={"X-User": "acme"}), 422, "invalid_input", "query.day")
        assert "tenant" not in str(found["errors"])
    found = await client.post("/mine/-/search", json={}, headers={"X-User": "acme"})
    problem(found, 422, "invalid_input", "/where/day")


async def test_wholly_bound_partition_key(client: httpx.AsyncClient) -> None:
    acme = {"X-User": "acme"}
    found = await client.get("/today", headers=acme)
    assert [row["n"] for row in found.json()] == [5, 3, 4, 2, 1]
    assert not {"tenant", "day"} & set(found.json()[0])
    found = await client.get("/today/2026-11-28T11:00:00Z?order=-id", headers=acme)
    assert [row["n"] for row in found.json()] == [4, 3]
    found = await client.get("/today?order=at&limit=1", headers=acme)
    assert [row["n"] for row in found.json()] == [1]
    assert (await client.get(path_of(2).replace("/events/acme/2026-11-28", "/today"), headers=acme)).json()["n"] == 2


async def test_bound_column_needs_a_client(node_address: tuple[str, int], keyspace: str) -> None:
    settings = settings_for(node_address, keyspace)
    async with serving_resources(settings, [MINE], authorize=None) as (_, client):
        for target in ("/mine/2026-11-28", "/mine/-/pages", path_of(1).replace("/events/acme", "/mine")):
            assert (await client.get(target)).status_code == 401


# Who may do what, and what there is


async def test_scopes_are_the_names_of_resources(client: httpx.AsyncClient) -> None:
    reader, other = {"X-API-Key": EVENTS_KEY}, {"X-API-Key": OTHERS_KEY}
    for target in ("/events", path_of(1), "/events/-/pages", "/events/-/stream", "/events/-/partitions"):
        assert (await client.get(target, headers=reader)).status_code == 200
        problem(await client.get(target, headers=other), 403, "forbidden")
        assert (await client.get(target, headers={"X-API-Key": "x" * 40})).status_code == 401
    assert (await client.post("/events/-/search", json={}, headers=reader)).status_code == 200
    problem(await client.post("/events/-/search", json={}, headers=other), 403, "forbidden")
    problem(await client.post("/events", json={}, headers=reader), 403, "forbidden")
    problem(await client.get("/points", headers=reader), 403, "forbidden")
    # The scope is of the path's name, not of the table's.
    problem(await client.get("/mine/2026-11-28", headers=reader), 403, "forbidden")


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("OPTIONS", "/events", "GET, HEAD, POST"),
        ("PUT", "/events", "GET, HEAD, POST"),
        ("DELETE", "/events/acme/2026-11-28", "GET, HEAD, PATCH"),
        ("POST", "/events/acme/2026-11-28/2026-11-28T09:00:00Z", "GET, HEAD"),
        ("POST", path_of(1), "DELETE, GET, HEAD, PUT"),
        ("OPTIONS", path_of(1), "DELETE, GET, HEAD, PUT"),
        ("PATCH", "/events/-/row", "DELETE, GET, HEAD, PUT"),
        ("POST", "/events/-/stream", "GET, HEAD"),
        ("POST", "/events/-/pages", "GET, HEAD"),
        ("DELETE", "/events/-/partitions", "GET, HEAD"),
        ("GET", "/events/-/search", "POST"),
        ("HEAD", "/events/-/search", "POST"),
        ("PUT", "/events/acme", "GET, HEAD"),
        ("TRACE", "/points/1", "DELETE, GET, HEAD, PUT"),
    ],
)
async def test_other_methods_are_405_with_allow(
    client: httpx.AsyncClient, method: str, target: str, allow: str
) -> None:
    found = await client.request(method, target)
    assert (found.status_code, found.headers["allow"]) == (405, allow)


async def test_metrics_have_the_templates_of_addresses(client: httpx.AsyncClient) -> None:
    before = await scrape(client)
    for target in (path_of(1), "/events", "/events/acme/2026-11-28", "/events/-/stream", "/points/1", "/points/x"):
        await client.get(target)
    after = await scrape(client)
    moved = {
        (dict(labels)["route"], dict(labels)["status"]): value - before.get((name, labels), 0)
        for (name, labels), value in after.items()
        if name == "http_requests_total" and value != before.get((name, labels), 0)
    }
    moved.pop(("/metrics", "200"), None)
    assert moved == {
        ("/events/{tenant}/{day}/{at}/{id}", "200"): 1,
        ("/events", "200"): 1,
        ("/events/{tenant}/{day}", "200"): 1,
        ("/events/-/stream", "200"): 1,
        ("/points/{id}", "200"): 1,
        ("/points/{id}", "422"): 1,
    }


# Tables that do not fit


async def test_table_that_does_not_fit_is_503_by_its_columns_and_the_rest_serves(client: httpx.AsyncClient) -> None:
    for name, columns in (("gone", ("id", "a", "b")), ("changed", ("a", "b"))):
        for target in (f"/{name}", f"/{name}/1", f"/{name}/-/pages", f"/{name}/-/stream", f"/{name}/-/partitions"):
            found = problem(await client.get(target), 503, "schema_missing")
            assert all(column in found["detail"].split(": ")[-1] for column in columns)
        found = await client.post(f"/{name}/-/search", json={})
        problem(found, 503, "schema_missing")
    assert (await client.get("/brief/1")).status_code == 200
    ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["unserved"] == {"gone": ["id", "a", "b"], "changed": ["a", "b"]}


async def test_table_is_served_once_it_exists(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    problem(await client.get("/gone/1"), 503, "schema_missing")
    cql.execute(f"CREATE TABLE {keyspace}.gone (id int PRIMARY KEY, a text, b int, more int)")
    await _served_again(client, "/gone/1")
    problem(await client.get("/gone/1"), 404, "not_found")
    assert (await client.get("/gone")).json() == []
    assert "gone" not in (await client.get("/readyz")).json()["unserved"]
    cql.execute(f"DROP TABLE {keyspace}.gone")
    for target in (
        "/gone/1",
        "/gone",
        "/gone/-/pages",
        "/gone/-/stream",
        "/gone/-/partitions",
        "/gone?id.in=1&id.in=2",
    ):
        problem(await client.get(target), 503, "schema_missing")


async def test_column_that_is_dropped_is_503_until_it_is_back(
    client: httpx.AsyncClient, cql: Session, keyspace: str
) -> None:
    targets = ("/brief/1", "/brief", "/brief/-/pages", "/brief/-/stream", "/brief?id.in=1&id.in=2")
    for target in targets:
        assert (await client.get(target)).status_code == 200
    cql.execute(f"ALTER TABLE {keyspace}.brief DROP b")
    for target in targets:
        problem(await client.get(target), 503, "schema_missing")
    cql.execute(f"ALTER TABLE {keyspace}.brief ADD b int")
    await _served_again(client, "/brief/1")
    assert (await client.get("/brief")).json() == [{"id": 1, "a": "x", "b": None}]


async def test_resources_are_503_while_cassandra_is_away() -> None:
    settings = settings_for(("127.0.0.1", free_port()), "none", health_ttl=0.0)
    async with serving_resources(settings, [EVENTS]) as (_, client):
        for target in (path_of(1), "/events", "/events/-/pages", "/events/-/stream", "/events/-/partitions"):
            problem(await client.get(target), 503, "not_connected")
        problem(await client.get("/events/acme/x"), 422, "invalid_input", "path.day")
        problem(await client.put("/events"), 405, "method_not_allowed")
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["connected"]) == (503, False)
        assert "unserved" not in ready.json()


async def test_virtual_table_is_read_only(client: httpx.AsyncClient) -> None:
    found = await client.get("/settings/cluster_name")
    assert (found.status_code, set(found.json())) == (200, {"name", "value"}), found.text
    everything = (await client.get("/settings/-/stream")).json()
    assert len(everything) > 100
    assert (await client.get("/settings?limit=3")).json() == everything[:3]
    assert (await client.get("/settings")).json() == everything[:10]
    assert (await client.get("/settings/-/stream?limit=3&fetch_size=2")).json() == everything[:3]
    assert (await client.get("/settings/-/stream?limit=0")).json() == []
    assert len((await client.get(f"/settings/-/stream?limit={2**53 - 1}")).json()) == len(everything)
    page = (await client.get("/settings/-/pages?limit=3")).json()
    assert page == {"rows": everything[:3], "has_more": False, "page_state": None}
    assert len((await client.get("/settings?name.in=cluster_name&name.in=none")).json()) == 1
    for method, target in (("POST", "/settings"), ("PUT", "/settings/x"), ("DELETE", "/settings/x")):
        refused = await client.request(method, target, json={"name": "x", "value": "y"})
        assert (refused.status_code, refused.headers.get("allow")) == (405, "GET, HEAD"), refused.text


async def _served_again(client: httpx.AsyncClient, target: str) -> None:
    for _ in range(100):
        if (await client.get(target)).status_code != 503:
            return
        await anyio.sleep(0.1)  # the schema is read again once in a second
    pytest.fail(f"{target} is not served again")
