"""Table descriptions and the CQL that is built from them."""

from __future__ import annotations

import uuid
from typing import Annotated

import msgspec
import pytest

from asgi_app.tables.builtin import ANIMALS, PLANTS, USERS
from asgi_app.tables.cql import Queries, create_keyspace, quoted
from asgi_app.tables.table import Column, CQLType, Table
from asgi_app.tables.types import ListOf, Native, SetOf


class Reading(msgspec.Struct):
    sensor: uuid.UUID
    at: Annotated[int, CQLType("bigint")]
    value: Annotated[float | None, msgspec.Meta(ge=0)]
    tags: list[str] | None
    labels: set[str] | None


TABLE = Table.from_struct(Reading, "Readings", partition_key=("sensor",), clustering_columns=("at",))


def test_columns_are_the_fields_of_the_struct() -> None:
    assert TABLE.columns == (
        Column("sensor", Native("uuid"), "partition_key"),
        Column("at", Native("bigint"), "clustering"),
        Column("value", Native("double")),
        Column("tags", ListOf(Native("text"))),
        Column("labels", SetOf(Native("text"))),
    )
    assert TABLE.primary_key == ("sensor", "at")


def test_key_that_is_not_a_column_is_refused() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        Table.from_struct(Reading, "readings", partition_key=("nowhere",))
    with pytest.raises(ValueError, match="key"):
        Table.from_struct(Reading, "readings", partition_key=())


def test_type_without_a_cql_type_is_refused() -> None:
    class Odd(msgspec.Struct):
        id: complex

    with pytest.raises(TypeError, match="CQLType"):
        Table.from_struct(Odd, "odd", partition_key=("id",))


def test_identifiers_are_quoted() -> None:
    assert quoted('a"b') == '"a""b"'
    assert Queries('k"s', TABLE).row.cql.endswith('FROM "k""s"."Readings" WHERE "sensor" = ? AND "at" = ?')


def test_statements_of_users() -> None:
    queries = Queries("ks", USERS)
    columns = '"id", "name", "email", "age", "created_at", "updated_at"'
    assert queries.every_row.cql == f'SELECT {columns} FROM "ks"."users"'
    assert queries.row.cql == f'SELECT {columns} FROM "ks"."users" WHERE "id" = ?'
    assert queries.rows_at_least("age").cql == f'SELECT {columns} FROM "ks"."users" WHERE "age" >= ? ALLOW FILTERING'
    assert queries.insert_at.cql == (
        f'INSERT INTO "ks"."users" ({columns}) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?'
    )
    update = queries.update_if_exists(("name", "updated_at"))
    assert update.cql == 'UPDATE "ks"."users" SET "name" = ?, "updated_at" = ? WHERE "id" = ? IF EXISTS'
    assert queries.update_if_exists(("name", "updated_at")) is update
    assert queries.delete_if_exists.cql == 'DELETE FROM "ks"."users" WHERE "id" = ? IF EXISTS'


def test_idempotent_statements() -> None:
    queries = Queries("ks", USERS)
    repeatable = (queries.row, queries.partition, queries.every_row, queries.rows_at_least("age"), queries.insert_at)
    assert all(statement.idempotent for statement in repeatable)
    assert not queries.update_if_exists(("name",)).idempotent
    assert not queries.delete_if_exists.idempotent
    assert not Queries("ks", ANIMALS).insert.idempotent  # a repeated write of a list doubles it
    assert [s.writes for s in (queries.row, queries.insert, queries.delete_if_exists)] == [False, True, True]


def test_ddl_of_the_built_in_tables() -> None:
    assert Queries("ks", USERS).create_table() == (
        'CREATE TABLE IF NOT EXISTS "ks"."users" ("id" uuid, "name" text, "email" text, "age" int, '
        '"created_at" timestamp, "updated_at" timestamp, PRIMARY KEY (("id")))'
    )
    assert Queries("ks", ANIMALS).create_table() == (
        'CREATE TABLE IF NOT EXISTS "ks"."animals" ("genus" text, "species" text, "image_url" text, "size_cm" float, '
        '"sightings" int, "taxonomy" list<text>, PRIMARY KEY (("genus"), "species"))'
    )
    assert Queries("ks", PLANTS).create_table() == (
        'CREATE TABLE IF NOT EXISTS "ks"."plants" ("genus" text, "species" text, "sightings" int, '
        'PRIMARY KEY (("genus"), "species"))'
    )
    assert create_keyspace("ks", "{'class': 'SimpleStrategy'}") == (
        "CREATE KEYSPACE IF NOT EXISTS \"ks\" WITH replication = {'class': 'SimpleStrategy'}"
    )
