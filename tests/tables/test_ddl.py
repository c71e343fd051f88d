"""The DDL of declared tables: a node takes it, and what it then has is what was declared."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import ipaddress
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import msgspec
import pytest
from cassandra.cluster import Session
from helpers.cassandra import ONE_REPLICA, own_keyspace, remove, unused_keyspace
from helpers.cql_values import ANY_TYPE
from helpers.schema_rows import rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_app.tables.column_rules import type_problems
from asgi_app.tables.cql import Queries, create_types, index_name
from asgi_app.tables.ddl import SchemaMismatchError, create_schema, schema_statements
from asgi_app.tables.declaration import problems_of
from asgi_app.tables.declared import COUNTER, parts
from asgi_app.tables.live_schema import LiveSchema, differences, read_schema
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Column, CQLType, Index, Table
from asgi_app.tables.types import CqlType, ListOf, MapOf, Native, SetOf, TupleOf, UserType, VectorOf


class Order(msgspec.Struct):
    """A user-defined type whose name and field are reserved words of CQL."""

    table: str
    since: datetime.date | None


class Json(msgspec.Struct):
    orders: list[Order] | None
    strange: int | None = msgspec.field(name="Strange name")


class Everything(msgspec.Struct):
    tenant: str
    Day: datetime.date
    at: datetime.datetime
    id: Annotated[uuid.UUID, CQLType("timeuuid")]
    sizes: Annotated[list[int], CQLType("frozen<list<int>>")]
    select: int | None
    owner: str | None
    a_bigint: Annotated[int, CQLType("bigint")]
    a_boolean: Annotated[bool, Index()]
    a_blob: bytes
    a_decimal: decimal.Decimal
    a_duration: Annotated[str, CQLType("duration")]
    a_float: Annotated[float, CQLType("float")]
    a_double: float
    an_inet: ipaddress.IPv4Address | ipaddress.IPv6Address
    a_smallint: Annotated[int, CQLType("smallint")]
    a_time: datetime.time
    a_tinyint: Annotated[int, CQLType("tinyint")]
    a_varint: Annotated[int, CQLType("varint")]
    an_ascii: Annotated[str, CQLType("ascii"), Index()]
    Mixed: Annotated[str | None, Index(name="Own_name")]
    tags: Annotated[set[str] | None, Index()]
    counts: Annotated[dict[str, int] | None, Index(target="keys"), Index(target="entries"), Index(target="values")]
    nested: dict[str, list[tuple[int, set[str] | None]]] | None
    frozen_tags: Annotated[set[str], CQLType("frozen<set<text>>"), Index(target="full")]
    order: Order | None
    frozen_order: Annotated[Order | None, CQLType('frozen<"order">'), Index()]
    documents: list[Json] | None
    pair: tuple[int, str] | None
    embedding: Annotated[list[float] | None, CQLType("vector<float, 3>"), Index(similarity="dot_product")]
    other: Annotated[list[float] | None, CQLType("vector<float, 1>"), Index(similarity="euclidean")]
    plain: Annotated[list[float] | None, CQLType("vector<float, 2>"), Index()]
    dotted: str | None = msgspec.field(name="x.y")


EVERYTHING = Resource(
    Everything,
    "Everything",
    partition_key=("tenant", "Day"),
    clustering=("-at", "id", "-sizes"),
    static=("owner",),
)


@pytest.fixture
def keyspace(cql: Session) -> Iterator[str]:
    """A name for a keyspace, which is removed at the end."""
    name = unused_keyspace()
    yield name
    remove(cql, name)


@pytest.fixture(scope="module")
def shared_keyspace(cql: Session) -> Iterator[str]:
    """A keyspace for tables that Cassandra refuses, or whose indexes it refuses."""
    with own_keyspace(cql, ()) as name:
        yield name


def assert_refused(session: Session, keyspace: str, resource: Resource, match: str) -> None:
    """Assert that the declaration has one mistake, and that Cassandra refuses the table or its index."""
    assert len(problems_of([resource])) == 1
    with pytest.raises(Exception, match=match):
        create_schema(session, keyspace, None, (), declared=[resource.table])


def live(session: Session, keyspace: str) -> LiveSchema:
    return read_schema(keyspace, rows_of(session, keyspace))


def test_every_type_option_and_index_is_created_as_declared(cql: Session, keyspace: str) -> None:
    assert problems_of([EVERYTHING]) == []
    table = EVERYTHING.table
    create_schema(cql, keyspace, ONE_REPLICA, (), declared=[table])
    found = live(cql, keyspace).tables["Everything"]
    assert differences(table, found) == ()
    assert found.partition_key == ("tenant", "Day")
    assert found.descending == {"at", "sizes"}
    assert [column.name for column in found.static_columns] == ["owner"]
    assert {(index.column, index.name, index.similarity) for index in found.indexes} == {
        (index.column, index_name("Everything", index), index.similarity) for index in table.indexes
    }
    create_schema(cql, keyspace, ONE_REPLICA, (), declared=[table])  # again: nothing to do


def named(cql_type: CqlType) -> CqlType:
    """Return the type with a name for each user-defined type within it that stands for its fields alone."""
    match cql_type:
        case ListOf(element) | SetOf(element):
            return replace(cql_type, element=named(element))
        case VectorOf(element, size):
            return VectorOf(named(element), size)
        case MapOf(key, value):
            return replace(cql_type, key=named(key), value=named(value))
        case TupleOf(elements):
            return TupleOf(tuple(map(named, elements)))
        case UserType(_, fields):
            inside = tuple((name, named(field)) for name, field in fields)
            return replace(cql_type, name=f"T{hashlib.sha256(repr(inside).encode()).hexdigest()[:20]}", fields=inside)
    return cql_type


def is_possible(cql_type: CqlType) -> bool:
    """Return whether a column of a table without counters can have the type."""
    return COUNTER not in parts(cql_type) and not list(type_problems(cql_type))


COLUMN_TYPES = st.lists(ANY_TYPE.map(named).filter(is_possible), min_size=10, max_size=30)


@settings(max_examples=5)
@given(column_types=COLUMN_TYPES)
def test_any_type_reads_back_as_declared(cql: Session, shared_keyspace: str, column_types: list[CqlType]) -> None:
    columns = tuple(Column(f"Column {number}", cql_type) for number, cql_type in enumerate(column_types))
    name = f"things_{uuid.uuid4().hex}"
    table = Table(name, (Column("id", Native("int"), "partition_key"), *columns), ("id",))
    create_schema(cql, shared_keyspace, None, (), declared=[table])
    found = live(cql, shared_keyspace).tables[name]
    assert {column.name: column.type for column in found.columns} == {
        column.name: column.type for column in table.columns
    }


def test_user_types_come_after_those_that_they_contain() -> None:
    assert create_types("ks", [EVERYTHING.table]) == [
        'CREATE TYPE IF NOT EXISTS "ks"."order" ("table" text, "since" date)',
        'CREATE TYPE IF NOT EXISTS "ks"."json" ("orders" frozen<list<frozen<"order">>>, "Strange name" int)',
    ]


def test_statements_stand_in_order_in_each_keyspace() -> None:
    elsewhere = Resource(Order, "orders", partition_key=("table",), keyspace="shop")
    shown = schema_statements("ks", (), ONE_REPLICA, declared=[EVERYTHING.table, elsewhere.table])
    kinds = [" ".join(statement.split()[:3]).removesuffix(" IF") for statement in shown]
    assert kinds == [
        *["CREATE KEYSPACE"] * 2,
        *["CREATE TYPE"] * 2,
        *["CREATE TABLE"] * 2,
        *["CREATE CUSTOM INDEX"] * 12,
    ]
    assert shown[1].startswith('CREATE KEYSPACE IF NOT EXISTS "shop" ')
    assert shown[5].startswith('CREATE TABLE IF NOT EXISTS "shop"."orders" ')
    assert schema_statements("ks", (), None, declared=[EVERYTHING.table, elsewhere.table]) == shown[2:]


def test_table_of_several_resources_is_created_once() -> None:
    table = EVERYTHING.table
    assert schema_statements("ks", (), None, declared=[table, table]) == schema_statements(
        "ks", (), None, declared=[table]
    )


class Before(msgspec.Struct):
    id: int
    kind: int


class After(msgspec.Struct):
    id: int
    kind: Annotated[str, Index()]
    more: Annotated[str, Index()]


def test_existing_table_is_neither_altered_nor_given_indexes(cql: Session, keyspace: str) -> None:
    before, after = (Resource(row, "things", partition_key=("id",)).table for row in (Before, After))
    other = Resource(After, "others", partition_key=("id",)).table
    create_schema(cql, keyspace, ONE_REPLICA, (), declared=[before])
    differing = r"see kind \(is int, declared as text\), more \(missing, declared as text\)\."
    with pytest.raises(SchemaMismatchError, match=f"things exists, but not as declared: {differing}"):
        create_schema(cql, keyspace, ONE_REPLICA, (), declared=[after, other])
    found = live(cql, keyspace).tables
    assert differences(before, found["things"]) == ()
    assert found["things"].indexes == ()
    assert differences(other, found["others"]) == ()
    assert len(found["others"].indexes) == 2


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        (False, Annotated[list[str], CQLType("set<duration>")]),
        (False, Annotated[tuple[Any], CQLType("frozen<tuple<frozen<set<duration>>>>")]),
        (False, Annotated[dict[str, int], CQLType("map<duration, int>")]),
        (False, Annotated[list[int], CQLType("list<counter>")]),
        (False, Annotated[tuple[int], CQLType("tuple<counter>")]),
        (False, msgspec.defstruct("Counting", [("n", Annotated[int, CQLType("counter")])])),
        (False, msgspec.defstruct("Nothing", [])),
        (True, Annotated[str, CQLType("duration")]),
        (True, Annotated[list[str], CQLType("frozen<list<duration>>")]),
        (True, Annotated[tuple[str], CQLType("tuple<duration>")]),
        (True, set[int]),
        (True, Order),
        (False, Annotated[int, Index(target="values")]),
        (False, Annotated[int, Index(similarity="cosine")]),
        (False, Annotated[Order, Index()]),
        (False, Annotated[str, CQLType("duration"), Index()]),
        (False, Annotated[list[str], CQLType("list<duration>"), Index()]),
        (False, Annotated[tuple[str], CQLType("tuple<duration>"), Index()]),
        (False, Annotated[list[int], Index(target="keys")]),
        (False, Annotated[list[int], Index(target="entries")]),
        (False, Annotated[list[int], Index(target="full")]),
        (False, Annotated[list[int], CQLType("frozen<list<int>>"), Index()]),
        (False, Annotated[list[int], CQLType("frozen<list<int>>"), Index(target="values")]),
        (False, Annotated[Order, CQLType('frozen<"order">'), Index(target="full")]),
        (False, Annotated[tuple[int], Index(target="full")]),
        (False, Annotated[list[int], CQLType("vector<int, 2>"), Index()]),
        (False, Annotated[list[float], CQLType("vector<float, 1>"), Index()]),
        (False, Annotated[list[float], CQLType("vector<float, 1>"), Index(similarity="cosine")]),
        (False, Annotated[list[float], CQLType("vector<float, 2>"), Index(target="values")]),
        (True, Annotated[bytes, Index()]),
        (False, Annotated[set[bytes], Index()]),
        (False, Annotated[dict[bytes, int], Index(target="keys")]),
        (False, Annotated[dict[int, bytes], Index(target="entries")]),
    ],
)
def test_what_cassandra_refuses_is_a_mistake_of_the_declaration(
    cql: Session, shared_keyspace: str, key: bool, hint: Any
) -> None:
    row = msgspec.defstruct("Row", [("id", int), ("x", hint)])
    resource = Resource(row, f"things_{uuid.uuid4().hex}", partition_key=("id",), clustering=("x",) if key else ())
    assert_refused(cql, shared_keyspace, resource, "code=2")  # Cassandra's codes for bad requests


def test_index_on_the_only_partition_key_column_is_refused(cql: Session, shared_keyspace: str) -> None:
    row = msgspec.defstruct("Row", [("id", Annotated[int, Index()])])
    assert_refused(cql, shared_keyspace, Resource(row, "keys", partition_key=("id",)), "only partition key")


def test_blobs_within_what_is_indexed_are_taken(cql: Session, shared_keyspace: str) -> None:
    hints = [
        Annotated[dict[bytes, int], Index()],
        Annotated[dict[int, bytes], Index(target="keys")],
        Annotated[tuple[bytes, int], Index()],
        Annotated[list[bytes], CQLType("frozen<list<blob>>"), Index(target="full")],
    ]
    row = msgspec.defstruct("Row", [("id", int), *((f"x{at}", hint) for at, hint in enumerate(hints))])
    resource = Resource(row, "blobs", partition_key=("id",))
    assert problems_of([resource]) == []
    create_schema(cql, shared_keyspace, None, (), declared=[resource.table])


def test_index_on_a_vector_in_descending_order_is_refused(cql: Session, shared_keyspace: str) -> None:
    row = msgspec.defstruct("Row", [("id", int), ("x", Annotated[list[float], CQLType("vector<float, 2>"), Index()])])
    resource = Resource(row, "falling", partition_key=("id",), clustering=("-x",))
    assert_refused(cql, shared_keyspace, resource, "ReversedType")


def test_index_on_a_name_of_other_characters_is_refused(cql: Session, shared_keyspace: str) -> None:
    row = msgspec.defstruct("Row", [("id", int), ("x", Annotated[int, Index()], msgspec.field(name="x.y"))])
    assert_refused(cql, shared_keyspace, Resource(row, "names", partition_key=("id",)), "non-alphanumeric")


def test_index_on_a_table_of_counters_is_refused(cql: Session, shared_keyspace: str) -> None:
    row = msgspec.defstruct(
        "Row", [("id", int), ("at", Annotated[int, Index()]), ("n", Annotated[int, CQLType("counter")])]
    )
    resource = Resource(row, "hits", partition_key=("id",), clustering=("at",))
    assert_refused(cql, shared_keyspace, resource, "counter tables")


def test_names_of_indexes() -> None:
    assert index_name("users", Index("age")) == "users_age"
    assert index_name("t", Index("m", "keys")) == "t_m_keys"
    assert index_name("t", Index("m", name="Own")) == "Own"


def test_clustering_order_is_written_only_if_it_is_not_the_default() -> None:
    table = Table.from_struct(Before, "t", partition_key=("id",), clustering_columns=("kind",))
    assert "CLUSTERING" not in Queries("ks", table).create_table()
