"""Requests and tables at the edge of what resources serve: each was once answered wrongly."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import httpx
import msgspec
import pytest
from cassandra.cluster import Session
from helpers.problems import problem
from helpers.service import client_of
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_app.settings import Settings
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import CQLType, Index
from contract.resource_service import keyspace_with, serving_resources
from contract.written import JSON

pytestmark = pytest.mark.anyio


class Place(msgspec.Struct):
    name: str | None = None
    photo: bytes | None = None


class Log(msgspec.Struct):
    """A row of a client's log. Two of its columns have names that look like one another's parameters."""

    owner: str
    month: int
    at: Decimal
    note: str | None = None
    note_by: str | None = msgspec.field(name="note.by", default=None)
    plan: str | None = None
    title: str | None = None


class Kinds(msgspec.Struct):
    """A row with defaults of every shape, and collections of values that are equal in several forms."""

    id: Decimal
    at: Annotated[tuple[Decimal, int], CQLType("tuple<decimal, int>")]
    pair: tuple[int, bytes] = (1, b"\x01")
    grid: dict[tuple[int, int], bool] = msgspec.field(default_factory=lambda: {(1, 2): True})
    seen: dict[datetime.date, bytes] = msgspec.field(default_factory=lambda: {datetime.date(2026, 11, 28): b"\x02"})
    sizes: set[Decimal] | None = None
    prices: dict[Decimal, int] | None = None
    steps: list[Decimal] | None = None
    place: Annotated[Place, CQLType("place")] = msgspec.field(default_factory=lambda: Place(photo=b"\x03"))


class Later(datetime.datetime):
    """A datetime as libraries of dates have it: of a class of their own."""


class OrderedUUID(uuid.UUID):
    """A UUID as libraries of newer versions have it."""


class Signed(msgspec.Struct):
    """A row whose values the server makes, of classes of other libraries."""

    owner: uuid.UUID
    at: datetime.datetime
    id: uuid.UUID


class Tagged(msgspec.Struct):
    key: tuple[set[str], int]
    place: tuple[dict[int, str], int]
    marks: Annotated[tuple[set[Decimal], dict[int, set[int]]], CQLType("tuple<set<decimal>, map<int, set<int>>>")]


Address = IPv4Address | IPv6Address


class Hosts(msgspec.Struct):
    id: str
    main: Address
    addresses: Annotated[set[Address] | None, Index()] = None
    names: dict[Address, str] | None = None
    steps: list[Address] | None = None
    tags: Annotated[set[str], msgspec.Meta(min_length=2, max_length=2)] | None = None


LOGS = Resource(
    Log,
    "logs",
    partition_key=("owner", "month"),
    clustering=("-at",),
    static=("plan", "title"),
    read_only=("plan",),
    allow_filtering=("note", "note.by"),
    delete_prefix=True,
    patch_creates=True,
    batch="per_row",
)
MINE = replace(
    LOGS, path="mine", bound={"owner": lambda principal: principal.name, "month": lambda _principal: 11}, batch=None
)
NOON = replace(LOGS, path="noon", bound={"at": lambda _principal: Decimal(12)}, batch=None)
ODD = replace(LOGS, path="odd", bound={"owner": lambda principal: 7 if principal.name == "ada" else None}, batch=None)
FIXED = replace(LOGS, path="fixed", read_only=("plan", "title"), batch=None)
KINDS = Resource(Kinds, "kinds", partition_key=("id",), clustering=("at",), patch_creates=True, batch="logged")

SIGNED = Resource(
    Signed,
    "signed",
    partition_key=("owner",),
    clustering=("at", "id"),
    bound={"owner": lambda principal: OrderedUUID(principal.name)},
    generated={
        "at": lambda: Later(1800, 1, 1, tzinfo=ZoneInfo("Europe/Amsterdam")),
        "id": lambda: OrderedUUID(int=7),
    },
)
TAGGED = Resource(Tagged, "tagged", partition_key=("key",), clustering=("place",))
HOSTS = Resource(Hosts, "hosts", partition_key=("id",), clustering=("main",), patch_creates=True)


@pytest.fixture(scope="module")
def own_keyspace(cql: Session) -> Iterator[str]:
    with keyspace_with(cql, [LOGS, KINDS, SIGNED, TAGGED, HOSTS]) as name:
        yield name


@pytest.fixture(scope="module")
async def service(
    anyio_backend: Any, settings: Settings, own_keyspace: str
) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    changed = msgspec.structs.replace(settings, cassandra_keyspace=own_keyspace)
    async with serving_resources(changed, [LOGS, MINE, NOON, ODD, FIXED, KINDS, SIGNED, TAGGED, HOSTS]) as started:
        yield started


@pytest.fixture
def ada() -> str:
    """An owner whose rows are those of one test."""
    return f"ada-{uuid.uuid4()}"


@pytest.fixture
def number() -> str:
    """The first column of a key of the table of kinds, of one test alone."""
    return str(uuid.uuid4().int)


async def add(client: httpx.AsyncClient, owner: str, *hours: int) -> None:
    for hour in hours:
        body = {"owner": owner, "month": 11, "at": hour, "note": f"n{hour}", "note.by": owner}
        assert (await client.post("/logs", json=body)).status_code == 201


async def hours(client: httpx.AsyncClient, owner: str) -> list[str]:
    return [row["at"] for row in (await client.get(f"/logs/{owner}/11")).json()]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/logs/{ada}/11?at.gt=100", None),
        ("DELETE", "/logs/{ada}/11/1?note=x", None),
        ("PUT", "/logs/{ada}/11/1?note=x", {}),
        ("PATCH", "/logs/{ada}/11/1?note=x", {"note": "changed"}),
        ("PATCH", "/logs/{ada}/11?note=x", {"title": "changed"}),
        ("POST", "/logs?owner=bob", {"owner": "{ada}", "month": 11, "at": 1}),
        ("POST", "/logs/-/batch?limit=1", [{"owner": "{ada}", "month": 11, "at": 9}]),
    ],
)
async def test_write_takes_no_query_parameters(
    client: httpx.AsyncClient, cql: Session, own_keyspace: str, ada: str, method: str, path: str, body: Any
) -> None:
    """A filter that was ignored would delete or change rows that the client did not mean."""
    await add(client, ada, 1, 2)
    rows = f"SELECT * FROM {own_keyspace}.logs WHERE owner = '{ada}' AND month = 11"
    before = list(cql.execute(rows))
    content = json.dumps(body).replace("{ada}", ada)
    response = await client.request(method, path.replace("{ada}", ada), content=content, headers=JSON)
    name = path.partition("?")[2].partition("=")[0]
    problem(response, 422, "invalid_input", f"query.{name}")
    assert list(cql.execute(rows)) == before


@pytest.mark.parametrize("header", ["Cassandra-TTL", "If-Match"])
@pytest.mark.parametrize(
    "target",
    ["/logs", "/logs/a/11", "/logs/a/11/1", "/logs/-/row?owner=a&month=11&at=1"]
    + [f"/logs/-/{verb}" for verb in ("stream", "pages", "partitions", "search")],
)
async def test_read_refuses_headers_of_writes(client: httpx.AsyncClient, target: str, header: str) -> None:
    method = "POST" if target.endswith("search") else "GET"
    response = await client.request(method, target, headers={header: "60", **JSON}, content="{}")
    problem(response, 400, "invalid_header", f"header.{header}")


async def test_read_only_static_column_is_not_set(client: httpx.AsyncClient, ada: str) -> None:
    await add(client, ada, 1)
    problem(await client.patch(f"/logs/{ada}/11", json={"plan": "paid"}), 422, "invalid_input", "/plan")
    assert (await client.patch(f"/logs/{ada}/11", json={"title": "t"})).status_code == 204
    (row,) = (await client.get(f"/logs/{ada}/11")).json()
    assert (row["plan"], row["title"]) == (None, "t")


async def test_partition_whose_static_columns_are_all_read_only_has_no_patch(client: httpx.AsyncClient) -> None:
    problem(await client.patch("/fixed/ada/11", json={"plan": "paid"}), 405, "method_not_allowed")


async def test_partition_that_is_bound_is_written_at_the_collection(client: httpx.AsyncClient, ada: str) -> None:
    bob, headers = f"bob of {ada}", {"X-User": f"bob of {ada}"}
    await add(client, bob, 1, 2)
    await add(client, ada, 3)
    assert (await client.patch("/mine", json={"title": "t"}, headers=headers)).status_code == 204
    assert {row["title"] for row in (await client.get("/mine", headers=headers)).json()} == {"t"}
    assert [row["title"] for row in (await client.get(f"/logs/{ada}/11")).json()] == [None]
    assert (await client.delete("/mine", headers=headers)).status_code == 204
    assert (await hours(client, bob), await hours(client, ada)) == ([], ["3"])


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("ada", "odd.owner: the function in `bound` returned a value of the type int: must be text"),
        ("bob", "odd.owner: the function in `bound` returned None"),
    ],
)
async def test_wrong_value_of_a_bound_function_is_logged_with_its_place(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, user: str, reason: str
) -> None:
    response = await client.get("/odd/11", headers={"X-User": user})
    problem(response, 500, "internal_error")
    assert "odd.owner" not in response.text
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith(f"GET /odd/11 failed: TypeError({reason!r})")


async def test_values_of_subclasses_are_written(client: httpx.AsyncClient, cql: Session, own_keyspace: str) -> None:
    owner = uuid.uuid4()
    created = await client.post("/signed", json={}, headers={"X-User": str(owner)})
    assert created.status_code == 201, created.text
    # Amsterdam was 19 minutes and 32 seconds ahead.
    assert created.json() == {"at": "1799-12-31T23:40:28.000Z", "id": str(uuid.UUID(int=7))}
    row = cql.execute(f"SELECT * FROM {own_keyspace}.signed WHERE owner = {owner}").one()
    assert (row.at, row.id) == (datetime.datetime(1799, 12, 31, 23, 40, 28), uuid.UUID(int=7))


async def test_no_list_of_partitions_beside_a_bound_clustering_column(client: httpx.AsyncClient, ada: str) -> None:
    """Cassandra cannot leave out the partitions in which the client has no rows."""
    await add(client, ada, 1, 12)
    problem(await client.get("/noon/-/partitions"), 404, "not_found")
    assert (await client.get(f"/noon/{ada}/11")).json()["note"] == "n12"


@pytest.mark.parametrize(("parameter", "found"), [("note.by", 2), ("note.by.eq", 2), ("note", 0)])
async def test_column_that_is_named_like_another_with_a_suffix(
    client: httpx.AsyncClient, ada: str, parameter: str, found: int
) -> None:
    await add(client, ada, 1, 2)
    assert len((await client.get("/logs", params={parameter: ada})).json()) == found
    searched = await client.post("/logs/-/search", json={"where": {parameter: ada}})
    assert len(searched.json()) == found


async def test_suffix_that_is_neither_an_operator_nor_a_column(client: httpx.AsyncClient) -> None:
    problem(await client.get("/logs?note.of=x"), 422, "invalid_input", "query.note.of")


async def test_hint_has_the_prefix_of_a_mounted_application(service: tuple[Starlette, httpx.AsyncClient]) -> None:
    parent = Starlette(routes=[Mount("/shop/{owner}", app=service[0])])
    async with client_of(parent) as outer:
        found = problem(await outer.get("/shop/x/logs/-/11"), 404, "not_found")
    assert "/shop/x/logs/-/row" in found["detail"]


async def test_defaults_of_every_shape(client: httpx.AsyncClient, number: str) -> None:
    created = await client.post("/kinds", json={"id": number, "at": ["1", 1]})
    expected = {
        "pair": [1, "0x01"],
        "grid": [[[1, 2], True]],
        "seen": {"2026-11-28": "0x02"},
        "place": {"name": None, "photo": "0x03"},
    }
    assert created.status_code == 201, created.text
    for shown in (created.json(), (await client.get(created.headers["location"])).json()):
        assert {name: shown[name] for name in expected} == expected


@pytest.mark.parametrize("place", [{}, {"name": None}, {"name": None, "photo": None}])
async def test_user_type_without_values_is_shown_as_null(client: httpx.AsyncClient, number: str, place: Any) -> None:
    created = await client.post("/kinds", json={"id": number, "at": ["1", 1], "place": place})
    assert created.json() == (await client.get(created.headers["location"])).json()
    assert created.json()["place"] is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sizes": {"$add": ["1.0"], "$remove": ["1.00"]}}, "/sizes/$remove/0"),
        ({"prices": {"1.0": 5, "1.00": None}}, "/prices/1.00"),
    ],
)
async def test_equal_values_are_not_added_and_removed_at_once(
    client: httpx.AsyncClient, cql: Session, own_keyspace: str, number: str, change: Any, field: str
) -> None:
    response = await client.patch("/kinds/-/row", params={"id": number, "at": '["1",1]'}, json=change)
    problem(response, 422, "invalid_input", field)
    assert list(cql.execute(f"SELECT * FROM {own_keyspace}.kinds WHERE id = {number}")) == []


async def test_equal_members_of_a_list_are_different_to_cassandra(client: httpx.AsyncClient, number: str) -> None:
    params = {"id": number, "at": '["1",1]'}
    change = {"steps": {"$add": ["1.0"], "$remove": ["1.00"]}}
    assert (await client.patch("/kinds/-/row", params=params, json=change)).status_code == 204
    assert (await client.get("/kinds/-/row", params=params)).json()["steps"] == ["1.0"]


async def test_batch_knows_which_keys_are_the_same(client: httpx.AsyncClient, number: str) -> None:
    """A partition key is compared by its bytes, a clustering column by its value, also within a tuple."""
    twice = [{"id": number, "at": ["1.0", 1]}, {"id": number, "at": ["1.00", 1]}]
    problem(await client.post("/kinds/-/batch", json=twice), 422, "invalid_input", "/1")
    ids = [f"{number}.0", f"{number}.00"]
    different = [{"id": each, "at": ["1", 1]} for each in ids]
    assert (await client.post("/kinds/-/batch", json=different)).status_code == 201
    for each in ids:
        assert [row["id"] for row in (await client.get(f"/kinds/{each}")).json()] == [each]


async def test_list_of_keys_knows_which_are_the_same(client: httpx.AsyncClient, ada: str, number: str) -> None:
    """As a batch does. What was asked first is answered, in its place."""
    await add(client, ada, 1, 2)
    found = await client.get(f"/logs?owner={ada}&month=11&at.in=2.00&at.in=1.0&at.in=2&at.in=1.00")
    assert [row["at"] for row in found.json()] == ["2", "1"]
    searched = await client.post(
        "/logs/-/search", json={"where": {"owner": ada, "month": 11, "at.in": ["2.00", 1.0, "2", 1]}}
    )
    assert searched.content == found.content
    for key in (number, f"{number}.0"):
        assert (await client.post("/kinds", json={"id": key, "at": ["1.0", 1]})).status_code == 201
    asked = {"id.in": [f"{number}.0", number], "at.in": ['["1.00",1]', '["1",1]']}
    assert [row["id"] for row in (await client.get("/kinds", params=asked)).json()] == [f"{number}.0", number]


async def test_sets_and_maps_within_a_key_have_one_form(
    client: httpx.AsyncClient, cql: Session, own_keyspace: str, number: str
) -> None:
    """Cassandra itself keeps what is in a tuple as it was sent: two orders would be two rows."""
    first = {
        "key": [[number, "b", "a", "b"], 1],
        "place": [{"2": "b", "1": "a"}, 1],
        "marks": [["2", "1.0", "1.00"], {"2": [2, 1, 1], "1": []}],
    }
    created = await client.post("/tagged", json=first)
    shown = {
        "key": [[number, "a", "b"], 1],
        "place": [{"1": "a", "2": "b"}, 1],
        "marks": [["1.0", "2"], {"1": [], "2": [1, 2]}],
    }
    assert (created.status_code, created.json()) == (201, shown)
    assert created.text == (await client.get(created.headers["location"])).text
    params = {"key": f'[["b","{number}","a","a"],1]', "place": '[{"2":"b","1":"a"},1]'}
    assert (await client.get("/tagged/-/row", params=params)).text == created.text
    marks = {"marks": [[], {}]}
    assert (await client.put("/tagged/-/row", params=params, json=marks)).status_code == 204
    literal = f"key = ({{'b', 'a', '{number}'}}, 1) AND place = ({{2: 'b', 1: 'a'}}, 1)"
    (row,) = cql.execute(f"SELECT * FROM {own_keyspace}.tagged WHERE {literal}")
    assert [list(row.marks[0]), dict(row.marks[1])] == [[], {}]


async def test_ipv4_addresses_that_are_written_as_ipv6(client: httpx.AsyncClient, number: str) -> None:
    """Cassandra keeps such an address in a column, and in a collection it keeps the IPv4 address."""
    mapped = {
        "addresses": ["::ffff:1.2.3.4", "1.2.3.4", "::1"],
        "names": {"::ffff:1.2.3.4": "a"},
        "steps": ["::ffff:0:1"],
    }
    created = await client.post("/hosts", json={"id": number, "main": "::ffff:1.2.3.4", **mapped})
    stored = {"addresses": ["::1", "1.2.3.4"], "names": {"1.2.3.4": "a"}, "steps": ["0.0.0.1"], "tags": None}
    assert created.json() == {"id": number, "main": "::ffff:1.2.3.4", **stored}
    address = created.headers["location"]
    assert (await client.get(address)).text == created.text
    (found,) = (await client.get("/hosts", params={"addresses.contains": "::ffff:1.2.3.4", "id": number})).json()
    assert found == created.json()
    twice = {"::ffff:1.2.3.4": "a", "1.2.3.4": "b"}
    problem(await client.put(address, json={"names": twice}), 422, "invalid_input", "/names/1.2.3.4")
    problem(
        await client.patch(address, json={"names": {**twice, "1.2.3.4": None}}), 422, "invalid_input", "/names/1.2.3.4"
    )
    change = {"names": {"::ffff:1.2.3.4": None}, "addresses": {"$remove": ["::ffff:1.2.3.4"]}}
    assert (await client.patch(address, json=change)).status_code == 204
    row = (await client.get(address)).json()
    assert (row["names"], row["addresses"]) == (None, ["::1"])


async def test_members_of_a_set_that_are_sent_twice_count_once(client: httpx.AsyncClient, number: str) -> None:
    body = {"id": number, "main": "::1"}
    problem(await client.post("/hosts", json={**body, "tags": ["a", "a"]}), 422, "invalid_input", "/tags")
    problem(await client.post("/hosts", json={**body, "tags": ["a", "b", "c"]}), 422, "invalid_input", "/tags")
    created = await client.post("/hosts", json={**body, "tags": ["b", "a", "b"]})
    assert (created.status_code, created.json()["tags"]) == (201, ["a", "b"])
