"""Run prepared statements on a driver session, each reported once to a callback.

`SessionExecutor` uses public methods of the driver alone, with any session. `LoopExecutor` uses `LoopFuture`: the
driver's own response future, without the parts that only waiting threads need. `Session.execute_async` makes an event,
locks and lists of callbacks for each statement, so that any thread may wait for it; here one caller waits. The rest
(which node, which connection, retries, preparing again, speculation, timeouts) is the driver's code, inherited.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import msgspec
from cassandra import ConsistencyLevel, InvalidRequest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, ResponseFuture
from cassandra.protocol import RESULT_KIND_PREPARED, RESULT_KIND_ROWS, BatchMessage, ExecuteMessage
from cassandra.query import UNSET_VALUE, BatchStatement, BatchType, BoundStatement, PreparedStatement
from msgspec import UNSET

from asgi_app.driver.errors import ParametersChanged, may_have_run
from asgi_app.driver.protocol import KnownColumns, RawResultMessage
from asgi_app.driver.result import Result
from asgi_app.runtime.dispatcher import Call, OnDone
from asgi_app.tables.encoding import Encoded

_level_of = ConsistencyLevel.name_to_value


class Query(msgspec.Struct, frozen=True, gc=False):
    """One run of a statement: its values, and the page of at most `fetch_size` rows that follows `paging_state`.

    `writes`: whether the statement writes. `consistency` is a level by name; None is the session's.
    """

    values: Sequence[Any]
    fetch_size: int = 100
    paging_state: bytes | None = None
    writes: bool = False
    consistency: str | None = None


class Batch(msgspec.Struct, frozen=True, gc=False):
    """A batch: the statement once for each of `rows`. `consistency` as in `Query`.

    `logged`: whether all rows are written or none. It costs a write of the whole batch to two other nodes. Rows of one
    partition are written together without it.
    """

    rows: Sequence[Sequence[Any]]
    consistency: str | None = None
    logged: bool = True


class Executor(Protocol):
    """Sends prepared statements on a driver session."""

    def send(self, prepared: PreparedStatement, query: Query | Batch, timeout: float, done: OnDone[Result]) -> Any:
        """Send and return at once, with the driver's response future.

        `done` is called once within `timeout` seconds, in any thread, or even before this returns. Raises what binding
        the values raises.
        """
        ...


class Execution(Call[Result]):
    """A run of a prepared statement by an executor."""

    __slots__ = ("_created_at",)

    def __init__(self, executor: Executor, prepared: PreparedStatement, query: Query | Batch) -> None:
        Call.__init__(self, partial(executor.send, prepared, query))  # `super()` takes longer than the call
        self._created_at = time.perf_counter()

    @property
    def sent(self) -> bool:
        """Whether a node was sent the statement."""
        return self.handle is not None and bool(self.handle.attempted_hosts)

    def may_have_run(self, error: BaseException) -> bool:
        """Return whether a node may have carried out the statement, although it ended with `error`."""
        return self.handle is not None and may_have_run(self.handle, error)

    def times(self, now: float) -> tuple[float, float | None]:
        """Return the seconds until the statement was started, and from there to its answer.

        A step that has not ended yet counts until `now`. The second is None if the statement was not started.
        """
        if self.started_at is None:
            return now - self._created_at, None
        return self.started_at - self._created_at, (self.answered_at or now) - self.started_at


class SessionExecutor:
    """Sends by the session's own `execute_async`: for borrowed sessions, and drivers that are not tested."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def send(self, prepared: PreparedStatement, query: Query | Batch, timeout: float, done: OnDone[Result]) -> Any:
        """See `Executor`."""
        if isinstance(query, Batch):
            batch = _batch(prepared, query)
            future = self._session.execute_async(batch, timeout=timeout)
        else:
            statement = _statement(prepared, query)
            future = self._session.execute_async(statement, timeout=timeout, paging_state=query.paging_state)
        future.add_callbacks(_report_result, _report_error, (future, done), None, (future, done))
        return future


class LoopExecutor(SessionExecutor):
    """Sends prepared statements by `LoopFuture`, with the default profile of a session that was made for this."""

    def __init__(self, session: Any) -> None:
        super().__init__(session)
        self._profile = session.get_execution_profile(EXEC_PROFILE_DEFAULT)
        self._timestamp = session.cluster.timestamp_generator

    def send(self, prepared: PreparedStatement, query: Query | Batch, timeout: float, done: OnDone[Result]) -> Any:
        """See `Executor`."""
        profile = self._profile
        level = profile.consistency_level if query.consistency is None else _level_of[query.consistency]
        statement: Any
        message: ExecuteMessage | BatchMessage
        if isinstance(query, Batch):
            statement = _batch(prepared, query)
            rows = statement._statements_and_parameters
            message = BatchMessage(
                statement.batch_type, rows, level, profile.serial_consistency_level, self._timestamp()
            )
        else:
            if type(prepared.result_metadata) is not KnownColumns:  # the driver replaces it when it prepares again
                prepared.result_metadata = KnownColumns(prepared.result_metadata or ())
            statement = _bound(prepared, query.values)
            _check_key(statement)
            message = ExecuteMessage(
                prepared.query_id,
                statement.values,
                level,
                profile.serial_consistency_level,
                query.fetch_size,
                query.paging_state,
                self._timestamp() if query.writes else None,
                result_metadata_id=prepared.result_metadata_id,
            )
        future = LoopFuture(self._session, profile, statement, message, timeout, done)
        future.send_request()
        return future


