"""Read a statement's result page by page, one page ahead of the reader, with pages as large as their rows allow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import anyio
import msgspec
from anyio.abc import TaskGroup

from asgi_app.db import Database
from asgi_app.driver.result import Result
from asgi_app.driver.row_sizes import RowSizes
from asgi_app.errors import CassandraUnavailable, ConsistencyUnavailable, Overloaded
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.scheduler import Lane
from asgi_app.runtime.tasks import background_tasks
from asgi_app.tables.cql import Statement

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0
"""Seconds before a failed page is requested again: the first pause, and the limit at which pauses stop doubling."""

_TRANSIENT = (CassandraUnavailable, ConsistencyUnavailable, Overloaded)
"""Failures that are reported at once and may be temporary. The database retries a read only a few times after them. A
stream that has begun retries until the deadline of its page."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Rows gathered from one or more Cassandra pages. `paging_state` continues after them; None at the end."""

    results: tuple[Result, ...]
    paging_state: bytes | None

    @property
    def row_count(self) -> int:
        """The number of rows."""
        return sum(result.row_count for result in self.results)

    def json_rows(self) -> bytes:
        """Return the rows as JSON objects with commas between them: the inside of an array."""
        return b",".join(result.json_rows() for result in self.results if result.row_count)

    def json_rows_without(self, columns: Collection[str]) -> bytes:
        """Return what `json_rows` does, without some of the columns."""
        rows = (row for result in self.results for row in result.dicts())
        kept = ({name: value for name, value in row.items() if name not in columns} for row in rows)
        return b",".join(map(msgspec.json.encode, kept))


async def gather(
    database: Database,
    sizes: RowSizes,
    statement: Statement,
    values: Sequence[Any],
    *,
    rows: int,
    paging_state: bytes | None,
    deadline: Deadline,
    exactly: bool,
) -> Gathered:
    """Read up to `rows` rows from `paging_state` on (None: from the beginning).

    With `exactly`, return fewer only at the end of the result. Without it, return fewer as well if the rows are large
    or if Cassandra gives an empty page. Raises what `Database.execute` raises.
    """
    results: list[Result] = []
    while True:
        requested = sizes.page_rows(statement, rows)
        result = await _fetch_page(database, sizes, statement, values, requested, paging_state, deadline)
        results.append(result)
        paging_state = result.paging_state
        if not exactly and (requested == rows or not result.row_count or sizes.is_full(results)):
            break
        rows -= result.row_count
        if paging_state is None or not rows:
            break
    return Gathered(tuple(results), paging_state)


@dataclass(frozen=True, slots=True)
class PageTimes:
    """Time limits: `first` for the first page, `each` in seconds for every other page, `whole` for all of them."""

    first: Deadline
    each: float
    whole: Deadline


class PageReader:
    """Reads the pages of one statement's result and requests the next page while the caller works on this one.

    `limit`: the maximum number of rows in total, None for all. `fetch_size`: the maximum number of rows per page; a
    page has fewer if its rows are large, or if requests are active. A page without rows is not the end: only Cassandra
    says when the result ends. `is_open` is true while the pages are being read.
    """

    def __init__(
        self,
        database: Database,
        sizes: RowSizes,
        statement: Statement,
        values: Sequence[Any],
        times: PageTimes,
        *,
        fetch_size: int,
        limit: int | None = None,
    ) -> None:
        self.database = database
        self.is_open = False
        self.statement = statement
        self.times = times
        self._sizes = sizes
        self._values = values
        self._fetch_size = fetch_size
        self._left = limit
        self._paging_state: bytes | None = None
        self._ended = False

    def has_more(self) -> bool:
        """Return whether another page follows those that were read."""
        return not self._ended and self._left != 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncGenerator[tuple[Result, bool], None]]:
        """Open the pages for the duration of the block. On exit the request in flight is cancelled; see `pages`."""
        async with background_tasks() as tasks, aclosing(self.pages(tasks)) as pages:
            yield pages

    async def pages(self, tasks: TaskGroup) -> AsyncGenerator[tuple[Result, bool], None]:
        """Yield each page, with whether another one follows. `tasks` runs the request for the next page.

        Raises what `Database.execute` raises. Cancelling `tasks` ends the request in flight.
        """
        if not self.has_more():
            return
        self.is_open = True
        try:
            result = await self.first_page()
            while self.has_more():
                following = _NextPage()
                tasks.start_soon(following.fetch, self)
                yield result, True
                result = await following.result()
            yield result, False
        finally:
            self.is_open = False

    async def first_page(self) -> Result:
        """Return the first page. Raises what `Database.execute` raises."""
        return await self._page(self.times.first)

    async def next_page(self) -> Result:
        """Return the page after the last one. Retry transient failures until the page's deadline.

        Other nodes notice the death of a node only after some time, and a node that restarts takes time as well.
        Rows that were sent cannot be sent again, so the only way to save the stream is to keep asking.
        """
        deadline = self.times.whole.at_most(self.times.each)
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._page(deadline)
            except _TRANSIENT:
                if not self.statement.idempotent or deadline.left() <= pause:
                    raise
            await anyio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _page(self, deadline: Deadline) -> Result:
        """Return the page at the position, and move the position behind it."""
        result = await _fetch_page(
            self.database,
            self._sizes,
            self.statement,
            self._values,
            self._rows(),
            self._paging_state,
            deadline,
            Lane.PAGES,
        )
        self._paging_state = result.paging_state
        self._ended = result.paging_state is None
        self._count(result)
        return result

    def _rows(self) -> int:
        """Return how many rows the next page should have."""
        at_most = self._fetch_size if self._left is None else min(self._fetch_size, self._left)
        return self._sizes.page_rows(self.statement, at_most, beside=self.database.dispatcher.slots.throttles_pages)

    def _count(self, result: Result) -> None:
        if self._left is not None:
            self._left -= result.row_count


async def _fetch_page(
    database: Database,
    sizes: RowSizes,
    statement: Statement,
    values: Sequence[Any],
    rows: int,
    paging_state: bytes | None,
    deadline: Deadline,
    lane: Lane = Lane.REQUESTS,
) -> Result:
    """Fetch a page of at most `rows` rows, and let `sizes` learn from it."""
    result = await database.execute(
        statement, values, deadline=deadline, fetch_size=rows, paging_state=paging_state, lane=lane
    )
    sizes.learn(statement, result)
    return result


class RowReader(Protocol):
    """Reads the pages of a result: a `PageReader`, or several of them."""

    database: Database
    statement: Statement
    times: PageTimes

    def pages(self, tasks: TaskGroup) -> AsyncGenerator[tuple[Result, bool], None]:
        """Yield each page, with whether another one follows. `tasks` runs requests that are made ahead."""


class _NextPage:
    """The next page, fetched by a background task. A failure is kept until the page is needed."""

    def __init__(self) -> None:
        self._finished = anyio.Event()
        self._result: Result | None = None
        self._error: Exception | None = None

    async def fetch(self, reader: PageReader) -> None:
        try:
            self._result = await reader.next_page()
        except Exception as error:
            self._error = error
        finally:
            self._finished.set()

    async def result(self) -> Result:
        """Wait for the page and return it. Raises its failure, or BrokenResourceError if the task was cancelled."""
        await self._finished.wait()
        if self._result is None:
            raise self._error or anyio.BrokenResourceError
        return self._result
