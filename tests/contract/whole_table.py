"""One declared table with everything that a table can have, for the tests that go through every rule of resources."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from asgi_app.errors import FieldError
from asgi_app.tables.ddl import schema_statements
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import CQLType, Index


class Spot(msgspec.Struct):
    """A user type that another one contains."""

    lat: float | None = None
    lon: Annotated[float, CQLType("float")] | None = None


class Order(msgspec.Struct):
    """A user type whose name and one of whose fields are reserved words, and one with a mixed-case field."""

    table: Annotated[str, Meta(max_length=8)] | None = None
    spot: Annotated[Spot, CQLType("frozen<spot>")] | None = None
    codes: Annotated[list[int], CQLType("frozen<list<int>>")] | None = None
    zip_code: int | None = msgspec.field(name="Zip code", default=None)


class Thing(msgspec.Struct, rename={"order_": "order", "mixed": "Mixed name/é.~"}):
    """A row with a column of every type, alone and within others."""

    Tenant: str
    day: datetime.date
    at: datetime.datetime
    order_: Annotated[int, CQLType("smallint")]
    owner: Annotated[str, Meta(max_length=8)] | None = None
    limits: dict[str, int] | None = None
    kind: Annotated[str, Meta(max_length=40), Index()] | None = None
    level: Annotated[int, Index()] | None = None
    tags: Annotated[set[str], Index()] | None = None
    steps: Annotated[list[int], Index()] | None = None
    labels: Annotated[dict[str, int], Index(target="keys"), Index(target="values"), Index(target="entries")] | None = (
        None
    )
    near: Annotated[list[float], CQLType("vector<float, 3>"), Index()] | None = None
    a_ascii: Annotated[str, CQLType("ascii")] | None = None
    a_bigint: Annotated[int, CQLType("bigint")] | None = None
    a_blob: bytes | None = None
    a_boolean: Annotated[bool, Index()] | None = None
    a_date: datetime.date | None = None
    a_decimal: Decimal | None = None
    a_double: float | None = None
    a_duration: Annotated[str, CQLType("duration")] | None = None
    a_float: Annotated[float, CQLType("float")] | None = None
    an_inet: IPv4Address | IPv6Address | None = None
    a_time: datetime.time | None = None
    a_timestamp: datetime.datetime | None = None
    a_timeuuid: Annotated[uuid.UUID, CQLType("timeuuid")] | None = None
    a_tinyint: Annotated[int, CQLType("tinyint")] | None = None
    a_uuid: uuid.UUID | None = None
    a_varint: Annotated[int, CQLType("varint")] | None = None
    a_tuple: tuple[int, str, list[int]] | None = None
    home: Annotated[Order, CQLType('"order"')] | None = None
    office: Annotated[Order, CQLType('frozen<"order">')] | None = None
    orders: list[Order] | None = None
    nested: dict[str, list[dict[int, set[str]]]] | None = None
    pairs: dict[tuple[int, str], Spot] | None = None
    fixed_list: Annotated[list[int], CQLType("frozen<list<int>>")] | None = None
    fixed_set: Annotated[set[str], CQLType("frozen<set<text>>"), Index(target="full")] | None = None
    fixed_map: Annotated[dict[str, int], CQLType("frozen<map<text, int>>")] | None = None
    words: Annotated[list[str], CQLType("vector<text, 2>")] | None = None
    select: str | None = None
    limit: int | None = None
    mixed: str | None = None
    secret: str | None = None
    made_by: str | None = None
    made: datetime.datetime | None = None
    rev: uuid.UUID | None = None


class Part(msgspec.Struct, rename={"order_": "order"}):
    """Some columns of the same row, without one that is static."""

    Tenant: str
    day: datetime.date
    at: datetime.datetime
    order_: Annotated[int, CQLType("smallint")]
    owner: str | None = None
    steps: list[int] | None = None
    near: Annotated[list[float], CQLType("vector<float, 3>")] | None = None
    limit: int | None = None


MADE = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)


def _not_forbidden(body: Mapping[str, Any]) -> Iterator[FieldError]:
    if body.get("kind") == "forbidden":
        yield FieldError("/kind", "must not be forbidden")


THINGS = Resource(
    Thing,
    "Select",
    path="things",
    partition_key=("Tenant", "day"),
    clustering=("-at", "order"),
    static=("owner", "limits"),
    generated={"made": lambda: MADE},
    hidden=("secret",),
    read_only=("made_by",),
    allow_filtering=("select", "limit", "Mixed name/é.~"),
    consistency=("LOCAL_ONE", "TWO"),
    ttl=1000,
    ttl_on_patch=True,
    patch_creates=True,
    delete_prefix=True,
    batch="logged",
    check=_not_forbidden,
)
BARE = replace(
    THINGS,
    path="bare",
    ttl=None,
    ttl_on_patch=False,
    patch_creates=False,
    delete_prefix=False,
    batch="per_row",
    consistency=(),
)
"""The same table with the options left out that allow more."""

MINE = replace(THINGS, path="mine", bound={"Tenant": lambda principal: principal.name})
SHUT = Resource(
    Thing,
    "Select",
    path="shut",
    partition_key=("Tenant", "day"),
    clustering=("-at", "order"),
    static=("owner", "limits"),
    writes="none",
)
PART = Resource(
    Part,
    "Select",
    path="part",
    partition_key=("Tenant", "day"),
    clustering=("-at", "order"),
    static=("owner",),
    hidden=("owner",),
)
FIRM = replace(
    THINGS,
    table_name="firm",
    path="firm",
    writes="conditional",
    version="rev",
    patch_creates=False,
    delete_prefix=False,
    batch="per_row",
)
RESOURCES = (THINGS, BARE, MINE, SHUT, PART, FIRM)

DAY, AT = "2026-11-28", "2026-11-28T09:00:00.000Z"

FULL: dict[str, Any] = {
    "kind": "login",
    "level": -7,
    "tags": ["a", "é", "🦉"],
    "steps": [3, 1, 3],
    "labels": {"": 0, "x": 1},
    "near": [0.1, -1.0, 3.0],
    "a_ascii": "plain\x7f\x00",
    "a_bigint": -(2**63),
    "a_blob": "0x00ff",
    "a_boolean": False,
    "a_date": "-5877641-06-23",
    "a_decimal": "-1.50",
    "a_double": "-Infinity",
    "a_duration": "1y2mo25d5h6m7s8ms9us10ns",
    "a_float": 0.1,
    "an_inet": "2001:db8::1",
    "a_time": "13:14:15.123456789",
    "a_timestamp": "+10000-01-01T00:00:00.000Z",
    "a_timeuuid": "50554d6e-29bb-11e5-b345-feff819cdc9f",
    "a_tinyint": -128,
    "a_uuid": "b26b2a23-4d70-41c3-88a7-a9aa9e135a93",
    "a_varint": str(2**200),
    "a_tuple": [None, "", [1, 2]],
    "home": {"table": "t", "spot": {"lat": 0.5, "lon": "NaN"}, "codes": [], "Zip code": 1},
    "office": {"table": None, "spot": {"lat": None, "lon": None}, "codes": [2, 1], "Zip code": None},
    "orders": [{"table": "a", "spot": None, "codes": None, "Zip code": 2}],
    "nested": {"a": [{"1": ["x", "y"], "2": []}, {}], "b": []},
    "pairs": [[[1, "a"], {"lat": 1.5, "lon": 2.5}], [[2, None], {"lat": None, "lon": None}]],
    "fixed_list": [],
    "fixed_set": ["p", "q"],
    "fixed_map": {"k": 1},
    "words": ["", "w"],
    "select": "*",
    "limit": 5,
    "Mixed name/é.~": "'; DROP TABLE x; --",
}
"""A value of each column that a body may have, as answers write it, but for the key and `secret`."""

SHOWN = tuple(name for name in THINGS.table.column_names if name != "secret")


def firm_statements() -> list[str]:
    """Return the DDL of the table with conditional writes. It has one index, because each takes Cassandra a while."""
    index = "CREATE CUSTOM INDEX ON {ks}.firm (near) USING 'StorageAttachedIndex'"
    return [*schema_statements("{ks}", [FIRM.table], None), index]


def key(tenant: str, day: str = DAY, at: str = AT, order: int = 1) -> dict[str, Any]:
    """Return the columns of a key."""
    return {"Tenant": tenant, "day": day, "at": at, "order": order}


def shown(**values: Any) -> dict[str, Any]:
    """Return a row as answers have it: all its columns in order, null where nothing is given."""
    return {**dict.fromkeys(SHOWN), **values}
