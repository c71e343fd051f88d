"""The database as handlers use it: one driver session, opened in the background, and methods to run statements."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar, overload

import anyio
import msgspec
from anyio.abc import TaskGroup

from asgi_app.driver.declared_types import declared_type
from asgi_app.driver.errors import (
    ParametersChanged,
    names_what_is_absent,
    prepare_may_succeed_elsewhere,
    translate,
    translate_prepare,
)
from asgi_app.driver.execution import Batch, Execution, Query
from asgi_app.driver.prepared import Prepared, PreparedStatements
from asgi_app.driver.result import Result
from asgi_app.driver.row_sizes import RowSizes
from asgi_app.driver.schema_events import SchemaEvents
from asgi_app.driver.session import Connection, SessionSource, borrow
from asgi_app.errors import (
    AnswerOverdue,
    CassandraUnavailable,
    DeadlineExceeded,
    InternalError,
    RejectedByCassandra,
    SchemaMissing,
    ServiceError,
    StatementRefused,
    TooManyStreams,
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
from asgi_app.tables.types import CqlType, without_quotes
from asgi_app.telemetry.metrics import Metrics, Snapshot, sample_periodically
from asgi_app.telemetry.statements import StatementObserver

Row = TypeVar("Row", bound=msgspec.Struct)

MOST_PAGE_ROWS = 1000
"""The largest number of rows of a page of `Database.rows`: that of streams by default."""

PING = Statement("SELECT key FROM system.local WHERE key = 'local'", idempotent=True, writes=False)
_COLUMNS = Statement(
    "SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?",
    idempotent=True,
    writes=False,
)

_VIRTUAL_COLUMNS = replace(_COLUMNS, cql=_COLUMNS.cql.replace("system_schema", "system_virtual_schema"))

_WAITING_DIAGNOSTICS = 1024
"""How many statements of diagnostics may wait at once: enough for the largest diagnostic and some more."""

_MAX_PREPARE_ATTEMPTS = 3
"""How often preparing a statement is tried before its failure is raised; each attempt may ask another node."""


class Database:
    """Runs statements on one driver session. Use it only on the event loop that opened it.

    Handlers find it as `app.state.database`. Every method that runs a statement raises the errors of `asgi_app.errors`:

    - NotConnected until Cassandra was reached for the first time, and ShuttingDown after the end;
    - WrongEventLoop on another event loop, OpenedBeforeFork in a process that was forked from the one that opened it;
    - QueueFull, QueueTimeout, DeadlineExceeded and AnswerOverdue when a limit or the deadline is passed;
    - what the driver raised, translated, with the driver's error as its cause. After a failed write, `outcome` is
      "unknown" if the write may have been applied.

    An idempotent statement is retried until its deadline after failures that may be transient; see
    `asgi_app.runtime.retries`. A cancelled caller returns at once; the driver finishes the call by itself within its
    timeout.

    Attributes: `settings` and `metrics` of the application, the `dispatcher` that runs the driver's calls, the
    `observer` that gets a report of each statement, `streams`, the open streams, and `row_sizes`, which decides how
    many rows a page has.
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
        self.streams = OpenStreams(settings.max_streams)
        self.row_sizes = RowSizes(
            settings.max_page_bytes, settings.max_prepared, page_bytes_beside=settings.page_bytes_beside_reads
        )
        self.check_caller = owner.check
        """Return if the caller runs on the event loop that opened the database; raise as `Owner.check` otherwise."""
        self._connection = connection
        self._tasks = tasks
        self._schema_events = SchemaEvents()
        self._reset_prepared()

    @classmethod
    @in_own_task
    @asynccontextmanager
    async def open(cls, settings: Settings, session: SessionSource = None) -> AsyncIterator[Database]:
        """Open a database that connects in the background, for as long as that takes.

        Waits for the first attempt to connect, so that the service is ready at once if Cassandra is up. `session`: a
        driver session of the caller, or a function that returns one; it is used but not closed. Without it, a
        session is opened and closed here.

        Raises ClusterConfigError if the settings cannot make a cluster, and TypeError if `session` is not a session of
        the driver. It may be exited in another task of the same event loop; see `in_own_task`.
        """
        owner = Owner()
        metrics = Metrics()
        borrowed = None if session is None else borrow(session, settings, metrics)
        limits = SlotLimits(
            max_in_flight=settings.max_in_flight,
            max_waiting=settings.max_waiting,
            max_wait=settings.max_wait,
            max_pages=settings.max_stream_pages,
            max_pages_beside=settings.stream_pages_beside_reads,
            max_patient=settings.max_streams + _WAITING_DIAGNOSTICS,
        )
        async with Dispatcher.open(limits) as dispatcher:
            connection = Connection(settings, dispatcher, metrics, owner, borrowed)
            try:
                async with background_tasks() as tasks:
                    await tasks.start(connection.connect)
                    database = cls(settings, dispatcher, connection, metrics, tasks, owner)
                    tasks.start_soon(sample_periodically, metrics, database.publish_state)
                    tasks.start_soon(connection.watch, database._reset_prepared)
                    try:
                        yield database
                    finally:
                        database._schema_events.leave()
            finally:
                with anyio.CancelScope(shield=True):
                    await connection.close()

    def publish_state(self) -> None:
        """Set the gauges of the metrics to the current state."""
        now = Snapshot(
            calls_in_flight=self.dispatcher.slots.in_flight,
            calls_in_flight_limit=self.settings.max_in_flight,
            calls_waiting=self.dispatcher.slots.waiting,
            calls_waiting_limit=self.settings.max_waiting,
            open_streams=self.streams.count,
            open_streams_limit=self.streams.limit,
            prepared_statements=len(self._prepared),
            nodes=self._connection.nodes(),
        )
        self.metrics.publish(now)

    @property
    def session(self) -> Any:
        """The driver's session, for what this class does not offer. Available in any thread of the process.

        Read it each time and do not keep it: when all nodes move to new addresses it is replaced, and the old session
        is closed. Raises NotConnected before the first connection, ShuttingDown after the end, and OpenedBeforeFork.
        """
        return self._connection.session

    @property
    def partitioner(self) -> str | None:
        """The name of the cluster's partitioner, a Java class. Raises as `session` does."""
        name: str | None = self.session.cluster.metadata.partitioner
        return name

    @property
    def open_streams(self) -> int:
        """The number of open streams."""
        return self.streams.count

    def execute(
        self,
        statement: Statement,
        values: Sequence[Any] = (),
        *,
        deadline: Deadline,
        fetch_size: int = 100,
        paging_state: bytes | None = None,
        lane: Lane = Lane.REQUESTS,
        retry_read_timeouts: bool = True,
    ) -> Coroutine[Any, Any, Result]:
        """Run `statement` with `values` bound to its parameters, in order; await it for one page of the result.

        The page has at most `fetch_size` rows, and the result's `paging_state` continues after it: pass it to get the
        next page. Pass it only with the same statement and values, because Cassandra does not check that. `lane`
        decides which slots the call may use. Without `retry_read_timeouts`, a read that the replicas do not answer in
        time is not sent again but raises ReadTimeout. Raises the errors that the class docstring lists.
        """
        # Returns the coroutine instead of awaiting it: one frame less for every step of every statement.
        query = Query(values, fetch_size, paging_state, statement.writes, statement.consistency)
        return self._run(statement, query, deadline, lane, retry_read_timeouts=retry_read_timeouts)

    @overload
    def rows(
        self, statement: Statement, values: Sequence[Any] = (), row: None = None, *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, Any], None]: ...

    @overload
    def rows(
        self, statement: Statement, values: Sequence[Any], row: type[Row], *, deadline: Deadline
    ) -> AsyncGenerator[Row, None]: ...

    async def rows(
        self, statement: Statement, values: Sequence[Any] = (), row: type[Any] | None = None, *, deadline: Deadline
    ) -> AsyncGenerator[Any, None]:
        """Run `statement` with `values`, and yield all rows of its result, page after page until the deadline.

        Rows are instances of the msgspec struct `row`, or dicts, as `Result.rows` and `Result.dicts` make them. At most
        one page is in memory, which is smaller the larger the rows are; nothing is held between two pages, so the loop
        may be left at any row. Raises the errors that the class docstring lists, also after rows were given, and
        msgspec.ValidationError for a row that does not fit `row`.
        """
        paging_state: bytes | None = None
        lane = Lane.REQUESTS
        while True:
            beside = self.dispatcher.slots.throttles_pages
            result = await self.execute(
                statement,
                values,
                deadline=deadline,
                fetch_size=self.row_sizes.page_rows(statement, MOST_PAGE_ROWS, beside=beside),
                paging_state=paging_state,
                lane=lane,
            )
            self.row_sizes.learn(statement, result)
            for each in result.dicts() if row is None else result.rows(row):
                yield each
            paging_state = result.paging_state
            if paging_state is None:
                return
            lane = Lane.PAGES  # a long result gives way to reads of single rows

    async def execute_batch(
        self, statement: Statement, rows: Sequence[Sequence[Any]], *, deadline: Deadline, logged: bool = True
    ) -> Result:
        """Run `statement` once for the values of each of `rows`, as one logged batch: all are applied, or none.

        If it is not `logged`, that holds only for rows of one partition. Raises BatchTooLarge if Cassandra refuses the
        batch for its size, and the errors that the class docstring lists.
        """
        batch = Batch(rows, statement.consistency, logged)
        return await self._run(statement, batch, deadline, Lane.REQUESTS, len(rows))

    async def parameters(self, statement: Statement, deadline: Deadline) -> tuple[Parameter, ...]:
        """Return the parameters of a statement, in the order in which its values are bound.

        Prepares the statement if need be. Raises what the class lists.
        """
        prepared = self._prepared.ready(statement) or await self._prepare(statement, deadline)
        in_partition_key = frozenset(prepared.routing_key_indexes or ())
        return tuple(
            Parameter(column.name, declared_type(column.type), place in in_partition_key)
            for place, column in enumerate(prepared.column_metadata)
        )

    async def ping(self, deadline: Deadline) -> None:
        """Read one row that every node has, from the nearest node. Raises the errors of the class docstring."""
        await self.execute(PING, deadline=deadline, lane=Lane.PROBES)

    def schema_changes(self) -> frozenset[str] | None:
        """Return the keyspaces whose schema changed since the last call; None if changes may have been missed.

        They may have been missed before the first call, and while the driver had no connection that reports them.
        Raises NotConnected before the first connection, ShuttingDown after the end.
        """
        return self._schema_events.take(self._connection.session)

    async def missing_columns(self, table: Table, deadline: Deadline, lane: Lane = Lane.REQUESTS) -> set[str]:
        """Return the columns of `table` that Cassandra lacks or has with another type: all if there is no such table.

        Raises the errors that the class docstring lists.
        """
        values = (table.keyspace or self.settings.keyspace, table.name)
        result = await self.execute(_COLUMNS, values, deadline=deadline, fetch_size=1000, lane=lane)
        found = {row["column_name"]: without_quotes(row["type"]) for row in result.dicts()}
        return {column.name for column in table.columns if found.get(column.name) != without_quotes(column.cql_type)}

    async def _run(
        self,
        statement: Statement,
        query: Query | Batch,
        deadline: Deadline,
        lane: Lane,
        batch_size: int | None = None,
        *,
        retry_read_timeouts: bool = True,
    ) -> Result:
        """Prepare and execute a statement, retry it if that may help, and report its end to the observer."""
        self.check_caller()  # before any await: on another event loop the answer would never arrive
        began = time.perf_counter()
        tracing = self.observer.tracing
        span = None if tracing is None else tracing.begin_statement(statement, batch_size)
        execution: Execution | None = None
        rows = 0
        failure: BaseException | None = None
        try:
            executor = self._connection.executor
            prepared = self._prepared.ready(statement) or await self._prepare(statement, deadline)
            execution = Execution(executor, prepared, query)
            try:
                result = await self.dispatcher.run(execution, deadline, lane)
            except Exception as error:
                result = await self._retry_or_raise(
                    error, statement, query, execution, deadline, lane, retry_read_timeouts
                )
            rows = result.row_count
            return result
        except BaseException as error:
            failure = error
            if isinstance(error, CassandraUnavailable | DeadlineExceeded):
                self._connection.request_check()
            raise
        finally:
            ended = time.perf_counter()
            queued, driven = execution.times(ended) if execution is not None else (None, None)
            self.observer.end(statement, span, ended - began, queued, driven, rows, failure)

    async def _retry_or_raise(
        self,
        error: Exception,
        statement: Statement,
        query: Query | Batch,
        execution: Execution,
        deadline: Deadline,
        lane: Lane,
        read_timeouts: bool,
    ) -> Result:
        """Retry a statement whose `execution` failed with `error` if it is idempotent; raise the failure otherwise."""
        failure = await self._service_error(error, statement, execution, deadline)
        try:
            if not (statement.idempotent and execution.sent and lane is not Lane.PROBES):
                raise failure from failure.__cause__
            execution.answered_at = None  # so that its time at the driver includes the retries
            return await self._retry(failure, statement, query, deadline, lane, read_timeouts)
        finally:
            del failure  # the traceback refers to this frame: a cycle, which only the garbage collector would free

    async def _retry(
        self,
        failure: ServiceError,
        statement: Statement,
        query: Query | Batch,
        deadline: Deadline,
        lane: Lane,
        read_timeouts: bool,
    ) -> Result:
        """Execute an idempotent statement again until it succeeds or its failure is final; see `Retries`."""
        retries = Retries(deadline, after_read_timeouts=read_timeouts)
        try:
            while reason := retries.reason(failure):
                await anyio.sleep(retries.pause)
                self.metrics.statement_retried(reason)
                execution: Execution | None = None
                try:
                    executor = self._connection.executor  # read each time: the session may have been replaced
                    execution = Execution(executor, await self._prepare(statement, deadline), query)
                    return await self.dispatcher.run(execution, deadline, lane)
                except Exception as error:
                    failure = await self._service_error(error, statement, execution, deadline)
            raise retries.final(failure)
        finally:
            del failure, retries  # as in `_retry_or_raise`

    async def _service_error(
        self, error: Exception, statement: Statement, execution: Execution | None, deadline: Deadline
    ) -> ServiceError:
        """Return the service's error for `error` of an execution, with a write's outcome and with `error` as its cause.

        `execution` is None if it was not created. If the error may come from a missing table or column, the schema is
        looked up and the result is SchemaMissing.
        """
        if isinstance(error, ServiceError):
            if isinstance(error, AnswerOverdue) and statement.writes:
                error.outcome = "unknown"
            return error
        unknown = statement.writes and execution is not None and execution.may_have_run(error)
        translated = translate(error, unknown=unknown)
        may_be_schema = isinstance(translated, RejectedByCassandra | InternalError)  # rejected, or values not bindable
        if may_be_schema:
            translated = await self._schema_missing(statement, deadline) or translated
        if isinstance(error, ParametersChanged):
            self._prepared.forget(statement)
        if names_what_is_absent(error) and not isinstance(translated, SchemaMissing):  # it is there again
            translated = SchemaMissing()
        translated.__cause__ = error
        return translated

    async def _schema_missing(self, statement: Statement, deadline: Deadline) -> SchemaMissing | None:
        """Return the error if the schema lacks what a statement needs; None if it lacks nothing."""
        if statement.table is not None and await self.missing_columns(statement.table, deadline):
            return SchemaMissing()
        absent = [".".join(names) for names in statement.needs if not await self._exists(names, deadline)]
        return SchemaMissing(f"There is no table {', '.join(absent)}.") if absent else None

    async def _exists(self, names: tuple[str, str], deadline: Deadline) -> bool:
        for schema in (_COLUMNS, _VIRTUAL_COLUMNS) if names[0].startswith("system") else (_COLUMNS,):
            if (await self.execute(schema, names, deadline=deadline, fetch_size=1)).row_count:
                return True
        return False

    async def _prepare(self, statement: Statement, deadline: Deadline) -> Prepared:
        """Return the prepared statement. Raises SchemaMissing if Cassandra refuses it and a table that it needs."""
        try:
            return await self._prepared.get(statement, deadline)
        except StatementRefused as error:
            if missing := await self._schema_missing(statement, deadline):
                raise missing from error.__cause__
            raise

    def _reset_prepared(self) -> None:
        """Start with no prepared statements: those of one session are not valid on another."""
        self._prepared = PreparedStatements(self._prepare_in_thread, self._tasks, self.settings.max_prepared)

    async def _prepare_in_thread(self, statement: Statement) -> Prepared:
        """Prepare a statement; try again if a node is lost or silent, because the driver then asks another one."""
        failures = 0
        while True:
            try:
                prepared = await self.dispatcher.run_blocking(self.session.prepare, statement.cql)
            except ServiceError:
                raise
            except Exception as error:
                failures += 1
                if failures == _MAX_PREPARE_ATTEMPTS or not prepare_may_succeed_elsewhere(error):
                    raise translate_prepare(error, of_served_table=statement.table is not None) from error
                self.metrics.statement_retried("request_error")
            else:
                prepared.is_idempotent = statement.idempotent
                return prepared


class Parameter(NamedTuple):
    """A parameter of a statement: the name of its marker, or of its column, its type, and whether it is in the key of
    the partition that the statement is about."""

    name: str
    type: CqlType
    in_partition_key: bool = False


class OpenStreams:
    """Counts the open streams, and refuses one more than `limit`. Use it on one event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0

    @contextmanager
    def open(self) -> Iterator[None]:
        """Count one stream for the duration of the context. Raises TooManyStreams if `limit` streams are open."""
        if self.count >= self.limit:
            raise TooManyStreams
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
