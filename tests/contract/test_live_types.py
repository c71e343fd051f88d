"""A table of every CQL type, made by CQL alone: each verb on it, and each type as a key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from cassandra.cluster import Session
from helpers.cassandra import column as stored_column
from helpers.problems import problem

from asgi_app.http.context import Service
from asgi_app.runtime.deadline import Deadline
from asgi_app.tables.resource import Resource
from contract.live_service import keyspace_of, live_service

pytestmark = pytest.mark.anyio

UUID = "b26b2a23-4d70-41c3-88a7-a9aa9e135a93"
TIMEUUID = "50554d6e-29bb-11e5-b345-feff819cdc9f"

VALUES: dict[str, tuple[Any, Any]] = {
    "ascii": ("plain", ""),
    "bigint": (2**63 - 1, -1),
    "blob": ("0xdead", "0x"),
    "boolean": (True, False),
    "date": ("2024-02-29", "0001-01-01"),
    "decimal": ("12345678900.100", "-0.1"),
    "double": (0.1, "NaN"),
    "duration": ("1y2mo25d5h6m7s8ms9us10ns", "-1d"),
    "float": (0.5, "Infinity"),
    "inet": ("2001:db8::1", "127.0.0.1"),
    "int": (-(2**31), 0),
    "smallint": (32767, -1),
    "text": ("🦉 é \u0000", ""),
    "time": ("13:14:15.123456789", "00:00:00.000000000"),
    "timestamp": ("2026-11-28T09:00:00.000Z", "1969-12-31T23:59:59.999Z"),
    "timeuuid": (TIMEUUID, TIMEUUID),
    "tinyint": (-128, 127),
    "uuid": (UUID, UUID),
    "varint": (str(2**200), "-5"),
    "list<int>": ([3, 1, 1], [2]),
    "frozen<list<int>>": ([], [5]),
    "set<text>": (["a", "b"], ["c"]),
    "frozen<set<text>>": (["a"], []),
    "map<date, text>": ({"0001-01-01": "", "2024-02-29": "leap"}, {"2024-02-29": "x"}),
    "map<frozen<point>, int>": ([[{"x": 1.5, "name": "p"}, 7]], [[{"x": None, "name": None}, 0]]),
    "frozen<map<text, int>>": ({}, {"a": 1}),
    "tuple<int, text, double>": ([1, None, 2.5], [None, "x", 0.0]),
    "point": ({"x": 1.5, "name": "p"}, {"x": None, "name": "q"}),
    "frozen<home>": ({"Street": "a", "at": {"x": 0.5, "name": None}}, {"Street": None, "at": None}),
    "list<frozen<map<text, frozen<list<frozen<tuple<int, frozen<point>>>>>>>>": (
        [{"a": [[1, {"x": 2.5, "name": "n"}]], "b": []}],
        [{}],
    ),
    "vector<float, 3>": ([0.5, -1.0, 3.0], [1.0, 0.0, 0.0]),
    "vector<text, 2>": (["a", ""], ["", ""]),
}
"""Two values of each type, as answers have them."""

COLUMNS = {f"c{at:02}": each for at, each in enumerate(VALUES)}
KEY_TYPES = [each for each in VALUES if "<" not in each and each not in ("duration", "point")] + [
    "frozen<list<int>>",
    "frozen<map<text, int>>",
    "frozen<tuple<int, text, double>>",
    "frozen<home>",
    "vector<float, 3>",
]
KEYS = {f"k{at:02}": each for at, each in enumerate(KEY_TYPES)}

SCHEMA = (
    "CREATE TYPE {ks}.point (x double, name text)",
    'CREATE TYPE {ks}.home ("Street" text, at frozen<point>)',
    "CREATE TABLE {ks}.every_type (id text PRIMARY KEY, "
    + ", ".join(f"{name} {cql_type}" for name, cql_type in COLUMNS.items())
    + ")",
    "CREATE TABLE {ks}.every_key ("
    + ", ".join(f"{name} {cql_type}" for name, cql_type in KEYS.items())
    + f", n int, PRIMARY KEY (({', '.join(KEYS)})))",
    "CREATE TABLE {ks}.every_clustering (id int, "
    + ", ".join(f"{name} {cql_type}" for name, cql_type in KEYS.items())
    + f", n int, PRIMARY KEY (id, {', '.join(KEYS)}))"
    + f" WITH CLUSTERING ORDER BY ({', '.join(f'{name} DESC' for name in KEYS)})",
    "CREATE TABLE {ks}.counters (page text, day date, hits counter, PRIMARY KEY (page, day))",
)


@pytest.fixture(scope="module")
async def service(
    anyio_backend: Any, node_address: tuple[str, int], cql: Session
) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    """A service of all tables of a keyspace, and a client of it."""
    with keyspace_of(cql, *SCHEMA) as keyspace:
        async with live_service(node_address, keyspace) as started:
            yield started


@pytest.fixture
def client(service: tuple[Service, httpx.AsyncClient]) -> httpx.AsyncClient:
    return service[1]


def value(cql_type: str, which: int) -> Any:
    return VALUES[cql_type if cql_type in VALUES else cql_type[len("frozen<") : -1]][which]


def row(columns: dict[str, str], which: int) -> dict[str, Any]:
    return {name: value(cql_type, which) for name, cql_type in columns.items()}


async def test_every_verb_on_every_type(client: httpx.AsyncClient) -> None:
    first, second = {"id": "a", **row(COLUMNS, 0)}, {"id": "a", **row(COLUMNS, 1)}
    created = await client.post("/every_type", json=first)
    assert (created.status_code, created.json()) == (201, first), created.text
    assert created.headers["location"] == "/every_type/a"
    assert await read_everywhere(client, "/every_type", "/every_type/a") == [first] * 5
    replaced = await client.put("/every_type/a", json=row(COLUMNS, 1))
    assert replaced.status_code == 204, replaced.text
    assert (await client.get("/every_type/a")).json() == second
    for name, expected in row(COLUMNS, 0).items():
        changed = await client.patch("/every_type/a", json={name: change_to(expected, second[name], COLUMNS[name])})
        assert changed.status_code == 204, changed.text
    assert (await client.get("/every_type/a")).json() == first
    nulls = await client.put("/every_type/a", json={})
    assert nulls.status_code == 204
    assert (await client.get("/every_type/a")).json() == {"id": "a", **dict.fromkeys(COLUMNS)}
    assert (await client.delete("/every_type/a")).status_code == 204
    problem(await client.get("/every_type/a"), 404, "not_found")
    assert (await client.get("/every_type")).json() == []


def change_to(new: Any, old: Any, cql_type: str) -> Any:
    """Return the change that makes one value of another: what is not frozen is merged, so old members are deleted."""
    is_merged = isinstance(new, dict) and not cql_type.startswith("frozen")
    return {**dict.fromkeys(old), **new} if is_merged else new


async def read_everywhere(client: httpx.AsyncClient, table: str, address: str) -> list[Any]:
    """Return the one row of a table as each way of reading gives it."""
    pages = (await client.get(f"{table}/-/pages")).json()
    assert not pages["has_more"]
    streamed = await client.get(f"{table}/-/stream", headers={"accept": "application/x-ndjson"})
    answers = [
        (await client.get(address)).json(),
        *(await client.get(table)).json(),
        *(await client.get(f"{table}/-/stream")).json(),
        *[msgspec.json.decode(line) for line in streamed.text.splitlines()],
        *pages["rows"],
    ]
    assert len(answers) == 5
    return answers


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(("table", "before"), [("every_key", {}), ("every_clustering", {"id": 1})])
async def test_every_type_as_a_key(client: httpx.AsyncClient, table: str, before: dict[str, Any], which: int) -> None:
    key = {**before, **row(KEYS, which)}
    created = await client.post(f"/{table}", json={**key, "n": 1})
    assert created.status_code == 201, created.text
    address = created.headers["location"]
    assert await read_everywhere(client, f"/{table}", address) == [{**key, "n": 1}] * 5
    assert (await client.patch(address, json={"n": 2})).status_code == 204
    assert (await client.get(address)).json() == {**key, "n": 2}
    assert (await client.delete(address)).status_code == 204
    problem(await client.get(address), 404, "not_found")


async def test_stored_values_are_those_of_a_driver(service: tuple[Service, httpx.AsyncClient], cql: Session) -> None:
    keyspace, client = service[0].settings.keyspace, service[1]
    assert (await client.post("/every_type", json={"id": "b", **row(COLUMNS, 0)})).status_code == 201
    names = {cql_type: name for name, cql_type in COLUMNS.items()}
    assert stored_column(cql, f"{keyspace}.every_type", names["varint"]) == [2**200]
    assert stored_column(cql, f"{keyspace}.every_type", names["blob"]) == [b"\xde\xad"]
    assert (await client.delete("/every_type/b")).status_code == 204


async def test_types_are_written_as_cassandra_has_them(service: tuple[Service, httpx.AsyncClient]) -> None:
    database, tables = service[0].database, service[0].catalog.current
    assert len(tables) == 4
    for table in tables.values():
        assert await database.missing_columns(table, Deadline.after(10)) == set()


async def test_counters_are_incremented(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert (await client.patch("/counters/home/2026-01-01", json={"hits": {"$inc": 2}})).status_code == 204
    assert (await client.get("/counters/home")).json() == [{"page": "home", "day": "2026-01-01", "hits": 4}]
    problem(await client.post("/counters", json={"page": "x", "day": "2026-01-01"}), 405, "method_not_allowed")


async def test_wrong_values_are_refused_by_name(client: httpx.AsyncClient) -> None:
    body = {"id": "w", **{name: {"no": "value"} for name, each in COLUMNS.items() if "map" not in each}}
    answer = await client.post("/every_type", json=body)
    assert answer.status_code == 422
    assert {each["field"].split("/")[1] for each in answer.json()["errors"]} == body.keys() - {"id"}
    problem(await client.post("/every_type", json={"c00": "a"}), 422, "invalid_input", "/id")


class Note(msgspec.Struct):
    id: str
    words: str | None = None


NOTES = """CREATE TABLE {ks}.notes (
    id text PRIMARY KEY, words text, whole frozen<"text">, loose "text", many map<text, frozen<"text">>, number int)"""


@pytest.fixture(scope="module")
def notes_keyspace(cql: Session) -> Iterator[str]:
    with keyspace_of(cql, 'CREATE TYPE {ks}."text" (a int, b text)', NOTES) as name:
        yield name


async def test_user_type_that_is_called_like_a_native_one(node_address: tuple[str, int], notes_keyspace: str) -> None:
    """Cassandra writes `text` for both, so what may be either is only read, and the others are written."""
    async with live_service(node_address, notes_keyspace) as (_, client):
        row = {"whole": {"a": 1, "b": "x"}, "many": {"k": {"a": 2, "b": None}}, "number": 3}
        assert (await client.put("/notes/a", json=row)).status_code == 204
        assert (await client.get("/notes/a")).json() == {"id": "a", "loose": None, "words": None, **row}
        for column, value in (("words", "x"), ("loose", {"a": 1, "b": None})):
            problem(await client.put("/notes/a", json={column: value}), 422, "invalid_input", f"/{column}")


async def test_declared_text_is_the_native_type(node_address: tuple[str, int], notes_keyspace: str) -> None:
    notes = Resource(Note, "notes", partition_key=("id",), path="/declared")
    service = live_service(node_address, notes_keyspace, options={"resources": [notes]}, tables=(), writable=())
    async with service as (_, client):
        assert (await client.put("/declared/d", json={"words": "x"})).status_code == 204
        assert (await client.get("/declared/d")).json() == {"id": "d", "words": "x"}
