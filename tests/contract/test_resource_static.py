"""Static columns over HTTP: PATCH of the partition sets them, and nothing else does."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.problems import problem

from asgi_app.settings import Settings
from contract.written import firm_events, items, mine, serving_resources

pytestmark = pytest.mark.anyio

AT = "2026-11-28T09:00:00.000Z"


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, settings: Settings, cql: Session) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_resources(cql, settings, items, mine, firm_events) as started:
        yield started


@pytest.fixture
def tenant() -> str:
    return uuid.uuid4().hex


def stored(cql: Session, keyspace: str, tenant: str) -> list[tuple[Any, ...]]:
    rows = cql.execute(
        f"SELECT kind, owner, labels FROM {keyspace}.items WHERE tenant = '{tenant}' AND day = '2026-11-28'"
    )
    return [(row.kind, row.owner, None if row.labels is None else set(row.labels)) for row in rows]


async def test_patch_of_a_partition(client: httpx.AsyncClient, cql: Session, keyspace: str, tenant: str) -> None:
    partition = f"/items/{tenant}/2026-11-28"
    response = await client.patch(partition, json={"owner": "Ada", "labels": ["a"]})
    assert (response.status_code, response.content) == (204, b"")
    assert stored(cql, keyspace, tenant) == [(None, "Ada", {"a"})]
    (row,) = (await client.get(partition)).json()  # a partition of static columns alone: no clustering columns
    assert (row["at"], row["id"], row["owner"], row["labels"]) == (None, None, "Ada", ["a"])
    for item in (uuid.uuid4(), uuid.uuid4()):
        await client.put(f"{partition}/{AT}/{item}", json={"kind": "a"})
    assert (await client.patch(partition, json={"owner": None, "labels": {"$add": ["b"]}})).status_code == 204
    assert stored(cql, keyspace, tenant) == [("a", None, {"a", "b"})] * 2
    assert [row["labels"] for row in (await client.get(partition)).json()] == [["a", "b"]] * 2


async def test_ttl_of_static_columns(client: httpx.AsyncClient, cql: Session, keyspace: str, tenant: str) -> None:
    headers = {"Cassandra-TTL": "1000"}
    await client.patch(f"/items/{tenant}/2026-11-28", json={"owner": "Ada"}, headers=headers)
    row = cql.execute(
        f"SELECT TTL(owner) AS t FROM {keyspace}.items WHERE tenant = '{tenant}' AND day = '2026-11-28'"
    ).one()
    assert 990 < row.t <= 1000


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({}, [""]),
        ({"owner": 1}, ["/owner"]),
        ({"owner": "a" * 11}, ["/owner"]),
        ({"owner": "x"}, ["/kind"]),  # the resource's `check`
        ({"kind": "a"}, ["/kind"]),
        ({"owner": "a", "tenant": "b"}, ["/tenant"]),
        ({"labels": {"$add": [1]}}, ["/labels/$add/0"]),
    ],
    ids=str,
)
async def test_wrong_change(
    client: httpx.AsyncClient, cql: Session, keyspace: str, tenant: str, change: Any, fields: list[str]
) -> None:
    problem(await client.patch(f"/items/{tenant}/2026-11-28", json=change), 422, "invalid_input", *fields)
    assert stored(cql, keyspace, tenant) == []


async def test_row_takes_no_static_columns(client: httpx.AsyncClient, cql: Session, keyspace: str, tenant: str) -> None:
    item = {"tenant": tenant, "day": "2026-11-28", "at": AT, "id": str(uuid.uuid4())}
    for method, path, body in (
        ("POST", "/items", {**item, "kind": "a"}),
        ("PUT", f"/items/{tenant}/2026-11-28/{AT}/{item['id']}", {"kind": "a"}),
        ("PATCH", f"/items/{tenant}/2026-11-28/{AT}/{item['id']}", {"kind": "a"}),
    ):
        response = await client.request(method, path, json={**body, "owner": "me"})
        problem(response, 422, "invalid_input", "/owner")
    assert stored(cql, keyspace, tenant) == []


async def test_partition_that_is_bound(client: httpx.AsyncClient, cql: Session, keyspace: str, tenant: str) -> None:
    response = await client.patch("/mine/2026-11-28", json={"owner": "Ada"}, headers={"X-Name": tenant})
    assert response.status_code == 204
    assert stored(cql, keyspace, tenant) == [(None, "Ada", None)]


async def test_conditional_resource_does_not_set_them(
    client: httpx.AsyncClient, cql: Session, keyspace: str, tenant: str
) -> None:
    """`UPDATE … IF EXISTS` of static columns looks only at the static row."""
    created = await client.post("/firm_events", json={"tenant": tenant, "id": "a", "text": "t"})
    assert created.status_code == 201
    response = await client.patch(f"/firm_events/{tenant}", json={"owner": "Ada"})
    problem(response, 405, "method_not_allowed")
    cql.execute(f"UPDATE {keyspace}.firm_events USING TIMESTAMP 1 SET owner = 'Bo' WHERE tenant = '{tenant}'")
    row = created.headers["location"]
    assert (await client.put(row, json={"text": "u"})).json() == {
        "tenant": tenant,
        "id": "a",
        "text": "u",
        "owner": "Bo",
    }
    assert (await client.delete(row)).status_code == 204
    assert (await client.get(f"/firm_events/{tenant}")).json() == [
        {"tenant": tenant, "id": None, "text": None, "owner": "Bo"}
    ]
    problem(await client.put(row, json={"text": "v"}), 404, "not_found")  # a static row is no row
