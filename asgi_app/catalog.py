"""Read the live schema of the resources' tables, and compare it with their declarations."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import anyio

from asgi_app.db import Database
from asgi_app.errors import SchemaMissing, ServiceError
from asgi_app.runtime.deadline import Deadline
from asgi_app.tables import live_schema
from asgi_app.tables.cql import Statement
from asgi_app.tables.live_schema import SchemaRows, described_differences, differences, read_schema
from asgi_app.tables.table import Table

logger = logging.getLogger("asgi_app.catalog")

RECHECK_SECONDS = 1.0
"""Seconds after which the schema is read again for a resource whose table did not fit."""

_VIRTUAL = "system_"
"""How the names of keyspaces with virtual tables begin."""

_ROWS = 5000
"""Rows of one page of the schema."""


class Catalog:
    """The tables of the declared resources, as Cassandra has them. Use it on the event loop of its database.

    The schema is read when the application starts, as soon as Cassandra answers. A resource whose table lacks a column
    or has one of another type is not served until the table fits; all others are.
    """

    def __init__(self, database: Database, declared: Mapping[str, Table]) -> None:
        """`declared` has the table of each resource, by the resource's name; each table has its keyspace."""
        self._database = database
        self._declared = declared
        self._sound: dict[str, Table] = {}
        self.unfit = set(declared)
        """The names of the resources that are not served now, as far as is known: at first all."""
        self.read_only: frozenset[str] = frozenset()
        """The names of the resources whose tables are views or virtual, as far as is known."""
        self._missing: dict[str, tuple[str, ...]] = {}
        self._described: dict[str, tuple[str, ...]] = {}  # of `_missing`, how each column differs, for the log
        self.version = 0
        """Grows whenever a read of the schema changed anything that is served."""
        self._absent: frozenset[str] = frozenset()  # those of `_missing` that have no table at all
        self._read_at = -RECHECK_SECONDS
        self._reading = anyio.Lock()

    @property
    def was_read(self) -> bool:
        """Whether the schema was read at least once, or there is none to read."""
        return not self._declared or bool(self._sound or self._missing)

    @property
    def missing(self) -> dict[str, tuple[str, ...]]:
        """The columns that tables of resources lack or have with another type, by the resource's name."""
        return self._missing

    @property
    def current(self) -> Mapping[str, Table]:
        """The tables that fit their declarations, by the resource's name."""
        return self._sound

    async def table(self, name: str, deadline: Deadline) -> Table:
        """Return the declared table of a resource, with the indexes that Cassandra has.

        Raises SchemaMissing if it does not fit, and what `Database.execute` raises.
        """
        found = self._sound.get(name)
        if found is None:
            await self._refresh(deadline)
            found = self._sound.get(name)
        if found is None:
            columns = ", ".join(self._missing[name])
            if name in self._absent:
                raise SchemaMissing(f"The table of this resource does not exist, with the columns: {columns}.")
            raise SchemaMissing(f"The table of this resource does not fit its declaration in the columns: {columns}.")
        return found

    async def ensure_read(self, deadline: Deadline) -> None:
        """Read the schema if it never was. Raises what `Database.execute` raises."""
        if not self.was_read:
            await self._refresh(deadline)

    async def read_at_start(self, seconds: float) -> None:
        """Read the schema, with `seconds` for each try, until it was read. Run it as a task of the lifespan."""
        while not self.was_read:
            try:
                await self._refresh(Deadline.after(seconds))
            except ServiceError:
                await anyio.sleep(RECHECK_SECONDS)
        for name in self._missing:
            table, reason = self._declared[name], "columns are missing or of another type or place in"
            if name in self._absent:
                reason, hint = "there is no table", "`asgi-cassandra schema --resources module:name` creates it"
            else:
                hint = ", ".join(self._described[name])
            logger.warning("%s is not served: %s %s.%s: %s", name, reason, table.keyspace, table.name, hint)

    async def _refresh(self, deadline: Deadline) -> None:
        """Read the schema, unless another task has just done so."""
        async with self._reading:
            if self.was_read and time.monotonic() - self._read_at < RECHECK_SECONDS:
                return
            live: dict[tuple[str, str], Table] = {}
            for keyspace in {table.keyspace or "" for table in self._declared.values()}:
                tables = await self._live(keyspace, deadline)
                live.update({(keyspace, name): table for name, table in tables.items()})
            self._compare(live)
            self._read_at = time.monotonic()

    async def _live(self, keyspace: str, deadline: Deadline) -> Mapping[str, Table]:
        rows = SchemaRows(
            tables=await self._rows(live_schema.TABLES, keyspace, deadline),
            views=await self._rows(live_schema.VIEWS, keyspace, deadline),
            columns=await self._rows(live_schema.COLUMNS, keyspace, deadline),
            indexes=await self._rows(live_schema.INDEXES, keyspace, deadline),
            types=await self._rows(live_schema.TYPES, keyspace, deadline),
            **await self._virtual(keyspace, deadline),
        )
        return read_schema(keyspace, rows).tables

    async def _virtual(self, keyspace: str, deadline: Deadline) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of virtual tables. Only Cassandra's own keyspaces have any, and not every server has them."""
        if not keyspace.startswith(_VIRTUAL):
            return {}
        return {
            "virtual_tables": await self._rows(live_schema.VIRTUAL_TABLES, keyspace, deadline),
            "virtual_columns": await self._rows(live_schema.VIRTUAL_COLUMNS, keyspace, deadline),
        }

    async def _rows(self, statement: Statement, keyspace: str, deadline: Deadline) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        state: bytes | None = None
        while True:
            result = await self._database.execute(
                statement, (keyspace,), deadline=deadline, fetch_size=_ROWS, paging_state=state
            )
            rows += result.dicts()
            state = result.paging_state
            if state is None:
                return rows

    def _compare(self, live: Mapping[tuple[str, str], Table]) -> None:
        sound, missing, described, absent = {}, {}, {}, set()
        for name, declared in self._declared.items():
            found = live.get((declared.keyspace or "", declared.name))
            lacking = differences(declared, found)
            if lacking or found is None:
                missing[name] = lacking
                if found is None:
                    absent.add(name)
                else:
                    described[name] = described_differences(declared, found)
            else:
                sound[name] = replace(
                    declared,
                    indexes=found.indexes,
                    is_view=found.is_view,
                    is_virtual=found.is_virtual,
                    has_default_ttl=found.has_default_ttl,
                )
        if sound != self._sound:
            self.version += 1
        self._absent, self._described = frozenset(absent), described
        self.read_only = frozenset(name for name, table in sound.items() if table.is_view or table.is_virtual)
        self._sound, self._missing, self.unfit = sound, missing, self._declared.keys() - sound.keys()
