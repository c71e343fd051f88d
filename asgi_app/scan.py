"""Read the rows of a slice of a table: one range of tokens page by page, or several at once.

A page that Cassandra cannot give in time, because a range is full of deleted rows, is asked for again in smaller
pieces: with fewer rows, and with a nearer end of the range. So the reading gets through where one request would not,
with the same rows in the same order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import ClassVar

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from asgi_app.db import Database
from asgi_app.driver.paging_position import token_of
from asgi_app.driver.result import Result
from asgi_app.errors import PartitionerUnsupported, ReadFailed, ReadTimeout
from asgi_app.paging import Gathered, PageReader, PageTimes, RowReader, RowSizes, gather
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.scheduler import Lane
from asgi_app.tables.slices import MURMUR3, WHOLE_RING, RingSelect, Slice, TokenRange

SHRINK = 16
"""By how much the rows of a page and the width of its range are divided after a failure.

A failure may take as long as Cassandra's timeout, a success takes some milliseconds: so the way down has few steps.
"""

MOST_STEPS = 6
"""How often in a row a page is made smaller before its failure is raised."""

SLICES_OF_A_UNIT = 16
"""How many ranges each of several readers gets, so that all of them end at about the same time."""

MOST_MERGED = 4
"""How many of these ranges become one where they have few rows: each costs a request, with a row or with none."""

_TOO_MUCH = (ReadTimeout, ReadFailed)
"""Failures that a smaller request may not have: replicas that took too long, and one that met too many deleted rows."""


def has_murmur3(database: Database) -> bool:
    """Return whether the cluster's tokens are those that slices are made of. Raises what `Database.session` does."""
    return database.partitioner == MURMUR3


def check_partitioner(database: Database) -> None:
    """Raise PartitionerUnsupported unless the cluster's tokens are those of Murmur3."""
    if not has_murmur3(database):
        raise PartitionerUnsupported


@dataclass(frozen=True, slots=True)
class Extent:
    """How many rows are read, and how.

    `fetch_size`: the maximum number of rows per page. `limit`: that of all rows, None for all. `slice`: the part of all
    partitions to read, None for all. `parallel`: how many ranges of tokens may be read at once; with a limit it is one.
    """

    fetch_size: int
    limit: int | None = None
    slice: Slice | None = None
    parallel: int = 1

    def asked(self, fetch_size: int | None, limit: int | None, part: Slice | None, parallel: int | None) -> Extent:
        """Return the extent that a client asks for: where `fetch_size` or `parallel` is None, that of this one."""
        return Extent(fetch_size or self.fetch_size, limit, part, parallel or self.parallel)


def reader_of(database: Database, sizes: RowSizes, select: RingSelect, times: PageTimes, extent: Extent) -> RowReader:
    """Return the reader of some rows of `select`.

    Raises PartitionerUnsupported for a slice if the cluster's tokens are not those of Murmur3. All rows of such a
    cluster are read page by page, as are those of a statement that cannot be restricted to a range of tokens.
    """
    size, limit = extent.fetch_size, extent.limit
    if extent.slice is not None:
        check_partitioner(database)
    elif select.part is None or not has_murmur3(database):
        return PageReader(database, sizes, select.whole, select.values, times, fetch_size=size, limit=limit)
    tokens = WHOLE_RING if extent.slice is None else extent.slice.bounds
    if extent.parallel > 1 and limit is None:
        return ParallelReader(database, sizes, select, times, tokens=tokens, fetch_size=size, parallel=extent.parallel)
    return SliceReader(database, sizes, select, times, tokens=tokens, fetch_size=size, limit=limit)


@dataclass(frozen=True, slots=True)
class ScannedPage:
    """Some rows of a range of tokens. The next ones are behind the token `after`, from the paging state of `rows` on.

    `after` is None at the end of the range. A paging state of None stands for the beginning of the rest.
    """

    rows: Gathered
    after: int | None


async def scan_page(
    database: Database,
    sizes: RowSizes,
    select: RingSelect,
    *,
    tokens: TokenRange,
    paging_state: bytes | None,
    rows: int,
    deadline: Deadline,
) -> ScannedPage:
    """Read up to `rows` rows of a range of tokens within a request, and less where a `SliceReader` has to read less.

    It returns fewer rows as well if they are large, or if Cassandra gives an empty page. `paging_state` and
    `tokens.after` are those of the page before; of the first page they are None and the beginning of the range. Where
    there can be no slices, `tokens` must be those of the whole ring. Raises what `Database.execute` raises.
    """
    if select.part is None or not has_murmur3(database):
        page = await gather(
            database,
            sizes,
            select.whole,
            select.values,
            rows=rows,
            paging_state=paging_state,
            deadline=deadline,
            exactly=False,
        )
        return ScannedPage(page, None if page.paging_state is None else tokens.after)
    reader = _RequestReader(database, sizes, select, deadline, tokens, rows, paging_state)
    return await reader.page()


