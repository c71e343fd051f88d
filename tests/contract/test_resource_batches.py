"""Batches of rows over HTTP: all or none, or each row by itself."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import count
from helpers.faulty_node import BATCH, EXECUTE, faulty_node, write_timeout
from helpers.problems import problem
from helpers.service import settings_for

from asgi_app.db import Database
from asgi_app.resources.table.writing import WRITES_AT_ONCE
from asgi_app.settings import Settings
from contract.written import JSON, documents, each, items, longs, notes, scaled, serving_resources, tallies

pytestmark = pytest.mark.anyio

DAY = "/items/acme/2026-11-28"


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, settings: Settings, cql: Session) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_resources(cql, settings, items, each, documents, notes, longs, scaled, tallies) as started:
        yield started


def item(**values: Any) -> dict[str, Any]:
    key = {"tenant": "batch", "day": "2026-11-28", "at": "2026-11-28T09:00:00.000Z", "id": str(uuid.uuid4())}
    return {**key, "kind": "a", **values}


def document(**values: Any) -> dict[str, Any]:
    return {"id": uuid.uuid4().hex, "title": "new", **values}


async def test_logged_batch_creates_all(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    before = count(cql, f"{keyspace}.items")
    rows = [item(size=size, tags=["t"]) for size in range(100)]
    response = await client.post("/items/-/batch", json=rows, headers={"Cassandra-TTL": "1000"})
    assert response.status_code == 201, response.text
    body = response.json()
    assert list(body) == ["created", "rows"]
    assert body["created"] == 100
    assert [{name: row[name] for name in rows[0]} for row in body["rows"]] == rows
    assert count(cql, f"{keyspace}.items") == before + 100
    key = [rows[7][name] for name in ("tenant", "day", "at", "id")]
    assert (await client.get("/items/" + "/".join(key))).json() == body["rows"][7]
    left = cql.execute(f"SELECT TTL(kind) AS t FROM {keyspace}.items WHERE id = {rows[7]['id']} ALLOW FILTERING").one()
    assert 990 < left.t <= 1000


async def test_rows_of_a_logged_batch_can_be_changed_at_once(client: httpx.AsyncClient) -> None:
    rows = (await client.post("/notes/-/batch", json=[{"text": "a"}] * 10)).json()["rows"]
    assert len({row["id"] for row in rows}) == 10
    for row in rows:
        assert (await client.patch(f"/notes/{row['id']}", json={"text": "b"})).json() == {**row, "text": "b"}


@pytest.mark.parametrize("path", ["/items", "/each"])
@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ([], [""]),
        ([item() for _ in range(101)], [""]),
        ({}, [""]),
        ({"rows": [item()]}, [""]),
        (None, [""]),
        ([None], ["/0"]),
        ([item(), [], "x"], ["/1", "/2"]),
        ([item(), item(kind=1), item(no=1)], ["/1/kind", "/2/no"]),
        ([item(), {"kind": "a"}], ["/1/tenant", "/1/day", "/1/at", "/1/id"]),
        ([item(), item(tags=["a", None])], ["/1/tags/1"]),
        ([item(), item(kind="x")], ["/1/kind"]),
        ([item(), item(), item(tenant="t" * 65_536)], ["/2/tenant"]),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_wrong_row_is_named_and_nothing_is_written(
    client: httpx.AsyncClient, cql: Session, keyspace: str, path: str, body: Any, fields: list[str]
) -> None:
    if path == "/each" and fields == ["/1/kind"]:
        fields, body = ["/1/kind"], [item(), item(kind=None)]
    before = count(cql, f"{keyspace}.items")
    response = await client.post(f"{path}/-/batch", content=json.dumps(body), headers=JSON)
    problem(response, 422, "invalid_input", *fields)
    assert count(cql, f"{keyspace}.items") == before


async def test_key_that_occurs_twice(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    twin = item()
    again = {**twin, "at": "2026-11-28T10:00:00+01:00", "kind": "b"}
    before = count(cql, f"{keyspace}.items")
    for path in ("/items", "/each"):
        response = await client.post(f"{path}/-/batch", json=[item(), twin, again, twin])
        problem(response, 422, "invalid_input", "/2", "/3")
    assert count(cql, f"{keyspace}.items") == before
    document_id = document()
    response = await client.post("/documents/-/batch", json=[document_id, document_id])
    problem(response, 422, "invalid_input", "/1")
    # Cassandra takes decimals of another scale for the same clustering key
    rows = [{"id": "a", "at": "1.0"}, {"id": "a", "at": "1.00"}, {"id": "b", "at": "1.0"}]
    problem(await client.post("/scaled/-/batch", json=rows), 422, "invalid_input", "/1")
    assert (await client.post("/scaled/-/batch", json=rows[1:])).status_code == 200


async def test_batch_of_each_row_by_itself(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    rows = [item(size=size) for size in range(50)]
    before = count(cql, f"{keyspace}.items")
    response = await client.post("/each/-/batch", json=rows)
    assert (response.status_code, response.json()) == (200, {"results": [{"status": 201}] * 50})
    assert count(cql, f"{keyspace}.items") == before + 50


async def test_rows_are_written_some_at_a_time(
    settings: Settings, cql: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute, running, most = Database.execute, 0, 0

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await execute(*args, **options)
        finally:
            running -= 1

    async with serving_resources(cql, settings, each) as client:
        assert (await client.get("/readyz")).status_code == 200
        monkeypatch.setattr(Database, "execute", counted)
        response = await client.post("/each/-/batch", json=[item() for _ in range(100)])
    assert response.json() == {"results": [{"status": 201}] * 100}
    assert 1 < most <= WRITES_AT_ONCE


async def test_conditional_rows_are_created_once(client: httpx.AsyncClient) -> None:
    there = document()
    assert (await client.post("/documents", json=there)).status_code == 201
    response = await client.post("/documents/-/batch", json=[document(), {**there, "title": "x"}, document()])
    created, conflict, _ = results = response.json()["results"]
    assert [result["status"] for result in results] == [201, 409, 201]
    assert created == {"status": 201}
    assert (conflict["code"], set(conflict)) == ("conflict", {"status", "code", "detail"})
    assert (await client.get(f"/documents/{there['id']}")).json()["title"] == "new"


def long(at: int, **key: str) -> dict[str, Any]:
    return {"a": str(at), "b": "b", "c": str(at), "d": "0x" + "00" * 1000, **key}


async def test_batch_that_is_too_large(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    cql.execute(f"TRUNCATE {keyspace}.longs")
    problem(await client.post("/longs/-/batch", json=[long(at) for at in range(100)]), 413, "batch_too_large")
    assert count(cql, f"{keyspace}.longs") == 0
    # A batch of one partition is one write.
    response = await client.post("/longs/-/batch", json=[long(at, a="a") for at in range(100)])
    assert response.status_code == 201, response.text
    assert count(cql, f"{keyspace}.longs") == 100


async def test_batch_that_cassandra_refuses(settings: Settings, cql: Session, keyspace: str) -> None:
    async with serving_resources(cql, settings, longs, max_batch_bytes=10_000_000) as client:
        cql.execute(f"TRUNCATE {keyspace}.longs")
        problem(await client.post("/longs/-/batch", json=[long(at) for at in range(100)]), 413, "batch_too_large")
        assert count(cql, f"{keyspace}.longs") == 0
        assert (await client.post("/longs/-/batch", json=[long(1), long(2)])).status_code == 201


async def test_resource_without_batches(client: httpx.AsyncClient) -> None:
    assert (await client.post("/tallies/-/batch", json=[])).status_code in (404, 405)


async def test_outcome_that_nobody_knows(
    node_address: tuple[str, int], settings: Settings, cql: Session, keyspace: str
) -> None:
    """A write that timed out may have been applied. Only one that changes nothing when repeated is sent again."""
    with faulty_node(node_address) as node:
        through = settings_for(("127.0.0.1", node.port), keyspace)
        async with serving_resources(cql, through, items, documents, notes, tallies, protocol_version=4) as client:
            assert (await client.get("/readyz")).status_code == 200  # the schema was read: no fault can hit that
            note = (await client.post("/notes", json={"text": "a"})).headers["location"]
            node.fail(BATCH, write_timeout("BATCH_LOG"))
            assert (await client.post("/notes/-/batch", json=[{"text": "a"}] * 3)).status_code == 201
            assert node.asked[BATCH] == 2
            # a list would have each member twice
            node.fail(BATCH, write_timeout("BATCH_LOG"))
            response = await client.post("/items/-/batch", json=[item(steps=["a"])])
            problem(response, 504, "write_timeout", outcome="unknown")
            assert node.asked[BATCH] == 1
            # `always`: after a timeout the service also pings the node, which is an EXECUTE too
            node.fail(EXECUTE, write_timeout("CAS"), always=True)
            problem(await client.patch(note, json={"text": "b"}), 504, "write_timeout", outcome="unknown")
            problem(await client.put(note, json={"text": "b"}), 504, "write_timeout", outcome="unknown")
            problem(await client.delete(note), 504, "write_timeout", outcome="unknown")
            response = await client.patch("/tallies/a", json={"seen": {"$inc": 1}})
            problem(response, 504, "write_timeout", outcome="unknown")
            results = (await client.post("/documents/-/batch", json=[document(), document()])).json()["results"]
            assert [(result["status"], result["outcome"]) for result in results] == [(504, "unknown")] * 2
