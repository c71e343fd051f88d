"""POST /users/batch: all of 1 to 100 users in one logged batch, or none."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import count
from helpers.faulty_node import BATCH, faulty_node, invalid_request
from helpers.problems import problem
from helpers.service import serving, settings_for

from asgi_app.settings import Settings
from contract.samples import ADA, BO, JSON, MOMENT, USER_FIELDS, every_loop

pytestmark = [
    pytest.mark.anyio,
]

WRAPPED = pytest.mark.parametrize(
    "wrap", [lambda members: members, lambda members: {"users": members}], ids=["[]", "{}"]
)
LONG_NAME = {**ADA, "name": "🦉" * 255}
"""A user whose name has 255 characters and 1020 bytes."""


@every_loop
@WRAPPED
@pytest.mark.parametrize("size", [1, 2, 99, 100])
async def test_batch_creates_all_members_in_order(
    client: httpx.AsyncClient, cql: Session, users: str, wrap: Any, size: int
) -> None:
    before = count(cql, users)
    members = [{**ADA, "age": age} for age in range(size)]
    response = await client.post("/users/batch", json=wrap(members))

    assert response.status_code == 201, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["created", "users"]
    assert body["created"] == size
    assert [{name: user[name] for name in ADA} for user in body["users"]] == members
    assert all(list(user) == USER_FIELDS for user in body["users"])
    assert all(MOMENT.fullmatch(user["created_at"]) for user in body["users"])
    assert len({user["id"] for user in body["users"]}) == size
    assert count(cql, users) == before + size


async def test_get_returns_each_member_as_it_was_answered(client: httpx.AsyncClient) -> None:
    for user in (await client.post("/users/batch", json=[ADA, BO, LONG_NAME])).json()["users"]:
        assert (await client.get(f"/users/{user['id']}")).json() == user


async def test_member_can_be_changed_right_after(client: httpx.AsyncClient) -> None:
    for user in (await client.post("/users/batch", json=[ADA] * 20)).json()["users"]:
        assert (await client.patch(f"/users/{user['id']}", json={"age": 3})).json()["age"] == 3


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ([], [""]),
        ({"users": []}, ["/users"]),
        ([ADA] * 101, [""]),
        ({"users": [ADA] * 101}, ["/users"]),
        ({}, ["/users"]),
        ({"users": None}, ["/users"]),
        ({"users": {}}, ["/users"]),
        ({"users": "x"}, ["/users"]),
        ({"users": [ADA], "more": 1}, ["/more"]),
        (ADA, ["/name", "/email", "/age", "/users"]),
        (None, [""]),
        ("x", [""]),
        (1, [""]),
        (True, [""]),
        ([None], ["/0"]),
        ([[]], ["/0"]),
        ([ADA, 1, BO, "x"], ["/1", "/3"]),
        ([ADA, {}, BO], ["/1/name", "/1/email", "/1/age"]),
        ({"users": [ADA, {}, BO]}, ["/users/1/name", "/users/1/email", "/users/1/age"]),
        ([ADA] * 99 + [{**ADA, "age": -1}], ["/99/age"]),
        ([{**ADA, "name": None}, {**ADA, "id": 1}, {**ADA, "email": "x"}], ["/0/name", "/1/id", "/2/email"]),
        ({"users": [{**ADA, "a/b~c": 1}]}, ["/users/0/a~1b~0c"]),
    ],
    ids=lambda value: ascii(value)[:30],
)
async def test_invalid_member_is_named_by_index_and_nothing_is_written(
    client: httpx.AsyncClient, cql: Session, users: str, body: Any, fields: list[str]
) -> None:
    before = count(cql, users)
    response = await client.post("/users/batch", content=json.dumps(body), headers=JSON)
    problem(response, 422, "invalid_input", *fields)
    assert count(cql, users) == before


@every_loop
async def test_batch_over_max_batch_bytes_is_413_and_nothing_is_written(
    client: httpx.AsyncClient, cql: Session, users: str
) -> None:
    before = count(cql, users)
    problem(await client.post("/users/batch", json=[LONG_NAME] * 100), 413, "batch_too_large")
    assert count(cql, users) == before


@every_loop
async def test_batch_that_cassandra_refuses_is_413_and_nothing_is_written(
    settings: Settings, cql: Session, users: str
) -> None:
    before = count(cql, users)
    generous = Settings(
        cassandra_hosts=settings.cassandra_hosts, cassandra_keyspace=settings.keyspace, max_batch_bytes=10_000_000
    )
    async with serving(generous) as (_, client):
        problem(await client.post("/users/batch", json=[LONG_NAME] * 100), 413, "batch_too_large")
        assert count(cql, users) == before
        assert (await client.post("/users/batch", json=[ADA])).status_code == 201


async def test_batch_with_a_value_that_cassandra_refuses_is_not_too_large(
    node_address: tuple[str, int], keyspace: str
) -> None:
    with faulty_node(node_address) as node:
        async with serving(settings_for(("127.0.0.1", node.port), keyspace)) as (_, client):
            node.fail(BATCH, invalid_request())
            problem(await client.post("/users/batch", json=[ADA]), 422, "rejected_by_cassandra")
            assert (await client.post("/users/batch", json=[ADA])).status_code == 201


SHAPES = {
    "short": {"name": "n", "email": "a@b.c", "age": 1},
    "middle": {"name": "n" * 100, "email": "a" * 60 + "@b.c", "age": 1},
    "full": {"name": "n" * 255, "email": "a" * 83 + "@b.c", "age": 1},
    "long": {"name": "n" * 255, "email": "a" * 250 + "@b.c", "age": 1},
    "wide": {"name": "🦉" * 255, "email": "é" * 250 + "@b.c", "age": 1},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
async def test_cassandra_accepts_what_the_default_max_batch_bytes_allows(
    settings: Settings, shape: dict[str, Any]
) -> None:
    """Cassandra writes the largest batch of each shape that the estimate allows; one user more is 413."""
    async with serving(settings) as (_, client):
        accepted, refused = 0, 101
        while accepted + 1 < refused:
            size = (accepted + refused) // 2
            response = await client.post("/users/batch", json=[shape] * size)
            if response.status_code == 201:
                accepted = size
            else:
                problem(response, 413, "batch_too_large")
                refused = size
    generous = Settings(
        cassandra_hosts=settings.cassandra_hosts, cassandra_keyspace=settings.keyspace, max_batch_bytes=10_000_000
    )
    async with serving(generous) as (_, client):
        within = await client.post("/users/batch", json=[shape] * accepted)
        most = accepted
        while most < 100 and (await client.post("/users/batch", json=[shape] * (most + 1))).status_code == 201:
            most += 1
    assert within.status_code == 201
    assert accepted >= most * 0.85, f"the estimate takes {accepted} where Cassandra takes {most}"