class SliceReader(PageReader):
    """Reads the rows whose partitions have their token in a range, page by page, in the order of the tokens.

    Use it only where `has_murmur3`. It differs from `PageReader` in what it does about a page that the replicas do not
    give in time, or that one refuses because of too many deleted rows: it asks again from the same position, with fewer
    rows and for a nearer end of the range. The pages of such a part may have no rows. Each attempt after the first page
    has the time of a page; after `MOST_STEPS` failures in a row, the last one is raised.

    `tokens`: the range to read. The other parameters are those of `PageReader`.
    """

    lane: ClassVar = Lane.PAGES

    def __init__(
        self,
        database: Database,
        sizes: RowSizes,
        select: RingSelect,
        times: PageTimes,
        *,
        tokens: TokenRange = WHOLE_RING,
        fetch_size: int,
        limit: int | None = None,
    ) -> None:
        super().__init__(database, sizes, select.whole, select.values, times, fetch_size=fetch_size, limit=limit)
        self._select = select
        self._tokens = tokens
        self._after = tokens.after
        self._began = False
        self._steps = 0
        self._most_rows = _Amount(fetch_size)
        self._width = _Amount(tokens.until - tokens.after)
        """How many tokens after the position the next request may read."""

    async def next_page(self) -> Result:
        """Return the page after the last one, as `PageReader` does."""
        self._began = True
        return await super().next_page()

    async def _page(self, deadline: Deadline) -> Result:
        while True:
            until = self._until()
            try:
                result = await self._request(until, deadline)
                break
            except _TOO_MUCH:
                if self._began:  # but the first page must arrive within the deadline of the request
                    deadline = self.times.whole.at_most(self.times.each)
                if deadline.left() <= 0 or not self._shrink(until):
                    raise
        self._advance(result, until)
        return result

    async def _request(self, until: int, deadline: Deadline) -> Result:
        statement, values = self._select.within(TokenRange(self._after, until))
        result = await self.database.execute(
            statement,
            values,
            deadline=deadline,
            fetch_size=self.rows_of_page(),
            paging_state=self._paging_state,
            lane=self.lane,
            retry_read_timeouts=False,
        )
        self._sizes.learn(self.statement, result)
        return result

    def rows_of_range(self, result: Result) -> float | None:
        """Return how many rows the range has, judged by its first page; None if that does not tell."""
        position = self._tokens.until if self._ended else self._position()
        if position is None or position == self._tokens.after:
            return None
        return result.row_count * (self._tokens.until - self._tokens.after) / (position - self._tokens.after)

    def rows_of_page(self) -> int:
        """Return how many rows the next page should have."""
        return min(self._rows(), self._most_rows.value)

    def _until(self) -> int:
        """Return the last token that the next request reads."""
        position = self._position()
        return self._tokens.until if position is None else min(self._tokens.until, position + self._width.value)

    def _position(self) -> int | None:
        """Return the token behind which the next page begins, or that of the partition within which it does.

        None if the paging state does not tell. An end before the position would make Cassandra read around the ring.
        """
        if self._paging_state is None:
            return self._after
        token = token_of(self._paging_state)
        return token if token is not None and self._after <= token <= self._tokens.until else None

    def _shrink(self, until: int) -> bool:
        """Make the next request smaller than the one that failed, whose range ended at `until`.

        Return false if it was made smaller too often.
        """
        if self._steps == MOST_STEPS:
            return False
        self._steps += 1
        self.database.metrics.page_narrowed()
        self._most_rows.shrink(min(self._most_rows.value, self._rows()))
        position = self._position()
        if position is not None:
            self._width.shrink(until - position)
        return True

    def _advance(self, result: Result, until: int) -> None:
        """Move the position behind a page of a range that ended at `until`."""
        self._began, self._steps = True, 0
        self._most_rows.grow()
        self._width.grow()
        self._paging_state = result.paging_state
        if result.paging_state is None:
            self._after = until
            self._ended = until == self._tokens.until
        self._count(result)


class _RequestReader(SliceReader):
    """Reads the rows of one answer. It has the slots and the page sizes of requests, not those of streams."""

    lane = Lane.REQUESTS

    def __init__(
        self,
        database: Database,
        sizes: RowSizes,
        select: RingSelect,
        deadline: Deadline,
        tokens: TokenRange,
        rows: int,
        paging_state: bytes | None,
    ) -> None:
        times = PageTimes(deadline, inf, deadline)
        super().__init__(database, sizes, select, times, tokens=tokens, fetch_size=rows, limit=rows)
        self._paging_state = paging_state
        self._is_narrowed = False

    async def page(self) -> ScannedPage:
        """Return the page. Raises what `Database.execute` raises."""
        results: list[Result] = []
        while True:
            result = await self.first_page()
            results.append(result)
            if not self.has_more() or not result.row_count or self._is_narrowed or self._sizes.is_full(results):
                break
        return ScannedPage(Gathered(tuple(results), self._paging_state), None if self._ended else self._after)

    def _rows(self) -> int:
        return self._sizes.page_rows(self.statement, self._fetch_size if self._left is None else self._left)

    def _shrink(self, until: int) -> bool:
        self._is_narrowed = True
        return super()._shrink(until)