def _check_key(bound: BoundStatement) -> None:
    """Raise the error that Cassandra would have for a partition key that the driver cannot pack.

    To find the node, the driver packs the parts of a composite key with lengths of two bytes. Call this before the
    driver starts its timer: if packing fails after that, the driver never stops it.
    """
    try:
        _ = bound.routing_key
    except struct.error as error:
        raise InvalidRequest("a part of the partition key has more than 65535 bytes") from error


def _statement(prepared: PreparedStatement, query: Query) -> BoundStatement:
    bound = _plainly_bound(prepared, query.values)
    bound.fetch_size = query.fetch_size  # on the bound statement: the prepared one is shared
    if query.consistency is not None:
        bound.consistency_level = _level_of[query.consistency]
    _check_key(bound)
    return bound


def _batch(prepared: PreparedStatement, query: Batch) -> BatchStatement:
    batch = BatchStatement(BatchType.LOGGED if query.logged else BatchType.UNLOGGED)
    if query.consistency is not None:
        batch.consistency_level = _level_of[query.consistency]
    batch.is_idempotent = prepared.is_idempotent
    for values in query.rows:
        bound = _plainly_bound(prepared, values)
        _check_key(bound)
        batch.add(bound)
    return batch


class LoopFuture(ResponseFuture):  # type: ignore[misc]  # the driver has no types
    """One run of a bound statement, or of a batch of them, to be sent by `send_request`."""

    def __init__(
        self,
        session: Any,
        profile: Any,
        statement: Any,
        message: ExecuteMessage | BatchMessage,
        timeout: float,
        done: OnDone[Result],
    ) -> None:
        self.session = session
        self.row_factory = profile.row_factory
        self.message = message
        self.query = statement
        self.timeout = timeout
        self.prepared_statement = getattr(statement, "prepared_statement", None)  # a batch may have several
        self.attempted_hosts: list[Any] = []
        self._load_balancer = profile.load_balancing_policy
        self._retry_policy = profile.retry_policy
        self._began = time.monotonic()
        self._errors: dict[Any, Any] = {}
        self._event = _Flag()
        self._protocol_handler = session.client_protocol_handler
        self._continuous_paging_state = None
        self._done: OnDone[Result] | None = done
        self._timer: Any = None
        speculation = profile.speculative_execution_policy
        if statement.is_idempotent and speculation is not None:
            self._spec_execution_plan = speculation.new_plan(statement.keyspace, statement)
        self._make_query_plan()
        self._start_timer()

    @property
    def _start_time(self) -> float:
        """The start, for the driver, which subtracts it from the time of day: right even if the clock was set since."""
        return time.time() - (time.monotonic() - self._began)

    def _start_timer(self) -> None:
        """Start the timer as the driver does, but read the clock once, not four times."""
        if self._timer is not None:
            return
        left = self._began + self.timeout - time.monotonic()
        delay = self._spec_execution_plan.next_execution(self._current_host)
        start = self.session.cluster.connection_class.create_timer
        self._timer = start(delay, self._on_speculative_execute) if 0 <= delay < left else start(left, self._on_timeout)

    def _set_result(self, host: Any, connection: Any, pool: Any, response: Any) -> None:
        """Take a response as the driver does, with a shortcut for rows."""
        if type(response) is not RawResultMessage or response.kind != RESULT_KIND_ROWS:
            super()._set_result(host, connection, pool, response)
            return
        self.coordinator_host = host
        _give_back(connection, pool)
        self._paging_state = response.paging_state
        self._end(response.parsed_rows, None)

    def _execute_after_prepare(self, host: Any, connection: Any, pool: Any, response: Any) -> None:
        """Run the statement after a node prepared it again, unless its parameters have other types than before.

        The values were encoded for the types before. Cassandra may take the bytes of an `int` for a `text`.
        """
        if getattr(response, "kind", None) == RESULT_KIND_PREPARED and self._has_other_parameters(response):
            if pool:
                pool.return_connection(connection)
            if not self._final_exception:
                self._set_final_exception(ParametersChanged("the parameters of the statement have other types"))
            return
        super()._execute_after_prepare(host, connection, pool, response)

    def _has_other_parameters(self, response: Any) -> bool:
        known = self.prepared_statement or self.session.cluster._prepared_statements.get(response.query_id)
        return known is not None and _types_of(known.column_metadata) != _types_of(response.bind_metadata)

    def _set_final_result(self, response: Any) -> None:
        self._end(response, None)

    def _set_final_exception(self, response: BaseException) -> None:
        self._final_exception = response  # the driver checks it before a retry
        self._end(None, response)

    def _end(self, page: Any, error: BaseException | None) -> None:
        timer = self._timer
        if timer is not None:
            timer.cancel()
            if timer.callback is not None:
                _detach_timer(timer)
        self._event.set()
        done, self._done = self._done, None  # a speculative execution may answer too
        if done is not None:
            done(None if error is not None else Result(page, self._paging_state), error)


