"""Addresses of rows: keys of every type, texts that no path spells, and names that need quotes in CQL."""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import httpx
import msgspec
import pytest
from cassandra.cluster import Session
from helpers.exchange import Exchange
from helpers.problems import problem
from helpers.service import client_of, settings_for
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_app.resources.table.operations import operations_of, routes_of
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import CQLType
from contract.resource_service import keyspace_with, serving_resources

pytestmark = pytest.mark.anyio


TYPES: dict[str, Any] = {
    "ascii": Annotated[str, CQLType("ascii")],
    "bigint": Annotated[int, CQLType("bigint")],
    "blob": bytes,
    "boolean": bool,
    "date": datetime.date,
    "decimal": decimal.Decimal,
    "double": float,
    "float": Annotated[float, CQLType("float")],
    "inet": ipaddress.IPv4Address | ipaddress.IPv6Address,
    "int": int,
    "list": Annotated[list[int], CQLType("frozen<list<int>>")],
    "map": Annotated[dict[str, int], CQLType("frozen<map<text, int>>")],
    "set": Annotated[set[str], CQLType("frozen<set<text>>")],
    "smallint": Annotated[int, CQLType("smallint")],
    "text": str,
    "time": datetime.time,
    "timestamp": datetime.datetime,
    "timeuuid": Annotated[uuid.UUID, CQLType("timeuuid")],
    "tinyint": Annotated[int, CQLType("tinyint")],
    "tuple": tuple[int, str],
    "uuid": uuid.UUID,
    "varint": Annotated[int, CQLType("varint")],
    "vector": Annotated[list[float], CQLType("vector<float, 2>")],
}
"""A column of every type that can be in a key, by a name that is the type's."""

COLUMNS = tuple(TYPES)
Every = msgspec.defstruct("Every", list(TYPES.items()))
EVERY = Resource(Every, "every", partition_key=COLUMNS[:12], clustering=COLUMNS[12:])


class Note(msgspec.Struct):
    """A row whose key is one text."""

    id: str
    body: str | None = None


class Pair(msgspec.Struct):
    """A row whose key is three texts."""

    a: str
    b: str
    c: str
    n: int | None = None


class Odd(msgspec.Struct, rename={"mixed": "Mixed", "order_": "order", "dotted": "a.b", "spaced": "a b c"}):
    """A row with names that need quotes in CQL."""

    mixed: str
    dotted: int
    order_: int
    spaced: str | None = None
    limit: int | None = None
    select: str | None = None
    page_state: str | None = None
    umlaut: str | None = msgspec.field(name="Ümläut", default=None)
    statement: str | None = msgspec.field(name="x'; DROP TABLE y; --", default=None)
    underscored: int | None = msgspec.field(name="a_b_1", default=None)


NOTES = Resource(Note, "notes", partition_key=("id",))
PAIRS = Resource(Pair, "pairs", partition_key=("a", "b"), clustering=("c",))
ODD = Resource(
    Odd,
    "Select",
    partition_key=("Mixed", "a.b"),
    clustering=("-order",),
    allow_filtering=("a b c", "limit", "select", "page_state", "Ümläut", "x'; DROP TABLE y; --", "a_b_1"),
)
RESOURCES = (EVERY, NOTES, PAIRS, ODD)


@pytest.fixture(scope="module")
def keyspace(cql: Session) -> Iterator[str]:
    """The keyspace of this module."""
    with keyspace_with(cql, RESOURCES) as name:
        yield name


@pytest.fixture(scope="module")
async def service(
    anyio_backend: Any, node_address: tuple[str, int], keyspace: str
) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    """A running application, and a client of it."""
    settings = settings_for(node_address, keyspace, max_url_bytes=1 << 20)
    async with serving_resources(settings, RESOURCES) as started:
        yield started


# Keys of every type

