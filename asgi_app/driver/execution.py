"""A statement on its way, by the driver's own response future without what only threads that wait need.

`Session.execute_async` makes for each statement an event, locks and lists of callbacks, so that any thread may wait for
it and anybody may be told. Here one caller is told once. Everything else (which node, which connection, retries,
preparing again, speculation, time-outs) is the driver's code, inherited.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from cassandra.cluster import EXEC_PROFILE_DEFAULT, ResponseFuture
from cassandra.protocol import RESULT_KIND_ROWS, ExecuteMessage
from cassandra.query import UNSET_VALUE, BatchStatement, BatchType, BoundStatement, PreparedStatement

from asgi_app.driver.page import KnownColumns, RawResultMessage

Told = Callable[[Any, bytes | None, BaseException | None], None]
"""Takes what the row factory made of the page, the way to the next page, and the error; in any thread."""


class Sender(Protocol):
    """Hands statements to a driver session, and returns at once.

    What is sent tells by `attempted_hosts` whether a node was handed it. `told` is called once within `timeout`
    seconds, in any thread, or even before `send` returns. Both raise what binding the values raises.
    """

    def send(
        self,
        prepared: PreparedStatement,
        values: Sequence[Any],
        fetch_size: int,
        paging_state: bytes | None,
        writes: bool,
        timeout: float,
        told: Told,
    ) -> Any:
        """Run a statement for a page of at most `fetch_size` rows; `writes` says that it is no read."""
        ...

    def send_batch(self, prepared: PreparedStatement, rows: Sequence[Sequence[Any]], timeout: float, told: Told) -> Any:
        """Run a statement once for each of `rows` as one logged batch."""
        ...


class LentSender:
    """Sends by a session's own `execute_async`, as a session of somebody else's demands."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def send(
        self,
        prepared: PreparedStatement,
        values: Sequence[Any],
        fetch_size: int,
        paging_state: bytes | None,
        writes: bool,
        timeout: float,
        told: Told,
    ) -> Any:
        """See `Sender`."""
        bound = prepared.bind(values)
        bound.fetch_size = fetch_size  # on this one: the prepared statement is shared
        return self._sent(bound, timeout, told, paging_state)

    def send_batch(self, prepared: PreparedStatement, rows: Sequence[Sequence[Any]], timeout: float, told: Told) -> Any:
        """See `Sender`."""
        batch = BatchStatement(BatchType.LOGGED)
        batch.is_idempotent = prepared.is_idempotent
        for values in rows:
            batch.add(prepared, values)
        return self._sent(batch, timeout, told)

    def _sent(self, query: Any, timeout: float, told: Told, paging_state: bytes | None = None) -> Any:
        future = self._session.execute_async(query, timeout=timeout, paging_state=paging_state)
        future.add_callbacks(_succeeded, _failed, (future, told), None, (future, told))
        return future


class OwnSender(LentSender):
    """Sends prepared statements as `Call`s, with the default profile of a session that was made for this."""

    def __init__(self, session: Any) -> None:
        super().__init__(session)
        self._profile = session.get_execution_profile(EXEC_PROFILE_DEFAULT)
        self._timestamp = session.cluster.timestamp_generator

    def send(
        self,
        prepared: PreparedStatement,
        values: Sequence[Any],
        fetch_size: int,
        paging_state: bytes | None,
        writes: bool,
        timeout: float,
        told: Told,
    ) -> Any:
        """See `Sender`."""
        if type(prepared.result_metadata) is not KnownColumns:  # the driver puts another there when it prepares again
            prepared.result_metadata = KnownColumns(prepared.result_metadata or ())
        bound = _bound(prepared, values)
        profile = self._profile
        message = ExecuteMessage(
            prepared.query_id,
            bound.values,
            profile.consistency_level,
            profile.serial_consistency_level,
            fetch_size,
            paging_state,
            self._timestamp() if writes else None,
            result_metadata_id=prepared.result_metadata_id,
        )
        call = Call(self._session, profile, bound, message, timeout, told)
        call.send_request()
        return call


