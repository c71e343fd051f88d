"""One table with everything that a table can have, through the rules of addresses, queries, writes, headers, values.

The other tests of resources look at each rule closely, on tables that are made for it. Here the rules meet on one
declaration: see tests/contract/README.md.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import msgspec
import pytest
from cassandra.cluster import Session
from helpers.problems import problem
from helpers.service import settings_for
from starlette.applications import Starlette

from contract.resource_service import keyspace_with, serving_resources
from contract.whole_table import (
    AT,
    BARE,
    DAY,
    FULL,
    MINE,
    RESOURCES,
    SHOWN,
    SHUT,
    THINGS,
    firm_statements,
    key,
    shown,
)

pytestmark = pytest.mark.anyio

ACME = f"/things/acme/{DAY}"
LATER = "2026-11-28T10:00:00.000Z"
NEXT_DAY = "2026-11-29"
MIXED = "Mixed name/é.~"

ROWS: dict[int, dict[str, Any]] = {
    number: {**key(tenant, day, at, order), **values, "limit": number}
    for number, (tenant, day, at, order, values) in enumerate(
        [
            ("acme", DAY, AT, 1, FULL),
            ("acme", DAY, AT, 2, {"kind": "logout", "level": 2, "near": [0, 1, 0], "a_boolean": True}),
            ("acme", DAY, LATER, 1, {"kind": "login", "level": 3, "near": [1, 0, 0], "tags": ["a"], "select": "x"}),
            ("acme", NEXT_DAY, AT, 1, {"kind": "login", "level": 4, "labels": {"x": 2, "y": 1}, MIXED: "m"}),
            ("a/b é", DAY, AT, 1, {"kind": "login", "level": 5, "steps": [9]}),
            ("", DAY, AT, 1, {"kind": "logout", "level": 6, "fixed_set": ["q"]}),
            ("..", DAY, AT, 1, {"kind": "logout", "level": 7}),
        ],
        1,
    )
}
"""The rows that the tests of reads find, by the value of `limit`."""


@pytest.fixture(scope="module")
def keyspace(cql: Session) -> Iterator[str]:
    """The keyspace of this module."""
    with keyspace_with(cql, (THINGS,), *firm_statements()) as name:
        yield name


@pytest.fixture(scope="module")
async def service(
    anyio_backend: Any, node_address: tuple[str, int], keyspace: str
) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    """A running application with the rows of `ROWS`, and a client of it."""
    async with serving_resources(settings_for(node_address, keyspace), RESOURCES) as started:
        for row in ROWS.values():
            created = await started[1].post("/things", json=row)
            assert created.status_code == 201, created.text
        yield started


@pytest.fixture
async def tenant(client: httpx.AsyncClient) -> AsyncIterator[str]:
    """A tenant whose rows are those of one test."""
    name = uuid.uuid4().hex
    yield name
    assert (await client.delete(f"/things/{name}/{DAY}")).status_code == 204


def stored_json(cql: Session, keyspace: str, table: str, tenant: str) -> dict[str, Any]:
    """Return the first row of a partition as Cassandra itself writes it as JSON."""
    found = cql.execute(f"SELECT JSON * FROM {keyspace}.\"{table}\" WHERE \"Tenant\" = '{tenant}' AND day = '{DAY}'")
    return dict(json.loads(found.one()[0]))


def found_in(rows: list[dict[str, Any]]) -> list[int]:
    return [row["limit"] for row in rows]


# --- addresses


async def test_list_is_a_page_whose_link_leads_on(client: httpx.AsyncClient) -> None:
    first = await client.get(f"/things?Tenant=acme&day={DAY}&limit=2")
    assert (found_in(first.json()), list(first.json()[0])) == ([3, 1], list(SHOWN))
    last = await client.get(first.links["next"]["url"])
    assert (found_in(last.json()), "link" in last.headers) == ([2], False)


async def test_addresses_of_a_partition_a_prefix_and_a_row(client: httpx.AsyncClient) -> None:
    assert found_in((await client.get(ACME)).json()) == [3, 1, 2]
    assert found_in((await client.get(f"{ACME}/{AT}")).json()) == [1, 2]
    row = await client.get(f"{ACME}/{AT}/1")
    assert (row.status_code, row.json()["limit"]) == (200, 1)
    problem(await client.get(f"{ACME}/{AT}/7"), 404, "not_found")
    assert found_in((await client.get(f"/things/a%2Fb%20%C3%A9/{DAY}")).json()) == [5]


async def test_wrong_and_missing_segments_are_named(client: httpx.AsyncClient) -> None:
    problem(await client.get(f"/things/acme/x/{AT}/y"), 422, "invalid_input", "path.day", "path.order")
    assert "day" in problem(await client.get("/things/acme"), 404, "not_found")["detail"]
    problem(await client.get(f"{ACME}/{AT}/1/2"), 404, "not_found")


async def test_row_is_created_replaced_changed_and_deleted(client: httpx.AsyncClient, tenant: str) -> None:
    created = await client.post("/things", json={**key(tenant), **FULL, "secret": "s"})
    row = shown(**key(tenant), **FULL, made="2026-11-28T12:00:00.000Z")
    address = f"/things/{tenant}/{DAY}/{quote(AT, safe='')}/1"
    assert (created.status_code, created.headers["location"], created.json()) == (201, address, row)
    assert (await client.get(address)).json() == row
    assert (await client.put(address, json={"kind": "put"})).status_code == 204
    assert (await client.get(address)).json() == shown(**key(tenant), kind="put", made=row["made"])
    assert (await client.patch(address, json={"level": 1})).status_code == 204
    assert (await client.get(address)).json()["level"] == 1
    assert (await client.delete(address)).status_code == 204
    problem(await client.get(address), 404, "not_found")


async def test_static_columns_are_set_at_the_partition_alone(client: httpx.AsyncClient, tenant: str) -> None:
    partition = f"/things/{tenant}/{DAY}"
    assert (await client.patch(partition, json={"owner": "Ada", "limits": {"a": 1}})).status_code == 204
    assert (await client.get(partition)).json() == [
        shown(**key(tenant, at=None, order=None), owner="Ada", limits={"a": 1})  # type: ignore[arg-type]
    ]
    for method, address, body in (("POST", "/things", key(tenant)), ("PUT", f"{partition}/{AT}/1", {})):
        refused = await client.request(method, address, json={**body, "owner": "me", "limits": {}})
        problem(refused, 422, "invalid_input", "/owner", "/limits")
    await client.post("/things", json=key(tenant))
    assert (await client.patch(partition, json={"owner": None, "limits": {"a": None, "b": 2}})).status_code == 204
    assert [(row["owner"], row["limits"]) for row in (await client.get(partition)).json()] == [(None, {"b": 2})]


async def test_rows_of_a_prefix_are_deleted_where_declared(client: httpx.AsyncClient, tenant: str) -> None:
    partition = f"/things/{tenant}/{DAY}"
    for at, order in ((AT, 1), (AT, 2), (LATER, 1)):
        await client.post("/things", json=key(tenant, at=at, order=order))
    problem(await client.delete(partition.replace("things", "bare")), 405, "method_not_allowed")
    assert (await client.delete(f"{partition}/{AT}")).status_code == 204
    assert [row["at"] for row in (await client.get(partition)).json()] == [LATER]
    assert (await client.delete(partition)).status_code == 204
    assert (await client.get(partition)).json() == []


async def test_stream_in_each_form(client: httpx.AsyncClient) -> None:
    stream = f"/things/-/stream?Tenant=acme&day={DAY}"
    rows = (await client.get(stream)).json()
    assert found_in(rows) == [3, 1, 2]
    lines = (await client.get(f"{stream}&format=ndjson")).text.splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert (await client.get(f"{stream}&format=msgpack")).content == b"".join(map(msgspec.msgpack.encode, rows))
    text = (await client.get(f"{stream}&at={AT}&format=csv&select=kind,{quote(MIXED)},tags&limit=1")).text
    assert text == 'kind,tags,Mixed name/é.~\r\nlogin,"[""a"",""é"",""🦉""]",\'; DROP TABLE x; --\r\n'


async def test_pages_and_partitions(client: httpx.AsyncClient) -> None:
    first = (await client.get(f"/things/-/pages?Tenant=acme&day={DAY}&fetch_size=2&select=limit")).json()
    assert (first["rows"], first["has_more"]) == ([{"limit": 3}, {"limit": 1}], True)
    last = (await client.get(f"/things/-/pages?page_state={first['page_state']}")).json()
    assert last == {"rows": [{"limit": 2}], "has_more": False, "page_state": None}
    partitions = (await client.get("/things/-/partitions?limit=100")).json()
    assert {(row["Tenant"], row["day"]) for row in partitions} >= {(r["Tenant"], r["day"]) for r in ROWS.values()}
    assert all(list(row) == ["Tenant", "day"] for row in partitions)


@pytest.mark.parametrize("tenant_of_row", ["", ".", "..", "-", "x" * 3000])
async def test_row_whose_key_no_path_spells(client: httpx.AsyncClient, tenant_of_row: str) -> None:
    row = key(tenant_of_row, "2026-01-01")
    created = await client.post("/things", json={**row, "kind": "a"})
    by_query = f"/things/-/row?{urlencode(row)}"
    assert created.status_code == 201
    if len(tenant_of_row) <= 2:
        assert created.headers["location"] == by_query
    assert (await client.get(by_query)).json() == created.json()
    assert (await client.patch(by_query, json={"level": 2})).status_code == 204
    assert (await client.put(by_query, json={"kind": "b"})).status_code == 204
    assert (await client.get(by_query)).json() == {**created.json(), "kind": "b"}
    assert (await client.delete(by_query)).status_code == 204
    problem(await client.get(by_query), 404, "not_found")


async def test_batches(client: httpx.AsyncClient, tenant: str) -> None:
    rows = [{**key(tenant, order=order), "kind": "b", "tags": ["a"]} for order in (1, 2)]
    made = {"made": "2026-11-28T12:00:00.000Z"}
    logged = await client.post("/things/-/batch", json=rows)
    assert (logged.status_code, logged.json()) == (201, {"created": 2, "rows": [shown(**r, **made) for r in rows]})
    each = await client.post("/bare/-/batch", json=[{**row, "kind": "c"} for row in rows])
    assert (each.status_code, each.json()) == (200, {"results": [{"status": 201}] * 2})
    wrong = [rows[0], {**rows[1], "kind": 1}, rows[0]]
    for address in ("/things/-/batch", "/bare/-/batch", "/firm/-/batch"):
        problem(await client.post(address, json=wrong), 422, "invalid_input", "/1/kind", "/2")
    assert [row["kind"] for row in (await client.get(f"/things/{tenant}/{DAY}")).json()] == ["c", "c"]
    firm = await client.post("/firm/-/batch", json=rows)
    again = await client.post("/firm/-/batch", json=[rows[0], {**key(tenant, order=3)}])
    assert [result["status"] for result in firm.json()["results"] + again.json()["results"]] == [201, 201, 409, 201]


async def test_resource_that_is_only_read(client: httpx.AsyncClient) -> None:
    row = f"{ACME}/{AT}/1".replace("things", "shut")
    assert "secret" in (await client.get(row)).json()
    for method, address in (("POST", "/shut"), ("PUT", row), ("PATCH", row), ("DELETE", row), ("PATCH", row[:-27])):
        problem(await client.request(method, address, json={}), 405, "method_not_allowed")


# --- query parameters

FOUND: dict[str, list[int]] = {
    f"Tenant=acme&day={DAY}&at={AT}": [1, 2],
    f"Tenant=acme&day={DAY}&at.gt={AT}": [3],
    f"Tenant=acme&day={DAY}&at.gte={AT}&at.lt={LATER}": [1, 2],
    f"Tenant=acme&day={DAY}&at.lte={AT}": [1, 2],
    f"Tenant=acme&day={DAY}&at={AT}&order.eq=2": [2],
    f"Tenant=acme&day={DAY}&at={AT}&order.gt=1": [2],
    f"Tenant=acme&day={DAY}&at.in={LATER}&at.in={AT}": [3, 1, 2],
    f"Tenant=acme&day.in={DAY}&day.in={NEXT_DAY}": [1, 2, 3, 4],
    f"Tenant.in=acme&Tenant.in=&day={DAY}": [1, 2, 3, 6],
    f"Tenant=acme&day={DAY}&order=at": [2, 1, 3],
    f"Tenant=acme&day={DAY}&order=-at": [3, 1, 2],
    f"Tenant=acme&day={DAY}&at={AT}&order=-order": [2, 1],
    f"Tenant=acme&day={DAY}&kind=login": [3, 1],
    f"Tenant=acme&day.in={DAY}&day.in={NEXT_DAY}&per_partition_limit=1": [3, 4],
    "kind=login&level.gte=3": [3, 4, 5],
    "level=-7": [1],
    "level.gt=2&level.lt=5": [3, 4],
    "a_boolean=true": [2],
    "tags.contains=a": [1, 3],
    "tags.contains=%F0%9F%A6%89": [1],
    "steps.contains=9": [5],
    "labels.contains=1": [1, 4],
    "labels.contains_key=x": [1, 4],
    "labels.contains_key=x&labels.contains=2": [4],
    'fixed_set=["q","p"]': [1],
    "limit.eq=5": [5],
    "select.eq=x": [3],
    f"{quote(MIXED)}=m": [4],
    f"{quote(MIXED)}.gte=m": [4],
}
"""Parameters, and the rows that they leave."""


@pytest.mark.parametrize("parameters", FOUND)
async def test_filter_leaves_the_rows(client: httpx.AsyncClient, parameters: str) -> None:
    ordered = f"day={DAY}" in parameters and ".in=" not in parameters
    for address in ("/things", "/things/-/stream", "/things/-/pages"):
        answer = await client.get(f"{address}?{parameters}")
        assert answer.status_code == 200, answer.text
        found = found_in(answer.json()["rows"] if address.endswith("pages") else answer.json())
        if ordered:
            assert found == FOUND[parameters]
        else:
            assert sorted(found) == sorted(FOUND[parameters])


REFUSED: dict[str, tuple[str, str]] = {
    "Tenant=acme": ("Tenant", "needs day too"),
    f"Tenant=acme&day.gt={DAY}": ("day.gt", "takes only `=` and `.in`"),
    f"at={AT}": ("at", "needs Tenant and day too"),
    f"Tenant=acme&day={DAY}&order.eq=1": ("order.eq", "at must be given by `=` before it"),
    f"Tenant=acme&day={DAY}&at.gt={AT}&order.eq=1": ("order.eq", "at must be given by `=` before it"),
    "a_bigint=1": ("a_bigint", "no index"),
    "owner=me": ("owner", "no index"),
    "kind.gt=a": ("kind.gt", "does not serve this operator"),
    "a_boolean.gt=false": ("a_boolean.gt", "does not serve this operator"),
    "level.in=1&level.in=2": ("level.in", "does not serve this operator"),
    "near=[1,0,0]": ("near", "finds only the nearest"),
    "tags=[]": ("tags", "not frozen"),
    "tags.contains_key=a": ("tags.contains_key", "only maps contain keys"),
    "level.contains=1": ("level.contains", "only lists, sets and maps"),
    "home={}": ("home", "no user-defined type that is not frozen"),
    "a_duration.gt=1d": ("a_duration.gt", "durations have no order"),
    "order=at": ("order", "needs one partition"),
    f"Tenant=acme&day.in={DAY}&order=at": ("order", "needs one partition"),
    f"Tenant=acme&day={DAY}&kind=a&order=at": ("order", "a filter that an index serves"),
    f"Tenant=acme&day={DAY}&order=level": ("order", "is not an order"),
    f"Tenant.in=acme&day={DAY}&kind=a": ("Tenant.in", "cannot be combined with an index"),
    "secret=s": ("secret", "is not a column or an option"),
    "tenant=acme": ("tenant", "is not a column or an option"),
    "kind.like=a": ("kind.like", "operator that does not exist"),
    "level=1.0": ("level", "must be an integer"),
    "level=1&level=2": ("level", "given more than once"),
    "limit=0": ("limit", "from 1 to 100"),
    "limit=101": ("limit", "from 1 to 100"),
    "select=kind": ("select", "the column is compared by select.eq"),
}
"""Parameters that are refused: which of them, and words of the reason."""


@pytest.mark.parametrize("parameters", REFUSED)
async def test_filter_that_cassandra_cannot_serve_is_refused(client: httpx.AsyncClient, parameters: str) -> None:
    field, words = REFUSED[parameters]
    answer = await client.get(f"/things?{parameters}")
    assert answer.status_code == 422, answer.text
    errors = {error["field"]: error for error in answer.json()["errors"]}
    problem(answer, 422, "invalid_input", *errors)
    assert words in errors[f"query.{field}"]["message"]
    assert "secret" not in answer.json()["errors"][0].get("usable", [])


async def test_list_of_whole_keys_is_answered_in_its_order(client: httpx.AsyncClient) -> None:
    asked = f"Tenant=acme&day={DAY}&at.in={LATER}&at.in={AT}&order.in=2&order.in=1"
    assert found_in((await client.get(f"/things?{asked}")).json()) == [3, 2, 1]
    tenants = "&".join(f"Tenant.in=t{number}" for number in range(101))
    refused = await client.get(f"/things?{tenants}&day={DAY}&at={AT}&order.eq=1")
    problem(refused, 422, "invalid_input", "query.Tenant.in")


async def test_search_by_filters_and_for_the_nearest(client: httpx.AsyncClient) -> None:
    async def search(**body: Any) -> Any:
        return await client.post("/things/-/search", json=body)

    where = {"Tenant": "acme", "day": DAY, "at.in": [AT, LATER]}
    assert found_in((await search(where=where)).json()) == [3, 1, 2]
    assert (await search(where=where, order="at", limit=2, select=[MIXED])).json() == [
        {MIXED: None},
        {MIXED: FULL[MIXED]},
    ]
    assert found_in((await search(where={"fixed_set": ["p", "q"]})).json()) == [1]
    nearest = (await search(near={"near": [1, 0, 0]}, limit=1000)).json()
    assert found_in(nearest)[0] == 3
    assert {*found_in(nearest)} == {1, 2, 3}
    assert nearest[0]["$similarity"] == 1.0
    assert found_in((await search(near={"near": [1, 0, 0]}, where={"tags.contains": "a", "level.lt": 0})).json()) == [1]
    for body, field in (
        ({"near": {"near": [0, 0, 0]}}, "/near/near"),
        ({"near": {"near": [1, 0]}}, "/near/near"),
        ({"near": {"near": ["NaN", 0, 0]}}, "/near/near"),
        ({"near": {"near": [1, 0, 0]}, "limit": 1001}, "/limit"),
        ({"near": {"near": [1, 0, 0]}, "per_partition_limit": 1}, "/per_partition_limit"),
        ({"near": {"near": [1, 0, 0]}, "where": {"limit": 1}}, "/where/limit"),
        ({"near": {"words": ["a", "b"]}}, "/near/words"),
        ({"where": {"labels.contains": None}}, "/where/labels.contains"),
        ({"where": {MIXED: 1}}, "/where/Mixed name~1é.~0"),
        ({"where": {"secret": "s"}}, "/where/secret"),
    ):
        problem(await client.post("/things/-/search", json=body), 422, "invalid_input", field)


@pytest.mark.parametrize("select", [SHOWN, ["limit"], ["steps", "limit"], ["owner", "limit"], ["limits", "limit"]])
async def test_search_for_the_nearest_beside_static_values(client: httpx.AsyncClient, tenant: str, select: Any) -> None:
    """Cassandra fails if only some static columns are read, so the service reads all, also hidden and other ones."""
    vector = [-3.0, -1.0, -2.0]
    row = shown(**key(tenant), near=vector, limit=9, owner="Ada", limits={"a": 1}, made="2026-11-28T12:00:00.000Z")
    await client.post("/things", json={**key(tenant), "near": vector, "limit": 9})
    await client.patch(f"/things/{tenant}/{DAY}", json={"owner": "Ada", "limits": {"a": 1}})
    for path, columns in (("things", select), ("part", ["steps", "limit"])):
        body = {"near": {"near": vector}, "select": columns, "limit": 1}
        found = await client.post(f"/{path}/-/search", json=body)
        wanted = {name: value for name, value in row.items() if name in columns}
        assert (found.status_code, found.json()) == (200, [{**wanted, "$similarity": 1.0}]), found.text
        assert list(found.json()[0]) == [*wanted, "$similarity"]


async def test_bound_column_is_in_no_address_body_or_answer(client: httpx.AsyncClient, tenant: str) -> None:
    mine = {"X-User": tenant}
    row = {name: value for name, value in key(tenant).items() if name != "Tenant"}
    created = await client.post("/mine", json={**row, **FULL}, headers=mine)
    assert created.headers["location"] == f"/mine/{DAY}/{quote(AT, safe='')}/1"
    assert list(created.json()) == list(SHOWN)[1:]
    assert (await client.get(created.headers["location"], headers=mine)).json() == created.json()
    problem(await client.get(created.headers["location"], headers={"X-User": "other"}), 404, "not_found")
    problem(await client.get("/mine", headers=mine), 422, "invalid_input", "query.day")
    problem(await client.post("/mine", json=key(tenant), headers=mine), 422, "invalid_input", "/Tenant")


# --- writes


async def test_conditional_writes(client: httpx.AsyncClient, cql: Session, keyspace: str, tenant: str) -> None:
    body = {**key(tenant), **FULL}
    created = await client.post("/firm", json={**body, "secret": "s"})
    address, tag = created.headers["location"], created.headers["etag"]
    assert (created.status_code, tag) == (201, f'"{created.json()["rev"]}"')
    problem(await client.post("/firm", json=body), 409, "conflict")
    assert (await client.get(address)).json() == created.json()
    problem(await client.put(address, json={}, headers={"If-None-Match": "*"}), 412, "precondition_failed")
    stale = {"If-Match": f'"{uuid.uuid4()}"'}
    for method in ("PUT", "PATCH", "DELETE"):
        refused = await client.request(method, address, json={"level": 1}, headers=stale)
        current = problem(refused, 412, "precondition_failed")["current"]
        assert current == created.json()
        problem(
            await client.request(method, address, json={"level": 1}, headers={"If-Match": "x"}),
            400,
            "invalid_header",
            "header.If-Match",
        )
    changed = await client.patch(
        address, json={"tags": {"$add": ["z"]}, "home": {"table": None}}, headers={"If-Match": tag}
    )
    assert changed.status_code == 200
    assert (changed.json()["tags"], changed.json()["home"]["table"]) == (["a", "z", "é", "🦉"], None)
    assert changed.headers["etag"] != tag
    replaced = await client.put(address, json={"kind": "put"})
    assert replaced.json() == shown(**key(tenant), kind="put", made=created.json()["made"], rev=replaced.json()["rev"])
    assert stored_json(cql, keyspace, "firm", tenant)["secret"] is None
    problem(await client.patch(f"/firm/{tenant}/{DAY}", json={"owner": "me"}), 405, "method_not_allowed")
    problem(await client.put(address[:-1] + "9", json={}), 404, "not_found")
    problem(await client.patch(address[:-1] + "9", json={"level": 1}), 404, "not_found")
    assert (await client.delete(address, headers={"If-Match": replaced.headers["etag"]})).status_code == 204
    assert (await client.delete(address)).status_code == 204


CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"kind": None}, {"kind": None}),
    ({"level": 0, MIXED: ""}, {"level": 0, MIXED: ""}),
    ({"tags": {"$add": ["z"], "$remove": ["a"]}}, {"tags": ["z", "é", "🦉"]}),
    ({"tags": []}, {"tags": None}),
    ({"steps": {"$add": [3, 5]}}, {"steps": [3, 1, 3, 3, 5]}),
    ({"steps": {"$remove": [3]}}, {"steps": [1]}),
    ({"labels": {"": None, "z": 3}}, {"labels": {"x": 1, "z": 3}}),
    ({"home": {"Zip code": None, "table": "u"}}, {"home": {**FULL["home"], "Zip code": None, "table": "u"}}),
    ({"home": {"spot": {"lat": 9.0}}}, {"home": {**FULL["home"], "spot": {"lat": 9.0, "lon": None}}}),
    ({"office": {"Zip code": 5}}, {"office": {"table": None, "spot": None, "codes": None, "Zip code": 5}}),
    (
        {"orders": {"$add": [{"table": "b"}]}},
        {"orders": [*FULL["orders"], {**dict.fromkeys(FULL["home"]), "table": "b"}]},
    ),
    ({"nested": {"a": None}}, {"nested": {"b": []}}),
    ({"pairs": [[[0, ""], {"lat": 1.0}]]}, {"pairs": [[[0, ""], {"lat": 1.0, "lon": None}]]}),
    ({"fixed_map": {"z": 2}}, {"fixed_map": {"z": 2}}),
    ({"near": [3, 4, 0]}, {"near": [3.0, 4.0, 0.0]}),
]
"""What a PATCH has, and what it makes of the row with `FULL`."""


async def test_patch_merges(client: httpx.AsyncClient, tenant: str) -> None:
    partition = f"/things/{tenant}/{DAY}/{AT}"
    rows = [{**key(tenant, order=order), **FULL} for order in range(len(CHANGES))]
    assert (await client.post("/bare/-/batch", json=rows)).status_code == 200
    for order, (change, after) in enumerate(CHANGES):
        answer = await client.patch(f"{partition}/{order}", json=change)
        assert answer.status_code == 204, answer.text
        found = (await client.get(f"{partition}/{order}")).json()
        assert found == shown(**rows[order], made="2026-11-28T12:00:00.000Z") | after, change
    problem(
        await client.patch(f"{partition}/1".replace("things", "bare"), json={"level": 1}), 405, "method_not_allowed"
    )


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"level": 1.0, "a_tinyint": 128, "a_bigint": "1", "a_boolean": 1},
        ["/level", "/a_tinyint", "/a_bigint", "/a_boolean"],
    ),
    ({"kind": "x" * 41}, ["/kind"]),
    ({"kind": "forbidden"}, ["/kind"]),
    ({"tags": ["a", None], "steps": [1, True]}, ["/tags/1", "/steps/1"]),
    ({"labels": {"a": 1.5, "b/~": "1"}}, ["/labels/a", "/labels/b~1~0"]),
    ({"home": {"Zip code": "1", "no": 1}}, ["/home/Zip code", "/home/no"]),
    ({"home": {"table": "x" * 9}}, ["/home/table"]),
    ({"office": {"spot": {"lat": "x"}}}, ["/office/spot/lat"]),
    ({"orders": [{"codes": [None]}]}, ["/orders/0/codes/0"]),
    ({"nested": {"a": [{"x": []}, {"1": [None]}]}}, ["/nested/a/0/x", "/nested/a/1/1/0"]),
    ({"pairs": [[[1], {}], [[1, "a"], None]]}, ["/pairs/0/0", "/pairs/1/1"]),
    ({"pairs": [[[1, "a"], {}], [[1, "a"], {}]]}, ["/pairs/1"]),
    ({"a_tuple": [1, "a"], "near": [1, 2], "words": ["a", None]}, ["/a_tuple", "/near", "/words/1"]),
    (
        {"an_inet": "localhost", "a_timestamp": "2026-11-28T09:00:00", "a_date": "2026-02-30"},
        ["/an_inet", "/a_timestamp", "/a_date"],
    ),
    ({"a_varint": "9" * 4001, "a_decimal": "NaN", "a_duration": "1y-2d"}, ["/a_varint", "/a_decimal", "/a_duration"]),
    (
        {"a_timeuuid": FULL["a_uuid"], "a_blob": "00", "a_ascii": "é", MIXED: 1},
        ["/a_timeuuid", "/a_blob", "/a_ascii", "/Mixed name~1é.~0"],
    ),
    ({"near": [0, 0, 0]}, ["/near"]),
    ({"owner": "me"}, ["/owner"]),
    ({"made": AT, "made_by": "me", "other": 1}, ["/made", "/made_by", "/other"]),
]
"""Values that are wrong, and the pointers of their errors."""


async def test_wrong_values_are_named_and_nothing_is_written(client: httpx.AsyncClient, tenant: str) -> None:
    address = f"/things/{tenant}/{DAY}/{AT}/1"
    for values, fields in WRONG:
        for method, target, body in (
            ("POST", "/things", {**key(tenant), **values}),
            ("PUT", address, values),
            ("PATCH", address, values),
            ("POST", "/firm", {**key(tenant), **values}),
        ):
            problem(await client.request(method, target, json=body), 422, "invalid_input", *fields)
        batch = [{**key(tenant)}, {**key(tenant, order=2), **values}]
        pointers = [f"/1{field}" for field in fields]
        problem(await client.post("/things/-/batch", json=batch), 422, "invalid_input", *pointers)
    for path in ("things", "firm"):
        assert (await client.get(f"/{path}/{tenant}/{DAY}")).json() == []


# --- headers


async def test_headers(client: httpx.AsyncClient, cql: Session, keyspace: str, tenant: str) -> None:
    address, body = f"/things/{tenant}/{DAY}/{AT}/1", {"kind": "a"}
    one, two = {"Cassandra-Consistency": "LOCAL_ONE"}, {"Cassandra-Consistency": "TWO", "X-Request-Timeout": "0.3"}
    assert (await client.post("/things", json=key(tenant), headers={**one, "Cassandra-TTL": "900"})).status_code == 201
    assert (await client.put(address, json=body, headers=one)).status_code == 204
    assert (await client.patch(address, json=body, headers={**one, "Cassandra-TTL": "1000"})).status_code == 204
    (left,) = cql.execute(
        f"SELECT TTL(kind) FROM {keyspace}.\"Select\" WHERE \"Tenant\" = '{tenant}' AND day = '{DAY}'"
    ).one()
    assert 900 < left <= 1000
    assert (await client.get(address, headers=one)).status_code == 200
    for method in ("GET", "PUT", "DELETE"):
        problem(await client.request(method, address, json=body, headers=two), 503, "consistency_unavailable")
    for name, value in (
        ("Cassandra-TTL", "1001"),
        ("Cassandra-TTL", "0"),
        ("Cassandra-Consistency", "QUORUM"),
        ("If-Match", '"x"'),
        ("If-None-Match", "*"),
    ):
        refused = await client.put(address, json=body, headers={name: value})
        problem(refused, 400, "invalid_header", f"header.{name}")
        refused = await client.put(address.replace("things", "bare"), json=body, headers={name: value})
        problem(refused, 400, "invalid_header", f"header.{name}")


# --- values


async def test_what_was_read_can_be_written_back(
    client: httpx.AsyncClient, cql: Session, keyspace: str, tenant: str
) -> None:
    """By each verb and on both kinds of resource: Cassandra's own JSON of the row stays the same."""
    not_sent = ("Tenant", "day", "at", "order", "owner", "limits", "made", "made_by", "rev")
    for path, table in (("things", "Select"), ("firm", "firm")):
        created = await client.post(f"/{path}", json={**key(tenant), **FULL})
        address, written = created.headers["location"], stored_json(cql, keyspace, table, tenant)
        assert {name for name, value in written.items() if value is None} >= {"secret", "made_by", "owner"}
        row = (await client.get(address)).json()
        body = {name: value for name, value in row.items() if name not in not_sent}
        for method in ("PUT", "PATCH"):
            assert (await client.request(method, address, json=body)).is_success
            after = stored_json(cql, keyspace, table, tenant)
            assert {**after, "rev": None} == {**written, "rev": None}
        back = {**key(tenant), **body}
        assert (await client.delete(address)).status_code == 204
        assert (await client.post(f"/{path}", json=back)).status_code == 201
        assert {**stored_json(cql, keyspace, table, tenant), "rev": None} == {**written, "rev": None}


async def test_every_column_but_the_key_may_be_null(client: httpx.AsyncClient, tenant: str) -> None:
    body = dict.fromkeys(FULL)
    created = await client.post("/things", json={**key(tenant), **body})
    assert created.json() == shown(**key(tenant), made="2026-11-28T12:00:00.000Z")
    assert (await client.get(created.headers["location"])).json() == created.json()


def test_resources_of_this_table_differ_by_their_options_alone() -> None:
    """So what these tests find of one holds for the others."""
    assert THINGS.table == BARE.table == MINE.table == SHUT.table