VALUES: dict[str, tuple[Any, str]] = {
    "ascii": ("a/b c", "a%2Fb%20c"),
    "bigint": (-(2**63), "-9223372036854775808"),
    "blob": ("0x00ff", "0x00ff"),
    "boolean": (True, "true"),
    "date": ("2026-11-28", "2026-11-28"),
    "decimal": ("-1.50", "-1.50"),
    "double": (0.1, "0.1"),
    "float": (2.5, "2.5"),
    "inet": ("2001:db8::1", "2001%3Adb8%3A%3A1"),
    "int": (-7, "-7"),
    "list": ([1, -2], "%5B1%2C-2%5D"),
    "map": ({"a": 1}, "%7B%22a%22%3A1%7D"),
    "set": (["a", "€"], "%5B%22a%22%2C%22%E2%82%AC%22%5D"),
    "smallint": (32767, "32767"),
    "text": ("ü/🦉", "%C3%BC%2F%F0%9F%A6%89"),
    "time": ("13:14:15.123456789", "13%3A14%3A15.123456789"),
    "timestamp": ("2026-11-28T09:00:00.001Z", "2026-11-28T09%3A00%3A00.001Z"),
    "timeuuid": ("8c8b5b2e-cb77-11f0-8de9-0242ac120002", "8c8b5b2e-cb77-11f0-8de9-0242ac120002"),
    "tinyint": (-128, "-128"),
    "tuple": ([1, "x"], "%5B1%2C%22x%22%5D"),
    "uuid": ("5f0c2a5e-0f0a-4c1f-9a62-0c5fd2c7f8aa", "5f0c2a5e-0f0a-4c1f-9a62-0c5fd2c7f8aa"),
    "varint": ("123456789012345678901234567890", "123456789012345678901234567890"),
    "vector": ([1.5, -2.0], "%5B1.5%2C-2.0%5D"),
}
"""A value of each column as JSON, and as a segment of a path."""

OTHER_FORMS = {
    "double": "1e-1",
    "float": "2.50",
    "inet": "2001:0DB8:0:0::1",
    "list": "%5B1,%20-2%5D",
    "timestamp": "2026-11-28T10:00:00.001%2B01:00",
    "timeuuid": "8C8B5B2E-CB77-11F0-8DE9-0242AC120002",
    "time": "13:14:15.123456789",
    "blob": "0x00FF",
    "decimal": "-1.50",
    "vector": "%5B1.5,-2%5D",
}
"""Other spellings of the same values."""

WRONG: dict[str, list[str]] = {
    "ascii": ["%C3%BC", "%FF"],
    "bigint": ["9223372036854775808", "1.0", "1e3", "+1", "01", "%20 1", "", "x", "0x1", "%D9%A1"],
    "blob": ["00ff", "0x0", "0xzz", "0X00", "x"],
    "boolean": ["True", "1", "yes", "null"],
    "date": ["2026-13-01", "2026-02-30", "2026-11-28T00:00:00Z", "26-1-1", "today"],
    "decimal": ["1,5", "NaN", "Infinity", "1e", "0x1", ".5", "1" * 4001, "1e99999999999"],
    "double": ["nan", "inf", "1e999", "1,5", "0x1p3", "null"],
    "float": ["1e39", "x"],
    "inet": ["localhost", "127.1", "1.2.3.4.5", "fe80::1%25eth0", "[::1]", "2001:db8::1%2F64"],
    "int": ["2147483648", "-2147483649", "1_000", "true"],
    "list": ["1", "[null]", "[1.0]", "[true]", "[", "{}"],
    "map": ["[]", "%7B%22a%22:null%7D", "%7B"],
    "set": ["a", "[null]", "%5B1%5D"],
    "smallint": ["32768"],
    "text": ["%FF", "%ED%A0%80", "%C0%AF"],
    "time": ["25:00:00", "13:14", "24:00:00", "13:14:15.1234567890"],
    "timestamp": ["2026-11-28T09:00:00", "2026-11-28", "now", "2026-11-28T25:00:00Z"],
    "timeuuid": ["5f0c2a5e-0f0a-4c1f-9a62-0c5fd2c7f8aa"],
    "tinyint": ["128", "-129"],
    "tuple": ["[1]", '[1,"x",2]', '["x",1]'],
    "uuid": ["5f0c2a5e0f0a4c1f9a620c5fd2c7f8aa", "{5f0c2a5e-0f0a-4c1f-9a62-0c5fd2c7f8aa}", "1"],
    "varint": ["1.0", "1" * 4001, "--1"],
    "vector": ["[1.5]", "[1.5,2,3]", "[1.5,null]", "1.5"],
}
"""Segments that are no value of the column's type."""


def every_path(**changed: str) -> str:
    return "/every/" + "/".join(changed.get(name, segment) for name, (_, segment) in VALUES.items())


