"""The schema of a keyspace as a node has it, read into tables, and compared with declared ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest
from cassandra.cluster import Session
from helpers.cassandra import own_keyspace
from helpers.schema_rows import rows_of

from asgi_app.tables.builtin import ANIMALS, PLANTS, USERS
from asgi_app.tables.live_schema import (
    LiveSchema,
    SchemaRows,
    described_differences,
    differences,
    read_schema,
    read_user_types,
)
from asgi_app.tables.table import CQLType, Index, Table
from asgi_app.tables.types import ListOf, Native, SetOf, TupleOf, UnknownType, UserType, VectorOf

EVENTS = """CREATE TABLE {keyspace}.events (
    tenant text, day date, at timestamp, id uuid, owner text STATIC, "Mixed" int, "x.y" text, tags set<text>,
    counts map<text, int>, sizes frozen<list<int>>, place address, home frozen<address>, "odd" "Odd Type",
    embedding vector<float, 3>, pairs list<frozen<tuple<int, text>>>,
    PRIMARY KEY ((tenant, day), at, id)
) WITH CLUSTERING ORDER BY (at DESC, id ASC) AND default_time_to_live = 60 AND comment = 'What happened'"""

SAI = "CREATE CUSTOM INDEX {} ON {{keyspace}}.events ({}) USING '{}'"

SCHEMA = (
    "CREATE TYPE {keyspace}.address (street text, lines frozen<list<text>>)",
    'CREATE TYPE {keyspace}."Odd Type" ("Where" frozen<address>)',
    "CREATE TYPE {keyspace}.a_first_of_all (inside frozen<address>)",
    EVENTS,
    SAI.format("by_mixed", '"Mixed"', "StorageAttachedIndex"),
    SAI.format("by_tag", "tags", "sai"),
    SAI.format("by_count", "entries(counts)", "org.apache.cassandra.index.sai.StorageAttachedIndex"),
    SAI.format("by_sizes", "full(sizes)", "StorageAttachedIndex"),
    SAI.format("by_embedding", "embedding", "StorageAttachedIndex")
    + " WITH OPTIONS = {{'similarity_function': 'DOT_PRODUCT'}}",
    "CREATE INDEX by_owner ON {keyspace}.events (owner)",
    "CREATE TABLE {keyspace}.hits (page text PRIMARY KEY, hits counter)",
    "CREATE TABLE {keyspace}.dense (a int, b int, PRIMARY KEY (a, b)) WITH COMPACT STORAGE",
    "CREATE TABLE {keyspace}.thin (a int PRIMARY KEY, b int, c text) WITH COMPACT STORAGE",
)


@pytest.fixture(scope="module")
def live(cql: Session) -> Iterator[LiveSchema]:
    """The schema of a keyspace with every kind of column."""
    with own_keyspace(cql) as keyspace:
        for statement in SCHEMA:
            cql.execute(statement.format(keyspace=keyspace))
        yield read_schema(keyspace, rows_of(cql, keyspace))


def test_built_in_tables_read_back_as_declared(live: LiveSchema) -> None:
    for table in (USERS, ANIMALS, PLANTS):
        assert differences(table, live.tables[table.name]) == ()


def test_keys_order_and_options(live: LiveSchema) -> None:
    events = live.tables["events"]
    assert events.partition_key == ("tenant", "day")
    assert events.clustering_columns == ("at", "id")
    assert events.descending == {"at"}
    assert events.has_default_ttl
    assert events.comment == "What happened"
    assert events.keyspace == live.keyspace
    assert not events.is_view
    assert not events.is_virtual
    assert not live.tables["users"].has_default_ttl
    assert events.column_names[:5] == ("tenant", "day", "at", "id", "owner")
    assert [column.name for column in events.static_columns] == ["owner"]


def test_types_of_columns(live: LiveSchema) -> None:
    column = live.tables["events"].column
    text = Native("text")
    address = UserType("address", (("street", text), ("lines", ListOf(text, frozen=True))))
    home = UserType(address.name, address.fields, frozen=True)
    assert column("Mixed").type == Native("int")
    assert column("x.y").type == text
    assert column("tags").type == SetOf(text)
    assert column("place").type == address
    assert column("home").type == home
    assert column("odd").type == UserType("Odd Type", (("Where", home),))
    assert column("embedding").type == VectorOf(Native("float"), 3)
    assert column("pairs").type == ListOf(TupleOf((Native("int"), text)))
    assert live.user_types["a_first_of_all"].fields == (("inside", home),)


def test_indexes(live: LiveSchema) -> None:
    found = {index.name: (index.column, index.target, index.kind, index.similarity) for index in _events(live).indexes}
    assert found == {
        "by_mixed": ("Mixed", "", "sai", None),
        "by_tag": ("tags", "values", "sai", None),
        "by_count": ("counts", "entries", "sai", None),
        "by_sizes": ("sizes", "full", "sai", None),
        "by_embedding": ("embedding", "", "sai", "dot_product"),
        "by_owner": ("owner", "", "legacy", None),
    }


def test_counters(live: LiveSchema) -> None:
    assert live.tables["hits"].is_counter
    assert not _events(live).is_counter


def test_compact_tables_have_the_columns_that_cql_shows(live: LiveSchema, cql: Session) -> None:
    for name in ("dense", "thin"):
        shown = cql.execute(f"SELECT * FROM {live.keyspace}.{name}").column_names
        assert live.tables[name].column_names == tuple(shown)
    assert live.tables["dense"].is_key_only
    assert live.tables["thin"].static_columns == ()
    assert live.tables["thin"].primary_key == ("a",)


def test_virtual_tables(cql: Session) -> None:
    schema = read_schema("system_views", rows_of(cql, "system_views"))
    clients = schema.tables["clients"]
    assert clients.is_virtual
    assert clients.partition_key == ("address",)
    assert clients.column("port").type == Native("int")


def test_view_is_marked() -> None:
    columns = [
        {"table_name": "v", "column_name": "a", "kind": "partition_key", "position": 0, "clustering_order": "none"}
        | {"type": "int"}
    ]
    schema = read_schema("ks", SchemaRows(views=[{"view_name": "v", "comment": None}], columns=columns))
    assert schema.tables["v"].is_view


def test_table_without_columns_is_left_out() -> None:
    row = {"table_name": "t", "flags": ["compound"], "default_time_to_live": 0, "comment": ""}
    assert read_schema("ks", SchemaRows(tables=[row])).tables == {}


def test_type_that_nobody_knows_breaks_nothing() -> None:
    rows = [
        {"type_name": "t", "field_names": ["a"], "field_types": ["'org.apache.cassandra.db.marshal.LexicalUUIDType'"]}
    ]
    ((_, field),) = read_user_types(rows)["t"].fields
    assert isinstance(field, UnknownType)


class Address(msgspec.Struct):
    street: str | None
    lines: list[str] | None


class Event(msgspec.Struct):
    tenant: str
    day: Annotated[str, CQLType("date")]
    at: Annotated[str, CQLType("timestamp")]
    id: Annotated[str, CQLType("uuid")]
    owner: str | None
    Mixed: Annotated[int | None, Index()]
    place: Address | None
    home: Annotated[Address | None, CQLType("frozen<address>")]
    pairs: list[tuple[int, str]] | None


KEY = {
    "tenant": str,
    "day": Annotated[str, CQLType("date")],
    "at": Annotated[str, CQLType("timestamp")],
    "id": Annotated[str, CQLType("uuid")],
}


def declared(row: type[msgspec.Struct] = Event, **changes: Any) -> Table:
    options = {
        "partition_key": ("tenant", "day"),
        "clustering_columns": ("at", "id"),
        "descending": ("at",),
        "static": ("owner",),
        **changes,
    }
    return Table.from_struct(row, "events", **options)


def test_declared_table_that_fits(live: LiveSchema) -> None:
    assert differences(declared(), _events(live)) == ()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"static": ()}, ("owner",)),
        ({"descending": ()}, ("at",)),
        ({"descending": ("at", "id")}, ("id",)),
        ({"partition_key": ("day", "tenant")}, ("day", "tenant")),
        ({"clustering_columns": ("at",)}, ("id",)),
        ({"partition_key": ("tenant",), "clustering_columns": ("day", "at", "id")}, ("day",)),
    ],
)
def test_key_that_differs_is_named(live: LiveSchema, changes: dict[str, Any], named: tuple[str, ...]) -> None:
    assert differences(declared(**changes), _events(live)) == named


@pytest.mark.parametrize(
    ("column", "hint"),
    [
        ("Mixed", str),
        ("Mixed", list[int]),
        ("absent", int),
        ("tags", list[str]),
        ("place", Annotated[Address, CQLType("frozen<address>")]),
        ("home", Address),
        ("sizes", list[int]),
        ("counts", dict[str, str]),
        ("counts", dict[int, int]),
        ("embedding", Annotated[list[float], CQLType("vector<float, 4>")]),
        ("embedding", Annotated[list[float], CQLType("vector<double, 3>")]),
        ("pairs", list[tuple[int, str, str]]),
        ("pairs", list[tuple[int, int]]),
        ("place", msgspec.defstruct("Address", [("lines", list[str]), ("street", str)])),
        ("place", msgspec.defstruct("Address", [("street", int), ("lines", list[str])])),
        ("place", msgspec.defstruct("Address", [("street", str), ("lines", list[str]), ("more", str)])),
    ],
)
def test_column_that_differs_is_named(live: LiveSchema, column: str, hint: Any) -> None:
    row = msgspec.defstruct("Row", [*KEY.items(), (column, hint)])
    table = declared(row, static=())
    assert differences(table, _events(live)) == (column,)


@pytest.mark.parametrize(
    ("table", "described"),
    [
        (declared(static=()), "owner (is a static column, declared as a regular column)"),
        (declared(descending=()), "at (has another place in the key, or another order)"),
        (declared(clustering_columns=("at",)), "id (is a clustering column, declared as a regular column)"),
        (
            declared(msgspec.defstruct("Row", [*KEY.items(), ("absent", int)]), static=()),
            "absent (missing, declared as int)",
        ),
        (
            declared(msgspec.defstruct("Row", [*KEY.items(), ("tags", list[str])]), static=()),
            "tags (is set<text>, declared as list<text>)",
        ),
        (
            declared(msgspec.defstruct("Row", [*KEY.items(), ("home", Address)]), static=()),
            "home (is frozen<address>, declared as address)",
        ),
        (
            declared(
                msgspec.defstruct("Row", [(name, hint) for name, hint in KEY.items() if name != "id"]),
                clustering_columns=("at",),
                static=(),
            ),
            "id (in the key of the table, and not declared)",
        ),
    ],
    ids=str,
)
def test_difference_is_described(live: LiveSchema, table: Table, described: str) -> None:
    assert described_differences(table, _events(live)) == (described,)


def test_user_type_with_more_fields_in_cassandra_fits(live: LiveSchema) -> None:
    row = msgspec.defstruct("Row", [*KEY.items(), ("place", msgspec.defstruct("Address", [("street", str)]))])
    assert differences(declared(row, static=()), _events(live)) == ()


def test_missing_table_lacks_every_column() -> None:
    assert differences(USERS, None) == USERS.column_names


def _events(schema: LiveSchema) -> Table:
    return schema.tables["events"]
