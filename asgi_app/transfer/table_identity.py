"""Tell a table from one that has its name later, and notice what takes rows or values away while a transfer runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from asgi_app.db import Database
from asgi_app.errors import RejectedByCassandra, SchemaMissing
from asgi_app.runtime.deadline import Deadline
from asgi_app.tables.cql import Statement, create_types
from asgi_app.tables.table import Column, Table
from asgi_app.transfer.table_lookup import read_table


def _reading(cql: str) -> Statement:
    return Statement(cql, idempotent=True, writes=False)


_TABLE_ID = _reading("SELECT id FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?")
_VIEW_ID = _reading("SELECT id FROM system_schema.views WHERE keyspace_name = ? AND view_name = ?")
_DROPPED = _reading(
    "SELECT column_name, dropped_time FROM system_schema.dropped_columns WHERE keyspace_name = ? AND table_name = ?"
)
_NOW = _reading("SELECT now() AS now FROM system.local WHERE key = 'local'")
_TRUNCATED = _reading("SELECT truncated_at FROM system.local WHERE key = 'local'")

_FIRST_OF_UUIDS = datetime(1582, 10, 15, tzinfo=UTC)
"""The time from which a UUID of version 1 counts (RFC 9562 section 5.1)."""

_TIME_BYTES = 8
"""A record of a truncation ends with the node's time in milliseconds, as Cassandra's `SystemKeyspace` writes it."""


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What some columns of a table are known by, beside their names.

    `id`: the one that Cassandra gave the table or view when it was created, None if there is none. `dropped`: when
    columns of these names were dropped, if they ever were; their values from before are gone. `types`: the statements
    that create the user-defined types of the columns.
    """

    id: str | None
    dropped: dict[str, str]
    types: tuple[str, ...]


async def identity_of(database: Database, table: Table, columns: Sequence[Column]) -> Identity:
    """Return the identity of columns of a table, which has its keyspace. Raises what `Database.execute` raises."""
    names = {column.name for column in columns}
    found = await _rows(database, _VIEW_ID if table.is_view else _TABLE_ID, table)
    dropped = {row["column_name"]: str(row["dropped_time"]) for row in await _rows(database, _DROPPED, table)}
    return Identity(
        id=next((row["id"] for row in found), None),
        dropped={name: dropped[name] for name in sorted(names & dropped.keys())},
        types=tuple(sorted(create_types(table.keyspace or "", [replace(table, columns=tuple(columns))]))),
    )


class ChosenColumns(NamedTuple):
    """Columns of a table, which has its keyspace, as they were at `began`, a time of `cluster_time`."""

    table: Table
    columns: tuple[Column, ...]
    identity: Identity
    began: datetime

    @classmethod
    async def now(cls, database: Database, table: Table, columns: tuple[Column, ...]) -> ChosenColumns:
        """Return columns as they are now. Raises what `Database.execute` raises."""
        began = await cluster_time(database)
        return cls(table, columns, await identity_of(database, table, columns), began)

    @property
    def name(self) -> str:
        """The table's name with its keyspace."""
        return f"{self.table.keyspace}.{self.table.name}"

    async def change(self, database: Database) -> str | None:
        """Return what has happened to the columns since `began`, as the rest of a sentence; None if nothing has.

        Sees that the table was dropped, created again or truncated, and that a column was dropped, also if it was added
        again. Raises what `Database.execute` raises.
        """
        live = await read_table(database, self.table.keyspace or "", self.table.name)
        if live is None:
            return "was dropped"
        found = await identity_of(database, live, [column for column in self.columns if column in live.columns])
        if found.id != self.identity.id:
            return "was dropped and created again"
        absent = {column.name for column in self.columns if column not in live.columns}
        changed = sorted(absent | redropped(self.identity, found))
        if changed or found.types != self.identity.types:
            return "was altered" + (f" (see the columns {', '.join(changed)})" if changed else "")
        return "was truncated" if await is_truncated_since(database, found.id, self.began) else None


def redropped(before: Identity, now: Identity) -> set[str]:
    """Return the columns that were dropped between two identities, and added again."""
    return {name for name, time in now.dropped.items() if time != before.dropped.get(name)}


async def cluster_time(database: Database) -> datetime:
    """Return the time by the clock of a node. Raises what `Database.execute` raises."""
    (row,) = await _rows(database, _NOW)
    return _FIRST_OF_UUIDS + timedelta(microseconds=UUID(row["now"]).time // 10)


async def is_truncated_since(database: Database, table_id: str | None, began: datetime) -> bool:
    """Return whether a table was truncated after a time of `cluster_time`.

    A TRUNCATE reaches all nodes, and each keeps the time of the last one, by its own clock. Returns false if the server
    does not tell. Raises what `Database.execute` raises.
    """
    try:
        rows = await _rows(database, _TRUNCATED)
    except (RejectedByCassandra, SchemaMissing):  # not every server has the column
        return False
    record = next(((row["truncated_at"] or {}).get(table_id) for row in rows), None)
    return record is not None and _milliseconds(record) > began.timestamp() * 1000


def _milliseconds(record: str) -> int:
    """Return the time in a record, which is a blob's JSON form."""
    return int.from_bytes(bytes.fromhex(record.removeprefix("0x"))[-_TIME_BYTES:], "big")


async def _rows(database: Database, statement: Statement, table: Table | None = None) -> list[dict[str, Any]]:
    values = () if table is None else (table.keyspace, table.name)
    deadline = Deadline.after(database.settings.request_timeout)
    result = await database.execute(statement, values, deadline=deadline, fetch_size=5000)
    return result.dicts()
