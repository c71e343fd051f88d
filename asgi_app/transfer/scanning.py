"""Read the rows of one slice of a table, page by page."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from asgi_app.db import Database
from asgi_app.driver.page import RowPage
from asgi_app.paging import PageReader, PageTimes, RowSizes
from asgi_app.runtime.deadline import Deadline
from asgi_app.tables.cql import Statement, quoted
from asgi_app.tables.slices import Slice, in_range
from asgi_app.tables.table import Table

MOST_ROWS = 5000
"""The most rows of a page."""


class Scan:
    """The columns of a table that are read, slice by slice, at a consistency level."""

    def __init__(self, database: Database, table: Table, columns: Sequence[str], consistency: str) -> None:
        self._database = database
        names = ", ".join(map(quoted, columns))
        name = f"{quoted(table.keyspace or '')}.{quoted(table.name)}"
        cql = f"SELECT {names} FROM {name} WHERE {in_range(table.partition_key)}"
        self._statement = Statement(cql, idempotent=True, writes=False, table=table, consistency=consistency)
        self._sizes = RowSizes(database.settings.max_page_bytes, 1)

    @asynccontextmanager
    async def pages(self, each: Slice) -> AsyncIterator[AsyncIterator[RowPage]]:
        """Open the pages of a slice for the duration of the block. They raise what `Database.execute` raises."""
        seconds = self._database.settings.request_timeout
        times = PageTimes(Deadline.after(seconds), seconds, Deadline(math.inf))
        values = each.bounds.cells()
        reader = PageReader(self._database, self._sizes, self._statement, values, times, fetch_size=MOST_ROWS)
        async with reader.open() as results:
            yield _rows_of(results)


async def _rows_of(results: AsyncIterator[Any]) -> AsyncIterator[RowPage]:
    async for result, _ in results:
        if result.row_count:
            yield result.page
