"""One user: create, read, replace, change, delete."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from functools import partial
from itertools import chain, combinations
from typing import Any

import anyio
import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import count
from helpers.problems import problem

from contract.samples import ADA, BO, LONG_AGO, MOMENT, USER_FIELDS, create, every_loop

pytestmark = [
    pytest.mark.anyio,
    every_loop,
]

LONGEST_EMAIL = "a" * 250 + "@b.c"
ACCEPTED = [
    {"name": "x"},
    {"name": "n" * 255},
    {"name": "🦉" * 255},
    {"name": "e\u0301 \u202e\ufeff\ue000\U0010ffff"},
    {"name": "'; DROP TABLE users; --"},
    {"name": '"]}\\/\b\f\n\r\t'},
    {"name": "${jndi:ldap://x} %s {0} $$"},
    {"email": LONGEST_EMAIL},
    {"email": "ü@bücher.example"},
    {"email": "o'brien+tag@sub.sub.example.co"},
    {"age": 0},
    {"age": 150},
]


async def test_post_answers_with_the_whole_user(client: httpx.AsyncClient) -> None:
    before = time.time()
    response = await client.post("/users", json=ADA)
    after = time.time()

    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    user = response.json()
    assert list(user) == USER_FIELDS
    assert {name: user[name] for name in ADA} == ADA
    assert str(uuid.UUID(user["id"])) == user["id"]
    assert user["created_at"] == user["updated_at"]
    assert MOMENT.fullmatch(user["created_at"])
    assert int(before * 1000) / 1000 <= datetime.fromisoformat(user["created_at"]).timestamp() <= after
    assert response.headers["location"] == f"/users/{user['id']}"


@pytest.mark.parametrize("changes", ACCEPTED, ids=lambda changes: ascii(changes)[:40])
async def test_get_returns_the_bytes_that_post_returned(client: httpx.AsyncClient, changes: Any) -> None:
    created = await client.post("/users", json=ADA | changes)
    assert created.status_code == 201, created.text
    read = await client.get(created.headers["location"])

    assert (read.status_code, read.content) == (200, created.content)
    assert {name: read.json()[name] for name in ADA} == ADA | changes
    assert b"\n" not in read.content
    assert b'": ' not in read.content


async def test_stored_row_equals_the_answer(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    user = await create(client)
    row = cql.execute(f"SELECT * FROM {users} WHERE id = {user['id']}").one()

    assert (row.name, row.email, row.age) == (ADA["name"], ADA["email"], ADA["age"])
    for stored, answered in ((row.created_at, user["created_at"]), (row.updated_at, user["updated_at"])):
        assert stored.replace(tzinfo=UTC) == datetime.fromisoformat(answered)


async def test_ids_are_unique(client: httpx.AsyncClient) -> None:
    assert len({(await create(client))["id"] for _ in range(10)}) == 10


@pytest.mark.parametrize("case", [str.upper, str.lower])
async def test_id_in_upper_case_is_accepted_and_answered_in_lower_case(client: httpx.AsyncClient, case: Any) -> None:
    user = await create(client)
    response = await client.get(f"/users/{case(user['id'])}")
    assert (response.status_code, response.json()) == (200, user)


async def test_missing_user_is_404_for_reads_and_changes(client: httpx.AsyncClient) -> None:
    path = f"/users/{uuid.uuid4()}"
    problem(await client.get(path), 404, "not_found")
    problem(await client.put(path, json=ADA), 404, "not_found")
    problem(await client.patch(path, json={"age": 1}), 404, "not_found")


async def test_put_replaces_all_fields_and_keeps_created_at(client: httpx.AsyncClient) -> None:
    user = await create(client)
    await _next_millisecond()
    response = await client.put(f"/users/{user['id']}", json=BO)

    assert response.status_code == 200
    replaced = response.json()
    assert list(replaced) == USER_FIELDS
    assert replaced == user | BO | {"updated_at": replaced["updated_at"]}
    assert replaced["updated_at"] > user["updated_at"]
    assert (await client.get(f"/users/{user['id']}")).content == response.content


@pytest.mark.parametrize("left_out", [*combinations(ADA, 1), *combinations(ADA, 2), *combinations(ADA, 3)])
async def test_put_names_every_missing_field(client: httpx.AsyncClient, left_out: tuple[str, ...]) -> None:
    user = await create(client)
    body = {name: value for name, value in BO.items() if name not in left_out}
    problem(
        await client.put(f"/users/{user['id']}", json=body), 422, "invalid_input", *[f"/{name}" for name in left_out]
    )
    assert (await client.get(f"/users/{user['id']}")).json() == user


@pytest.mark.parametrize("names", [*chain.from_iterable(combinations(ADA, size) for size in (1, 2, 3))])
async def test_patch_changes_only_the_fields_sent(client: httpx.AsyncClient, names: tuple[str, ...]) -> None:
    user = await create(client)
    await _next_millisecond()
    changes = {name: BO[name] for name in names}
    response = await client.patch(f"/users/{user['id']}", json=changes)

    assert response.status_code == 200
    changed = response.json()
    assert changed == user | changes | {"updated_at": changed["updated_at"]}
    assert changed["updated_at"] > user["updated_at"]
    assert (await client.get(f"/users/{user['id']}")).content == response.content


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, [""]),
        ({"name": None}, ["/name"]),
        ({"email": None}, ["/email"]),
        ({"age": None}, ["/age"]),
        ({"name": None, "age": None, "email": None}, ["/name", "/age", "/email"]),
        ({"age": 1, "name": None}, ["/name"]),
        ({"id": str(uuid.uuid4())}, ["/id"]),
        ({"age": 1, "created_at": "2026-01-01T00:00:00.000Z"}, ["/created_at"]),
        ({"age": 151, "name": ""}, ["/age", "/name"]),
    ],
)
async def test_patch_refuses_invalid_changes(client: httpx.AsyncClient, body: Any, fields: list[str]) -> None:
    user = await create(client)
    problem(await client.patch(f"/users/{user['id']}", json=body), 422, "invalid_input", *fields)
    assert (await client.get(f"/users/{user['id']}")).json() == user


async def test_delete_is_204_whether_or_not_the_user_exists(client: httpx.AsyncClient) -> None:
    user = await create(client)
    for _ in range(2):
        response = await client.delete(f"/users/{user['id']}")
        assert (response.status_code, response.content) == (204, b"")
        assert "content-type" not in response.headers
        assert response.headers["cache-control"] == "no-store"
        problem(await client.get(f"/users/{user['id']}"), 404, "not_found")


async def test_changes_do_not_bring_a_deleted_user_back(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    user = await create(client)
    path = f"/users/{user['id']}"
    await client.delete(path)
    before = count(cql, users)

    problem(await client.put(path, json=BO), 404, "not_found")
    for name in ADA:
        problem(await client.patch(path, json={name: BO[name]}), 404, "not_found")
    problem(await client.get(path), 404, "not_found")
    assert count(cql, users) == before


async def test_changes_racing_a_delete_leave_no_rest(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    for _ in range(5):
        user = await create(client)
        path = f"/users/{user['id']}"
        statuses: list[int] = []

        async def answer(request: Any, statuses: list[int] = statuses) -> None:
            statuses.append((await request()).status_code)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, partial(client.put, path, json=BO))
            tasks.start_soon(answer, partial(client.delete, path))
            tasks.start_soon(answer, partial(client.patch, path, json={"age": 7}))
        assert set(statuses) <= {200, 204, 404}
        assert not list(cql.execute(f"SELECT * FROM {users} WHERE id = {user['id']}"))


async def test_concurrent_patches_of_different_fields_all_survive(client: httpx.AsyncClient) -> None:
    for _ in range(5):
        user = await create(client)
        path = f"/users/{user['id']}"
        responses: list[httpx.Response] = []

        async def patch(name: str, path: str = path, responses: list[httpx.Response] = responses) -> None:
            responses.append(await client.patch(path, json={name: BO[name]}))

        async with anyio.create_task_group() as tasks:
            for name in BO:
                tasks.start_soon(patch, name)
        assert [response.status_code for response in responses] == [200, 200, 200]
        read = (await client.get(path)).json()
        assert read == user | BO | {"updated_at": read["updated_at"]}


async def test_patch_right_after_post_is_not_lost(client: httpx.AsyncClient) -> None:
    lost = []
    for age in range(150):
        user = await create(client, age=150)
        response = await client.patch(f"/users/{user['id']}", json={"age": age})
        read = await client.get(f"/users/{user['id']}")
        if (response.status_code, response.json()["age"], read.json()["age"]) != (200, age, age):
            lost.append(age)
    assert lost == []


async def test_delete_right_after_patch_leaves_nothing(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    left = []
    for _ in range(50):
        user = await create(client)
        assert (await client.patch(f"/users/{user['id']}", json={"age": 1})).status_code == 200
        assert (await client.delete(f"/users/{user['id']}")).status_code == 204
        left += list(cql.execute(f"SELECT id FROM {users} WHERE id = {user['id']}"))
    assert left == []


async def test_delete_right_after_post_leaves_nothing(client: httpx.AsyncClient) -> None:
    for _ in range(30):
        user = await create(client)
        assert (await client.delete(f"/users/{user['id']}")).status_code == 204
        assert (await client.get(f"/users/{user['id']}")).status_code == 404


async def test_creation_has_a_write_timestamp_in_the_past(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    user = await create(client)
    batch = (await client.post("/users/batch", json=[ADA])).json()["users"][0]
    for created in (user, batch):
        where = f"FROM {users} WHERE id = {created['id']}"
        (written,) = cql.execute(f"SELECT WRITETIME(name) {where}").one()
        assert 55 <= time.time() - written / 1_000_000 <= 65


async def test_user_with_only_an_id_can_be_changed(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    user_id = uuid.uuid4()
    cql.execute(f"INSERT INTO {users} (id) VALUES ({user_id}) USING TIMESTAMP {LONG_AGO}")
    bare = dict.fromkeys(USER_FIELDS) | {"id": str(user_id)}
    assert (await client.get(f"/users/{user_id}")).json() == bare

    changed = (await client.patch(f"/users/{user_id}", json={"age": 9})).json()
    assert changed == bare | {"age": 9, "updated_at": changed["updated_at"]}
    replaced = (await client.put(f"/users/{user_id}", json=BO)).json()
    assert replaced == bare | BO | {"updated_at": replaced["updated_at"]}


async def _next_millisecond() -> None:
    """Wait until the clock shows another millisecond, so that a new time differs from the one before."""
    before = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == before:
        await anyio.lowlevel.checkpoint()
