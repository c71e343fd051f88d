"""The database as handlers see it: one session, opened in the background, and statements that run on it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup

from asgi_app.driver.borrowed import SessionSource, borrow
from asgi_app.driver.errors import prepare_may_succeed_elsewhere, translate, translate_prepare
from asgi_app.driver.execution import Batch, Execution, Query
from asgi_app.driver.prepared import Prepared, PreparedStatements
from asgi_app.driver.result import Result
from asgi_app.driver.session import Connection
from asgi_app.errors import (
    AnswerOverdue,
    BatchTooLarge,
    CassandraUnavailable,
    DeadlineExceeded,
    InternalError,
    RejectedByCassandra,
    SchemaMissing,
    ServiceError,
)
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.dispatcher import Dispatcher
from asgi_app.runtime.ownership import Owner
from asgi_app.runtime.retries import Retries
from asgi_app.runtime.scheduler import Lane, SlotLimits
from asgi_app.runtime.tasks import background_tasks, in_own_task
from asgi_app.settings import Settings
from asgi_app.tables.cql import Statement
from asgi_app.tables.table import Table
from asgi_app.telemetry.metrics import Metrics, Snapshot, sample_periodically
from asgi_app.telemetry.statements import StatementObserver

_PING = Statement("SELECT key FROM system.local WHERE key = 'local'", idempotent=True, writes=False)
_COLUMNS = Statement(
    "SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?",
    idempotent=True,
    writes=False,
)

_WAITING_DIAGNOSTICS = 1024
"""How many statements of diagnostics may wait at once: those of one of them, and some more."""

_MOST_PREPARES = 3
"""How often a statement is prepared before its failure counts: three nodes are asked."""


class Database:
    """Runs statements on one driver session, for the event loop it was opened on.

    Every method that runs a statement raises NotConnected until Cassandra was reached, WrongEventLoop outside the
    event loop that opened the database, OpenedBeforeFork in a process that was forked from the one that did,
    ShuttingDown after the end, the dispatcher's errors where a bound or the deadline is passed, and the driver's errors
    translated; see `asgi_app.errors` for the tree. On cancellation the waiter leaves at once and the driver finishes
    the call by itself within its timeout.
    """

    def __init__(
        self,
        settings: Settings,
        dispatcher: Dispatcher,
        connection: Connection,
        metrics: Metrics,
        tasks: TaskGroup,
        owner: Owner,
    ) -> None:
        self.settings = settings
        self.dispatcher = dispatcher
        self.metrics = metrics
        self.observer = StatementObserver(settings, metrics)
        self.open_streams = 0
        self.check_caller = owner.check
        """Return if the caller runs on the event loop that opened the database; else raise as `Owner.check` does."""
        self._connection = connection
        self._tasks = tasks
        self._forget_prepared()

    @classmethod
    @in_own_task
    @asynccontextmanager
    async def open(cls, settings: Settings, session: SessionSource = None) -> AsyncIterator[Database]:
        """A database that connects in the background for as long as it takes, and closes what it opened.

        With a `session` of somebody else's it uses that one, and does not close it.
        Waits for the first attempt, so that a service whose Cassandra is there is ready when it starts to serve.
        Raises ClusterConfigError where the settings cannot make a cluster, whatever Cassandra does, and TypeError where
        `session` is none of the driver's. It may be left in another task of the event loop; see `in_own_task`.
        """
        owner = Owner()
        metrics = Metrics()
        lent = None if session is None else borrow(session, settings, metrics)
        limits = SlotLimits(
            max_in_flight=settings.max_in_flight,
            max_waiting=settings.max_waiting,
            max_wait=settings.max_wait,
            max_pages=settings.max_stream_pages,
            max_pages_beside=settings.stream_pages_beside_reads,
            max_patient=settings.max_streams + _WAITING_DIAGNOSTICS,
        )
        async with Dispatcher.open(limits) as dispatcher:
            connection = Connection(settings, dispatcher, metrics, owner, lent)
            try:
                async with background_tasks() as tasks:
                    await tasks.start(connection.connect)
                    database = cls(settings, dispatcher, connection, metrics, tasks, owner)
                    tasks.start_soon(sample_periodically, metrics, database.publish_state)
                    tasks.start_soon(connection.watch, database._forget_prepared)
                    yield database
            finally:
                with anyio.CancelScope(shield=True):
                    await connection.close()

    def publish_state(self) -> None:
        """Set the metrics' gauges to how things are now."""
        now = Snapshot(
            calls_in_flight=self.dispatcher.slots.in_flight,
            calls_in_flight_limit=self.settings.max_in_flight,
            calls_waiting=self.dispatcher.slots.waiting,
            calls_waiting_limit=self.settings.max_waiting,
            open_streams=self.open_streams,
            open_streams_limit=self.settings.max_streams,
            prepared_statements=len(self._prepared),
            nodes=self._connection.nodes(),
        )
        self.metrics.publish(now)

    @property
    def session(self) -> Any:
        """Return the driver's session, for what this class does not do. Callable from any thread of the process.

        Ask for it each time: where all nodes move to new addresses another takes its place, and the old one is closed.
        Raise NotConnected where there is none yet, ShuttingDown where it was closed, and OpenedBeforeFork.
        """
        return self._connection.session

    def execute(
        self,
        statement: Statement,
        values: Sequence[Any] = (),
        *,
        deadline: Deadline,
        fetch_size: int = 100,
        paging_state: bytes | None = None,
        lane: Lane = Lane.REQUESTS,
    ) -> Coroutine[Any, Any, Result]:
        """Run `statement` with `values` bound, and return its first page of at most `fetch_size` rows.

        With `paging_state`, return the page that follows the one which gave it. The caller makes sure that it belongs
        to this statement with these values, because Cassandra does not check.
        """
        return self._run(statement, Query(values, fetch_size, paging_state, statement.writes), deadline, lane)

    async def execute_batch(self, statement: Statement, rows: Sequence[Sequence[Any]], *, deadline: Deadline) -> Result:
        """Run `statement` once for each of `rows` as one logged batch: all of it is applied, or nothing.

        Raises BatchTooLarge if Cassandra refuses it, as it does by the batch's size.
        """
        try:
            return await self._run(statement, Batch(rows), deadline, Lane.REQUESTS, len(rows))
        except RejectedByCassandra as error:
            raise BatchTooLarge from error

    async def ping(self, deadline: Deadline) -> None:
        """Ask the nearest node for a row of its own; raises what any statement raises."""
        await self.execute(_PING, deadline=deadline, lane=Lane.PROBES)

    async def missing_columns(self, table: Table, deadline: Deadline, lane: Lane = Lane.REQUESTS) -> set[str]:
        """The columns of a served table that Cassandra has not, or has with another type; all where it has no table."""
        values = (self.settings.keyspace, table.name)
        result = await self.execute(_COLUMNS, values, deadline=deadline, fetch_size=1000, lane=lane)
        found = {row["column_name"]: row["type"] for row in result.dicts()}
        return {column.name for column in table.columns if found.get(column.name) != column.cql_type}

    async def _run(
        self, statement: Statement, query: Query | Batch, deadline: Deadline, lane: Lane, batch_size: int | None = None
    ) -> Result:
        """Run a statement, repeat it where that helps, and report it to the observer."""
        self.check_caller()  # before anything waits: on another loop nothing would ever answer
        began = time.perf_counter()
        span = self.observer.begin(statement, batch_size)
        execution: Execution | None = None
        rows = 0
        failure: BaseException | None = None
        try:
            executor = self._connection.executor
            prepared = self._prepared.ready(statement) or await self._prepared.get(statement, deadline)
            execution = Execution(executor, prepared, query)
            try:
                result = await self.dispatcher.run(execution, deadline, lane)
            except Exception as error:
                result = await self._after(error, statement, query, execution, deadline, lane)
            rows = result.row_count
            return result
        except BaseException as error:
            failure = error
            if isinstance(error, CassandraUnavailable | DeadlineExceeded):
                self._connection.doubt()
            raise
        finally:
            ended = time.perf_counter()
            queued, driven = execution.times(ended) if execution is not None else (None, None)
            self.observer.end(statement, span, ended - began, queued, driven, rows, failure)

    async def _after(
        self,
        error: Exception,
        statement: Statement,
        query: Query | Batch,
        execution: Execution,
        deadline: Deadline,
        lane: Lane,
    ) -> Result:
        """Raise the service's error for the failure of an execution, or repeat an idempotent one."""
        failure = await self._translated(error, statement, execution, deadline)
        try:
            if not (statement.idempotent and execution.sent and lane is not Lane.PROBES):
                raise failure from failure.__cause__
            execution.answered_at = None  # the answer is still to come
            return await self._repeated(failure, statement, query, deadline, lane)
        finally:
            del failure  # the traceback holds this frame; the cycle would wait for the garbage collector

    async def _repeated(
        self, failure: ServiceError, statement: Statement, query: Query | Batch, deadline: Deadline, lane: Lane
    ) -> Result:
        """Send an idempotent statement again until it succeeds or its failure is final; see `Retries`."""
        repeats = Retries(deadline)
        try:
            while reason := repeats.reason(failure):
                await anyio.sleep(repeats.pause)
                self.metrics.statement_retried(reason)
                execution: Execution | None = None
                try:  # on the session that there is now: all nodes may have moved
                    executor = self._connection.executor
                    execution = Execution(executor, await self._prepared.get(statement, deadline), query)
                    return await self.dispatcher.run(execution, deadline, lane)
                except Exception as error:
                    failure = await self._translated(error, statement, execution, deadline)
            raise repeats.final(failure)
        finally:
            del failure, repeats  # as above

    async def _translated(
        self, error: Exception, statement: Statement, execution: Execution | None, deadline: Deadline
    ) -> ServiceError:
        """Return the service's error for any, its cause chained, with what is known of a write's outcome."""
        if isinstance(error, ServiceError):
            if isinstance(error, AnswerOverdue) and statement.writes:
                error.outcome = "unknown"
            return error
        unknown = statement.writes and execution is not None and execution.may_have_run(error)
        translated = translate(error, unknown=unknown)
        suspicious = isinstance(translated, RejectedByCassandra | InternalError)  # refused, or could not be bound
        if suspicious and await self._is_missing(statement.table, deadline):
            translated = SchemaMissing()
        translated.__cause__ = error
        return translated

    async def _is_missing(self, table: Table | None, deadline: Deadline) -> bool:
        return table is not None and bool(await self.missing_columns(table, deadline))

    def _forget_prepared(self) -> None:
        """Begin with no prepared statement: what one session prepared is not for another."""
        self._prepared = PreparedStatements(self._prepare_in_thread, self._tasks, self.settings.max_prepared)

    async def _prepare_in_thread(self, statement: Statement) -> Prepared:
        """Prepare a statement; where a node is lost or does not answer, the driver asks another one the next time."""
        failures = 0
        while True:
            try:
                prepared = await self.dispatcher.run_blocking(self.session.prepare, statement.cql)
            except ServiceError:
                raise
            except Exception as error:
                failures += 1
                if failures == _MOST_PREPARES or not prepare_may_succeed_elsewhere(error):
                    raise translate_prepare(error, of_served_table=statement.table is not None) from error
                self.metrics.statement_retried("request_error")
            else:
                prepared.is_idempotent = statement.idempotent
                return prepared