class _Bound(BoundStatement):  # type: ignore[misc]  # the driver has no types
    """Values bound to all parameters of a prepared statement, none of them encrypted.

    `Encoded` values are sent as they are, `msgspec.UNSET` as a value that is not set.
    """

    def __init__(self, prepared: PreparedStatement, values: Sequence[Any]) -> None:
        self.prepared_statement = prepared
        self.is_idempotent = prepared.is_idempotent
        self.raw_values = values
        version = prepared.protocol_version
        columns = prepared.column_metadata
        if columns:
            self.keyspace = columns[0].keyspace_name
        cells: list[Any] = []
        for value, column in zip(values, columns, strict=True):
            if value is None or type(value) is Encoded:
                cells.append(value)
            elif value is UNSET:
                cells.append(UNSET_VALUE)
            elif value is UNSET_VALUE:
                raise TypeError("a parameter without a value")
            else:
                cells.append(column.type.serialize(value, version))
        self.values = cells


def _bound(prepared: PreparedStatement, values: Sequence[Any]) -> BoundStatement:
    """Bind values as the driver does, faster. Raises what the driver raises."""
    if isinstance(values, dict):
        return prepared.bind(values)
    try:
        return _Bound(prepared, values)
    except Exception:
        return prepared.bind(values)  # raises too, and names the column


def _plainly_bound(prepared: PreparedStatement, values: Sequence[Any]) -> BoundStatement:
    """Bind values as the driver does. Cells that are encoded already are put into the driver's own statement."""
    if not any(type(value) is Encoded or value is UNSET for value in values):
        return prepared.bind(values)
    bound = BoundStatement(prepared)
    cells = _Bound(prepared, values).values
    bound.values = [bytes(cell) if type(cell) is Encoded else cell for cell in cells]  # a fork takes no subclass
    return bound


def _types_of(parameters: Sequence[Any]) -> list[str]:
    """Return the CQL types of a statement's parameters, with the fields of user-defined types."""
    return [_type_text(parameter.type) for parameter in parameters]


def _type_text(kind: Any) -> str:
    fields = getattr(kind, "fieldnames", None) or ()
    parts = [_type_text(each) for each in getattr(kind, "subtypes", ())]
    return f"{kind.cql_parameterized_type()}({', '.join([*map(str, fields), *parts])})"


def _give_back(connection: Any, pool: Any) -> None:
    """Return the stream id to the connection as the driver does, but skip `notify` while most stream ids are free.

    A thread waits for a stream id only if all are taken, and it gets one long before half of them are free again.
    """
    with connection.lock:
        usual = not (pool._trash or connection.is_defunct or connection.is_closed)
        if usual and connection.in_flight <= connection.max_request_id // 2:
            connection.in_flight -= 1
            return
    pool.return_connection(connection)


class _Flag:
    """An event without waiters."""

    __slots__ = ("_is_set",)

    def __init__(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True


def _report_result(page: Any, future: Any, done: OnDone[Result]) -> None:
    done(Result(page, future._paging_state), None)
    _release_future(future)


def _report_error(error: BaseException, future: Any, done: OnDone[Result]) -> None:
    done(None, error)
    _release_future(future)


def _release_future(future: Any) -> None:
    """Free a finished future and what it refers to at once, instead of at the time of its timeout."""
    timer, future._timer = future._timer, None
    if timer is not None and timer.canceled:
        _detach_timer(timer)
    future.clear_callbacks()


def _detach_timer(timer: Any) -> None:
    """Free what a cancelled timer refers to.

    The driver's reactor keeps a cancelled timer, and with it the future and the page, until it would have fired. At a
    thousand requests a second with a timeout of thirty seconds that is thirty thousand, all work for the garbage
    collector.
    """
    if timer.callback is not None:
        timer.callback = _do_nothing  # not None: the reactor may be about to call it


def _do_nothing() -> None:
    """Replace the callback of a cancelled timer."""