@pytest.fixture(scope="module")
async def every(service: tuple[Starlette, httpx.AsyncClient]) -> dict[str, Any]:
    """The stored row of `VALUES`."""
    row = {name: value for name, (value, _) in VALUES.items()}
    created = await service[1].post("/every", json=row)
    assert (created.status_code, created.json()) == (201, row), created.text
    assert created.headers["location"] == every_path()
    return row


async def test_key_of_every_type_is_read_by_its_path(client: httpx.AsyncClient, every: dict[str, Any]) -> None:
    found = await client.get(every_path())
    assert (found.status_code, found.json()) == (200, every), found.text


async def test_key_of_every_type_is_read_by_its_query(client: httpx.AsyncClient, every: dict[str, Any]) -> None:
    query = "&".join(f"{name}={segment}" for name, (_, segment) in VALUES.items())
    found = await client.get(f"/every/-/row?{query}")
    assert (found.status_code, found.json()) == (200, every), found.text


@pytest.mark.parametrize("column", OTHER_FORMS)
async def test_other_form_of_a_value_is_the_same_key(
    client: httpx.AsyncClient, every: dict[str, Any], column: str
) -> None:
    found = await client.get(every_path(**{column: OTHER_FORMS[column]}))
    assert (found.status_code, found.json()) == (200, every), found.text


@pytest.mark.parametrize("column", COLUMNS)
async def test_segment_of_another_type_is_422_by_its_column(client: httpx.AsyncClient, column: str) -> None:
    for text in filter(None, WRONG[column]):
        problem(await client.get(every_path(**{column: text})), 422, "invalid_input", f"path.{column}")
    for text in WRONG[column]:
        query = "&".join(f"{name}={text if name == column else segment}" for name, (_, segment) in VALUES.items())
        problem(await client.get(f"/every/-/row?{query}"), 422, "invalid_input", f"query.{column}")


async def test_every_wrong_segment_is_named(client: httpx.AsyncClient) -> None:
    wrong = {name: texts[0] for name, texts in WRONG.items()}
    fields = [f"path.{name}" for name in COLUMNS]
    problem(await client.get(every_path(**wrong)), 422, "invalid_input", *fields)


async def test_segments_of_a_prefix_are_checked_too(client: httpx.AsyncClient) -> None:
    path = every_path(bigint="x", smallint="y").rsplit("/", 9)[0]
    problem(await client.get(path), 422, "invalid_input", "path.bigint", "path.smallint")


# Texts as keys

