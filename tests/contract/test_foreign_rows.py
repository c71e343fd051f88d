"""Rows that other programs wrote, with values that the service would refuse, are served."""

from __future__ import annotations

import uuid
from typing import Any

import anyio
import httpx
import pytest
from cassandra.cluster import Session

from contract.samples import ADA, USER_FIELDS, create, every_loop

pytestmark = [pytest.mark.anyio, every_loop]

FAR = {
    "9223372036854775807": "+292278994-08-17T07:12:55.807Z",
    "-9223372036854775808": "-292275055-05-16T16:47:04.192Z",
    "253402300800000": "+10000-01-01T00:00:00.000Z",
    "253402300799999": "9999-12-31T23:59:59.999Z",
    "-62135596800001": "+0000-12-31T23:59:59.999Z",
    "-62135596800000": "0001-01-01T00:00:00.000Z",
    "-1": "1969-12-31T23:59:59.999Z",
    "0": "1970-01-01T00:00:00.000Z",
}


@pytest.mark.parametrize(("stored", "shown"), FAR.items(), ids=FAR.values())
async def test_time_outside_the_years_1_to_9999(
    client: httpx.AsyncClient, cql: Session, users: str, stored: str, shown: str
) -> None:
    user_id = uuid.uuid4()
    cql.execute(f"INSERT INTO {users} (id, created_at) VALUES ({user_id}, {stored})")
    try:
        user = dict.fromkeys(USER_FIELDS) | {"id": str(user_id), "created_at": shown}
        assert (await client.get(f"/users/{user_id}")).json() == user
        assert user in (await client.get("/users/stream")).json()
    finally:
        cql.execute(f"DELETE FROM {users} WHERE id = {user_id}")


@pytest.mark.parametrize(
    ("stored", "shown"), [("NaN", "NaN"), ("Infinity", "Infinity"), ("-Infinity", "-Infinity"), ("0.1", 0.1)]
)
async def test_number_that_json_cannot_express_is_a_string(
    client: httpx.AsyncClient, cql: Session, keyspace: str, stored: str, shown: Any
) -> None:
    genus = uuid.uuid4().hex
    cql.execute(f"INSERT INTO {keyspace}.animals (genus, species, size_cm) VALUES ('{genus}', 's', {stored})")
    found = (await client.get(f"/animal/{genus}")).json()
    assert [animal["size_cm"] for animal in found] == [shown]
    assert (await client.get(f"/animal/{genus}/s")).json() == found[0]


@pytest.mark.parametrize("age", [-1, 151, 2**31 - 1, -(2**31)])
async def test_age_that_the_service_would_refuse(client: httpx.AsyncClient, cql: Session, users: str, age: int) -> None:
    user_id = uuid.uuid4()
    cql.execute(f"INSERT INTO {users} (id, age, name) VALUES ({user_id}, {age}, '')")
    user = dict.fromkeys(USER_FIELDS) | {"id": str(user_id), "age": age, "name": ""}
    assert (await client.get(f"/users/{user_id}")).json() == user


async def test_texts_that_the_service_would_refuse(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    user_id = uuid.uuid4()
    cql.execute(f"INSERT INTO {users} (id, name, email) VALUES (%s, %s, %s)", (user_id, "a\0b", "n" * 100_000))
    user = (await client.get(f"/users/{user_id}")).json()
    assert (user["name"], user["email"]) == ("a\0b", "n" * 100_000)


async def test_age_filter_leaves_out_users_without_an_age(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    user_id = uuid.uuid4()
    cql.execute(f"INSERT INTO {users} (id) VALUES ({user_id})")
    found = (await client.get("/users/stream?age_filter=0")).json()
    assert str(user_id) not in {user["id"] for user in found}
    assert str(user_id) in {user["id"] for user in (await client.get("/users/stream")).json()}


async def test_strange_rows_do_not_disturb_other_requests(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    strange = uuid.uuid4()
    cql.execute(f"INSERT INTO {users} (id, created_at) VALUES ({strange}, 9223372036854775807)")
    plain = await create(client)
    statuses: list[tuple[str, int]] = []

    async def ask(method: str, path: str, **arguments: Any) -> None:
        statuses.append((method, (await client.request(method, path, **arguments)).status_code))

    async with anyio.create_task_group() as tasks:
        for _ in range(30):
            tasks.start_soon(ask, "GET", f"/users/{strange}")
            tasks.start_soon(ask, "GET", f"/users/{plain['id']}")
            tasks.start_soon(ask, "GET", "/users/stream?fetch_size=1&limit=5")
            tasks.start_soon(_with(ask, json=ADA), "POST", "/users")
    cql.execute(f"DELETE FROM {users} WHERE id = {strange}")
    assert set(statuses) == {("GET", 200), ("POST", 201)}
    assert len(statuses) == 120


def _with(ask: Any, **arguments: Any) -> Any:
    async def asked(method: str, path: str) -> None:
        await ask(method, path, **arguments)

    return asked
