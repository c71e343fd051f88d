"""A missing keyspace, table or column: 503 until it exists, without a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import create as create_schema
from helpers.cassandra import own_keyspace, remove, unused_keyspace
from helpers.problems import problem
from helpers.service import serving, settings_for

from asgi_app.tables.builtin import ANIMALS, PLANTS, USERS
from asgi_app.tables.cql import Queries
from contract.samples import ADA, OWL, create, every_loop

pytestmark = pytest.mark.anyio

ID = "00000000-0000-4000-8000-000000000000"
REQUESTS: dict[str, list[tuple[str, str, Any]]] = {
    "users": [
        ("GET", "/users", None),
        ("GET", f"/users/{ID}", None),
        ("GET", "/users/stream", None),
        ("GET", "/users/stream?age_filter=1", None),
        ("GET", "/users/stream/pages", None),
        ("POST", "/users", ADA),
        ("POST", "/users/batch", [ADA]),
        ("PUT", f"/users/{ID}", ADA),
        ("PATCH", f"/users/{ID}", {"age": 1}),
        ("DELETE", f"/users/{ID}", None),
    ],
    "animals": [("GET", "/animal/a", None), ("GET", "/animal/a/b", None), ("POST", "/animal", OWL)],
    "plants": [("GET", "/plant/a", None)],
}


async def _expect_missing(client: httpx.AsyncClient, *tables: str) -> None:
    for table, requests in REQUESTS.items():
        for method, path, body in requests:
            response = await client.request(method, path, json=body)
            if table in tables:
                problem(response, 503, "schema_missing")
            else:
                assert response.status_code in {200, 201, 204, 404}, response.text
    ready = await client.get("/readyz")
    assert ready.status_code == (503 if tables else 200)
    assert ready.json()["missing_tables"] == list(tables)
    health = await client.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "healthy")


@pytest.fixture
async def bare(
    node_address: tuple[str, int], cql: Session, anyio_backend: Any
) -> AsyncIterator[tuple[str, httpx.AsyncClient]]:
    """A service whose keyspace does not exist: the keyspace and a client. Health is not cached, so no test waits."""
    keyspace = unused_keyspace()
    async with serving(settings_for(node_address, keyspace, health_ttl=0.0)) as (_, client):
        yield keyspace, client
    remove(cql, keyspace)


@every_loop
async def test_missing_keyspace_is_503_until_it_is_created(bare: tuple[str, httpx.AsyncClient], cql: Session) -> None:
    keyspace, client = bare
    await _expect_missing(client, "users", "animals", "plants")
    create_schema(cql, keyspace)
    await _expect_missing(client)
    user = await create(client)
    assert (await client.get("/users")).json()[0].keys() == user.keys()


async def test_missing_tables_are_reported_one_by_one(bare: tuple[str, httpx.AsyncClient], cql: Session) -> None:
    keyspace, client = bare
    create_schema(cql, keyspace, [])
    await _expect_missing(client, "users", "animals", "plants")
    create_schema(cql, keyspace, [ANIMALS])
    await _expect_missing(client, "users", "plants")
    create_schema(cql, keyspace, [USERS])
    await _expect_missing(client, "plants")
    create_schema(cql, keyspace, [PLANTS])
    await _expect_missing(client)


async def test_recreated_table_is_served_again(bare: tuple[str, httpx.AsyncClient], cql: Session) -> None:
    keyspace, client = bare
    create_schema(cql, keyspace)
    await _expect_missing(client)
    cql.execute(f"DROP TABLE {keyspace}.users")
    await _expect_missing(client, "users")
    cql.execute(Queries(keyspace, USERS).create_table())
    await _expect_missing(client)
    user = await create(client)
    assert (await client.get(f"/users/{user['id']}")).json() == user


async def test_missing_column_is_503_until_it_is_added(bare: tuple[str, httpx.AsyncClient], cql: Session) -> None:
    keyspace, client = bare
    create_schema(cql, keyspace, [ANIMALS, PLANTS])
    cql.execute(f"CREATE TABLE {keyspace}.users (id uuid PRIMARY KEY, name text, email text, created_at timestamp)")
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["missing_tables"]) == (503, ["users"])
    problem(await client.get("/users"), 503, "schema_missing")
    problem(await client.post("/users", json=ADA), 503, "schema_missing")
    problem(await client.patch(f"/users/{ID}", json={"age": 1}), 503, "schema_missing")
    cql.execute(f"ALTER TABLE {keyspace}.users ADD (age int, updated_at timestamp)")
    await _expect_missing(client)


async def test_recreated_column_is_served_again(bare: tuple[str, httpx.AsyncClient], cql: Session) -> None:
    keyspace, client = bare
    create_schema(cql, keyspace)
    await _expect_missing(client)
    cql.execute(f"ALTER TABLE {keyspace}.users DROP age")
    for method, path, body in REQUESTS["users"][:7]:
        problem(await client.request(method, path, json=body), 503, "schema_missing")
    cql.execute(f"ALTER TABLE {keyspace}.users ADD age int")
    await _expect_missing(client)


async def test_additional_columns_are_ignored(node_address: tuple[str, int], cql: Session) -> None:
    with own_keyspace(cql) as keyspace:
        async with serving(settings_for(node_address, keyspace)) as (_, client):
            user = await create(client)
            cql.execute(f"ALTER TABLE {keyspace}.users ADD (aaa text, zzz int)")
            cql.execute(f"UPDATE {keyspace}.users SET aaa = 'x', zzz = 1 WHERE id = {user['id']}")
            assert (await client.get(f"/users/{user['id']}")).json() == user
            assert (await client.get("/users")).json() == [user]
            assert (await client.get("/users/stream")).json() == [user]


async def test_column_of_another_type_is_never_a_500(node_address: tuple[str, int], cql: Session) -> None:
    with own_keyspace(cql, [ANIMALS, PLANTS]) as keyspace:
        cql.execute(
            f"CREATE TABLE {keyspace}.users (id uuid PRIMARY KEY, name text, email text, age text,"
            " created_at timestamp, updated_at timestamp)"
        )
        async with serving(settings_for(node_address, keyspace)) as (_, client):
            for method, path, body in REQUESTS["users"]:
                response = await client.request(method, path, json=body)
                assert response.status_code in {200, 204, 404, 422, 503}, (method, path, response.text)
