"""Diagnostics that run on the live session: timed queries, and checks that errors and cancellation leave it usable.

They read only the `system` and `system_schema` tables. Every cluster has these, and no user data is touched.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any

import anyio
from starlette.requests import Request

from asgi_app.db import PING, Database
from asgi_app.driver.row_sizes import RowSizes
from asgi_app.errors import NotFound, StatementRefused
from asgi_app.http.context import database_of, deadline_of, diagnostics_enabled, nested_lock_of, settings_of
from asgi_app.http.responses import JsonResponse, json_response
from asgi_app.http.routing import Handler
from asgi_app.http.validation import QueryValues
from asgi_app.paging import PageReader, PageTimes
from asgi_app.resources.nested import NestedConnections
from asgi_app.runtime.deadline import Deadline, acquired
from asgi_app.runtime.scheduler import Lane
from asgi_app.runtime.tasks import run_together
from asgi_app.tables.cql import Statement

SLOW_QUERY_INTERVAL = 0.05
"""Seconds between the driver calls of a slow query: at most twenty calls a second."""

DIAGNOSTICS_SHARE = 4
"""/performance/async uses at most one in four of the slots, which is as many as `Lane.DIAGNOSTICS` may hold."""

_COLUMNS = "SELECT keyspace_name, table_name, column_name FROM system_schema.columns"
EVERY_COLUMN = Statement(_COLUMNS, idempotent=True, writes=False)
COLUMNS_OF_KEYSPACE = Statement(f"{_COLUMNS} WHERE keyspace_name = ?", idempotent=True, writes=False)
COUNT_OF_KEYSPACE = Statement(
    "SELECT count(*) AS rows FROM system_schema.columns WHERE keyspace_name = ?", idempotent=True, writes=False
)
MISSING_TABLE = Statement("SELECT key FROM system.non_existent_table_xyz", idempotent=True, writes=False)
MISSING_STREAM_TABLE = Statement("SELECT key FROM system.non_existent_stream_table", idempotent=True, writes=False)
KEYSPACES = ("system", "system_schema", "system_traces")
SMALL_PAGE = 5

NESTED_EVENTS = (
    "cluster_opened",
    "session_opened",
    "stream_opened",
    "stream_closed",
    f"session_works_after_stream:{SMALL_PAGE}",
    "session_closed",
    "cluster_works_after_session:True",
    "cluster_closed",
)
"""The events, in order, of opening a cluster, a session and a stream, and closing them from the inside out."""

Report = dict[str, Any]


def if_enabled(handler: Handler) -> Handler:
    """Wrap `handler` so that it raises NotFound while the application's diagnostics are off."""

    @wraps(handler)
    async def guarded(request: Request) -> Any:
        if not diagnostics_enabled(request):
            raise NotFound
        return await handler(request)

    return guarded


