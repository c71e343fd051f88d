"""Several slices of a table read at once: how many, for whom, and how all of them end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from helpers.exchange import Exchange
from helpers.loops import LOOPS
from helpers.service import serving
from helpers.waiting import eventually
from starlette.applications import Starlette

from asgi_app.driver.result import Result
from asgi_app.driver.row_sizes import RowSizes
from asgi_app.errors import ReadFailed, ServiceError, StatementRefused
from asgi_app.http.extensions import StreamAborted
from asgi_app.paging import PageTimes
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.tasks import background_tasks
from asgi_app.scan.parallel_reader import MOST_MERGED, SLICES_OF_A_UNIT, ParallelReader, in_stride, merged
from asgi_app.settings import Settings
from asgi_app.tables.cql import Statement
from asgi_app.tables.slices import WHOLE_RING, RingSelect
from asgi_app.telemetry.metrics import Metrics
from streams.stored import stream

pytestmark = [pytest.mark.anyio, pytest.mark.loops(*LOOPS)]

LONG = 20.0
UNITS = 8


def test_ranges_that_are_read_at_the_same_time_are_far_apart() -> None:
    parts = WHOLE_RING.parts(UNITS * SLICES_OF_A_UNIT)
    order = [parts.index(part) for part in in_stride(parts, UNITS)]
    assert sorted(order) == list(range(len(parts)))
    assert order[:UNITS] == list(range(0, len(parts), SLICES_OF_A_UNIT))
    assert in_stride(parts[:1], UNITS) == parts[:1]
    assert in_stride([], UNITS) == []


@pytest.mark.parametrize("count", [1, 3, 4, 200])
def test_merged_ranges_have_the_same_tokens(count: int) -> None:
    parts = WHOLE_RING.parts(UNITS * SLICES_OF_A_UNIT)
    found = merged(parts, count)
    assert len(found) == -(-len(parts) // count)
    assert (found[0].after, found[-1].until) == WHOLE_RING
    assert all(one.until == other.after for one, other in pairwise(found))


# --- how many at once, by a database that answers when it is told to


@dataclass
class Held:
    """Stands in for the database: each request but the first waits until `go` is set, then has no rows or fails."""

    pages_at_once: int = 8
    open_streams: int = 1
    page_slots: int = 8
    failure: ServiceError | None = None
    asked: int = 0
    running: int = 0
    most: int = 0
    go: anyio.Event = field(default_factory=anyio.Event)
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def dispatcher(self) -> Any:
        slots = SimpleNamespace(
            pages_at_once=self.pages_at_once, page_slots=self.page_slots, throttles_pages=self.pages_at_once == 1
        )
        return SimpleNamespace(slots=slots)

    async def execute(self, statement: Statement, values: Any, **options: Any) -> Result:
        self.asked += 1
        if self.asked == 1:
            return Result(None, None)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go.wait()
        finally:
            self.running -= 1
        if self.failure is not None and self.asked > 1 + UNITS:
            raise self.failure
        return Result(None, None)


def reader(database: Any, parallel: int = UNITS, values: tuple[Any, ...] = ()) -> ParallelReader:
    whole, part = (Statement(cql, idempotent=True, writes=False) for cql in ("SELECT", "SELECT WHERE"))
    times = PageTimes(Deadline.after(LONG), LONG, Deadline.after(LONG))
    return ParallelReader(
        database, RowSizes(1 << 20, 10), RingSelect(whole, part, values), times, fetch_size=10, parallel=parallel
    )


@pytest.mark.parametrize(
    ("database", "parallel", "running"),
    [
        (Held(), 8, 8),
        (Held(), 3, 3),
        (Held(page_slots=2, pages_at_once=2), 64, 2),  # never more than the process allows
        (Held(pages_at_once=1), 8, 1),  # while requests are active
        (Held(open_streams=4), 8, 2),  # its share beside three other streams
        (Held(open_streams=50), 8, 1),
    ],
)
async def test_so_many_pages_are_requested_at_once(database: Held, parallel: int, running: int) -> None:
    database = Held(database.pages_at_once, database.open_streams, database.page_slots)  # its event is of this loop
    ranges = WHOLE_RING.parts(min(parallel, database.page_slots) * SLICES_OF_A_UNIT)
    pages, most = 0, 1 + len(merged(ranges[1:], MOST_MERGED))
    with anyio.fail_after(LONG):
        async with background_tasks() as tasks, aclosing(reader(database, parallel).pages(tasks)) as reading:
            async for _, more in reading:
                pages += 1
                if pages == 1:
                    await eventually(lambda: database.running == running)
                    database.go.set()
                assert more is (pages <= most)
    assert database.most == running
    assert database.running == 0


@pytest.mark.parametrize(
    ("rows", "values", "requests"),
    [
        (0, (), 1 + 32),
        (2, (), 1 + 32),
        (3, (), 1 + 43),
        (4, (), 1 + 64),
        (6, (), 1 + 127),
        (10, (), 1 + 127),
        (0, (18,), 1 + 127),  # a filter left none
    ],
)
async def test_ranges_with_few_rows_are_read_together(rows: int, values: tuple[Any, ...], requests: int) -> None:
    class Filled(Held):
        async def execute(self, statement: Statement, values: Any, **options: Any) -> Result:
            self.asked += 1
            page: Any = SimpleNamespace(row_count=rows, size=10 * rows)
            return Result(page, None)

    database = Filled()
    with anyio.fail_after(LONG):
        async with background_tasks() as tasks, aclosing(reader(database, values=values).pages(tasks)) as reading:
            async for _ in reading:
                pass
    assert database.asked == requests


@pytest.mark.parametrize(("pages_at_once", "open_streams", "kept"), [(8, 1, 8), (8, 4, 2), (8, 50, 1), (1, 1, 1)])
async def test_no_more_pages_wait_to_be_taken_than_may_be_requested(
    pages_at_once: int, open_streams: int, kept: int
) -> None:
    database = Held(pages_at_once, open_streams)
    database.go.set()
    with anyio.fail_after(LONG):
        async with background_tasks() as tasks, aclosing(reader(database).pages(tasks)) as reading:
            for taken in range(1, 4):
                await anext(reading)
                await anyio.wait_all_tasks_blocked()
                assert database.asked == taken + kept


async def test_an_error_of_the_query_is_raised_before_anything_else_is_requested() -> None:
    class Refusing(Held):
        async def execute(self, statement: Statement, values: Any, **options: Any) -> Result:
            self.asked += 1
            raise StatementRefused

    database = Refusing()
    async with background_tasks() as tasks, aclosing(reader(database).pages(tasks)) as reading:
        with pytest.raises(StatementRefused):
            await anext(reading)
    assert database.asked == 1


async def test_the_failure_of_one_ends_all() -> None:
    database = Held(failure=ReadFailed())
    with anyio.fail_after(LONG):
        async with background_tasks() as tasks, aclosing(reader(database).pages(tasks)) as reading:
            await anext(reading)
            database.go.set()
            with pytest.raises(ReadFailed):
                async for _ in reading:
                    pass
    assert database.running == 0


# --- through the service


@pytest.fixture(scope="module")
async def crowded_service(
    anyio_backend: Any, crowded_settings: Settings
) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    async with serving(crowded_settings) as started:
        yield started


def statements(app: Starlette) -> int:
    """Return how many statements were answered so far."""
    app.state.database.publish_state()
    total: int = app.state.database.metrics.summary()["total_queries"]
    return total


async def test_a_client_that_reads_nothing_leaves_one_page_of_each_reader_in_memory(
    crowded_service: tuple[Starlette, httpx.AsyncClient],
) -> None:
    app, client = crowded_service
    before = statements(app)
    exchange = Exchange("GET", "/users/stream", query=b"parallel=4&fetch_size=50", on_chunk=_never)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(exchange.run, app)
        await eventually(lambda: statements(app) - before == 1 + 4)
        assert (await client.get("/users?limit=1")).status_code == 200
        assert statements(app) - before == 1 + 4 + 1
        exchange.disconnect()
    assert app.state.database.open_streams == 0


async def _never(_: Exchange) -> None:
    await anyio.sleep_forever()


async def test_a_client_that_leaves_ends_all_readers(
    crowded_service: tuple[Starlette, httpx.AsyncClient],
) -> None:
    app = crowded_service[0]
    before = statements(app)

    async def leave(exchange: Exchange) -> None:
        if len(exchange.chunks) == 5:
            exchange.disconnect()

    answer = await stream(app, "parallel=8&fetch_size=10", on_chunk=leave)
    assert not answer.complete
    assert app.state.database.open_streams == 0
    assert statements(app) - before < 100  # of ten thousand


async def test_the_deadline_of_the_stream_ends_all_readers(crowded_settings: Settings) -> None:
    async with serving(msgspec.structs.replace(crowded_settings, stream_timeout=0.3)) as (app, _):
        with pytest.raises(StreamAborted):
            await stream(app, "parallel=8&fetch_size=1")
        assert app.state.database.open_streams == 0
