"""Read the schema of keyspaces from Cassandra's schema tables, one query a table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from anyio import to_thread

from asgi_app.db import Database
from asgi_app.driver.page import RowPage
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.tasks import run_together
from asgi_app.tables import live_schema
from asgi_app.tables.cql import Statement
from asgi_app.tables.live_schema import LiveSchema, SchemaRows, read_schema

_VIRTUAL = "system_"
"""How the names of keyspaces with virtual tables begin."""

_ROWS = 5000
"""Rows of one page of the schema."""

_MANY_BYTES = 100_000
"""Bytes of rows from which on they are decoded in a worker thread: some 10 ms of work."""

_STATEMENTS = {
    "tables": live_schema.TABLES,
    "views": live_schema.VIEWS,
    "columns": live_schema.COLUMNS,
    "indexes": live_schema.INDEXES,
    "types": live_schema.TYPES,
}

_OF_VIRTUAL_TABLES = {
    "virtual_tables": live_schema.VIRTUAL_TABLES,
    "virtual_columns": live_schema.VIRTUAL_COLUMNS,
}
"""Only Cassandra's own keyspaces have any, and not every server has them."""

_Pages = dict[str, list[RowPage]]


class SchemaReader:
    """Reads keyspaces, and remembers what it read: a keyspace that did not change is the same object again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, tuple[object, LiveSchema]] = {}

    async def read(self, keyspaces: Collection[str], deadline: Deadline) -> Mapping[str, LiveSchema]:
        """Return the schemas by keyspace. A keyspace that does not exist has no tables.

        Raises what `Database.execute` raises.
        """
        return {keyspace: await self._keyspace(keyspace, deadline) for keyspace in sorted(keyspaces)}

    async def _keyspace(self, keyspace: str, deadline: Deadline) -> LiveSchema:
        pages = await self._pages(keyspace, deadline)
        fingerprint = {name: [page.fingerprint for page in found] for name, found in pages.items()}
        known = self._known.get(keyspace)
        if known is not None and known[0] == fingerprint:
            return known[1]
        decode = partial(_decoded, keyspace, pages)
        is_large = sum(page.size for found in pages.values() for page in found) > _MANY_BYTES
        schema = await to_thread.run_sync(decode) if is_large else decode()
        self._known[keyspace] = fingerprint, schema
        return schema

    async def _pages(self, keyspace: str, deadline: Deadline) -> _Pages:
        """Return the pages of each schema table, read at the same time. The first failure is raised."""
        statements = {**_STATEMENTS, **(_OF_VIRTUAL_TABLES if keyspace.startswith(_VIRTUAL) else {})}
        pages: _Pages = {name: [] for name in statements}
        await run_together(
            partial(self._append_pages, pages[name], statement, keyspace, deadline)
            for name, statement in statements.items()
        )
        return pages

    async def _append_pages(
        self, pages: list[RowPage], statement: Statement, keyspace: str, deadline: Deadline
    ) -> None:
        state: bytes | None = None
        while True:
            result = await self._database.execute(
                statement, (keyspace,), deadline=deadline, fetch_size=_ROWS, paging_state=state
            )
            if result.page is not None:
                pages.append(result.page)
            state = result.paging_state
            if state is None:
                return


def _decoded(keyspace: str, pages: Mapping[str, Sequence[RowPage]]) -> LiveSchema:
    rows: dict[str, Any] = {name: [row for page in found for row in page.dicts()] for name, found in pages.items()}
    return read_schema(keyspace, SchemaRows(**rows))
