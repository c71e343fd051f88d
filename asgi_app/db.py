"""The database as the routes see it: one session, opened in the background, and statements run over the bridge."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskGroup
from cassandra.query import PreparedStatement

from asgi_app.driver.borrowed import SessionSource, borrow
from asgi_app.driver.errors import (
    may_have_run,
    prepare_may_succeed_elsewhere,
    translate,
    translate_prepare,
)
from asgi_app.driver.execution import Sender, Told
from asgi_app.driver.page import RowPage
from asgi_app.driver.prepared import PreparedStatements
from asgi_app.driver.session import Connection
from asgi_app.errors import (
    BatchTooLarge,
    CassandraUnavailable,
    DeadlineExceeded,
    InternalError,
    RejectedByCassandra,
    SchemaMissing,
    ServiceError,
)
from asgi_app.runtime.admission import AnswerOverdue, Bridge, BridgeLimits, Done, Share, Start
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.own_task import in_own_task
from asgi_app.runtime.ownership import Owner
from asgi_app.runtime.repeats import Repeats
from asgi_app.runtime.tasks import background_tasks
from asgi_app.settings import Settings
from asgi_app.tables.cql import Statement
from asgi_app.tables.table import Table
from asgi_app.telemetry.metrics import Metrics, Snapshot
from asgi_app.telemetry.sampling import sample
from asgi_app.telemetry.statements import StatementObserver

_PING = Statement("SELECT key FROM system.local WHERE key = 'local'", idempotent=True, writes=False)
_COLUMNS = Statement(
    "SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?",
    idempotent=True,
    writes=False,
)

_TRIALS = 1024
"""How many statements of demonstrations may wait at once: those of one, and some more."""

_MOST_PREPARES = 3
"""How often a statement is prepared before its failure counts: three nodes are asked."""


class Result(msgspec.Struct, frozen=True, gc=False):
    """What a statement gave: its page of rows, None for a statement that has none, and the way to the next page."""

    page: RowPage | None
    paging_state: bytes | None

    def dicts(self) -> list[dict[str, Any]]:
        """The page's rows by column name."""
        return self.page.dicts() if self.page else []

    def json_rows(self) -> bytes:
        """The page's rows as JSON objects with commas between them: what stands inside an array."""
        return self.page.json_rows() if self.page else b""

    @property
    def row_count(self) -> int:
        """How many rows the page holds."""
        return self.page.row_count if self.page else 0

    @property
    def applied(self) -> bool:
        """Whether a lightweight transaction's condition held; true for every other statement."""
        rows = self.dicts() if self.page and "[applied]" in self.page.column_names else []
        return bool(rows[0]["[applied]"]) if rows else True