TEXTS = {
    "slash": "a/b",
    "two slashes": "//",
    "encoded slash": "a%2Fb",
    "per cent": "%",
    "percent letters": "%zz",
    "blank": " ",
    "plus": "a+b c",
    "question mark": "a?b#c",
    "query": "x=1&y=2;z",
    "umlaut": "ü",
    "decomposed umlaut": "u\u0308",
    "owl": "🦉",
    "bidi": "\u202eabc\u2066",
    "BOM": "\ufeffx",
    "quotes": "\"'`",
    "backslash": "\\..\\",
    "line end": "a\r\nSet-Cookie: x=y",
    "NUL": "a\0b",
    "delete": "\x7f",
    "CQL": "'; DROP TABLE notes; --",
    "comment": "/* */ -- //",
    "marker": "?",
    "parameter": "{id}",
    "hyphen": "-",
    "two hyphens": "--",
    "dot": ".",
    "two dots": "..",
    "three dots": "...",
    "dots and slash": "../..",
    "encoded dots": "%2e%2e",
    "a verb": "stream",
    "literal": "null",
    "long": "x" * 3000,
    "angle brackets": "<a>; rel=next",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_any_text_can_be_a_key(client: httpx.AsyncClient, text: str) -> None:
    row = {"id": text, "body": f"of {text}"}
    created = await client.post("/notes", json=row)
    assert (created.status_code, created.json()) == (201, row), created.text
    place = created.headers["location"]
    assert place.isascii()
    assert place.isprintable()
    by_query = text in {"-", ".", ".."}
    assert place == (f"/notes/-/row?{urlencode({'id': text})}" if by_query else f"/notes/{quote(text, safe='')}")
    for target in (place, f"/notes/-/row?{urlencode({'id': text})}"):
        found = await client.get(target)
        assert (found.status_code, found.json()) == (200, row), found.text


@pytest.mark.parametrize("parts", [("", "", ""), ("x", "", "y"), (".", "..", "z"), ("-", "a", "b"), ("a", "-", "-")])
async def test_parts_of_a_key_that_no_path_spells(client: httpx.AsyncClient, parts: tuple[str, ...]) -> None:
    key = dict(zip("abc", parts, strict=True))
    created = await client.post("/pairs", json=key | {"n": 1})
    assert created.status_code == 201, created.text
    spelled = parts == ("a", "-", "-")
    query = f"/pairs/-/row?{urlencode(key)}"
    assert created.headers["location"] == ("/pairs/a/-/-" if spelled else query)
    for target in (created.headers["location"], query):
        assert (await client.get(target)).json() == key | {"n": 1}


async def test_encoded_dots_reach_a_key_in_a_path(client: httpx.AsyncClient) -> None:
    key = {"a": "x", "b": "..", "c": "."}
    assert (await client.post("/pairs", json=key)).status_code == 201
    found = await client.get(httpx.URL("http://localhost:8000", raw_path=b"/pairs/x/%2E%2E/%2e"))
    assert (found.status_code, found.json()) == (200, key | {"n": None})


async def test_segments_that_differ_in_encoding_alone_are_one_key(client: httpx.AsyncClient) -> None:
    assert (await client.post("/notes", json={"id": "abc"})).status_code == 201
    assert (await client.get("/notes/%61b%63")).json() == {"id": "abc", "body": None}
    assert (await client.get("/%6eotes/abc")).json() == {"id": "abc", "body": None}


async def test_empty_segment_is_no_key(client: httpx.AsyncClient) -> None:
    for path in ("/notes/", "/pairs/a//c", "/pairs//b/c", "/pairs/a/b/c/"):
        problem(await client.get(path), 404, "not_found")


async def test_empty_key_of_one_column_is_422(client: httpx.AsyncClient) -> None:
    problem(await client.get("/notes/-/row?id="), 422, "invalid_input", "query.id")


LONG = "x" * 40_000


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/notes/" + "x" * 65535, "", 404),
        ("/notes/" + "x" * 65536, "", 422),
        ("/notes/" + "x" * 100_000, "", 422),
        ("/notes/-/row", "id=" + "x" * 65535, 404),
        ("/notes/-/row", "id=" + "x" * 65536, 422),
        (f"/pairs/{LONG}/{LONG}/c", "", 422),
        ("/pairs/a/b/" + "x" * 65536, "", 404),  # Cassandra takes it in a read
        (f"/pairs/{LONG}/{LONG}", "", 422),
        ("/pairs", f"a={LONG}&b={LONG}", 422),
    ],
    ids=lambda value: str(value)[:12],
)
async def test_very_long_keys(app: Starlette, path: str, query: str, status: int) -> None:
    exchange = Exchange("GET", path, query=query.encode())
    await exchange.run(app)
    assert exchange.status == status, exchange.chunks


async def test_verb_that_does_not_exist_names_the_address_of_the_hyphen(client: httpx.AsyncClient) -> None:
    found = problem(await client.get("/notes/-"), 404, "not_found")
    assert "/notes/-/row" in found["detail"]
    problem(await client.get("/notes/-/nothing"), 404, "not_found")
    problem(await client.get("/pairs/-/a/b"), 404, "not_found")


async def test_address_without_a_part_of_the_partition_key_names_it(client: httpx.AsyncClient) -> None:
    assert "b" in problem(await client.get("/pairs/a"), 404, "not_found")["detail"].split()[-1]
    problem(await client.get("/pairs/a/b/c/d"), 404, "not_found")
    problem(await client.get("/Notes/a"), 404, "not_found")


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", ["query.a", "query.b", "query.c"]),
        ("a=1&b=2", ["query.c"]),
        ("a=1&b=2&c=3&n=1", ["query.n"]),
        ("a=1&b=2&c=3&a=2", ["query.a"]),
        ("a=1&b=2&C=3", ["query.C", "query.c"]),
        ("a.eq=1&b=2&c=3", ["query.a", "query.a.eq"]),
        ("a=%FF&b=2&c=3", ["query.a"]),
    ],
)
async def test_row_by_query_names_what_is_wrong(client: httpx.AsyncClient, query: str, fields: list[str]) -> None:
    found = await client.get(f"/pairs/-/row?{query}")
    assert found.status_code == 422, found.text
    assert sorted({error["field"] for error in found.json()["errors"]}) == fields