async def performance_async(request: Request) -> JsonResponse:
    """Answer GET /performance/async?requests=100: time queries that run concurrently."""
    requests = _request_count(request)
    concurrency = max(1, min(requests, settings_of(request.scope).max_in_flight // DIAGNOSTICS_SHARE))
    return await _performance(request, requests, concurrency, "async")


async def performance_sync(request: Request) -> JsonResponse:
    """Answer GET /performance/sync?requests=100: time the same queries, run one after another."""
    return await _performance(request, _request_count(request), 1, "sync")


async def slow_query(request: Request) -> JsonResponse:
    """Answer GET /slow_query after five seconds of paced driver calls."""
    return await _paced_queries(request, 5.0, "Slow query completed")


async def long_running_query(request: Request) -> JsonResponse:
    """Answer GET /long_running_query after ten seconds of paced driver calls."""
    return await _paced_queries(request, 10.0, "Long query completed")


async def query_error(request: Request) -> JsonResponse:
    """Answer POST /context_manager_safety/query_error: check that a failed query leaves the session open."""

    async def run(database: Database, deadline: Deadline) -> Report:
        error = await _refusal(MISSING_TABLE, database.execute(MISSING_TABLE, deadline=deadline, lane=Lane.DIAGNOSTICS))
        works = await _session_works(database, deadline)
        return {
            "ran": [MISSING_TABLE.cql, PING.cql],
            "error_caught": error,
            "session_still_works": works,
            "rows_after_error": int(works),
            "passed": error is not None and works,
        }

    return await _report(request, "query_error", run)


async def streaming_error(request: Request) -> JsonResponse:
    """Answer POST /context_manager_safety/streaming_error: check that a failed stream leaves the session open."""

    async def run(database: Database, deadline: Deadline) -> Report:
        error = await _refusal(MISSING_STREAM_TABLE, _read_rows(_reader(database, MISSING_STREAM_TABLE, (), deadline)))
        rows = await _read_rows(_reader(database, COLUMNS_OF_KEYSPACE, ("system_schema",), deadline))
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
    """Answer POST /context_manager_safety/concurrent_streams: check that three concurrent streams do not mix rows."""

    async def run(database: Database, deadline: Deadline) -> Report:
        streamed: dict[str, int] = {}

        async def stream(keyspace: str) -> None:
            reader = _reader(database, COLUMNS_OF_KEYSPACE, (keyspace,), deadline)
            streamed[keyspace] = await _read_rows(reader, keyspace)

        await run_together([partial(stream, keyspace) for keyspace in KEYSPACES])
        is_open = not database.session.is_shutdown
        counted = {keyspace: await _count_columns(database, keyspace, deadline) for keyspace in KEYSPACES}
        return {
            "ran": [COLUMNS_OF_KEYSPACE.cql],
            "streams_completed": len(streamed),
            "all_streams_independent": streamed == counted,
            "session_still_open": is_open,
            # The reference application filters by age. This one filters by keyspace, so there is no age to report.
            "results": [{"keyspace": keyspace, "age": None, "count": rows} for keyspace, rows in streamed.items()],
            "rows_streamed": streamed,
            "rows_counted": counted,
            "passed": streamed == counted and is_open,
        }

    return await _report(request, "concurrent_streams", run)


async def nested_contexts(request: Request) -> JsonResponse:
    """Answer POST /context_manager_safety/nested_contexts: open a second cluster, a session and a stream; close them.

    Checks that they close from the inside out and that the service's own session still works. A cancelled request
    closes all three before the cancellation takes effect.
    """

    async def run(database: Database, deadline: Deadline) -> Report:
        events: list[str] = []
        rows = 0
        nested = NestedConnections(database, deadline)
        async with acquired(nested_lock_of(request), deadline), nested.cluster(events) as cluster:
            async with nested.session(cluster, events) as session:
                rows = await _stream_nested(session, deadline, events)
            async with nested.session(cluster, []) as session:
                events.append(f"cluster_works_after_session:{await _session_works(session, deadline)}")
        works = await _session_works(database, deadline)
        in_order = events == list(NESTED_EVENTS)
        return {
            "ran": [EVERY_COLUMN.cql, PING.cql],
            "events": events,
            "correct_order": in_order,
            "row_count": rows,
            "rows_read": rows,
            "closed": [event.removesuffix("_closed") for event in events if event.endswith("_closed")],
            "session_open_after_stream_closed": NESTED_EVENTS[4] in events,
            "main_session_unaffected": works,
            "main_session_answers": works,
            "passed": in_order and rows == SMALL_PAGE and works,
        }

    return await _report(request, "nested_contexts", run)


async def cancellation(request: Request) -> JsonResponse:
    """Answer POST /context_manager_safety/cancellation: check that a cancelled stream leaves nothing open."""

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
        works = await _session_works(database, deadline)
        rows = await _read_rows(_reader(database, COLUMNS_OF_KEYSPACE, ("system_schema",), deadline))
        new_stream_worked = rows == await _count_columns(database, "system_schema", deadline)
        return {
            "ran": [EVERY_COLUMN.cql, PING.cql, COLUMNS_OF_KEYSPACE.cql],
            "rows_processed_before_cancel": read,
            "rows_before_cancellation": read,
            "was_cancelled": scope.cancelled_caught,
            "cancelled": scope.cancelled_caught,
            "session_still_works": works,
            "new_stream_worked": new_stream_worked,
            "streams_left_open": left_open,
            "rows_of_a_new_stream": rows,
            "passed": scope.cancelled_caught and left_open == 0 and works and new_stream_worked,
        }

    return await _report(request, "cancellation", run)


async def status(request: Request) -> JsonResponse:
    """Answer GET /context_manager_safety/status with what is open now."""
    return json_response(_session_state(database_of(request)))


async def _stream_nested(session: Database, deadline: Deadline, events: list[str]) -> int:
    """Stream `SMALL_PAGE` rows on `session`, then query it again, and record both in `events`. Return the row count."""
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


def _request_count(request: Request) -> int:
    """Return the query parameter `requests`, by default 100. Raises InvalidInput unless it is from 1 to 1000."""
    query = QueryValues(request.query_params)
    requests = query.integer("requests", 1, 1000)
    query.check()
    return 100 if requests is None else requests


async def _performance(request: Request, requests: int, concurrency: int, mode: str) -> JsonResponse:
    """Run `requests` queries in `concurrency` tasks and report the times. The first failure fails the request."""
    database, deadline = database_of(request), deadline_of(request)
    remaining = iter(range(requests))  # shared: each task takes the next query from it
    succeeded = 0

    async def work() -> None:
        nonlocal succeeded
        for _ in remaining:
            await database.execute(PING, deadline=deadline, lane=Lane.DIAGNOSTICS)
            succeeded += 1

    began = time.perf_counter()
    await run_together([work] * concurrency)
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


async def _paced_queries(request: Request, seconds: float, message: str) -> JsonResponse:
    """Query every `SLOW_QUERY_INTERVAL` for `seconds`, then answer with `message` and the number of queries."""
    database, deadline = database_of(request), deadline_of(request)
    began = time.monotonic()
    queries = 0
    while (left := began + seconds - time.monotonic()) > 0:
        await database.execute(PING, deadline=deadline, lane=Lane.DIAGNOSTICS)
        queries += 1
        await anyio.sleep(min(SLOW_QUERY_INTERVAL, left, deadline.remaining()))
    return json_response({"message": message, "seconds": time.monotonic() - began, "queries": queries})


async def _report(request: Request, test: str, run: Callable[[Database, Deadline], Awaitable[Report]]) -> JsonResponse:
    """Answer with what `run` found. The test passes only if the service's session is unchanged and open afterwards."""
    database = database_of(request)
    before = _session_state(database)
    found = await run(database, deadline_of(request))
    after = _session_state(database)
    unchanged = before["session_id"] == after["session_id"] and after["session_open"] and after["cluster_open"]
    passed = found.pop("passed") and unchanged
    return json_response({"test": test, **found, "session_unchanged": unchanged, **after, "passed": passed})


def _session_state(database: Database) -> Report:
    """Return what is open now: session, cluster, streams, calls in flight."""
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
    """Return an identifier of the driver's cluster object. The clusters of scylla-driver have no `client_id`."""
    return str(getattr(cluster, "client_id", id(cluster)))


async def _refusal(statement: Statement, running: Awaitable[Any]) -> str | None:
    """Await `running`, which executes `statement`. Return the error as text if Cassandra refused it, else None.

    Other errors propagate.
    """
    try:
        await running
    except StatementRefused as error:
        return f"{error.code}: {statement.cql}"
    return None


async def _session_works(database: Database, deadline: Deadline) -> bool:
    """Return whether the session answers a query."""
    return (await database.execute(PING, deadline=deadline, lane=Lane.DIAGNOSTICS)).row_count == 1


async def _count_columns(database: Database, keyspace: str, deadline: Deadline) -> int:
    """Return the number of columns of all tables in `keyspace`, counted by Cassandra."""
    result = await database.execute(COUNT_OF_KEYSPACE, (keyspace,), deadline=deadline, lane=Lane.DIAGNOSTICS)
    rows: int = result.dicts()[0]["rows"]
    return rows


def _reader(
    database: Database, statement: Statement, values: tuple[str, ...], deadline: Deadline, *, limit: int | None = None
) -> PageReader:
    """Return a reader of `statement` that pages by `SMALL_PAGE` rows and is not counted as an open stream."""
    times = PageTimes(first=deadline, each=deadline.remaining(), whole=deadline)
    sizes = RowSizes(database.settings.max_page_bytes, 1)
    return PageReader(database, sizes, statement, values, times, fetch_size=SMALL_PAGE, limit=limit)


async def _read_rows(reader: PageReader, keyspace: str | None = None) -> int:
    """Read the stream to its end. Return its number of rows; with `keyspace`, only rows about that keyspace count."""
    rows = 0
    async with reader.open() as pages:
        async for page, _ in pages:
            rows += sum(keyspace in (None, row["keyspace_name"]) for row in page.dicts())
    return rows
