"""Demonstrations on the live session: each performs what it names, measures it, reports, and leaves nothing behind.

They read only what every cluster has, the `system` and `system_schema` tables, so that they work wherever the service
works and never touch a user's data.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any

import anyio
from starlette.requests import Request

from asgi_app.db import Database
from asgi_app.errors import NotFound, ServiceError, StatementRefused
from asgi_app.http.context import database_of, deadline_of, diagnostics_enabled, nested_lock_of, settings_of
from asgi_app.http.responses import JsonResponse, json_response
from asgi_app.http.routing import Handler
from asgi_app.http.validation import QueryValues
from asgi_app.paging import PageReader, PageTimes, RowSizes
from asgi_app.resources.nested import NestedConnections, held
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.scheduler import Lane
from asgi_app.tables.cql import Statement

PACE = 0.05
"""Seconds between the driver calls of a slow query: at most twenty a second."""

TASKS = 4
"""A run of many queries at once asks from one task for as many slots as the `DIAGNOSTICS` lane has."""

_COLUMNS = "SELECT keyspace_name, table_name, column_name FROM system_schema.columns"
LIGHT = Statement("SELECT key FROM system.local WHERE key = 'local'", idempotent=True, writes=False)
EVERY_COLUMN = Statement(_COLUMNS, idempotent=True, writes=False)
COLUMNS_OF_KEYSPACE = Statement(f"{_COLUMNS} WHERE keyspace_name = ?", idempotent=True, writes=False)
COUNT_OF_KEYSPACE = Statement(
    "SELECT count(*) AS rows FROM system_schema.columns WHERE keyspace_name = ?", idempotent=True, writes=False
)
MISSING_TABLE = Statement("SELECT key FROM system.non_existent_table_xyz", idempotent=True, writes=False)
MISSING_STREAM_TABLE = Statement("SELECT key FROM system.non_existent_stream_table", idempotent=True, writes=False)
KEYSPACES = ("system", "system_schema", "system_traces")
SMALL_PAGE = 5

INSIDE_OUT = (
    "cluster_opened",
    "session_opened",
    "stream_opened",
    "stream_closed",
    f"session_works_after_stream:{SMALL_PAGE}",
    "session_closed",
    "cluster_works_after_session:True",
    "cluster_closed",
)
"""What happens, in this order, where a cluster, its session and a stream are opened and closed inside out."""

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
    """GET /performance/async?requests=100: real queries, as many at once as there are slots for."""
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
    """Answer POST /context_manager_safety/query_error: a query that fails leaves the session open."""

    async def run(database: Database, deadline: Deadline) -> Report:
        error = await _refusal(MISSING_TABLE, database.execute(MISSING_TABLE, deadline=deadline, lane=Lane.DIAGNOSTICS))
        works = await _answers(database, deadline)
        return {
            "ran": [MISSING_TABLE.cql, LIGHT.cql],
            "error_caught": error,
            "session_still_works": works,
            "rows_after_error": int(works),
            "passed": error is not None and works,
        }

    return await _report(request, "query_error", run)


async def streaming_error(request: Request) -> JsonResponse:
    """Answer POST /context_manager_safety/streaming_error: a stream that fails leaves the session open."""

    async def run(database: Database, deadline: Deadline) -> Report:
        error = await _refusal(MISSING_STREAM_TABLE, _count(_reader(database, MISSING_STREAM_TABLE, (), deadline)))
        rows = await _count(_reader(database, COLUMNS_OF_KEYSPACE, ("system_schema",), deadline))
        return {
            "ran": [MISSING_STREAM_TABLE.cql, COLUMNS_OF_KEYSPACE.cql],
            "error_caught": error,
            "error_message": error,
            "streaming_error_caught": error is not None,
            "session_still_streams": rows > 0,
            "rows_after_error": rows,
            "passed": error is not None and rows > 0,
        }

    return await _report(request, "streaming_error", run)


async def concurrent_streams(request: Request) -> JsonResponse:
    """Answer POST /context_manager_safety/concurrent_streams: three streams at once, each with its own rows only."""

    async def run(database: Database, deadline: Deadline) -> Report:
        streamed: dict[str, int] = {}

        async def stream(keyspace: str) -> None:
            streamed[keyspace] = await _count(_reader(database, COLUMNS_OF_KEYSPACE, (keyspace,), deadline), keyspace)

        await _all_at_once([partial(stream, keyspace) for keyspace in KEYSPACES])
        is_open = not database.session.is_shutdown
        counted = {keyspace: await _rows_of(database, keyspace, deadline) for keyspace in KEYSPACES}
        return {
            "ran": [COLUMNS_OF_KEYSPACE.cql],
            "streams_completed": len(streamed),
            "all_streams_independent": streamed == counted,
            "session_still_open": is_open,
            # The reference application filters by age. Here the filter is the keyspace, and no age can be told.
            "results": [{"keyspace": keyspace, "age": None, "count": rows} for keyspace, rows in streamed.items()],
            "rows_streamed": streamed,
            "rows_counted": counted,
            "passed": streamed == counted and is_open,
        }

    return await _report(request, "concurrent_streams", run)


async def nested_contexts(request: Request) -> JsonResponse:
    """Answer POST /context_manager_safety/nested_contexts: a cluster, session and stream of its own, closed inside out.

    On cancellation all three are closed before it takes effect.
    """

    async def run(database: Database, deadline: Deadline) -> Report:
        events: list[str] = []
        rows = 0
        nested = NestedConnections(database, deadline)
        async with held(nested_lock_of(request), deadline), nested.cluster(events) as cluster:
            async with nested.session(cluster, events) as session:
                rows = await _stream_nested(session, deadline, events)
            async with nested.session(cluster, []) as session:
                events.append(f"cluster_works_after_session:{await _answers(session, deadline)}")
        works = await _answers(database, deadline)
        in_order = events == list(INSIDE_OUT)
        return {
            "ran": [EVERY_COLUMN.cql, LIGHT.cql],
            "events": events,
            "correct_order": in_order,
            "row_count": rows,
            "rows_read": rows,
            "closed": [event.removesuffix("_closed") for event in events if event.endswith("_closed")],
            "session_open_after_stream_closed": INSIDE_OUT[4] in events,
            "main_session_unaffected": works,
            "main_session_answers": works,
            "passed": in_order and rows == SMALL_PAGE and works,
        }

    return await _report(request, "nested_contexts", run)


async def cancellation(request: Request) -> JsonResponse:
    """Answer POST /context_manager_safety/cancellation: a stream cancelled in its middle leaves nothing open."""

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
        works = await _answers(database, deadline)
        rows = await _count(_reader(database, COLUMNS_OF_KEYSPACE, ("system_schema",), deadline))
        streams = rows == await _rows_of(database, "system_schema", deadline)
        return {
            "ran": [EVERY_COLUMN.cql, LIGHT.cql, COLUMNS_OF_KEYSPACE.cql],
            "rows_processed_before_cancel": read,
            "rows_before_cancellation": read,
            "was_cancelled": scope.cancelled_caught,
            "cancelled": scope.cancelled_caught,
            "session_still_works": works,
            "new_stream_worked": streams,
            "streams_left_open": left_open,
            "rows_of_a_new_stream": rows,
            "passed": scope.cancelled_caught and left_open == 0 and works and streams,
        }

    return await _report(request, "cancellation", run)


async def status(request: Request) -> JsonResponse:
    """Answer GET /context_manager_safety/status: what is open now."""
    return json_response(_state(database_of(request)))


async def _stream_nested(session: Database, deadline: Deadline, events: list[str]) -> int:
    """Stream a few rows on `session`, then ask it again; note in `events` what happened. Return the rows streamed."""
    rows = 0
    reader = _reader(session, EVERY_COLUMN, (), deadline, limit=SMALL_PAGE)
    async with reader.open() as pages:
        async for page, _ in pages:
            rows += page.row_count
            if reader.is_open and "stream_opened" not in events:
                events.append("stream_opened")
    if not reader.is_open:
        events.append("stream_closed")
    after = await session.execute(EVERY_COLUMN, deadline=deadline, fetch_size=SMALL_PAGE, lane=Lane.DIAGNOSTICS)
    events.append(f"session_works_after_stream:{after.row_count}")
    return rows


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
            await database.execute(LIGHT, deadline=deadline, lane=Lane.DIAGNOSTICS)
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
        await database.execute(LIGHT, deadline=deadline, lane=Lane.DIAGNOSTICS)
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
        "cluster_id": _cluster_id(session.cluster),
        "keyspace": database.settings.keyspace,
        "open_streams": database.open_streams,
        "calls_in_flight": database.dispatcher.slots.in_flight,
    }


def _cluster_id(cluster: Any) -> str:
    """Return what tells this driver cluster from another; scylla-driver's clusters have no id of their own."""
    return str(getattr(cluster, "client_id", id(cluster)))


