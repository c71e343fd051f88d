"""What is exported and imported again is the same table, in each format, for every CQL type."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from helpers.cassandra import unused_keyspace
from helpers.cql_values import cells_of
from helpers.every_type import CREATE_USER_TYPES, TEXTS, TYPES
from helpers.transfers import cql, exported, imported, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_app.db import Database
from asgi_app.tables.builtin import USERS
from asgi_app.tables.encoding import Encoded

pytestmark = pytest.mark.anyio

FORMATS = [("ndjson", False), ("ndjson", True), ("csv", False), ("csv", True), ("parquet", False)]

_ids = count()


@pytest.fixture(scope="module")
async def keyspaces(database: Database) -> AsyncIterator[tuple[str, str]]:
    """Two keyspaces with the same tables."""
    names = unused_keyspace(), unused_keyspace()
    columns = ", ".join(f"{name} {text}" for name, text in zip(TYPES, TEXTS, strict=True))
    for name in names:
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        await cql(database, f"CREATE KEYSPACE {name} WITH replication = {replication}")
        for statement in CREATE_USER_TYPES:
            await cql(database, statement.replace("TYPE ", f"TYPE {name}."))
        await cql(database, f"CREATE TABLE {name}.everything (id int PRIMARY KEY, {columns})")
        await cql(
            database,
            f'CREATE TABLE {name}."Static" (p text, q int, c int, "s s" text STATIC, sl list<int> STATIC, v text, '
            "PRIMARY KEY ((p, q), c)) WITH CLUSTERING ORDER BY (c DESC)",
        )
    yield names
    for name in names:
        await cql(database, f"DROP KEYSPACE {name}")


async def write(database: Database, table: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    text = f"INSERT INTO {table} (id, {', '.join(columns)}) VALUES (?{', ?' * len(columns)})"
    for row in rows:
        cells = [None if cell is None else Encoded(cell) for cell in row]
        await cql(database, text, [next(_ids), *cells])


ROWS = st.lists(st.tuples(*(st.none() | cells_of(cql_type) for cql_type in TYPES.values())), min_size=1, max_size=8)


@pytest.mark.parametrize(("form", "gzip"), FORMATS)
@settings(max_examples=3)
@given(rows=ROWS)
async def test_every_type(
    database: Database, keyspaces: tuple[str, str], form: str, gzip: bool, rows: list[tuple[Any, ...]]
) -> None:
    here, there = keyspaces
    await write(database, f"{here}.everything", list(TYPES), rows)
    with TemporaryDirectory() as folder:
        await exported(database, f"{here}.everything", Path(folder), format=form, gzip=gzip, slices=3)
        _, rejects = await imported(database, f"{there}.everything", Path(folder))
    assert rejects.count == 0
    assert await rows_of(database, f"{here}.everything")
    assert await rows_of(database, f"{there}.everything") == await rows_of(database, f"{here}.everything")


@pytest.fixture(scope="module")
async def partitions(database: Database, keyspaces: tuple[str, str]) -> tuple[str, str]:
    """The names of two tables; the first has one partition of only static values, wide ones, and one without any."""
    here, there = (f'{name}."Static"' for name in keyspaces)
    insert = f"INSERT INTO {here} (p, q, c, v) VALUES (?, ?, ?, ?)"
    for q in range(4):
        await cql(database, f"UPDATE {here} SET \"s s\" = ?, sl = [1, 2, 3] WHERE p = '' AND q = ?", [f"s{q}", q])
        for c in range(70 * q):
            await cql(database, insert, ["", q, c, "x" * c])
    await cql(database, insert, ["no static values", 1, 1, None])
    return here, there


@pytest.mark.parametrize(("form", "gzip", "batch"), [("ndjson", True, 1), ("csv", False, 32), ("parquet", False, 32)])
async def test_wide_partitions_and_static_columns(
    database: Database, partitions: tuple[str, str], tmp_path: Path, form: str, gzip: bool, batch: int
) -> None:
    here, there = partitions
    await cql(database, f"TRUNCATE {there}")
    source, target = (name.replace('"', "") for name in partitions)
    manifest = await exported(database, source, tmp_path, format=form, gzip=gzip, slices=2)
    for _ in range(2):  # a second time changes nothing, not even the lists
        progress, rejects = await imported(database, target, tmp_path, batch=batch, timestamp="export")
        assert (progress.rows, rejects.count) == (422, 0)
    assert manifest.rows == 422
    assert await rows_of(database, there) == await rows_of(database, here)


async def test_ndjson_has_the_bytes_of_a_stream(
    database: Database, service: Any, keyspace: str, tmp_path: Path
) -> None:
    _, client = service
    for number in range(30):
        await client.post("/users", json={"name": f"n{number}", "email": f"{number}@example.org", "age": number})
    manifest = await exported(database, "users", tmp_path, slices=4, select=USERS.column_names)
    streamed = (await client.get("/users/stream", params={"format": "ndjson"})).content
    parts = [(tmp_path / part.file).read_bytes() for part in manifest.parts]
    assert streamed.count(b"\n") >= 30
    assert b"".join(parts) == streamed
