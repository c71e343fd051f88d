"""Read the rows of one slice of a table, page by page."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial

from asgi_app.db import Database
from asgi_app.driver.page import RowPage
from asgi_app.driver.result import Result
from asgi_app.driver.row_sizes import RowSizes
from asgi_app.errors import ServiceError
from asgi_app.paging import PageTimes
from asgi_app.runtime.deadline import Deadline
from asgi_app.scan.slice_reader import SliceReader
from asgi_app.tables.cql import Queries, Statement
from asgi_app.tables.slices import RingSelect, Slice
from asgi_app.tables.table import Column, Table
from asgi_app.transfer.progress import Progress, Wait

MOST_ROWS = 5000
"""The most rows of a page."""

PATIENCE = 120.0
"""Seconds for which a page is asked for again while Cassandra does not give it; longer than a node takes to restart."""


class Scan:
    """The columns of a table that are read, slice by slice, at a consistency level."""

    def __init__(
        self, database: Database, table: Table, columns: Sequence[Column], consistency: str, progress: Progress
    ) -> None:
        self._database = database
        self._progress = progress
        queries = Queries(table.keyspace or "", replace(table, columns=tuple(columns)))

        def at_consistency(statement: Statement) -> Statement:
            return replace(statement, consistency=consistency)

        self._select = RingSelect(at_consistency(queries.every_row), at_consistency(queries.rows_in_range))
        self._sizes = RowSizes(database.settings.max_page_bytes, 1)

    @asynccontextmanager
    async def pages(self, each: Slice) -> AsyncIterator[AsyncIterator[RowPage]]:
        """Open the pages of a slice for the duration of the block. They raise what `Database.execute` raises."""
        times = PageTimes(Deadline.after(PATIENCE), PATIENCE, Deadline(math.inf))
        reader = _PatientReader(
            self._database, self._sizes, self._select, times, tokens=each.bounds, fetch_size=MOST_ROWS
        )
        reader.waiting = partial(self._progress.waiting, f"slice {each}")
        async with reader.open() as results:
            yield _rows_of(results)


class _PatientReader(SliceReader):
    """A reader that retries the first page as it does the others: there is no client that waits for it.

    It tells how long it waits for each page, and what failed.
    """

    waiting: Callable[[], AbstractContextManager[Wait]]
    _wait: Wait

    async def first_page(self) -> Result:
        return await self.next_page()

    async def next_page(self) -> Result:
        with self.waiting() as self._wait:
            return await super().next_page()

    async def _request(self, until: int, deadline: Deadline) -> Result:
        try:
            return await super()._request(until, deadline)
        except ServiceError as error:
            self._wait.failed(error.detail)
            raise


async def _rows_of(results: AsyncIterator[tuple[Result, bool]]) -> AsyncIterator[RowPage]:
    async for result, _ in results:
        if result.page is not None and result.row_count:
            yield result.page
