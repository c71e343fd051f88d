"""Read several ranges of tokens at once."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from functools import partial

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from asgi_app.db import Database
from asgi_app.driver.result import Result
from asgi_app.driver.row_sizes import RowSizes
from asgi_app.paging import PageTimes
from asgi_app.scan.slice_reader import SliceReader
from asgi_app.tables.slices import WHOLE_RING, RingSelect, TokenRange

SLICES_OF_A_UNIT = 16
"""How many ranges each of several readers gets, so that all of them end at about the same time."""

MOST_MERGED = 4
"""How many of these ranges become one where they have few rows: each costs a request, with a row or with none."""


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
