"""Demonstrations on the live session: each performs what it names, measures it, reports, and leaves nothing behind.

They read only what every cluster has, the `system` and `system_schema` tables, so that they work wherever the service
works and never touch a user's data.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial, wraps
from typing import Any

import anyio
import msgspec
from starlette.requests import Request

from asgi_app.bridge import Share
from asgi_app.cql import Statement
from asgi_app.db import Database
from asgi_app.deadline import Deadline
from asgi_app.errors import DeadlineExceeded, NotFound, ServiceError
from asgi_app.pages import PageReader, PageTimes, RowSizes
from asgi_app.responses import JsonResponse, json_response
from asgi_app.routing import Handler
from asgi_app.settings import Settings
from asgi_app.state import database_of, deadline_of, diagnostics_enabled, nested_lock_of, settings_of
from asgi_app.validation import QueryValues

PACE = 0.05
"""Seconds between the driver calls of a slow query: at most twenty a second."""

TASKS = 4
"""A run of many queries at once asks from one task for so many of the bridge's slots, which is what its share is."""

_COLUMNS = "SELECT keyspace_name, table_name, column_name FROM system_schema.columns"
LIGHT = Statement("SELECT key FROM system.local WHERE key = 'local'", idempotent=True, writes=False)
EVERY_COLUMN = Statement(_COLUMNS, idempotent=True, writes=False)
COLUMNS_OF_KEYSPACE = Statement(f"{_COLUMNS} WHERE keyspace_name = ?", idempotent=True, writes=False)
COUNT_OF_KEYSPACE = Statement(
    "SELECT count(*) AS rows FROM system_schema.columns WHERE keyspace_name = ?", idempotent=True, writes=False
)
INVALID = Statement("SELECT nothing FROM system.no_such_table", idempotent=True, writes=False)
KEYSPACES = ("system", "system_schema", "system_traces")
SMALL_PAGE = 5

Report = dict[str, Any]


def if_enabled(handler: Handler) -> Handler:
    """The handler, where the application has its diagnostics on; else there is nothing at its path."""

    @wraps(handler)
    async def guarded(request: Request) -> Any:
        if not diagnostics_enabled(request):
            raise NotFound
        return await handler(request)

    return guarded