async def test_row_by_path_takes_no_parameters(client: httpx.AsyncClient) -> None:
    assert (await client.post("/pairs", json={"a": "a", "b": "b", "c": "c"})).status_code == 201
    problem(await client.get("/pairs/a/b/c?n=1&select=n"), 422, "invalid_input", "query.n", "query.select")


# Names

ODD_ROW = {
    "Mixed": "A/b",
    "a.b": 1,
    "order": 2,
    "a b c": "s",
    "limit": 7,
    "select": "x",
    "page_state": "p",
    "Ümläut": "ä",
    "x'; DROP TABLE y; --": "z",
    "a_b_1": 9,
}


@pytest.fixture(scope="module")
async def odd(service: tuple[Starlette, httpx.AsyncClient]) -> dict[str, Any]:
    """A stored row of the table with odd names."""
    client = service[1]
    created = await client.post("/Select", json=ODD_ROW)
    assert (created.status_code, created.json()) == (201, ODD_ROW), created.text
    assert created.headers["location"] == "/Select/A%2Fb/1/2"
    other: dict[str, Any] = {**dict.fromkeys(ODD_ROW), "Mixed": "A/b", "a.b": 1, "order": 3}
    assert (await client.post("/Select", json={"Mixed": "A/b", "a.b": 1, "order": 3})).json() == other
    return ODD_ROW


async def test_names_that_need_quotes_in_addresses(client: httpx.AsyncClient, odd: dict[str, Any]) -> None:
    for target in ("/Select/A%2Fb/1/2", "/Select/-/row?Mixed=A/b&a.b=1&order=2"):
        assert (await client.get(target)).json() == odd
    assert [row["order"] for row in (await client.get("/Select/A%2Fb/1")).json()] == [3, 2]
    problem(await client.get("/Select/A/x/y"), 422, "invalid_input", "path.a.b", "path.order")
    problem(await client.get("/Select/-/row?mixed=A&a.b=1"), 422, "invalid_input", *_wrong_row)


_wrong_row = ("query.Mixed", "query.mixed", "query.order")


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, value in ODD_ROW.items() if name not in ("limit", "select", "page_state", "order")]
    + [(f"{name}.eq", ODD_ROW[name]) for name in ("limit", "select", "page_state", "order", "a_b_1", "a b c")],
)
async def test_names_that_need_quotes_in_filters(
    client: httpx.AsyncClient, odd: dict[str, Any], name: str, value: Any
) -> None:
    asked = {"Mixed": "A/b", "a.b": 1, "order.eq": 2} | {name: value}
    for verb in ("", "/-/stream"):
        found = await client.get(f"/Select{verb}", params=asked)
        assert (found.status_code, found.json()) == (200, [odd]), found.text
    where = {key: item for key, item in asked.items() if key != "order.eq" or name == "order.eq"}
    body = {"where": {key.removesuffix(".eq"): item for key, item in where.items()}}
    assert odd in (await client.post("/Select/-/search", json=body)).json()


async def test_names_that_need_quotes_in_select(client: httpx.AsyncClient, odd: dict[str, Any]) -> None:
    for names in (["a b c", "Mixed"], ["x'; DROP TABLE y; --"], ["Ümläut", "limit", "select"], ["a.b"]):
        query = urlencode({"Mixed": "A/b", "a.b": 1, "order.eq": 2, "select": ",".join(names)})
        wanted = {name: odd[name] for name in ODD_ROW if name in names}
        assert (await client.get(f"/Select/-/stream?{query}")).json() == [wanted]
        assert (await client.get(f"/Select/-/pages?{query}")).json()["rows"] == [wanted]


def test_parameters_of_addresses_have_the_names_of_columns_as_far_as_templates_allow() -> None:
    names = ("a/b", "a_b", "x:int", "{y}", "a b.c")
    struct = msgspec.defstruct("Row", [(name, str) for name in FIELDS], rename=dict(zip(FIELDS, names, strict=True)))
    found = operations_of(Resource(struct, "rows", partition_key=names[:1], clustering=names[1:]))
    template = next(operation.template for operation in found if operation.name == "rows_read")
    assert template == "/rows/{a_b_}/{a_b}/{x_int}/{_y_}/{a b.c}"
    assert len({route.path for route in routes_of(found)}) == len({operation.template for operation in found})