class Database:
    """Runs statements on one driver session, for the event loop it was opened on.

    Every method that runs a statement raises NotConnected until Cassandra has been reached, WrongEventLoop outside the
    event loop that opened the database, OpenedBeforeFork in a process that was forked from the one that did,
    ShuttingDown after the end, the bridge's errors where a bound or the deadline is passed, and the driver's errors
    translated; see `asgi_app.errors` for the tree. On cancellation the waiter leaves at once and the driver finishes
    the call by itself within its timeout.
    """

    def __init__(
        self,
        settings: Settings,
        bridge: Bridge,
        connection: Connection,
        metrics: Metrics,
        tasks: TaskGroup,
        owner: Owner,
    ) -> None:
        self.settings = settings
        self.bridge = bridge
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
        limits = BridgeLimits(
            max_in_flight=settings.max_in_flight,
            max_waiting=settings.max_waiting,
            max_wait=settings.max_wait,
            max_pages=settings.max_stream_pages,
            max_pages_beside=settings.stream_pages_beside_reads,
            max_patient=settings.max_streams + _TRIALS,
        )
        async with Bridge.open(limits) as bridge:
            connection = Connection(settings, bridge, metrics, owner, lent)
            try:
                async with background_tasks() as tasks:
                    await tasks.start(connection.connect)
                    database = cls(settings, bridge, connection, metrics, tasks, owner)
                    tasks.start_soon(sample, metrics, database.publish_state)
                    tasks.start_soon(connection.watch, database._forget_prepared)
                    yield database
            finally:
                with anyio.CancelScope(shield=True):
                    await connection.close()

    def publish_state(self) -> None:
        """Set the metrics' gauges to how things are now."""
        now = Snapshot(
            calls_in_flight=self.bridge.in_flight,
            calls_in_flight_limit=self.settings.max_in_flight,
            calls_waiting=self.bridge.waiting,
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
        share: Share = Share.CALLS,
    ) -> Coroutine[Any, Any, Result]:
        """Run `statement` with `values` bound, and return its first page of at most `fetch_size` rows.

        With `paging_state`, the page that follows the one which gave it: the caller vouches that it belongs to this
        statement with these values, because Cassandra does not check.
        """

        def send(sender: Sender, prepared: PreparedStatement, timeout: float, told: Told) -> Any:
            return sender.send(prepared, values, fetch_size, paging_state, statement.writes, timeout, told)

        return self._observed(statement, send, deadline, share)

    async def execute_batch(self, statement: Statement, rows: Sequence[Sequence[Any]], *, deadline: Deadline) -> Result:
        """Run `statement` once for each of `rows` as one logged batch: all of it is applied, or nothing.

        Raises BatchTooLarge where Cassandra refuses it, as it does by the batch's size.
        """

        def send(sender: Sender, prepared: PreparedStatement, timeout: float, told: Told) -> Any:
            return sender.send_batch(prepared, rows, timeout, told)

        try:
            return await self._observed(statement, send, deadline, batch_size=len(rows))
        except RejectedByCassandra as error:
            raise BatchTooLarge from error

    async def ping(self, deadline: Deadline) -> None:
        """Ask the nearest node for a row of its own; raises what any statement raises."""
        await self.execute(_PING, deadline=deadline, share=Share.PROBES)

    async def missing_columns(self, table: Table, deadline: Deadline, share: Share = Share.CALLS) -> set[str]:
        """The columns of a served table that Cassandra has not, or has with another type; all where it has no table."""
        values = (self.settings.keyspace, table.name)
        result = await self.execute(_COLUMNS, values, deadline=deadline, fetch_size=1000, share=share)
        found = {row["column_name"]: row["type"] for row in result.dicts()}
        return {column.name for column in table.columns if found.get(column.name) != column.cql_type}

    async def _observed(
        self,
        statement: Statement,
        send: Send,
        deadline: Deadline,
        share: Share = Share.CALLS,
        batch_size: int | None = None,
    ) -> Result:
        self.check_caller()  # before anything waits: elsewhere nothing would ever answer
        began = time.perf_counter()
        span = self.observer.begin(statement, batch_size)
        attempt: _Attempt | None = None
        rows = 0
        failure: BaseException | None = None
        try:
            sender = self._connection.sender
            prepared = self._prepared.ready(statement) or await self._prepared.get(statement, deadline)
            attempt = _Attempt(sender, prepared, send)
            try:
                result = await self.bridge.call(attempt, deadline, share)
            except Exception as error:
                told = await self._told_of(error, statement, attempt, deadline)
                if not (statement.idempotent and attempt.sent and share is not Share.PROBES):
                    raise told from told.__cause__
                attempt.goes_on()
                result = await self._repeated(told, statement, attempt, deadline, share)
            rows = result.row_count
            return result
        except BaseException as error:
            failure = error
            if isinstance(error, (CassandraUnavailable, DeadlineExceeded)):
                self._connection.doubt()
            raise
        finally:
            ended = time.perf_counter()
            queued, driven = attempt.times(ended) if attempt is not None else (None, None)
            self.observer.end(statement, span, ended - began, queued, driven, rows, failure)

    async def _repeated(
        self, failure: ServiceError, statement: Statement, first: _Attempt, deadline: Deadline, share: Share
    ) -> Result:
        """Send an idempotent statement again until it succeeds or its failure is final; see `Repeats`."""
        repeats = Repeats(deadline)
        try:
            while reason := repeats.reason(failure):
                await anyio.sleep(repeats.pause)
                self.metrics.statement_retried(reason)
                attempt = first.again()
                try:
                    return await self.bridge.call(attempt, deadline, share)
                except Exception as error:
                    failure = await self._told_of(error, statement, attempt, deadline)
            raise repeats.final(failure)
        finally:
            del failure, repeats  # the traceback holds this frame: without this the cycle waits for the collector

    async def _told_of(
        self, error: Exception, statement: Statement, attempt: _Attempt, deadline: Deadline
    ) -> ServiceError:
        """Return the service's error for any, its cause chained, with what is known of a write's outcome."""
        if isinstance(error, ServiceError):
            if isinstance(error, AnswerOverdue) and statement.writes:
                error.outcome = "unknown"
            return error
        translated = translate(error, unknown=statement.writes and attempt.may_have_run(error))
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

    async def _prepare_in_thread(self, statement: Statement) -> PreparedStatement:
        """Prepare a statement; where a node is lost or does not answer, the driver asks another one the next time."""
        failures = 0
        while True:
            try:
                prepared = await self.bridge.run(self.session.prepare, statement.cql)
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


Send = Callable[[Sender, PreparedStatement, float, Told], Any]
"""Hands a prepared statement with its values to a sender."""


class _Attempt(Start[Result]):
    """One run of a statement."""

    __slots__ = ("_answered", "_asked", "_done", "_prepared", "_run", "_send", "_sender", "_started")

    def __init__(self, sender: Sender, prepared: PreparedStatement, send: Send) -> None:
        self._sender = sender
        self._prepared = prepared
        self._send = send
        self._run: Any = None
        self._asked = time.perf_counter()
        self._started: float | None = None
        self._answered: float | None = None
        self._done: Done[Result]

    @property
    def sent(self) -> bool:
        """Whether a node was handed the statement."""
        return self._run is not None and bool(self._run.attempted_hosts)

    def may_have_run(self, error: BaseException) -> bool:
        """Return whether a node may have carried the statement out, although it ended with this error."""
        return self._run is not None and may_have_run(self._run, error)

    def times(self, now: float) -> tuple[float, float | None]:
        """Seconds until it was handed to the driver, and from there to the answer; `now` where these are still to come.

        The second is None where it was not handed over.
        """
        if self._started is None:
            return now - self._asked, None
        return self._started - self._asked, (self._answered or now) - self._started

    def goes_on(self) -> None:
        """Count the answer as still to come: the statement is sent again."""
        self._answered = None

    def again(self) -> _Attempt:
        """Return another run of the same."""
        return _Attempt(self._sender, self._prepared, self._send)

    def __call__(self, timeout: float, done: Done[Result]) -> None:
        self._started = time.perf_counter()
        self._done = done
        self._run = self._send(self._sender, self._prepared, timeout, self._told)

    def _told(self, page: RowPage | None, paging_state: bytes | None, error: BaseException | None) -> None:
        self._answered = time.perf_counter()
        self._done(Result(page, paging_state) if error is None else None, error)