async def performance_async(request: Request) -> JsonResponse:
    """GET /performance/async?requests=100: real queries, as many at once as the bridge has room for."""
    requests = _requests(request)
    at_once = max(1, min(requests, settings_of(request.scope).max_in_flight // TASKS))
    return await _performance(request, requests, at_once, "async")


async def performance_sync(request: Request) -> JsonResponse:
    """GET /performance/sync?requests=100: the same queries one after another."""
    return await _performance(request, _requests(request), 1, "sync")


async def slow_query(request: Request) -> JsonResponse:
    """GET /slow_query: five seconds of paced driver calls."""
    return await _take_time(request, 5.0, "Slow query completed")


async def long_running_query(request: Request) -> JsonResponse:
    """GET /long_running_query: ten seconds of paced driver calls."""
    return await _take_time(request, 10.0, "Long query completed")


async def query_error(request: Request) -> JsonResponse:
    """POST /context_manager_safety/query_error: a query that fails leaves the session open."""

    async def run(database: Database, deadline: Deadline) -> Report:
        error = await _failure(database.execute(INVALID, deadline=deadline, share=Share.TRIALS))
        after = await database.execute(LIGHT, deadline=deadline, share=Share.TRIALS)
        return {
            "ran": [INVALID.cql, LIGHT.cql],
            "error_caught": error,
            "rows_after_error": after.row_count,
            "passed": error is not None and after.row_count == 1,
        }

    return await _report(request, "query_error", run)


async def streaming_error(request: Request) -> JsonResponse:
    """POST /context_manager_safety/streaming_error: a stream that fails leaves the session open."""

    async def run(database: Database, deadline: Deadline) -> Report:
        error = await _failure(_count(_reader(database, INVALID, (), deadline)))
        rows = await _count(_reader(database, COLUMNS_OF_KEYSPACE, ("system_schema",), deadline))
        return {
            "ran": [INVALID.cql, COLUMNS_OF_KEYSPACE.cql],
            "error_caught": error,
            "rows_after_error": rows,
            "passed": error is not None and rows > 0,
        }

    return await _report(request, "streaming_error", run)


async def concurrent_streams(request: Request) -> JsonResponse:
    """POST /context_manager_safety/concurrent_streams: three streams at once, each with its own rows only."""

    async def run(database: Database, deadline: Deadline) -> Report:
        streamed: dict[str, int] = {}
        counted: dict[str, int] = {}

        async def stream(keyspace: str) -> None:
            streamed[keyspace] = await _count(_reader(database, COLUMNS_OF_KEYSPACE, (keyspace,), deadline), keyspace)

        await _all_at_once([partial(stream, keyspace) for keyspace in KEYSPACES])
        for keyspace in KEYSPACES:
            result = await database.execute(COUNT_OF_KEYSPACE, (keyspace,), deadline=deadline, share=Share.TRIALS)
            counted[keyspace] = result.dicts()[0]["rows"]
        return {
            "ran": [COLUMNS_OF_KEYSPACE.cql],
            "rows_streamed": streamed,
            "rows_counted": counted,
            "passed": streamed == counted,
        }

    return await _report(request, "concurrent_streams", run)


async def nested_contexts(request: Request) -> JsonResponse:
    """POST /context_manager_safety/nested_contexts: cluster, session and stream of its own, closed inside out."""

    async def run(database: Database, deadline: Deadline) -> Report:
        closed: list[str] = []
        async with _one_at_a_time(request, deadline), Database.open(_in_time(database.settings, deadline)) as nested:
            deadline.remaining()
            session = nested.session
            reader = _reader(nested, EVERY_COLUMN, (), deadline)
            async with reader.open() as pages:
                first, _ = await anext(pages)
            closed += [] if reader.is_open else ["stream"]
            open_between = not session.is_shutdown
        closed += [name for name, it in (("session", session), ("cluster", session.cluster)) if it.is_shutdown]
        after = await database.execute(LIGHT, deadline=deadline, share=Share.TRIALS)
        return {
            "ran": [EVERY_COLUMN.cql],
            "rows_read": first.row_count,
            "closed": closed,
            "session_open_after_stream_closed": open_between,
            "main_session_answers": after.row_count == 1,
            "passed": closed == ["stream", "session", "cluster"] and open_between and after.row_count == 1,
        }

    return await _report(request, "nested_contexts", run)


async def cancellation(request: Request) -> JsonResponse:
    """POST /context_manager_safety/cancellation: a stream cancelled in its middle leaves nothing open."""

    async def run(database: Database, deadline: Deadline) -> Report:
        read = 0
        reader = _reader(database, EVERY_COLUMN, (), deadline)
        with anyio.CancelScope() as scope:
            async with reader.open() as pages:
                async for page, more in pages:
                    read += page.row_count
                    if read >= 2 * SMALL_PAGE and more:
                        scope.cancel()
                        await anyio.sleep_forever()
        left_open = int(reader.is_open)
        rows = await _count(_reader(database, COLUMNS_OF_KEYSPACE, ("system_schema",), deadline))
        return {
            "ran": [EVERY_COLUMN.cql, COLUMNS_OF_KEYSPACE.cql],
            "rows_before_cancellation": read,
            "cancelled": scope.cancelled_caught,
            "streams_left_open": left_open,
            "rows_of_a_new_stream": rows,
            "passed": scope.cancelled_caught and left_open == 0 and rows > 0,
        }

    return await _report(request, "cancellation", run)


async def status(request: Request) -> JsonResponse:
    """GET /context_manager_safety/status: what is open now."""
    return json_response(_state(database_of(request)))


@asynccontextmanager
async def _one_at_a_time(request: Request, deadline: Deadline) -> AsyncIterator[None]:
    """A cluster of its own takes threads and connections: never more than one is open besides the service's."""
    lock = nested_lock_of(request)
    with anyio.move_on_after(deadline.remaining()) as waiting:
        await lock.acquire()
    if waiting.cancelled_caught:
        raise DeadlineExceeded
    try:
        yield
    finally:
        lock.release()


def _in_time(settings: Settings, deadline: Deadline) -> Settings:
    """The settings, with no more time to connect than the request has."""
    seconds = min(settings.cassandra_connection_timeout, deadline.remaining())
    return msgspec.structs.replace(settings, cassandra_connection_timeout=seconds)


def _requests(request: Request) -> int:
    query = QueryValues(request.query_params)
    requests = query.integer("requests", 1, 1000)
    query.check()
    return 100 if requests is None else requests


async def _performance(request: Request, requests: int, at_once: int, mode: str) -> JsonResponse:
    """Run `requests` queries from `at_once` tasks; the first failure is the request's."""
    database, deadline = database_of(request), deadline_of(request)
    to_run = iter(range(requests))
    succeeded = 0

    async def work() -> None:
        nonlocal succeeded
        for _ in to_run:
            await database.execute(LIGHT, deadline=deadline, share=Share.TRIALS)
            succeeded += 1

    began = time.perf_counter()
    await _all_at_once([work] * at_once)
    seconds = time.perf_counter() - began
    return json_response(
        {
            "requests": requests,
            "total_time": seconds,
            "requests_per_second": requests / seconds,
            "avg_time_per_request": seconds / requests,
            "successful_requests": succeeded,
            "mode": mode,
        }
    )


async def _all_at_once(work: list[Callable[[], Awaitable[None]]]) -> None:
    """Run all; the first that fails ends the others, and its error comes out as it is."""
    failures: list[ServiceError] = []
    async with anyio.create_task_group() as tasks:

        async def run(one: Callable[[], Awaitable[None]]) -> None:
            try:
                await one()
            except ServiceError as error:
                failures.append(error)
                tasks.cancel_scope.cancel()

        for one in work:
            tasks.start_soon(run, one)
    if failures:
        raise failures[0]


async def _take_time(request: Request, seconds: float, message: str) -> JsonResponse:
    database, deadline = database_of(request), deadline_of(request)
    began = time.monotonic()
    queries = 0
    while (left := began + seconds - time.monotonic()) > 0:
        await database.execute(LIGHT, deadline=deadline, share=Share.TRIALS)
        queries += 1
        await anyio.sleep(min(PACE, left, deadline.remaining()))
    return json_response({"message": message, "seconds": time.monotonic() - began, "queries": queries})


async def _report(request: Request, test: str, run: Callable[[Database, Deadline], Awaitable[Report]]) -> JsonResponse:
    """What `run` found, and whether the session it ran on is the same as before and open."""
    database = database_of(request)
    before = _state(database)
    found = await run(database, deadline_of(request))
    after = _state(database)
    unchanged = before["session_id"] == after["session_id"] and after["session_open"] and after["cluster_open"]
    passed = found.pop("passed") and unchanged
    return json_response({"test": test, **found, "session_unchanged": unchanged, **after, "passed": passed})


def _state(database: Database) -> Report:
    session = database.session
    return {
        "session_open": not session.is_shutdown,
        "session_id": str(session.session_id),
        "cluster_open": not session.cluster.is_shutdown,
        "cluster_id": str(session.cluster.client_id),
        "keyspace": database.settings.keyspace,
        "open_streams": database.open_streams,
        "calls_in_flight": database.bridge.in_flight,
    }


async def _failure(failing: Awaitable[Any]) -> str | None:
    """The code of the error that awaiting raises, None where it raises none; a deadline is the request's own."""
    try:
        await failing
    except DeadlineExceeded:
        raise
    except ServiceError as error:
        return error.code
    return None


def _reader(database: Database, statement: Statement, values: tuple[str, ...], deadline: Deadline) -> PageReader:
    times = PageTimes(first=deadline, each=deadline.remaining(), whole=deadline)
    sizes = RowSizes(database.settings.max_page_bytes, 1)
    return PageReader(database, sizes, statement, values, times, fetch_size=SMALL_PAGE, counted=False)


async def _count(reader: PageReader, keyspace: str | None = None) -> int:
    """How many rows the stream gives; with `keyspace`, how many of them are of it."""
    rows = 0
    async with reader.open() as pages:
        async for page, _ in pages:
            rows += sum(keyspace in (None, row["keyspace_name"]) for row in page.dicts())
    return rows