async def _refusal(statement: Statement, running: Awaitable[Any]) -> str | None:
    """Await `running` and return which error Cassandra's refusal of `statement` is; None where it was not refused.

    Any other error is the request's own.
    """
    try:
        await running
    except StatementRefused as error:
        return f"{error.code}: {statement.cql}"
    return None


async def _answers(database: Database, deadline: Deadline) -> bool:
    """Return whether the session answers a query."""
    return (await database.execute(LIGHT, deadline=deadline, lane=Lane.DIAGNOSTICS)).row_count == 1


async def _rows_of(database: Database, keyspace: str, deadline: Deadline) -> int:
    """Return how many columns Cassandra counts in the tables of `keyspace`."""
    result = await database.execute(COUNT_OF_KEYSPACE, (keyspace,), deadline=deadline, lane=Lane.DIAGNOSTICS)
    rows: int = result.dicts()[0]["rows"]
    return rows


def _reader(
    database: Database, statement: Statement, values: tuple[str, ...], deadline: Deadline, *, limit: int | None = None
) -> PageReader:
    times = PageTimes(first=deadline, each=deadline.remaining(), whole=deadline)
    sizes = RowSizes(database.settings.max_page_bytes, 1)
    return PageReader(database, sizes, statement, values, times, fetch_size=SMALL_PAGE, limit=limit)


async def _count(reader: PageReader, keyspace: str | None = None) -> int:
    """How many rows the stream gives; with `keyspace`, how many of them are of it."""
    rows = 0
    async with reader.open() as pages:
        async for page, _ in pages:
            rows += sum(keyspace in (None, row["keyspace_name"]) for row in page.dicts())
    return rows