class _Amount:
    """How much to ask for: divided after a failure, then doubled after each success up to half of what failed.

    Above that it grows by an eighth, so that where the same amount would fail again and again, few requests do.
    """

    def __init__(self, most: int) -> None:
        self._most = self._safe = self.value = most

    def shrink(self, failed: int) -> None:
        """Take less than the amount that failed."""
        self._safe, self.value = max(1, failed // 2), max(1, failed // SHRINK)

    def grow(self) -> None:
        """Take more after a success."""
        self.value = min(2 * self.value, self._safe)
        self._safe = min(self._most, self._safe + self._safe // 8 + 1)


class ParallelReader:
    """Reads the rows whose partitions have their token in a range, several parts of it at once, in no order.

    `parallel`: the largest number of pages that are requested at once. It is lower if the process allows fewer pages of
    streams, if other streams are open, which get their share, and while requests are active. So many pages at most are
    requested or in memory, beside the one that the caller works on: a page counts until the caller takes it, so a
    client that does not read holds no more than its share. The other parameters are those of `SliceReader`.
    """

    def __init__(
        self,
        database: Database,
        sizes: RowSizes,
        select: RingSelect,
        times: PageTimes,
        *,
        tokens: TokenRange = WHOLE_RING,
        fetch_size: int,
        parallel: int,
    ) -> None:
        self.database = database
        self.statement = select.whole
        self.times = times
        self._units = min(parallel, database.dispatcher.slots.page_slots)
        self._gate = anyio.CapacityLimiter(self._units)
        self._parts = tokens.parts(self._units * SLICES_OF_A_UNIT)
        self._is_filtered = bool(select.values)
        self._reader = partial(SliceReader, database, sizes, select, times, fetch_size=fetch_size)
        self._waiting: deque[SliceReader] = deque()
        self._running = self._units
        self._failure: Exception | None = None

    async def pages(self, tasks: TaskGroup) -> AsyncGenerator[tuple[Result, bool], None]:
        """Yield each page as it arrives, with True; the end, with False, is a result without a page.

        The first page is read alone, so that an error of the query is raised before anything else is requested. `tasks`
        runs the readers: cancelling it ends them all at once. The failure of one ends all and is raised here, after the
        pages that had arrived. Raises what `Database.execute` raises.
        """
        first = self._reader(tokens=self._parts[0])
        result = await first.first_page()
        # Behind the few rows that a filter leaves there may be many that Cassandra has to read.
        count = 1 if self._is_filtered else _worth_a_page(first, result)
        others = in_stride(merged(self._parts[1:], count), self._units)
        self._waiting.extend([first, *(self._reader(tokens=part) for part in others)])
        arriving, arrived = anyio.create_memory_object_stream[Result]()  # it keeps no page: see `_read_range`
        with arriving, arrived:
            for _ in range(self._units):
                tasks.start_soon(self._read, arriving)
            yield result, True
            async for result in arrived:
                yield result, True
        if self._failure is not None:
            raise self._failure
        yield Result(None, None), False

    async def _read(self, arriving: MemoryObjectSendStream[Result]) -> None:
        """Read one range after another, until none is left or a reader failed."""
        try:
            while self._waiting:
                await self._read_range(self._waiting.popleft(), arriving)
        except Exception as error:
            self._failure = self._failure or error
            arriving.close()  # the others fail when they give their next page
        finally:
            self._running -= 1
            if not self._running:
                arriving.close()

    async def _read_range(self, reader: SliceReader, arriving: MemoryObjectSendStream[Result]) -> None:
        while reader.has_more():
            self._gate.total_tokens = self._share()
            async with self._gate:  # until the caller has taken the page
                await arriving.send(await reader.next_page())

    def _share(self) -> int:
        """Return how many pages may be in flight or wait to be taken: the stream's share of what the process allows."""
        return max(1, self.database.dispatcher.slots.pages_at_once // max(1, self.database.open_streams))


def _worth_a_page(first: SliceReader, result: Result) -> int:
    """Return how many ranges have, together, the rows of a page, judged by the first page of the first of them."""
    rows = first.rows_of_range(result)
    return 1 if rows is None else max(1, int(min(MOST_MERGED, first.rows_of_page() / max(1, rows))))


def merged(parts: Sequence[TokenRange], count: int) -> list[TokenRange]:
    """Return the same tokens in fewer ranges: so many neighbours become one."""
    runs = [parts[place : place + count] for place in range(0, len(parts), count)]
    return [TokenRange(run[0].after, run[-1].until) for run in runs]


def in_stride(parts: Sequence[TokenRange], units: int) -> list[TokenRange]:
    """Return the ranges in such an order that those which `units` readers read together are far from one another.

    Neighbours are on the same nodes, which would have all the work.
    """
    step = -(-len(parts) // units)
    return [part for first in range(step) for part in parts[first::step]]
