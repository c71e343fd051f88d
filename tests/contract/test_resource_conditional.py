"""Conditional writes over HTTP: lightweight transactions, versions as ETags, and what a failed condition answers."""

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
from contract.written import documents, loose, notes, serving_resources, strict

pytestmark = pytest.mark.anyio

BLIND = {"X-Blind": "1"}
"""A client that may write and not read."""


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, settings: Settings, cql: Session) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_resources(cql, settings, documents, strict, loose, notes) as started:
        yield started


@pytest.fixture
async def made(client: httpx.AsyncClient) -> tuple[str, str]:
    """The address and the ETag of a new document."""
    response = await client.post("/documents", json=document(tags=["a"], secret="s"))
    assert response.status_code == 201, response.text
    return response.headers["location"], response.headers["etag"]


def document(**values: Any) -> dict[str, Any]:
    return {"id": uuid.uuid4().hex, "title": "new", **values}


def stored(cql: Session, keyspace: str, address: str) -> Any:
    row_id = address.rpartition("/")[2]
    return cql.execute(f"SELECT * FROM {keyspace}.documents WHERE id = '{row_id}'").one()


async def test_post_creates_once(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    body = document(size=3, secret="hush")
    created = await client.post("/documents", json=body)
    assert created.status_code == 201
    assert created.json() == {
        **{name: value for name, value in body.items() if name != "secret"},
        "tags": None,
        "made_by": None,
        "created": "2026-11-28T12:00:00.000Z",
        "rev": created.headers["etag"].strip('"'),
    }
    read = await client.get(created.headers["location"])
    assert (read.json(), read.headers["etag"]) == (created.json(), created.headers["etag"])
    row = stored(cql, keyspace, created.headers["location"])
    assert (row.secret, row.size, str(row.rev)) == ("hush", 3, created.json()["rev"])
    problem(await client.post("/documents", json={**body, "title": "other"}), 409, "conflict")
    assert stored(cql, keyspace, created.headers["location"]) == row


@pytest.mark.parametrize("name", ["rev", "created", "made_by", "no"])
async def test_columns_that_a_client_does_not_set(client: httpx.AsyncClient, made: tuple[str, str], name: str) -> None:
    value = str(uuid.uuid4())
    for method, path, body in (
        ("POST", "/documents", document()),
        ("PUT", made[0], {"title": "t"}),
        ("PATCH", made[0], {}),
    ):
        response = await client.request(method, path, json={**body, name: value})
        found = problem(response, 422, "invalid_input", f"/{name}")
        assert name not in found["errors"][0]["usable"]


async def test_put_replaces_an_existing_row(
    client: httpx.AsyncClient, cql: Session, keyspace: str, made: tuple[str, str]
) -> None:
    cql.execute(f"UPDATE {keyspace}.documents SET made_by = 'x' WHERE id = '{made[0].rpartition('/')[2]}'")
    response = await client.put(made[0], json={"title": "put"})
    assert response.status_code == 200
    body = response.json()
    assert (body["title"], body["tags"], body["size"]) == ("put", None, None)
    assert (body["made_by"], body["created"]) == ("x", "2026-11-28T12:00:00.000Z")  # kept
    assert response.headers["etag"] == f'"{body["rev"]}"' != made[1]
    read = await client.get(made[0])
    assert (read.json(), read.headers["etag"]) == (body, response.headers["etag"])
    assert stored(cql, keyspace, made[0]).secret is None


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_row_that_the_client_has_is_not_sent_again(
    client: httpx.AsyncClient, made: tuple[str, str], method: str
) -> None:
    address, tag = made

    async def read(condition: str, path: str = address) -> httpx.Response:
        return await client.request(method, path, headers={"If-None-Match": condition})

    by_query = f"/documents/-/row?id={address.rpartition('/')[2]}"
    for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        for path in (address, by_query):
            same = await read(condition, path)
            assert (same.status_code, same.content) == (304, b"")
            assert (same.headers["etag"], same.headers["cache-control"]) == (tag, "no-store")
            assert "content-type" not in same.headers
    for condition in ('"other"', 'W/"other"', '""'):
        other = await read(condition)
        assert (other.status_code, other.headers["etag"]) == (200, tag)
    assert (await read(tag[1:-1])).status_code == 400
    assert (await read(tag, f"/documents/{uuid.uuid4().hex}")).status_code == 404


async def test_absent_row(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    address = f"/documents/{uuid.uuid4().hex}"
    for condition in (None, "*", f'"{uuid.uuid4()}"'):
        headers = {} if condition is None else {"If-Match": condition}
        for method in ("PUT", "PATCH"):
            response = await client.request(method, address, json={"title": "t"}, headers=headers)
            if condition is None:
                assert problem(response, 404, "not_found")["detail"] == "Document not found"
            else:
                assert "current" not in problem(response, 412, "precondition_failed")
        response = await client.delete(address, headers=headers)
        if condition is None:
            assert (response.status_code, response.content) == (204, b"")
        else:
            problem(response, 412, "precondition_failed")
    assert stored(cql, keyspace, address) is None


async def test_put_that_creates(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    address = f"/documents/{uuid.uuid4().hex}"
    absent = {"If-None-Match": "*"}
    created = await client.put(address, json={"title": "t"}, headers=absent)
    assert created.status_code == 201
    assert created.headers["location"] == address
    assert created.headers["etag"] == f'"{created.json()["rev"]}"'
    assert created.json()["created"] == "2026-11-28T12:00:00.000Z"
    assert (await client.get(address)).json() == created.json()
    again = await client.put(address, json={"title": "again"}, headers=absent)
    assert problem(again, 412, "precondition_failed")["current"] == created.json()
    blind = await client.put(address, json={"title": "again"}, headers={**absent, **BLIND})
    assert "current" not in problem(blind, 412, "precondition_failed")
    assert stored(cql, keyspace, address).title == "t"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_if_match(client: httpx.AsyncClient, made: tuple[str, str], method: str) -> None:
    address, tag = made
    body = {"title": "second"}

    async def write(match: str, **headers: str) -> httpx.Response:
        return await client.request(method, address, json=body, headers={"If-Match": match, **headers})

    before = (await client.get(address)).json()
    other = f'"{uuid.uuid4()}"'
    for match in (other, f"{other}, {other}", f"W/{tag}", '""', '"x"', f'"{tag[1:-1].upper()}x"', '"a,b", "c"'):
        found = problem(await write(match), 412, "precondition_failed")
        assert found["current"] == before
        assert "secret" not in found["current"]
    assert "current" not in problem(await write(other, **BLIND), 412, "precondition_failed")
    for match in ("x", "", tag.strip('"'), f"{tag} {tag}", f"*, {tag}", '"', f"w/{tag}"):
        problem(await write(match), 400, "invalid_header", "header.If-Match")
    assert (await client.get(address)).json() == before
    response = await write(f"{other} ,, {tag}")
    assert response.status_code == (204 if method == "DELETE" else 200)
    problem(await write(tag), 412, "precondition_failed")
    if method == "DELETE":
        problem(await client.get(address), 404, "not_found")
    else:
        assert response.json()["title"] == "second"
        assert (await write("*")).status_code == 200


async def test_if_match_in_several_lines(client: httpx.AsyncClient, made: tuple[str, str]) -> None:
    lines = [("If-Match", f'"{uuid.uuid4()}"'), ("If-Match", made[1])]
    assert (await client.patch(made[0], json={"size": 1}, headers=lines)).status_code == 200


async def test_conditions_that_cannot_be_honoured(client: httpx.AsyncClient, made: tuple[str, str]) -> None:
    address, tag = made
    for method, path, name, value in (
        ("POST", "/documents", "If-None-Match", "*"),
        ("POST", "/documents", "If-Match", tag),
        ("PUT", address, "If-None-Match", tag),
        ("PATCH", address, "If-None-Match", "*"),
        ("DELETE", address, "If-None-Match", "*"),
        ("PUT", address, "If-Unmodified-Since", "Sat, 28 Nov 2026 09:00:00 GMT"),
        ("PUT", address.replace("/documents", "/loose"), "If-Match", tag),  # rows without a version
    ):
        response = await client.request(method, path, json={"title": "t"}, headers={name: value})
        problem(response, 400, "invalid_header", f"header.{name}")
    both = {"If-Match": tag, "If-None-Match": "*"}
    problem(await client.put(address, json={"title": "t"}, headers=both), 400, "invalid_header", "header.If-None-Match")
    assert (await client.get(address)).headers["etag"] == tag


async def test_resource_that_requires_if_match(client: httpx.AsyncClient, made: tuple[str, str]) -> None:
    address, tag = made[0].replace("/documents", "/strict"), made[1]
    for method in ("PUT", "PATCH", "DELETE"):
        problem(await client.request(method, address, json={"title": "t"}), 428, "precondition_required")
    assert (await client.get(address)).headers["etag"] == tag
    created = await client.put(f"/strict/{uuid.uuid4().hex}", json={"title": "t"}, headers={"If-None-Match": "*"})
    assert created.status_code == 201
    assert (await client.patch(address, json={"title": "t"}, headers={"If-Match": tag})).status_code == 200


async def test_row_without_a_version_fails_every_tag(
    client: httpx.AsyncClient, cql: Session, keyspace: str, made: tuple[str, str]
) -> None:
    cql.execute(f"DELETE rev FROM {keyspace}.documents WHERE id = '{made[0].rpartition('/')[2]}'")
    read = await client.get(made[0])
    assert "etag" not in read.headers
    for method in ("PUT", "PATCH", "DELETE"):
        response = await client.request(method, made[0], json={"title": "t"}, headers={"If-Match": made[1]})
        assert problem(response, 412, "precondition_failed")["current"] == read.json()
    assert (await client.put(made[0], json={"title": "t"}, headers={"If-Match": "*"})).status_code == 200


async def test_client_that_may_not_read_gets_204(
    client: httpx.AsyncClient, cql: Session, keyspace: str, made: tuple[str, str]
) -> None:
    for method, title in (("PUT", "put"), ("PATCH", "patch")):
        response = await client.request(method, made[0], json={"title": title}, headers=BLIND)
        assert (response.status_code, response.content) == (204, b"")
        assert stored(cql, keyspace, made[0]).title == title
    problem(await client.get(made[0], headers=BLIND), 403, "forbidden")
    assert (await client.delete(made[0], headers=BLIND)).status_code == 204


async def test_applied_write_is_told_when_the_permission_to_read_cannot_be_had(
    client: httpx.AsyncClient, cql: Session, keyspace: str, made: tuple[str, str]
) -> None:
    response = await client.patch(made[0], json={"title": "told"}, headers={"X-Blind": "expired"})
    problem(response, 401, "unauthorized", outcome="applied")
    assert stored(cql, keyspace, made[0]).title == "told"


async def test_patch_changes_only_what_was_sent(
    client: httpx.AsyncClient, cql: Session, keyspace: str, made: tuple[str, str]
) -> None:
    response = await client.patch(made[0], json={"tags": {"$add": ["b"]}, "size": 1})
    assert response.status_code == 200
    assert (response.json()["tags"], response.json()["title"], response.json()["size"]) == (["a", "b"], "new", 1)
    assert response.headers["etag"] != made[1]
    assert stored(cql, keyspace, made[0]).secret == "s"
    assert (await client.patch(made[0], json={"tags": None, "size": None})).json()["tags"] is None
    for body, fields in (({}, [""]), ({"title": None}, ["/title"]), ({"title": "t" * 21, "size": 1}, ["/title"])):
        problem(await client.patch(made[0], json=body), 422, "invalid_input", *fields)


async def test_replaced_row_without_values_is_a_row(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    """The INSERT beside the UPDATE of a conditional PUT makes a row marker, which an UPDATE does not."""
    row_id = uuid.uuid4()
    cql.execute(f"UPDATE {keyspace}.notes USING TIMESTAMP 1 SET text = 'a' WHERE id = {row_id}")
    response = await client.put(f"/notes/{row_id}", json={"copies": 1})
    assert response.status_code == 200
    cql.execute(f"DELETE text, copies FROM {keyspace}.notes WHERE id = {row_id}")
    assert (await client.get(f"/notes/{row_id}")).json() == {"id": str(row_id), "text": None, "copies": None}


async def test_concurrent_changes_of_one_version(client: httpx.AsyncClient, made: tuple[str, str]) -> None:
    answers: Counter[int] = Counter()

    async def change(size: int) -> None:
        response = await client.patch(made[0], json={"size": size}, headers={"If-Match": made[1]})
        answers[response.status_code] += 1

    async with anyio.create_task_group() as tasks:
        for size in range(5):
            tasks.start_soon(change, size)
    assert answers == {200: 1, 412: 4}


async def test_concurrent_creations_of_one_key(client: httpx.AsyncClient) -> None:
    body = document()
    answers: Counter[int] = Counter()

    async def create() -> None:
        answers[(await client.post("/documents", json=body)).status_code] += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(create)
    assert answers == {201: 1, 409: 4}


async def test_conditional_write_right_after_a_creation_wins(
    client: httpx.AsyncClient, cql: Session, keyspace: str
) -> None:
    """A row with a key that the server makes is inserted without a condition, at a time that lies in the past."""
    for _ in range(10):
        created = await client.post("/notes", json={"text": "first"})
        assert created.status_code == 201
        assert created.json()["copies"] == 1  # the struct's default
        location = created.headers["location"]
        row_id = created.json()["id"]
        written = cql.execute(f"SELECT WRITETIME(text), copies FROM {keyspace}.notes WHERE id = {row_id}").one()
        assert (await client.patch(location, json={"text": "second"})).json()["text"] == "second"
        after = cql.execute(f"SELECT WRITETIME(text) FROM {keyspace}.notes WHERE id = {row_id}").one()
        assert after[0] - written[0] > 50_000_000
        assert written[1] == 1
        assert (await client.delete(location)).status_code == 204
        problem(await client.get(location), 404, "not_found")
    before = count(cql, f"{keyspace}.notes")
    problem(await client.post("/notes", json={"id": str(uuid.uuid4())}), 422, "invalid_input", "/id")
    assert count(cql, f"{keyspace}.notes") == before