FIELDS = tuple(f"f{at}" for at in range(5))


# Injection

NAMES = (
    "n; DROP TABLE pairs",
    'n"',
    '"n"',
    "n--",
    "n[]",
    "n[0]",
    "N",
    "n.",
    ".n",
    "n.eq.eq",
    "n.GTE",
    "n.like",
    "n ",
    "*",
    "",
    ".",
    ".eq",
    "token(a)",
    "writetime(n)",
    "n = 1 OR n",
    "n\0",
    "__proto__",
    "n/*",
    "{n}",
    "%s",
    "n.in.in",
    "$similarity",
    "a,b",
    "x" * 5000,
)


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:20]))
async def test_names_from_clients_never_reach_cql(client: httpx.AsyncClient, name: str) -> None:
    query = urlencode({name: "1"})
    for verb in ("", "/a/b", "/-/stream", "/-/pages", "/-/partitions", "/-/row"):
        found = await client.get(f"/pairs{verb}?{query}")
        assert (found.status_code, found.json()["code"]) == (422, "invalid_input"), found.text
        assert f"query.{name}"[:100] in {error["field"][:100] for error in found.json()["errors"]}
    for verb in ("stream", "pages"):
        if name and name != "a,b":
            problem(await client.get(f"/pairs/-/{verb}?select={quote(name)}"), 422, "invalid_input", "query.select")
    problem(await client.get(f"/pairs/a/b?order={quote(name)}"), 422, "invalid_input", "query.order")
    for body in ({"where": {name: 1}}, {"near": {name: [1]}}, {"select": [name]}, {"order": name}, {name: 1}):
        found = await client.post("/pairs/-/search", json=body)
        assert (found.status_code, found.json()["code"]) == (422, "invalid_input"), (body, found.text)


async def test_values_from_clients_never_reach_cql(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    assert (await client.post("/pairs", json={"a": "v", "b": "v", "c": "kept"})).status_code == 201
    for text in TEXTS.values():
        query = urlencode({"a": "v", "b": "v", "c": text})
        assert (await client.get(f"/pairs?{query}")).json() == []
        assert (await client.get(f"/pairs/v/v?{urlencode({'c.gt': text, 'c.lt': text})}")).json() == []
        assert (await client.post("/pairs/-/search", json={"where": {"a": "v", "b": "v", "c": text}})).json() == []
    for option in ("limit", "fetch_size", "per_partition_limit"):
        for text in ("1;", "1 OR 1", "-1", "0x1", "1e1", "٣", "", "1.0", " 1", "99999999999999999999", "null"):
            found = await client.get(f"/pairs/-/stream?{urlencode({option: text})}")
            problem(found, 422, "invalid_input", f"query.{option}")
    assert cql.execute(f"SELECT count(*) FROM {keyspace}.pairs WHERE a = 'v' AND b = 'v'").one()[0] == 1


# Mounted

MOUNTS = {"/db": "/db", "/{team}/db": "/t%C3%A9am/db", "/{a}": "/x%20y"}
"""Paths of a parent's mount, and the prefix that its clients use. One has a parameter of the name of a key column."""


@pytest.mark.parametrize("template", MOUNTS)
async def test_mounted_below_a_prefix(service: tuple[Starlette, httpx.AsyncClient], template: str) -> None:
    prefix = MOUNTS[template]
    parent = Starlette(routes=[Mount(template, service[0])])
    async with client_of(parent) as client:
        for part in ("1", "2/€", ".."):
            key = {"a": "m", "b": "m", "c": part}
            created = await client.post(f"{prefix}/pairs", json=key)
            assert created.headers["location"].startswith(f"{prefix}/pairs/")
            assert (await client.get(created.headers["location"])).json() == key | {"n": None}
        page = await client.get(f"{prefix}/pairs/m/m?limit=1")
        target = page.links["next"]["url"]
        assert target.startswith(f"{prefix}/pairs/m/m?")
        assert len((await client.get(target)).json()) == 1
        missing = problem(await client.get(f"{prefix}/pairs/m/m/none"), 404, "not_found")
        assert missing["instance"].endswith("/pairs/m/m/none")
