"""The pages of a result, one ahead of the reader, as large as their rows allow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup

from asgi_app.db import Database
from asgi_app.driver.result import Result
from asgi_app.errors import CassandraUnavailable, ConsistencyUnavailable, Overloaded
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.scheduler import Lane
from asgi_app.runtime.tasks import background_tasks
from asgi_app.tables.cql import Statement

FIRST_GUESS = 100
"""Rows asked for while nothing is known of a statement's rows."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0
"""Seconds before a page that could not be had is asked for again."""

_PASSING = (CassandraUnavailable, ConsistencyUnavailable, Overloaded)
"""Failures that come at once and may pass. The database repeats a read only a few times after them; a stream that has
begun waits until its page is due."""


class RowSizes:
    """What rows of each statement were last seen to weigh, so that a page of fat rows asks for fewer.

    Cassandra counts a page in rows, whatever they weigh. `page_bytes` is what a page should have at most, and
    `page_bytes_beside` a page that others have to wait behind; `limit` is how many statements are remembered.
    """

    def __init__(self, page_bytes: int, limit: int, *, page_bytes_beside: int | None = None) -> None:
        self._page_bytes = page_bytes
        self._page_bytes_beside = page_bytes if page_bytes_beside is None else min(page_bytes, page_bytes_beside)
        self._limit = limit
        self._heaviest: OrderedDict[str, float] = OrderedDict()

    def rows_a_page(self, statement: Statement, at_most: int, *, beside: bool = False) -> int:
        """How many rows to ask for, one at least; `beside` says that others have to wait behind them."""
        heaviest = self._heaviest.get(statement.cql)
        if heaviest is None:
            return min(at_most, FIRST_GUESS)
        most = self._page_bytes_beside if beside else self._page_bytes
        return max(1, min(at_most, int(most / heaviest)))

    def is_full(self, results: Sequence[Result]) -> bool:
        """Whether these pages together weigh what one should."""
        return sum(result.page.size for result in results if result.page is not None) >= self._page_bytes // 2

    def saw(self, statement: Statement, result: Result) -> None:
        """Learn from a page: heavier rows count at once, lighter ones by and by."""
        if not result.row_count or result.page is None:
            return
        weight = max(1.0, result.page.size / result.row_count)
        before = self._heaviest.pop(statement.cql, weight)
        self._heaviest[statement.cql] = max(weight, (before + weight) / 2)
        while len(self._heaviest) > self._limit:
            self._heaviest.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Rows gathered from one Cassandra page or more, and the way on."""

    results: tuple[Result, ...]
    paging_state: bytes | None

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return sum(result.row_count for result in self.results)

    def json_rows(self) -> bytes:
        """The rows as JSON objects with commas between them."""
        return b",".join(result.json_rows() for result in self.results if result.row_count)


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
    """Up to `rows` rows from `paging_state` on; as many where `exactly` and there are so many.

    Else fewer where they are fat, or where Cassandra gave an empty page. Raises what `Database.execute` raises.
    """
    results: list[Result] = []
    while True:
        asked = sizes.rows_a_page(statement, rows)
        result = await _page(database, sizes, statement, values, asked, paging_state, deadline)
        results.append(result)
        paging_state = result.paging_state
        if not exactly and (asked == rows or not result.row_count or sizes.is_full(results)):
            break
        rows -= result.row_count
        if paging_state is None or not rows:
            break
    return Gathered(tuple(results), paging_state)


@dataclass(frozen=True, slots=True)
class PageTimes:
    """When pages are due: the first by `first`, every other within `each` seconds, and all of them by `whole`."""

    first: Deadline
    each: float
    whole: Deadline


class PageReader:
    """The pages of one statement's result, the next one requested while the caller works on this one.

    `limit` is the most rows in total, None for all; `fetch_size` the most rows a page, which has fewer where they are
    fat, or where others read or write. A page without rows is not the end: only Cassandra says when the result ends.
    `counted` says whether it is one of the database's open streams, `is_open` whether it is being read.
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
        counted: bool = True,
    ) -> None:
        self.database = database
        self.is_open = False
        self.statement = statement
        self.times = times
        self._sizes = sizes
        self._values = values
        self._fetch_size = fetch_size
        self._left = limit
        self._counted = counted

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncGenerator[tuple[Result, bool], None]]:
        """The pages, for as long as the block runs; then what is under way is ended and nothing stays open."""
        async with background_tasks() as tasks, aclosing(self.pages(tasks)) as pages:
            yield pages

    async def pages(self, tasks: TaskGroup) -> AsyncGenerator[tuple[Result, bool], None]:
        """Each page, with whether another follows; `tasks` runs the request for the page ahead.

        Raises what `Database.execute` raises. Cancelling `tasks` ends the request under way.
        """
        if self._left == 0:
            return
        self.is_open = True
        self.database.open_streams += self._counted
        try:
            result = await self._fetch(None, self.times.first)
            while self._has_more(result):
                ahead = _Ahead()
                tasks.start_soon(ahead.run, self, result.paging_state)
                yield result, True
                result = await ahead.result()
            yield result, False
        finally:
            self.database.open_streams -= self._counted
            self.is_open = False

    async def next_page(self, paging_state: bytes | None) -> Result:
        """The page after the one that gave `paging_state`.

        A node that dies is noticed by its neighbours only after a while, and one that comes back takes another. What
        was sent cannot be sent again, so as long as the page is not overdue it is asked for again.
        """
        deadline = self.times.whole.at_most(self.times.each)
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._fetch(paging_state, deadline)
            except _PASSING:
                if not self.statement.idempotent or deadline.left() <= pause:
                    raise
            await anyio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _fetch(self, paging_state: bytes | None, deadline: Deadline) -> Result:
        most = self._fetch_size if self._left is None else min(self._fetch_size, self._left)
        asked = self._sizes.rows_a_page(self.statement, most, beside=self.database.dispatcher.slots.throttles_pages)
        result = await _page(
            self.database, self._sizes, self.statement, self._values, asked, paging_state, deadline, Lane.PAGES
        )
        if self._left is not None:
            self._left -= result.row_count
        return result

    def _has_more(self, result: Result) -> bool:
        return result.paging_state is not None and (self._left is None or self._left > 0)


async def _page(
    database: Database,
    sizes: RowSizes,
    statement: Statement,
    values: Sequence[Any],
    fetch_size: int,
    paging_state: bytes | None,
    deadline: Deadline,
    lane: Lane = Lane.REQUESTS,
) -> Result:
    """Return one page, and learn from its rows what they weigh."""
    result = await database.execute(
        statement, values, deadline=deadline, fetch_size=fetch_size, paging_state=paging_state, lane=lane
    )
    sizes.saw(statement, result)
    return result


class _Ahead:
    """The request for the next page, running beside the work on this one; its failure waits to be asked for."""

    def __init__(self) -> None:
        self._finished = anyio.Event()
        self._result: Result | None = None
        self._error: Exception | None = None

    async def run(self, reader: PageReader, paging_state: bytes | None) -> None:
        try:
            self._result = await reader.next_page(paging_state)
        except Exception as error:
            self._error = error
        finally:
            self._finished.set()

    async def result(self) -> Result:
        await self._finished.wait()
        if self._result is None:
            raise self._error or anyio.BrokenResourceError
        return self._result
