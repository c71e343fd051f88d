"""Counters over HTTP: they are only ever changed by `$inc`."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import count
from helpers.problems import problem

from asgi_app.settings import Settings
from contract.written import erasable, serving_resources, tallies, visits

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, settings: Settings, cql: Session) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_resources(cql, settings, tallies, erasable, visits) as started:
        yield started


@pytest.fixture
def address() -> str:
    return f"/tallies/{uuid.uuid4().hex}"


def stored(cql: Session, keyspace: str, address: str) -> Any:
    row_id = address.rpartition("/")[2]
    return cql.execute(f"SELECT seen, sold FROM {keyspace}.tallies WHERE id = '{row_id}'").one()


async def test_increments(client: httpx.AsyncClient, cql: Session, keyspace: str, address: str) -> None:
    problem(await client.get(address), 404, "not_found")
    for change in ({"seen": {"$inc": 2}}, {"seen": {"$inc": -5}, "sold": {"$inc": 0}}, {"sold": {"$inc": 1}}):
        response = await client.patch(address, json=change)
        assert (response.status_code, response.content) == (204, b"")
    row_id = address.rpartition("/")[2]
    assert (await client.get(address)).json() == {"id": row_id, "seen": -3, "sold": 1}
    assert tuple(stored(cql, keyspace, address)) == (-3, 1)


async def test_concurrent_increments_all_count(client: httpx.AsyncClient, address: str) -> None:
    answers: Counter[int] = Counter()

    async def add() -> None:
        answers[(await client.patch(address, json={"seen": {"$inc": 3}})).status_code] += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(add)
    assert answers == {204: 20}
    assert (await client.get(address)).json()["seen"] == 60


async def test_counter_wraps_around(client: httpx.AsyncClient, address: str) -> None:
    """Cassandra adds modulo 2^64 and says nothing."""
    for amount in (2**63 - 1, 1):
        assert (await client.patch(address, json={"seen": {"$inc": amount}})).status_code == 204
    assert (await client.get(address)).json()["seen"] == -(2**63)


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({}, [""]),
        ({"seen": 1}, ["/seen"]),
        ({"seen": None}, ["/seen"]),
        ({"seen": {}}, ["/seen"]),
        ({"seen": {"$inc": 1, "$add": 1}}, ["/seen"]),
        ({"seen": {"$add": [1]}}, ["/seen"]),
        ({"seen": {"$inc": None}}, ["/seen/$inc"]),
        ({"seen": {"$inc": "1"}}, ["/seen/$inc"]),
        ({"seen": {"$inc": True}}, ["/seen/$inc"]),
        ({"seen": {"$inc": 1.0}}, ["/seen/$inc"]),
        ({"seen": {"$inc": 2**63}}, ["/seen/$inc"]),
        ({"seen": {"$inc": -(2**63) - 1}, "sold": {"$inc": 1}}, ["/seen/$inc"]),
        ({"id": "x"}, ["/id"]),
    ],
    ids=str,
)
async def test_wrong_change(
    client: httpx.AsyncClient, cql: Session, keyspace: str, address: str, change: Any, fields: list[str]
) -> None:
    problem(await client.patch(address, json=change), 422, "invalid_input", *fields)
    assert stored(cql, keyspace, address) is None


async def test_what_counters_do_not_have(client: httpx.AsyncClient, cql: Session, keyspace: str, address: str) -> None:
    before = count(cql, f"{keyspace}.tallies")
    problem(await client.post("/tallies", json={"id": "a"}), 405, "method_not_allowed")
    response = await client.put(address, json={"seen": 1})
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, HEAD, PATCH"
    found = problem(await client.delete(address), 405, "method_not_allowed")
    assert "delete_counters=True in its declaration" in found["detail"]
    for name, value in (("Cassandra-TTL", "1"), ("If-Match", "*"), ("If-None-Match", "*")):
        response = await client.patch(address, json={"seen": {"$inc": 1}}, headers={name: value})
        problem(response, 400, "invalid_header", f"header.{name}")
    assert count(cql, f"{keyspace}.tallies") == before


async def test_delete_where_declared(client: httpx.AsyncClient, cql: Session, keyspace: str, address: str) -> None:
    await client.patch(address, json={"seen": {"$inc": 1}})
    assert (await client.delete(address.replace("/tallies", "/erasable"))).status_code == 204
    assert stored(cql, keyspace, address) is None


async def test_static_counters(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    site = uuid.uuid4().hex
    assert (await client.patch(f"/visits/{site}", json={"total": {"$inc": 2}})).status_code == 204
    assert (await client.patch(f"/visits/{site}/a", json={"seen": {"$inc": 1}})).status_code == 204
    assert (await client.get(f"/visits/{site}")).json() == [{"site": site, "page": "a", "seen": 1, "total": 2}]
    problem(await client.patch(f"/visits/{site}/a", json={"total": {"$inc": 1}}), 422, "invalid_input", "/total")
    row = cql.execute(f"SELECT total, seen FROM {keyspace}.visits WHERE site = '{site}'").one()
    assert tuple(row) == (2, 1)