class Call(ResponseFuture):  # type: ignore[misc]  # the driver has no types
    """One run of a bound statement; made, it is still to be sent by `send_request`."""

    def __init__(
        self, session: Any, profile: Any, bound: Any, message: ExecuteMessage, timeout: float, told: Told
    ) -> None:
        self.session = session
        self.row_factory = profile.row_factory
        self.message = message
        self.query = bound
        self.timeout = timeout
        self.prepared_statement = bound.prepared_statement
        self.attempted_hosts: list[Any] = []
        self._load_balancer = profile.load_balancing_policy
        self._retry_policy = profile.retry_policy
        self._start_time = time.time()
        self._errors: dict[Any, Any] = {}
        self._event = _Flag()
        self._protocol_handler = session.client_protocol_handler
        self._continuous_paging_state = None
        self._told: Told | None = told
        self._timer: Any = None
        speculation = profile.speculative_execution_policy
        if bound.is_idempotent and speculation is not None:
            self._spec_execution_plan = speculation.new_plan(bound.keyspace, bound)
        self._make_query_plan()
        self._start_timer()

    def _start_timer(self) -> None:
        """As the driver's, which looks at the clock four times."""
        if self._timer is not None:
            return
        left = self._start_time + self.timeout - time.time()
        delay = self._spec_execution_plan.next_execution(self._current_host)
        start = self.session.cluster.connection_class.create_timer
        self._timer = start(delay, self._on_speculative_execute) if 0 <= delay < left else start(left, self._on_timeout)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            _free(self._timer)

    def _set_result(self, host: Any, connection: Any, pool: Any, response: Any) -> None:
        """As the driver's, by the shortest way for rows."""
        if type(response) is not RawResultMessage or response.kind != RESULT_KIND_ROWS:
            super()._set_result(host, connection, pool, response)
            return
        self.coordinator_host = host
        _give_back(connection, pool)
        self._paging_state = response.paging_state
        self._end(response.parsed_rows, None)

    def _set_final_result(self, response: Any) -> None:
        self._end(response, None)

    def _set_final_exception(self, response: BaseException) -> None:
        self._final_exception = response  # what the driver asks before it tries again
        self._end(None, response)

    def _end(self, page: Any, error: BaseException | None) -> None:
        self._cancel_timer()
        self._event.set()
        told, self._told = self._told, None  # a speculative execution may answer too
        if told is not None:
            told(page, self._paging_state, error)


class _Bound(BoundStatement):  # type: ignore[misc]  # the driver has no types
    """Values bound to all parameters of a prepared statement, each to one and none of them encrypted."""

    def __init__(self, prepared: PreparedStatement, values: Sequence[Any]) -> None:
        self.prepared_statement = prepared
        self.is_idempotent = prepared.is_idempotent
        self.raw_values = values
        version = prepared.protocol_version
        columns = prepared.column_metadata
        if columns:
            self.keyspace = columns[0].keyspace_name
        cells: list[bytes | None] = []
        for value, column in zip(values, columns, strict=True):
            if value is UNSET_VALUE:
                raise TypeError("a parameter without a value")
            cells.append(None if value is None else column.type.serialize(value, version))
        self.values = cells


def _bound(prepared: PreparedStatement, values: Sequence[Any]) -> BoundStatement:
    """As the driver binds. Raises what it raises."""
    if isinstance(values, dict):
        return prepared.bind(values)
    try:
        return _Bound(prepared, values)
    except Exception:
        return prepared.bind(values)  # raises too, and says of which column


def _give_back(connection: Any, pool: Any) -> None:
    """As the driver does when a request is done, but wakes nobody where half of what may be under way is not.

    Somebody waits for his turn only where all of it was, and has it long before that.
    """
    with connection.lock:
        usual = not (pool._trash or connection.is_defunct or connection.is_closed)
        if usual and connection.in_flight <= connection.max_request_id // 2:
            connection.in_flight -= 1
            return
    pool.return_connection(connection)


class _Flag:
    """An event that nobody waits for."""

    __slots__ = ("_is_set",)

    def __init__(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True


def _succeeded(page: Any, future: Any, told: Told) -> None:
    told(page, future._paging_state, None)
    _let_go(future)


def _failed(error: BaseException, future: Any, told: Told) -> None:
    told(None, None, error)
    _let_go(future)


def _let_go(future: Any) -> None:
    """Free a finished future and all it holds now, and not when its time-out would have come."""
    timer, future._timer = future._timer, None
    if timer is not None and timer.canceled:
        _free(timer)
    future.clear_callbacks()


def _free(timer: Any) -> None:
    """Free what a cancelled timer holds.

    The driver's reactor keeps it, and by it the future and the page, until the moment it would have run: at a thousand
    requests a second and thirty seconds that is thirty thousand of them, and the garbage collector's work.
    """
    if timer.callback is not None:
        timer.callback = _nothing  # and not None: the reactor may be about to call it


def _nothing() -> None:
    """What a cancelled timer does."""
