"""Writes of rows over HTTP: what each verb writes and answers, on plain and on conditional resources."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import count
from helpers.problems import problem

from asgi_app.settings import Settings
from contract.written import (
    JSON,
    documents,
    each,
    edges,
    expiring,
    firm_edges,
    firm_readings,
    fleeting,
    half_briefs,
    items,
    loose,
    mine,
    notes,
    readings,
    serving_resources,
    shut,
    strict,
    timed,
)
from contract.written import briefs as brief_resource

pytestmark = pytest.mark.anyio

KEY = {"tenant": "acme", "day": "2026-11-28", "at": "2026-11-28T09:00:00.000Z"}
ITEM_COLUMNS = [
    *("tenant", "day", "at", "id", "kind", "size", "tags", "attrs", "steps", "home", "office", "owner", "labels")
]
FULL: dict[str, Any] = {
    "kind": "login",
    "size": 3,
    "tags": ["a", "b"],
    "attrs": {"x": 1, "y": 2},
    "steps": ["s", "s"],
    "home": {"street": "Elm", "zip": 7},
    "office": {"street": "Oak", "zip": None},
}


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, settings: Settings, cql: Session) -> AsyncIterator[httpx.AsyncClient]:
    resources = (items, mine, each, expiring, shut, documents, strict, fleeting, timed, loose, notes, edges, firm_edges)
    async with serving_resources(
        cql, settings, *resources, brief_resource, half_briefs, readings, firm_readings
    ) as started:
        yield started


def new_item(**values: Any) -> tuple[str, dict[str, Any]]:
    """Return the address and the key of an item that no test has written."""
    item_id = str(uuid.uuid4())
    return f"/items/acme/2026-11-28/{KEY['at']}/{item_id}", {**KEY, "id": item_id, **values}


def stored_item(cql: Session, keyspace: str, item_id: str) -> Any:
    """Return the row of an item as the driver reads it, None if there is none."""
    return cql.execute(
        f"SELECT * FROM {keyspace}.items WHERE tenant = 'acme' AND day = '2026-11-28' AND at = '{KEY['at']}'"
        f" AND id = {item_id}"
    ).one()


def stored(cql: Session, keyspace: str, table: str, row_id: str, columns: str = "*") -> Any:
    return cql.execute(f"SELECT {columns} FROM {keyspace}.{table} WHERE id = '{row_id}'").one()


def new_id() -> str:
    return uuid.uuid4().hex


# --- plain resources


async def test_post_creates_a_row(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    address, key = new_item()
    response = await client.post("/items", json={**key, **FULL})
    assert response.status_code == 201, response.text
    assert response.json() == {**dict.fromkeys(ITEM_COLUMNS), **key, **FULL}
    assert list(response.json()) == ITEM_COLUMNS
    assert response.headers["cache-control"] == "no-store"
    read = await client.get(response.headers["location"])
    assert read.json() == response.json() == (await client.get(address)).json()
    row = stored_item(cql, keyspace, key["id"])
    assert (row.kind, row.size, set(row.tags), dict(row.attrs), row.steps) == (
        *("login", 3, {"a", "b"}, {"x": 1, "y": 2}, ["s", "s"]),
    )
    assert (tuple(row.home), tuple(row.office), row.owner) == (("Elm", 7), ("Oak", None), None)


async def test_post_is_an_upsert_that_leaves_absent_columns(client: httpx.AsyncClient) -> None:
    address, key = new_item()
    await client.post("/items", json={**key, **FULL})
    response = await client.post("/items", json={**key, "kind": "again", "size": None})
    assert response.status_code == 201
    assert (await client.get(address)).json() == {
        **dict.fromkeys(ITEM_COLUMNS),
        **key,
        **FULL,
        "kind": "again",
        "size": None,
    }


async def test_put_replaces_every_column_but_static_ones(
    client: httpx.AsyncClient, cql: Session, keyspace: str
) -> None:
    address, key = new_item()
    await client.post("/items", json={**key, **FULL})
    assert (await client.patch("/items/acme/2026-11-28", json={"owner": "Ada"})).status_code == 204
    response = await client.put(address, json={"kind": "put"})
    assert (response.status_code, response.content) == (204, b"")
    assert "etag" not in response.headers
    assert (await client.get(address)).json() == {**dict.fromkeys(ITEM_COLUMNS), **key, "kind": "put", "owner": "Ada"}
    assert stored_item(cql, keyspace, key["id"]).tags is None
    await client.patch("/items/acme/2026-11-28", json={"owner": None})


async def test_put_creates_and_patch_creates_where_declared(client: httpx.AsyncClient) -> None:
    address, _ = new_item()
    assert (await client.put(address, json={"kind": "put"})).status_code == 204
    assert (await client.get(address)).json()["kind"] == "put"
    other, _ = new_item()
    assert (await client.patch(other, json={"size": 1})).status_code == 204
    assert (await client.get(other)).json()["size"] == 1
    found = problem(await client.patch(other.replace("/items", "/each"), json={"size": 1}), 405, "method_not_allowed")
    assert found["detail"].endswith("PATCH is off for this table; patch_creates=True in its declaration turns it on.")


CREATING = [
    ("PUT", "/readings", {"value": 1.5}, {}),
    ("PATCH", "/readings", {"value": 1.5}, {}),
    ("PUT", "/firm_readings", {"value": 1.5}, {"If-None-Match": "*"}),
]


@pytest.mark.parametrize(("method", "base", "body", "headers"), CREATING)
async def test_key_in_an_address_has_its_bounds_where_a_row_is_created(
    client: httpx.AsyncClient, method: str, base: str, body: Any, headers: dict[str, str]
) -> None:
    sent = {"json": body, "headers": headers}
    by_path = await client.request(method, f"{base}/TOO-LONG-AND-UPPER/77", **sent)
    problem(by_path, 422, "invalid_input", "path.sensor", "path.hour")
    by_query = await client.request(method, f"{base}/-/row?sensor=A&hour=77", **sent)
    problem(by_query, 422, "invalid_input", "query.sensor", "query.hour")
    assert (await client.request(method, f"{base}/abc/7", **sent)).is_success
    await client.delete(f"{base}/abc/7")


async def test_key_of_a_partition_has_its_bounds_where_static_columns_are_set(client: httpx.AsyncClient) -> None:
    answer = await client.patch("/readings/UPPER", json={"place": "roof", "sensor": "a"})
    problem(answer, 422, "invalid_input", "path.sensor", "/sensor")


async def test_row_that_others_wrote_beyond_the_bounds_is_read_changed_and_deleted(
    client: httpx.AsyncClient, cql: Session, keyspace: str
) -> None:
    cql.execute(f"INSERT INTO {keyspace}.firm_readings (sensor, hour, value) VALUES ('UPPER', 99, 1.0)")
    assert (await client.get("/firm_readings/UPPER/99")).json()["value"] == 1.0
    changed = await client.put("/firm_readings/UPPER/99", json={"value": 2.0})
    assert changed.json()["value"] == 2.0
    assert (await client.patch("/firm_readings/UPPER/99", json={"value": 3.0})).json()["value"] == 3.0
    assert (await client.delete("/firm_readings/UPPER/99")).status_code == 204
    assert (await client.get("/firm_readings/UPPER/99")).status_code == 404


async def test_delete_of_a_plain_row(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    address, key = new_item()
    await client.put(address, json={"kind": "a"})
    for _ in range(2):
        response = await client.delete(address)
        assert (response.status_code, response.content) == (204, b"")
    problem(await client.get(address), 404, "not_found")
    assert stored_item(cql, keyspace, key["id"]) is None


async def test_row_without_values_is_a_row(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    """An INSERT makes a row marker, also that of a conditional PUT; the UPDATE of a PATCH makes none."""
    patched, key = new_item()
    await client.patch(patched, json={"size": 1})
    await client.patch(patched, json={"size": None})
    problem(await client.get(patched), 404, "not_found")
    await client.put(patched, json={"kind": "a"})
    await client.patch(patched, json={"size": None})
    cql.execute(
        f"DELETE kind FROM {keyspace}.items WHERE tenant = 'acme' AND day = '2026-11-28' AND at = '{KEY['at']}'"
        f" AND id = {key['id']}"
    )
    assert (await client.get(patched)).json()["kind"] is None


async def test_prefix_of_a_partition_is_deleted_where_declared(
    client: httpx.AsyncClient, cql: Session, keyspace: str
) -> None:
    day = "2026-01-01"
    for at in ("2026-01-01T01:00:00.000Z", "2026-01-01T02:00:00.000Z"):
        for _ in range(2):
            await client.put(f"/items/acme/{day}/{at}/{uuid.uuid4()}", json={"kind": "a"})
    rows = f"{keyspace}.items WHERE tenant = 'acme' AND day = '{day}'"
    found = problem(await client.delete(f"/each/acme/{day}"), 405, "method_not_allowed")
    assert "delete_prefix=True in its declaration" in found["detail"]
    assert count(cql, rows) == 4
    assert (await client.delete(f"/items/acme/{day}/2026-01-01T01:00:00.000Z")).status_code == 204
    assert count(cql, rows) == 2
    assert (await client.delete(f"/items/acme/{day}")).status_code == 204
    assert count(cql, rows) == 0
    problem(await client.delete("/items/acme"), 405, "method_not_allowed")
    problem(await client.delete("/items/acme/2026-13-01"), 422, "invalid_input", "path.day")


async def test_row_by_query_is_written_like_the_row_of_the_path(client: httpx.AsyncClient) -> None:
    key = {**KEY, "tenant": "..", "id": str(uuid.uuid4())}
    created = await client.post("/items", json={**key, "kind": "a"})
    location = created.headers["location"]
    assert location.startswith("/items/-/row?tenant=..&")
    assert (await client.get(location)).json() == created.json()
    assert (await client.patch(location, json={"size": 5})).status_code == 204
    assert (await client.put(location, json={"kind": "b"})).status_code == 204
    assert (await client.get(location)).json() == {**created.json(), "kind": "b"}
    problem(await client.put("/items/-/row", params={"tenant": "a"}, json={}), 422, "invalid_input", *_lacking())
    assert (await client.delete(location)).status_code == 204
    problem(await client.get(location), 404, "not_found")


def _lacking() -> list[str]:
    return ["query.day", "query.at", "query.id"]


MISSING_VERBS = [
    ("POST", "/mine/-/batch", 'Batches are off for this table. `batch="logged"`, or `"per_row"`, in'),
    ("PUT", "/mine/-/batch", "Batches are off"),
    ("POST", "/strict/-/batch", "Batches are off"),
    ("POST", "/shut/-/batch", "this table is only read"),
    ("POST", "/edges/-/nothing", "There is no such verb. The row with the key '-' is at /edges/-/row."),
    ("GET", "/strict/-/nothing", "There is no such verb."),
]


@pytest.mark.parametrize(("method", "path", "reason"), MISSING_VERBS)
async def test_verb_that_a_resource_lacks_says_why(
    client: httpx.AsyncClient, method: str, path: str, reason: str
) -> None:
    answer = await client.request(method, path, json=[])
    assert reason in problem(answer, 404, "not_found")["detail"]


async def test_resource_without_writes(client: httpx.AsyncClient) -> None:
    address = new_item()[0].replace("/items", "/shut")
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await client.request(method, address, json={})).headers["allow"] == "GET, HEAD"
    found = problem(await client.post("/shut", json={}), 405, "method_not_allowed")
    assert found["detail"] == "This resource answers GET, HEAD. This table is only read here."
    problem(await client.patch("/shut/acme/2026-11-28", json={}), 405, "method_not_allowed")


# --- the body of a change


@pytest.mark.parametrize(
    ("change", "column", "after"),
    [
        ({"tags": {"$add": ["c"], "$remove": ["a", "z"]}}, "tags", ["b", "c"]),
        ({"tags": {"$remove": ["a", "b"]}}, "tags", None),
        ({"tags": ["z"]}, "tags", ["z"]),
        ({"tags": []}, "tags", None),
        ({"tags": None}, "tags", None),
        ({"attrs": {"x": None, "z": 3}}, "attrs", {"y": 2, "z": 3}),
        ({"attrs": {"y": 5}}, "attrs", {"x": 1, "y": 5}),
        ({"attrs": None}, "attrs", None),
        ({"steps": {"$add": ["t"]}}, "steps", ["s", "s", "t"]),
        ({"steps": {"$remove": ["s"]}}, "steps", None),
        ({"steps": {"$add": ["t", "u"], "$remove": ["s"]}}, "steps", ["t", "u"]),
        ({"steps": ["n"]}, "steps", ["n"]),
        ({"home": {"zip": None}}, "home", {"street": "Elm", "zip": None}),
        ({"home": {"street": "Ash"}}, "home", {"street": "Ash", "zip": 7}),
        ({"home": None}, "home", None),
        ({"office": {"street": "Fir"}}, "office", {"street": "Fir", "zip": None}),
        ({"size": 0}, "size", 0),
        ({"size": None}, "size", None),
    ],
    ids=str,
)
async def test_patch_merges(client: httpx.AsyncClient, change: Any, column: str, after: Any) -> None:
    address, key = new_item()
    await client.put(address, json=FULL)
    response = await client.patch(address, json=change, headers={"Content-Type": "application/merge-patch+json"})
    assert response.status_code == 204, response.text
    read = (await client.get(address)).json()
    assert read == {**dict.fromkeys(ITEM_COLUMNS), **key, **FULL, column: after}


async def test_patch_merges_some_columns_and_replaces_others(client: httpx.AsyncClient) -> None:
    address, _ = new_item()
    await client.put(address, json=FULL)
    change = {"tags": {"$add": ["c"]}, "attrs": {"x": None}, "home": {"zip": 8}, "steps": {"$add": ["t"]}, "kind": "k"}
    await client.patch(address, json=change)
    read = (await client.get(address)).json()
    assert (read["tags"], read["attrs"], read["steps"]) == (["a", "b", "c"], {"y": 2}, ["s", "s", "t"])
    assert read["kind"] == "k"
    assert read["home"] == {"street": "Elm", "zip": 8}
    assert read["size"] == 3


async def test_unknown_change_of_a_set_or_list_is_answered_with_the_known_ones(client: httpx.AsyncClient) -> None:
    address, _ = new_item()
    for column in ("tags", "steps"):
        response = await client.patch(address, json={column: {"$push": ["a"]}})
        (error,) = problem(response, 422, "invalid_input", f"/{column}")["errors"]
        assert error["message"] == "must be an array, or an object with $add or $remove and no other member"


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({}, [""]),
        ([], [""]),
        ({"tags": {}}, ["/tags"]),
        ({"attrs": {}}, ["/attrs"]),
        ({"home": {}}, ["/home"]),
        ({"steps": {}}, ["/steps"]),
        ({"tags": {"$add": []}}, ["/tags/$add"]),
        ({"tags": {"$add": "a"}}, ["/tags/$add"]),
        ({"tags": {"$add": None}}, ["/tags/$add"]),
        ({"tags": {"$add": [None, 1]}}, ["/tags/$add/0", "/tags/$add/1"]),
        ({"tags": {"$add": ["a"], "$remove": ["b", "a"]}}, ["/tags/$remove/1"]),
        ({"tags": {"$add": ["longer"]}}, ["/tags/$add/0"]),
        ({"tags": {"$remove": [1]}}, ["/tags/$remove/0"]),
        ({"tags": {"$set": ["a"]}}, ["/tags"]),
        ({"tags": {"$inc": 1}}, ["/tags"]),
        ({"steps": {"$add": [[]]}}, ["/steps/$add/0"]),
        ({"attrs": {"x": "1"}}, ["/attrs/x"]),
        ({"attrs": {"x": -1, "y": 2, "z": -3}}, ["/attrs/x", "/attrs/z"]),
        ({"attrs": [["x", 1]]}, ["/attrs"]),
        ({"home": {"street": None}}, ["/home/street"]),
        ({"home": {"zip": -1}}, ["/home/zip"]),
        ({"home": {"zip": "1", "street": 1}}, ["/home/street", "/home/zip"]),
        ({"home": {"city": "x"}}, ["/home/city"]),
        ({"office": {"zip": 1}}, ["/office/street"]),
        ({"kind": None}, ["/kind"]),
        ({"kind": {"$inc": 1}}, ["/kind"]),
        ({"kind": "x"}, ["/kind"]),
        ({"size": 1001}, ["/size"]),
        ({"id": "40e72795-0bce-4d85-b990-8347c96cdf71"}, ["/id"]),
        ({"owner": "me"}, ["/owner"]),
        ({"a/b~c": 1, "size": 1}, ["/a~1b~0c"]),
        ({"size": "1", "kind": 1, "no": 1}, ["/kind", "/no", "/size"]),
    ],
    ids=str,
)
async def test_wrong_change_is_named_and_nothing_is_written(
    client: httpx.AsyncClient, change: Any, fields: list[str]
) -> None:
    address, key = new_item()
    await client.put(address, json=FULL)
    problem(await client.patch(address, json=change), 422, "invalid_input", *fields)
    assert (await client.get(address)).json() == {**dict.fromkeys(ITEM_COLUMNS), **key, **FULL}


# --- rows that expire, and other headers


async def test_ttl_of_a_row(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    address, key = new_item()
    columns = "TTL(kind) AS t"
    for method, path, body in (
        ("POST", "/items", {**key, "kind": "a"}),
        ("PUT", address, {"kind": "b"}),
        ("PATCH", address, {"kind": "c"}),
    ):
        for sent, expected in ((None, None), ("1000", 1000)):
            headers = {} if sent is None else {"Cassandra-TTL": sent}
            assert (await client.request(method, path, json=body, headers=headers)).is_success
            row = cql.execute(
                f"SELECT {columns} FROM {keyspace}.items WHERE tenant = 'acme' AND day = '2026-11-28'"
                f" AND at = '{KEY['at']}' AND id = {key['id']}"
            ).one()
            assert row.t == expected or expected - 10 < row.t <= expected


@pytest.mark.parametrize("sent", ["0", "-1", "1001", "x", "1.0", "", "1, 2", "9" * 30, "+1", "\N{FULLWIDTH DIGIT ONE}"])
async def test_ttl_out_of_bounds(client: httpx.AsyncClient, sent: str) -> None:
    address, key = new_item()
    headers = {"Cassandra-TTL": sent.encode()}
    for method, path in (("POST", "/items"), ("PUT", address), ("PATCH", address)):
        response = await client.request(method, path, json={**key, "kind": "a"}, headers=headers)
        problem(response, 400, "invalid_header", "header.Cassandra-TTL")
    problem(await client.get(address), 404, "not_found")


async def test_ttl_where_it_is_not_allowed(client: httpx.AsyncClient) -> None:
    address, key = new_item()
    headers = {"Cassandra-TTL": "1"}
    for method, path in (
        ("POST", "/each"),
        ("POST", "/each/-/batch"),
        ("PUT", address.replace("/items", "/each")),
        ("DELETE", address),
        ("DELETE", "/items/acme/2026-11-28"),
    ):
        response = await client.request(method, path, json={**key, "kind": "a"}, headers=headers)
        problem(response, 400, "invalid_header", "header.Cassandra-TTL")


async def test_row_expires_as_one(client: httpx.AsyncClient) -> None:
    """No half of a row stays behind: neither its marker, nor that of a conditional PUT."""
    plain, _ = new_item()
    firm = f"/fleeting/{new_id()}"
    await client.put(plain, json={"kind": "a"}, headers={"Cassandra-TTL": "1"})
    await client.put(firm, json={"title": "a"}, headers={"If-None-Match": "*"})
    await client.put(firm, json={"title": "b"}, headers={"Cassandra-TTL": "1"})
    with anyio.fail_after(20):
        for address in (plain, firm):
            while (response := await client.get(address)).status_code != 404:
                assert response.json().get("kind") or response.json().get("title"), "half a row stayed behind"
                await anyio.sleep(0.1)


async def test_replacement_that_keeps_columns_takes_no_ttl(client: httpx.AsyncClient) -> None:
    """The columns that the server made when the row was new would stay behind."""
    address, ttl = f"/timed/{new_id()}", {"Cassandra-TTL": "100"}
    created = await client.put(address, json={"title": "a"}, headers={"If-None-Match": "*", **ttl})
    assert (created.status_code, created.json()["created"]) == (201, "2026-11-28T12:00:00.000Z")
    response = await client.put(address, json={"title": "b"}, headers=ttl)
    problem(response, 400, "invalid_header", "header.Cassandra-TTL")
    assert (await client.put(address, json={"title": "b"})).json()["title"] == "b"


async def test_patch_where_rows_expire(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    address, _ = new_item()
    found = problem(await client.patch(address.replace("/items", "/expiring"), json={"size": 1}), 405, _NOT_ALLOWED)
    assert "ttl_on_patch=True in its declaration" in found["detail"]
    # the default of the table, which no declaration has
    brief = new_id()
    assert (await client.put(f"/briefs/{brief}", json={"text": "a"})).status_code == 204
    response = await client.patch(f"/briefs/{brief}", json={"text": "b"})
    found = problem(response, 405, _NOT_ALLOWED)
    assert "half a row" in found["detail"]
    assert response.headers["allow"] == "DELETE, GET, HEAD, PUT"
    assert (await client.patch(f"/half_briefs/{brief}", json={"more": "b"})).status_code == 204
    row = stored(cql, keyspace, "briefs", brief, "text, more, TTL(text) AS t, TTL(more) AS m")
    assert (row.text, row.more) == ("a", "b")
    assert 3500 < row.t <= row.m <= 3600  # an UNSET TTL keeps the default
    headers = {"Cassandra-TTL": "630720000"}
    assert (await client.put(f"/half_briefs/{brief}", json={"text": "c"}, headers=headers)).status_code == 204
    assert stored(cql, keyspace, "briefs", brief, "TTL(text) AS t").t > 630_719_000


_NOT_ALLOWED = "method_not_allowed"


async def test_consistency_of_a_write(client: httpx.AsyncClient) -> None:
    address, key = new_item()
    for sent in ("LOCAL_ONE", "all", " ALL "):
        headers = {"Cassandra-Consistency": sent}
        assert (await client.post("/items", json={**key, "kind": "a"}, headers=headers)).status_code == 201
        assert (await client.put(address, json={"kind": "a"}, headers=headers)).status_code == 204
        assert (await client.patch(address, json={"size": 1}, headers=headers)).status_code == 204
        assert (await client.delete(address, headers=headers)).status_code == 204
    for sent in ("QUORUM", "ANY", "SERIAL", "", "x"):
        response = await client.put(address, json={"kind": "a"}, headers={"Cassandra-Consistency": sent})
        problem(response, 400, "invalid_header", "header.Cassandra-Consistency")
    response = await client.delete(f"/each{address[6:]}", headers={"Cassandra-Consistency": "LOCAL_ONE"})
    problem(response, 400, "invalid_header", "header.Cassandra-Consistency")


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"])
async def test_condition_on_a_plain_resource_is_refused(client: httpx.AsyncClient, name: str) -> None:
    address, key = new_item()
    for method, path in (
        ("POST", "/items"),
        ("POST", "/items/-/batch"),
        ("PUT", address),
        ("PATCH", address),
        ("DELETE", address),
        ("DELETE", "/items/acme/2026-11-28"),
        ("PATCH", "/items/acme/2026-11-28"),
    ):
        response = await client.request(method, path, json={**key, "kind": "a"}, headers={name: "*"})
        problem(response, 400, "invalid_header", f"header.{name}")


# --- bound columns


async def test_bound_column_is_the_principal(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    _, key = new_item()
    body = {name: value for name, value in key.items() if name != "tenant"}
    as_bo = {"X-Name": "bo"}
    created = await client.post("/mine", json={**body, "kind": "a"}, headers=as_bo)
    assert created.status_code == 201
    assert "tenant" not in created.json()
    location = created.headers["location"]
    assert location.startswith("/mine/2026-11-28/")
    assert (await client.put(location, json={"kind": "b"}, headers=as_bo)).status_code == 204
    assert (await client.patch(location, json={"size": 2}, headers=as_bo)).status_code == 204
    assert (await client.get(location, headers=as_bo)).json()["kind"] == "b"
    found = cql.execute(f"SELECT tenant, size FROM {keyspace}.items WHERE id = {key['id']} ALLOW FILTERING").all()
    assert [(row.tenant, row.size) for row in found] == [("bo", 2)]
    assert (await client.delete(location)).status_code == 204  # of acme: not the row of bo
    assert (await client.get(location, headers=as_bo)).status_code == 200
    problem(await client.post("/mine", json={**key, "kind": "a"}), 422, "invalid_input", "/tenant")


# --- tables of keys alone


async def test_table_of_keys_alone(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    head = new_id()
    assert (await client.put(f"/edges/{head}/b", json={})).status_code == 204
    assert (await client.post("/edges", json={"head": head, "tail": "c"})).status_code == 201
    assert (await client.get(f"/edges/{head}")).json() == [{"head": head, "tail": tail} for tail in "bc"]
    problem(await client.patch(f"/edges/{head}/b", json={}), 405, _NOT_ALLOWED)
    problem(await client.put(f"/edges/{head}/d", json={"tail": "d"}), 422, "invalid_input", "/tail")
    assert count(cql, f"{keyspace}.edges WHERE head = '{head}'") == 2
    assert (await client.delete(f"/edges/{head}/b")).status_code == 204
    assert count(cql, f"{keyspace}.edges WHERE head = '{head}'") == 1


async def test_conditional_table_of_keys_alone(client: httpx.AsyncClient) -> None:
    head = new_id()
    assert (await client.post("/firm_edges", json={"head": head, "tail": "b"})).status_code == 201
    problem(await client.post("/firm_edges", json={"head": head, "tail": "b"}), 409, "conflict")
    for method in ("PUT", "PATCH"):
        problem(await client.request(method, f"/firm_edges/{head}/b", json={}), 405, _NOT_ALLOWED)
    assert (await client.delete(f"/firm_edges/{head}/b")).status_code == 204
    problem(await client.get(f"/firm_edges/{head}/b"), 404, "not_found")


# --- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"kind": NaN}',
        b'{"kind": 01}',
        b'{"kind": "a",}',
        b"[1 2]",
        b'\xff{"kind": "a"}',
        b'{"kind": "\xff"}',
        b'{"attrs": ' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"size": ' + b"9" * 5000,
        b"'x'",
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_malformed_json(client: httpx.AsyncClient, cql: Session, keyspace: str, body: bytes) -> None:
    address, _ = new_item()
    before = count(cql, f"{keyspace}.items")
    for method, path in (
        ("POST", "/items"),
        ("POST", "/items/-/batch"),
        ("PUT", address),
        ("PATCH", address),
        ("PATCH", "/items/acme/2026-11-28"),
        ("POST", "/items/-/search"),
    ):
        problem(await client.request(method, path, content=body, headers=JSON), 400, "malformed_json")
    assert count(cql, f"{keyspace}.items") == before


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"kind": "\\ud800"}', ["/kind"]),
        (b'{"attrs": {"\\udfff": 1}, "kind": "a"}', ["/attrs"]),
        (b'{"\\ud800": 1}', [""]),
        (b'{"kind": "\\ud800", "size": ' + b"9" * 5000 + b"}", ["/kind"]),
        (b'{"kind": "a", "size": ' + b"9" * 5000 + b"}", ["/size"]),
        (b'{"kind": "a", "size": 1e999999999999999999999}', ["/size"]),
        (b'{"kind": "a", "size": 1.0}', ["/size"]),
        (b'{"kind": "a", "size": 1e1}', ["/size"]),
        (b'{"kind": "a", "size": -0.0}', ["/size"]),
    ],
    ids=lambda value: repr(value[:24]),
)
async def test_json_that_holds_no_values_of_the_columns(
    client: httpx.AsyncClient, body: bytes, fields: list[str]
) -> None:
    address, _ = new_item()
    for method in ("PUT", "PATCH"):
        problem(await client.request(method, address, content=body, headers=JSON), 422, "invalid_input", *fields)
    problem(await client.get(address), 404, "not_found")


async def test_body_of_another_type_or_too_large(client: httpx.AsyncClient) -> None:
    address, key = new_item()
    for method, path in (("POST", "/items"), ("PUT", address), ("PATCH", address), ("POST", "/items/-/batch")):
        for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/json; charset=latin1"}, {}):
            response = await client.request(method, path, content=b"{}", headers=headers)
            problem(response, 415, "unsupported_media_type")
        assert ("merge-patch" in response.headers.get("accept-patch", "")) == (method == "PATCH")
        response = await client.request(method, path, json={**key, "kind": "a" * 2_000_000})
        problem(response, 413, "body_too_large")
    problem(await client.get(address), 404, "not_found")


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({}, ["/kind"]),
        ({"kind": "a" * 11}, ["/kind"]),
        ({"kind": "a", "owner": "me"}, ["/owner"]),
        ({"kind": "a", "owner": None, "labels": None}, ["/owner", "/labels"]),
        ({"kind": "a", "tags": ["a", None, "longer"]}, ["/tags/1"]),
        ({"kind": "a", "tags": ["a", "longer", "longest"]}, ["/tags/1", "/tags/2"]),
        ({"kind": "a", "attrs": {"x": None}}, ["/attrs/x"]),
        ({"kind": "a", "attrs": {"x": -1}}, ["/attrs/x"]),
        ({"kind": "a", "home": {}}, ["/home/street"]),
        ({"kind": "a", "home": {"street": None, "zip": -1}}, ["/home/street", "/home/zip"]),
        ({"kind": "a", "office": {"street": "s", "zip": -1}}, ["/office/zip"]),
        ({"kind": "a", "size": -1, "steps": {}}, ["/size", "/steps"]),
        ({"kind": "a", "tags": {"$add": ["a"]}}, ["/tags"]),
        ({"kind": "x"}, ["/kind"]),
    ],
    ids=str,
)
async def test_wrong_row_is_named_and_nothing_is_written(
    client: httpx.AsyncClient, cql: Session, keyspace: str, values: dict[str, Any], fields: list[str]
) -> None:
    address, key = new_item()
    before = count(cql, f"{keyspace}.items")
    problem(await client.post("/items", json={**key, **values}), 422, "invalid_input", *fields)
    problem(await client.put(address, json=values), 422, "invalid_input", *fields)
    member = [f"/1{field}" for field in fields]
    good = new_item(kind="good")[1]
    problem(await client.post("/items/-/batch", json=[good, {**key, **values}]), 422, "invalid_input", *member)
    assert count(cql, f"{keyspace}.items") == before


async def test_errors_of_a_body_are_bounded(client: httpx.AsyncClient) -> None:
    address, _ = new_item()
    for body in ({f"c{at}": 1 for at in range(5000)}, {"kind": "a", "tags": ["longer"] * 5000}):
        response = await client.put(address, json=body)
        assert response.status_code == 422
        assert len(response.json()["errors"]) == 100
        assert len(response.content) < 50_000


async def test_dates_in_columns_of_the_key(client: httpx.AsyncClient) -> None:
    """Another spelling of the same instant is the same row."""
    address, key = new_item(kind="a")
    created = await client.post("/items", json={**key, "at": "2026-11-28T11:00:00+02:00"})
    assert created.json()["at"] == KEY["at"]
    assert (await client.get(address)).json() == created.json()
    moment = datetime.datetime.fromisoformat(created.json()["at"])
    assert moment == datetime.datetime.fromisoformat(KEY["at"])
