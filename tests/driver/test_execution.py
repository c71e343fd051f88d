"""Execution of statements, on a real node and on scripted nodes."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from cassandra import InvalidRequest, OperationTimedOut, ReadTimeout, WriteTimeout
from cassandra.cluster import NoHostAvailable, Session
from cassandra.connection import ConnectionShutdown, DefaultEndPoint
from cassandra.cqltypes import Int32Type, UTF8Type
from cassandra.policies import ConstantSpeculativeExecutionPolicy, HostDistance, SimpleConvictionPolicy
from cassandra.pool import Host, HostConnection, NoConnectionsAvailable
from cassandra.protocol import ColumnMetadata, ExecuteMessage, QueryMessage, ServerError
from cassandra.query import UNSET_VALUE, PreparedStatement
from helpers.faulty_node import BATCH
from helpers.scripted_node import ERROR, EXECUTE, INT, RESULT, Asked, Peer, error, rows, scripted_node
from helpers.service import settings_for
from helpers.waiting import LONG, eventually, in_thread
from helpers.wire import int32, string

from asgi_app.driver.cluster import IdempotentRetryPolicy, build_cluster
from asgi_app.driver.errors import ParametersChanged, may_have_run
from asgi_app.driver.execution import Batch, LoopExecutor, Query, _bound
from asgi_app.driver.loop_connection import LoopConnection, connection_class_for
from asgi_app.driver.page import RowPage
from asgi_app.driver.protocol import KnownColumns, RawProtocolHandler, keep_page
from asgi_app.driver.result import Result

pytestmark = [pytest.mark.anyio, pytest.mark.loops("asyncio", "uvloop")]  # trio does not read the driver's sockets

SOON = 5.0
"""Seconds in which an immediate event happens even on a busy machine."""


class Reports:
    """The reports of a statement's result or error."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, bytes | None, BaseException | None]] = []
        self.threads: list[int] = []
        self._first: Future[tuple[Any, bytes | None, BaseException | None]] = Future()

    def __call__(self, result: Result | None, error: BaseException | None) -> None:
        page, paging_state = (None, None) if result is None else (result.page, result.paging_state)
        self.all.append((page, paging_state, error))
        self.threads.append(threading.get_ident())
        if len(self.all) == 1:
            self._first.set_result(self.all[0])

    async def first(self, seconds: float = LONG) -> tuple[Any, bytes | None, BaseException | None]:
        with anyio.fail_after(seconds):
            return await asyncio.wrap_future(self._first)

    async def page(self) -> RowPage:
        """Return the page. Raises the reported error."""
        page, _, error = await self.first()
        if error is not None:
            raise error
        assert page is None or isinstance(page, RowPage)
        return page  # type: ignore[return-value]  # None for a write

    async def error(self, seconds: float = SOON) -> BaseException:
        page, paging_state, error = await self.first(seconds)
        assert (page, paging_state) == (None, None)
        assert error is not None
        return error


def send(
    executor: Any,
    prepared: PreparedStatement,
    values: Sequence[Any] = (),
    *,
    fetch_size: int = 100,
    paging_state: bytes | None = None,
    writes: bool = False,
    timeout: float = LONG,
) -> tuple[Any, Reports]:
    """Send a statement; return its future and its reports."""
    reports = Reports()
    return executor.send(prepared, Query(values, fetch_size, paging_state, writes), timeout, reports), reports


# --- on a real node


@asynccontextmanager
async def open_session(address: tuple[str, int], keyspace: str, **changes: Any) -> AsyncIterator[Any]:
    """A session, made as the service makes its own."""
    settings = settings_for(address, keyspace, **changes)
    own = connection_class_for(asyncio.get_running_loop())
    cluster = await in_thread(functools.partial(build_cluster, settings, keep_page, connection_class=own))
    try:
        session = await in_thread(cluster.connect)
        session.client_protocol_handler = RawProtocolHandler
        yield session
    finally:
        await in_thread(cluster.shutdown)


@pytest.fixture(scope="module")
async def session(anyio_backend: Any, node_address: tuple[str, int], keyspace: str) -> AsyncIterator[Any]:
    """A version of the protocol: 4 on one event loop, 5 on the other."""
    version = 5 if anyio_backend[1]["use_uvloop"] else 4
    async with open_session(node_address, keyspace, protocol_version=version) as opened:
        yield opened


SET_BY_THE_DRIVER = {
    *("_callback_lock", "_callbacks", "_continuous_paging_state", "_errbacks", "_errors", "_event", "_host"),
    *("_load_balancer", "_metrics", "_retry_policy", "_spec_execution_plan", "_start_time", "_timer"),
    *("attempted_hosts", "message", "prepared_statement", "query", "query_plan", "row_factory", "session", "timeout"),
}
"""The attributes that `ResponseFuture.__init__` sets; `LoopFuture` sets those that it needs itself."""


async def test_response_future_sets_only_known_attributes(session: Any) -> None:
    """`LoopFuture` may need a new attribute too: check before you raise the bound of the driver's version."""
    future = session._create_response_future("SELECT key FROM system.local", None, False, None, LONG)
    future._cancel_timer()
    assert set(vars(future)) == SET_BY_THE_DRIVER


@pytest.fixture
def own_table(cql: Session, keyspace: str) -> str:
    """The name of a table with the rows 0 to 9 of partition 0 that the test may alter."""
    return numbers(cql, keyspace)


@pytest.fixture(scope="session")
def table(cql: Session, keyspace: str) -> str:
    """The name of such a table for all tests; each writes to its own partition."""
    return numbers(cql, keyspace)


def numbers(cql: Session, keyspace: str) -> str:
    """Create such a table and return its name. It is dropped with the keyspace."""
    name = f"{keyspace}.t_{uuid.uuid4().hex}"
    cql.execute(f"CREATE TABLE {name} (p int, n int, PRIMARY KEY (p, n))")
    for number in range(10):
        cql.execute(f"INSERT INTO {name} (p, n) VALUES (0, {number})")
    return name


@pytest.fixture
def partition() -> int:
    """The test's own partition in the common table."""
    return uuid.uuid4().int % 2**31


async def prepare(session: Any, query: str) -> PreparedStatement:
    return await in_thread(session.prepare, query)


async def test_pages_follow_each_other_to_the_end(session: Any, table: str) -> None:
    executor, prepared = LoopExecutor(session), await prepare(session, f"SELECT n FROM {table} WHERE p = ?")
    found: list[int] = []
    paging_state: bytes | None = None
    for number in range(4):
        call, reports = send(executor, prepared, (0,), fetch_size=3, paging_state=paging_state)
        page, paging_state, error = await reports.first()
        assert (error, call.attempted_hosts) == (None, [call.coordinator_host])
        found += [row[0] for row in page.tuples()]
        assert (paging_state is None) == (number == 3)
        assert reports.threads == [threading.get_ident()]  # on the loop, and nowhere else
    assert found == list(range(10))


async def test_many_at_once(session: Any, table: str) -> None:
    executor, prepared = LoopExecutor(session), await prepare(session, f"SELECT n FROM {table} WHERE p = ? AND n = ?")
    sent = [send(executor, prepared, (0, number % 12))[1] for number in range(300)]
    pages = [await reports.page() for reports in sent]
    assert [page.tuples() for page in pages] == [[(n % 12,)] if n % 12 < 10 else [] for n in range(300)]
    assert {len(reports.all) for reports in sent} == {1}
    assert len({id(page.description) for page in pages[150:]}) == 1  # described alike, and read once


async def test_a_write_and_a_conditional_write(session: Any, table: str, partition: int, cql: Session) -> None:
    executor = LoopExecutor(session)
    insert = await prepare(session, f"INSERT INTO {table} (p, n) VALUES (?, ?)")
    assert await send(executor, insert, (partition, 1), writes=True)[1].page() is None
    once = await prepare(session, f"INSERT INTO {table} (p, n) VALUES (?, ?) IF NOT EXISTS")
    applied = [(await send(executor, once, (partition, n), writes=True)[1].page()).dicts()[0] for n in (1, 2)]
    assert [row["[applied]"] for row in applied] == [False, True]
    assert [row.n for row in cql.execute(f"SELECT n FROM {table} WHERE p = {partition}")] == [1, 2]


async def test_only_writes_carry_a_timestamp(session: Any, table: str, partition: int) -> None:
    messages: list[ExecuteMessage] = []
    executor = LoopExecutor(session)
    insert = await prepare(session, f"INSERT INTO {table} (p, n) VALUES (?, ?)")
    select = await prepare(session, f"SELECT n FROM {table}")
    for prepared, values, writes in ((insert, (partition, 2), True), (select, (), False)):
        call, reports = send(executor, prepared, values, writes=writes)
        await reports.page()
        messages.append(call.message)
    assert messages[1].timestamp is None
    assert abs(messages[0].timestamp - time.time() * 1e6) < 60e6


async def test_a_batch_is_applied_whole(session: Any, table: str, partition: int, cql: Session) -> None:
    insert, reports = await prepare(session, f"INSERT INTO {table} (p, n) VALUES (?, ?)"), Reports()
    LoopExecutor(session).send(insert, Batch([(partition, number) for number in range(5)]), LONG, reports)
    assert await reports.page() is None
    assert [row.n for row in cql.execute(f"SELECT n FROM {table} WHERE p = {partition}")] == list(range(5))


async def test_added_column_is_on_the_next_page(session: Any, own_table: str, cql: Session) -> None:
    """The node has then forgotten the statement, and the driver prepares it again."""
    executor, prepared = (
        LoopExecutor(session),
        await prepare(session, f"SELECT * FROM {own_table} WHERE p = ? AND n = 1"),
    )
    before = [(await send(executor, prepared, (0,))[1].page()).dicts() for _ in range(3)]
    assert before == [[{"p": 0, "n": 1}]] * 3
    cql.execute(f"ALTER TABLE {own_table} ADD colour text")
    cql.execute(f"UPDATE {own_table} SET colour = 'red' WHERE p = 0 AND n = 1")
    for _ in range(3):
        sent = [send(executor, prepared, (0,))[1] for _ in range(5)]
        assert [(await reports.page()).dicts() for reports in sent] == [[{"p": 0, "n": 1, "colour": "red"}]] * 5
        assert {len(reports.all) for reports in sent} == {1}
    cql.execute(f"ALTER TABLE {own_table} DROP colour")
    for _ in range(3):
        assert (await send(executor, prepared, (0,))[1].page()).dicts() == [{"p": 0, "n": 1}]


async def test_forgotten_statement_is_prepared_again(session: Any, own_table: str, cql: Session) -> None:
    executor = LoopExecutor(session)
    select = await prepare(session, f"SELECT n FROM {own_table} WHERE p = ?")
    insert = await prepare(session, f"INSERT INTO {own_table} (p, n) VALUES (?, ?)")
    await send(executor, select, (0,))[1].page()
    cql.execute(f"ALTER TABLE {own_table} WITH comment = 'forgets every statement of the table'")
    for number in range(3):
        assert await send(executor, insert, (4, number), writes=True)[1].page() is None
        assert len((await send(executor, select, (0,))[1].page()).tuples()) == 10
    assert [row.n for row in cql.execute(f"SELECT n FROM {own_table} WHERE p = 4")] == [0, 1, 2]


async def test_table_dropped_and_created_again(session: Any, own_table: str, cql: Session) -> None:
    executor, prepared = LoopExecutor(session), await prepare(session, f"SELECT * FROM {own_table} WHERE p = ?")
    assert len((await send(executor, prepared, (0,))[1].page()).tuples()) == 10
    cql.execute(f"DROP TABLE {own_table}")
    assert isinstance(await send(executor, prepared, (0,))[1].error(LONG), InvalidRequest)
    cql.execute(f"CREATE TABLE {own_table} (p int, n int, extra text, PRIMARY KEY (p, n))")
    cql.execute(f"INSERT INTO {own_table} (p, n, extra) VALUES (0, 1, 'x')")
    assert (await send(executor, prepared, (0,))[1].page()).dicts() == [{"p": 0, "n": 1, "extra": "x"}]


@pytest.mark.parametrize("is_batch", [False, True])
async def test_values_are_not_sent_for_parameters_of_other_types(
    session: Any, own_table: str, cql: Session, is_batch: bool
) -> None:
    """Cassandra would take the bytes of the int 65 for the text `\\0\\0\\0A`."""
    executor = LoopExecutor(session)
    prepared = await prepare(session, f"INSERT INTO {own_table} (p, n) VALUES (?, ?)")
    cql.execute(f"DROP TABLE {own_table}")
    cql.execute(f"CREATE TABLE {own_table} (p int, n text, PRIMARY KEY (p, n))")
    reports = Reports()
    future = executor.send(prepared, Batch([(1, 65)]) if is_batch else Query((1, 65), writes=True), LONG, reports)
    error = await reports.error(LONG)
    assert isinstance(error, ParametersChanged)
    assert not may_have_run(future, error)
    assert not cql.execute(f"SELECT * FROM {own_table}").all()


@pytest.mark.parametrize("values", [(1, 2, 3), ("no number",), (2**40,), (object(),)])
async def test_unbindable_values_raise_and_send_nothing(session: Any, table: str, values: tuple[Any, ...]) -> None:
    executor, prepared = LoopExecutor(session), await prepare(session, f"SELECT n FROM {table} WHERE p = ?")
    reports = Reports()
    with pytest.raises((TypeError, ValueError)):
        executor.send(prepared, Query(values, 10), LONG, reports)
    await send(executor, prepared, (0,))[1].page()
    assert reports.all == []


async def test_refused_statement_reports_the_error(session: Any, table: str) -> None:
    executor, prepared = LoopExecutor(session), await prepare(session, f"SELECT n FROM {table} WHERE p = ?")
    call, reports = send(executor, prepared, (0,), paging_state=b"no state of Cassandra's")
    assert isinstance(await reports.error(LONG), Exception)
    assert len(call.attempted_hosts) == 1
    assert len(reports.all) == 1


async def test_closed_session(node_address: tuple[str, int], keyspace: str, table: str) -> None:
    async with open_session(node_address, keyspace) as session:
        executor, prepared = LoopExecutor(session), await prepare(session, f"SELECT n FROM {table} WHERE p = ?")
    call, reports = send(executor, prepared, (0,))
    assert isinstance(await reports.error(), NoHostAvailable)
    assert call.attempted_hosts == []


# --- on nodes of the test's own


class Cluster:
    """The part of the driver's cluster and session that an execution needs, with real pools and connections."""

    def __init__(self, kind: type[LoopConnection], ports: list[int], speculation: Any) -> None:
        self.connection_class = kind
        self.protocol_version = 4
        self.hosts = [Host(DefaultEndPoint("127.0.0.1", port), SimpleConvictionPolicy) for port in ports]
        self.cluster = self
        self.keyspace = None
        self.client_protocol_handler = RawProtocolHandler
        self.timestamp_generator = lambda: 1
        self._prepared_statements: dict[bytes, Any] = {}
        self._pools: dict[Any, Any] = {}
        self._profile = SimpleNamespace(
            row_factory=keep_page,
            load_balancing_policy=SimpleNamespace(make_query_plan=lambda keyspace, query: iter(self.hosts)),
            retry_policy=IdempotentRetryPolicy(),
            speculative_execution_policy=speculation,
            consistency_level=6,
            serial_consistency_level=9,
        )

    def connection_factory(self, endpoint: Any, **options: Any) -> Any:
        return self.connection_class.factory(endpoint, 10.0, protocol_version=4, compression=False, **options)

    def open_pool(self, host: Any) -> None:
        self._pools[host] = HostConnection(host, HostDistance.LOCAL, self)

    def get_execution_profile(self, name: object) -> Any:
        return self._profile

    def signal_connection_failure(self, host: Any, error: object, is_host_addition: bool) -> bool:
        return True  # the node is down: its pool is closed, and nobody connects again

    def submit(self, function: Callable[..., Any], *args: Any, **named: Any) -> None:
        threading.Thread(target=function, args=args, kwargs=named).start()


class Nodes:
    """An executor on scripted nodes, which are asked in this order."""

    def __init__(self, cluster: Cluster, peers: list[Peer]) -> None:
        self.cluster = cluster
        self.peers = peers
        self.executor = LoopExecutor(cluster)

    def in_flight(self) -> list[int]:
        """Return the number of requests in flight on each connection."""
        return [self.cluster._pools[host]._connection.in_flight for host in self.cluster.hosts]

    async def asked(self, number: int = 0) -> Asked:
        """Return the next request to a node; it must be EXECUTE."""
        asked: Asked = await in_thread(self.peers[number].read)
        assert asked.opcode == EXECUTE
        return asked

    async def answer(self, asked: Asked, value: int, number: int = 0) -> None:
        await in_thread(self.peers[number].answer, asked, RESULT, rows([("n", INT)], [int32(value)]))


@asynccontextmanager
async def nodes(count: int = 1, speculation: Any = None) -> AsyncIterator[Nodes]:
    with ExitStack() as listening:
        listeners = [listening.enter_context(scripted_node()) for _ in range(count)]
        kind = connection_class_for(asyncio.get_running_loop())
        cluster = Cluster(kind, [listener.port for listener in listeners], speculation)
        peers: list[Peer] = []
        for host, listener in zip(cluster.hosts, listeners, strict=True):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(in_thread, cluster.open_pool, host)
                peers.append(await in_thread(listener.welcome))
        async with AsyncExitStack() as closing:
            for host in cluster.hosts:
                closing.push_async_callback(in_thread, cluster._pools[host].shutdown)
            yield Nodes(cluster, peers)


@pytest.fixture
async def one() -> AsyncIterator[Nodes]:
    async with nodes() as made:
        yield made


def statement(*, idempotent: bool = True) -> PreparedStatement:
    """Return a prepared statement, without a node."""
    bound, read = [ColumnMetadata("ks", "t", "n", Int32Type)], [("ks", "t", "n", Int32Type)]
    prepared = PreparedStatement(bound, b"id", None, "SELECT n FROM ks.t", None, 4, read, None)
    prepared.is_idempotent = idempotent
    return prepared


async def test_execute_message_equals_the_drivers(one: Nodes) -> None:
    """Except that the service asks for the description of the columns, because it compares its bytes."""
    send(one.executor, statement(), (7,), fetch_size=50, paging_state=b"state", writes=True)
    body = (await one.asked()).body
    values = b"\0\1" + int32(4) + int32(7)
    flags = 0x01 | 0x04 | 0x08 | 0x10 | 0x20
    expected = b"\0\2id" + b"\0\6" + bytes([flags]) + values + int32(50) + int32(5) + b"state" + b"\0\x09"
    assert body == expected + (1).to_bytes(8, "big")


async def test_batch_message_equals_the_drivers(one: Nodes) -> None:
    one.executor.send(statement(), Batch([(7,), (8,)], "ONE"), LONG, Reports())
    asked: Asked = await in_thread(one.peers[0].read)
    rows_sent = b"".join(b"\1\0\2id\0\1" + int32(4) + int32(value) for value in (7, 8))
    flags = 0x10 | 0x20
    expected = b"\0\0\2" + rows_sent + b"\0\1" + bytes([flags]) + b"\0\x09" + (1).to_bytes(8, "big")
    assert (asked.opcode, asked.body) == (BATCH, expected)


async def test_result_is_reported_once(one: Nodes) -> None:
    call, reports = send(one.executor, statement(), (1,))
    asked = await one.asked()
    await one.answer(asked, 5)
    await one.answer(asked, 6)  # of a request that nobody knows any more
    assert (await reports.page()).tuples() == [(5,)]
    call._set_final_result(None)
    call._set_final_exception(LookupError())
    call._on_timeout()
    again, reports_again = send(one.executor, statement(), (1,))
    await one.answer(await one.asked(), 7)
    assert (await reports_again.page()).tuples() == [(7,)]
    assert (len(reports.all), len(reports_again.all), one.in_flight()) == (1, 1, [0])
    assert again.is_schema_agreed


async def test_timeout_then_late_answer(one: Nodes) -> None:
    began = time.monotonic()
    call, reports = send(one.executor, statement(), (1,), timeout=0.2)
    late = await one.asked()
    assert isinstance(await reports.error(), OperationTimedOut)
    assert 0.2 <= time.monotonic() - began < SOON
    assert call.attempted_hosts == one.cluster.hosts
    connection = call._connection
    assert connection.orphaned_request_ids == {late.stream}  # nobody gets its number before it is answered
    other, other_reports = send(one.executor, statement(), (2,))
    asked = await one.asked()
    assert asked.stream != late.stream
    await one.answer(late, 99)
    await one.answer(asked, 5)
    assert (await other_reports.page()).tuples() == [(5,)]
    assert (len(reports.all), connection.orphaned_request_ids, one.in_flight()) == (1, set(), [0])
    assert other._connection is connection


async def test_many_timeouts_leave_nothing_behind(one: Nodes) -> None:
    sent = [send(one.executor, statement(), (number,), timeout=0.05 + number / 1000) for number in range(100)]
    asked = [await one.asked() for _ in sent]
    assert {type(await reports.error()) for _, reports in sent} == {OperationTimedOut}
    for late in asked:
        await one.answer(late, 0)
    await eventually(lambda: one.in_flight() == [0])
    assert {len(reports.all) for _, reports in sent} == {1}
    timers = one.cluster.connection_class.timers
    assert [timer for slot in timers._slots.values() for timer in slot] == []


async def test_answer_leaves_no_timer(one: Nodes) -> None:
    call, reports = send(one.executor, statement(), (1,), timeout=3600)
    await one.answer(await one.asked(), 5)
    await reports.page()
    assert (call._timer.canceled, call._timer.callback) == (True, None)
    assert [timer for slot in one.cluster.connection_class.timers._slots.values() for timer in slot] == []


async def test_no_node_is_reported_before_send_returns() -> None:
    async with nodes() as gone:
        gone.cluster.hosts.clear()
        call, reports = send(gone.executor, statement(), (1,))
        assert len(reports.all) == 1
        failure = await reports.error()
        assert isinstance(failure, NoHostAvailable)
        assert (failure.errors, call.attempted_hosts) == ({}, [])
        gone.cluster.hosts.extend(gone.cluster._pools)


async def test_down_node_is_skipped() -> None:
    async with nodes(2) as two:
        host = two.cluster.hosts[0]
        await in_thread(two.cluster._pools[host].shutdown)
        call, reports = send(two.executor, statement(), (1,))
        await two.answer(await two.asked(1), 5, 1)
        assert (await reports.page()).tuples() == [(5,)]
        assert call.attempted_hosts == two.cluster.hosts[1:]
        two.cluster._pools.pop(host)
        _, reports = send(two.executor, statement(), (1,))
        await two.answer(await two.asked(1), 6, 1)
        assert (await reports.page()).tuples() == [(6,)]
        two.cluster._pools[host] = two.cluster._pools[two.cluster.hosts[1]]


async def test_last_node_lost(one: Nodes) -> None:
    _, reports = send(one.executor, statement(), (1,))
    await one.asked()
    one.peers[0].socket.close()
    failure = await reports.error()
    assert isinstance(failure, NoHostAvailable)
    (cause,) = failure.errors.values()
    assert isinstance(cause, ConnectionShutdown)
    _, reports = send(one.executor, statement(), (1,))
    assert isinstance(await reports.error(), NoHostAvailable)


@pytest.mark.parametrize("idempotent", [True, False])
async def test_lost_node_retries_only_idempotent_statements(idempotent: bool) -> None:
    async with nodes(2) as two:
        call, reports = send(two.executor, statement(idempotent=idempotent), (1,))
        await two.asked()
        two.peers[0].socket.close()
        if idempotent:
            await two.answer(await two.asked(1), 5, 1)
            assert (await reports.page()).tuples() == [(5,)]
            # The driver's thread sends, and notes then that it has.
            await eventually(lambda: call.attempted_hosts == two.cluster.hosts)
        else:
            assert isinstance(await reports.error(), ConnectionShutdown)
            assert call.attempted_hosts == two.cluster.hosts[:1]
        assert len(reports.all) == 1


READ_TIMEOUT = error(0x1200, "late", b"\0\6" + int32(2) + int32(2) + b"\0")
"""Enough replicas answered, none with data: a case to retry."""


@pytest.mark.parametrize(("idempotent", "attempts"), [(True, 2), (False, 1)])
async def test_read_timeout_is_retried_once(one: Nodes, idempotent: bool, attempts: int) -> None:
    call, reports = send(one.executor, statement(idempotent=idempotent), (1,))
    for _ in range(attempts):
        await in_thread(one.peers[0].answer, await one.asked(), ERROR, READ_TIMEOUT)
    assert isinstance(await reports.error(), ReadTimeout)
    await eventually(lambda: len(call.attempted_hosts) == attempts and one.in_flight() == [0])
    assert len(reports.all) == 1


async def test_server_error_goes_to_the_next_node() -> None:
    async with nodes(2) as two:
        _, reports = send(two.executor, statement(), (1,))
        await in_thread(two.peers[0].answer, await two.asked(), ERROR, error(0x0000, "oops"))
        await two.answer(await two.asked(1), 5, 1)
        assert (await reports.page()).tuples() == [(5,)]
        _, reports = send(two.executor, statement(idempotent=False), (1,), writes=True)
        await in_thread(two.peers[0].answer, await two.asked(), ERROR, error(0x0000, "oops"))
        assert isinstance(await reports.error(), ServerError)


WRITE_TIMEOUT = error(0x1100, "late", b"\0\6" + int32(1) + int32(2) + string("BATCH_LOG"))


async def test_write_timeout_goes_to_the_next_node_once() -> None:
    async with nodes(2) as two:
        _, reports = send(two.executor, statement(), (1,), writes=True)
        await in_thread(two.peers[0].answer, await two.asked(), ERROR, WRITE_TIMEOUT)
        await two.answer(await two.asked(1), 5, 1)
        assert (await reports.page()).tuples() == [(5,)]
        _, reports = send(two.executor, statement(), (1,), writes=True)
        for number in (0, 1):
            await in_thread(two.peers[number].answer, await two.asked(number), ERROR, WRITE_TIMEOUT)
        assert isinstance(await reports.error(), WriteTimeout)
        call, reports = send(two.executor, statement(idempotent=False), (1,), writes=True)
        await in_thread(two.peers[0].answer, await two.asked(), ERROR, WRITE_TIMEOUT)
        assert isinstance(await reports.error(), WriteTimeout)
        assert call.attempted_hosts == two.cluster.hosts[:1]


PREPARED = b"\0\2id" + int32(1) + int32(1) + int32(0)
PREPARED_BODY = int32(4) + PREPARED + b"\0\2ks\0\1t\0\1n\0\x09" + int32(1) + int32(1) + b"\0\2ks\0\1t\0\1n\0\x09"
PREPARE = 0x09


async def test_unprepared_is_prepared_and_run_once(one: Nodes) -> None:
    prepared = statement(idempotent=False)
    call, reports = send(one.executor, prepared, (1,))
    assert type(prepared.result_metadata) is KnownColumns
    await in_thread(one.peers[0].answer, await one.asked(), ERROR, error(0x2500, "unprepared", b"\0\2id"))
    preparing = await in_thread(one.peers[0].read)
    assert (preparing.opcode, preparing.body[4:]) == (PREPARE, b"SELECT n FROM ks.t")
    await in_thread(one.peers[0].answer, preparing, RESULT, PREPARED_BODY)
    await one.answer(await one.asked(), 5)
    assert (await reports.page()).tuples() == [(5,)]
    assert (len(reports.all), one.cluster._prepared_statements) == (1, {b"id": prepared})
    _, reports = send(one.executor, prepared, (1,))
    assert type(prepared.result_metadata) is KnownColumns  # again: the driver has put a list there
    await one.answer(await one.asked(), 6)
    assert (await reports.page()).tuples() == [(6,)]
    assert call.coordinator_host is one.cluster.hosts[0]
    await eventually(lambda: one.in_flight() == [0])


async def test_timeout_during_the_second_prepare(one: Nodes) -> None:
    call, reports = send(one.executor, statement(), (1,))
    await in_thread(one.peers[0].answer, await one.asked(), ERROR, error(0x2500, "unprepared", b"\0\2id"))
    preparing = await in_thread(one.peers[0].read)
    call._on_timeout()  # as its timer does, and in this moment
    assert isinstance(await reports.error(), OperationTimedOut)
    await in_thread(one.peers[0].answer, preparing, RESULT, PREPARED_BODY)
    _, later = send(one.executor, statement(), (1,))
    await one.answer(await one.asked(), 5)  # the next that comes: the first is not run any more
    assert (await later.page()).tuples() == [(5,)]
    assert len(reports.all) == 1


# --- what is shorter than the driver's way


@pytest.mark.parametrize("values", [(7,), (None,), (UNSET_VALUE,), (), (True,), {"n": 7}])
def test_values_are_bound_as_by_the_driver(values: Any) -> None:
    ours, drivers = _bound(statement(), values), statement().bind(values)
    for name in ("values", "keyspace", "routing_key", "is_idempotent", "consistency_level"):
        assert getattr(ours, name) == getattr(drivers, name)


@pytest.mark.parametrize("values", [(1, 2), ("no number",), (2**40,), (object(),)])
def test_unbindable_values_raise_as_in_the_driver(values: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, ValueError)) as drivers:
        statement().bind(values)
    with pytest.raises(drivers.type) as ours:
        _bound(statement(), values)
    assert str(ours.value) == str(drivers.value)


async def test_waiters_for_a_stream_id_all_get_one(one: Nodes) -> None:
    (pool,) = one.cluster._pools.values()
    pool._connection.max_request_id = 4
    sent = [send(one.executor, statement(), (number,))[1] for number in range(4)]
    asked = [await one.asked() for _ in sent]
    waiting = [asyncio.ensure_future(in_thread(pool.borrow_connection, LONG)) for _ in range(2)]
    await eventually(lambda: len(pool._stream_available_condition._waiters) == 2)
    for number in range(2):
        await one.answer(asked[number], number)
    with anyio.fail_after(SOON):
        for connection, _ in await asyncio.gather(*waiting):
            pool.return_connection(connection)
    for number in (2, 3):
        await one.answer(asked[number], number)
    assert [(await reports.page()).tuples() for reports in sent] == [[(number,)] for number in range(4)]
    assert one.in_flight() == [0]


async def test_full_connection_sends_to_the_next_node_at_once() -> None:
    """The driver would wait for a stream id for two seconds, on the event loop that frees them."""
    async with nodes(2) as two:
        two.cluster._pools[two.cluster.hosts[0]]._connection.max_request_id = 0
        began = time.monotonic()
        call, reports = send(two.executor, statement(), (1,))
        assert time.monotonic() - began < 1
        await two.answer(await two.asked(1), 5, 1)
        assert (await reports.page()).tuples() == [(5,)]
        assert call.attempted_hosts == two.cluster.hosts[1:]


async def test_full_connections_are_reported_at_once(one: Nodes) -> None:
    (pool,) = one.cluster._pools.values()
    pool._connection.max_request_id = 0
    began = time.monotonic()
    _, reports = send(one.executor, statement(), (1,))
    failure = await reports.error(1)
    assert time.monotonic() - began < 1
    assert isinstance(failure, NoHostAvailable)
    assert [type(each) for each in failure.errors.values()] == [NoConnectionsAvailable]


@pytest.mark.parametrize("is_batch", [False, True])
async def test_partition_key_that_cannot_be_packed_leaves_no_timer(one: Nodes, is_batch: bool) -> None:
    """The driver's own timer for an idempotent statement would go off every ten milliseconds, for ever."""
    text = [ColumnMetadata("ks", "t", name, UTF8Type) for name in ("a", "b")]
    prepared = PreparedStatement(text, b"id", [0, 1], "SELECT n FROM ks.t", None, 4, [], None)
    prepared.is_idempotent = True
    values = ("x" * 65_536, "y")
    with pytest.raises(InvalidRequest, match="more than 65535 bytes"):
        one.executor.send(prepared, Batch([values]) if is_batch else Query(values), LONG, Reports())
    assert [timer for slot in one.cluster.connection_class.timers._slots.values() for timer in slot] == []


async def test_replaced_connection_closes_after_its_last_answer(one: Nodes) -> None:
    (pool,) = one.cluster._pools.values()
    connection = pool._connection
    sent = [send(one.executor, statement(), (number,))[1] for number in range(2)]
    asked = [await one.asked() for _ in sent]
    pool._trash.add(connection)
    await one.answer(asked[0], 5)
    await sent[0].page()
    assert not connection.is_closed
    await one.answer(asked[1], 6)
    await sent[1].page()
    assert (connection.is_closed, pool._trash) == (True, set())


# --- speculation


def eager() -> ConstantSpeculativeExecutionPolicy:
    return ConstantSpeculativeExecutionPolicy(0.02, 1)


@pytest.mark.parametrize("winner", [0, 1])
async def test_speculative_execution_takes_the_first_answer(winner: int) -> None:
    async with nodes(2, eager()) as two:
        call, reports = send(two.executor, statement(), (1,))
        asked = [await two.asked(0), await two.asked(1)]
        await two.answer(asked[winner], 10 + winner, winner)
        assert (await reports.page()).tuples() == [(10 + winner,)]
        await two.answer(asked[1 - winner], 99, 1 - winner)
        await eventually(lambda: two.in_flight() == [0, 0])
        assert len(reports.all) == 1
        assert call.attempted_hosts == two.cluster.hosts


async def test_no_speculation_without_idempotence() -> None:
    async with nodes(2, eager()) as two:
        call, reports = send(two.executor, statement(idempotent=False), (1,), timeout=0.3)
        await two.asked()
        assert isinstance(await reports.error(), OperationTimedOut)
        assert call.attempted_hosts == two.cluster.hosts[:1]


async def test_speculation_with_two_hung_nodes_times_out() -> None:
    async with nodes(2, eager()) as two:
        began = time.monotonic()
        call, reports = send(two.executor, statement(), (1,), timeout=1.0)
        late = [await two.asked(0), await two.asked(1)]
        assert isinstance(await reports.error(), OperationTimedOut)
        assert 0.99 <= time.monotonic() - began < SOON
        for number, asked in enumerate(late):
            await two.answer(asked, 99, number)
        await eventually(lambda: two.in_flight() == [0, 0])
        assert (len(reports.all), len(call.attempted_hosts)) == (1, 2)


async def test_speculation_with_one_node() -> None:
    async with nodes(1, eager()) as one:
        call, reports = send(one.executor, statement(), (1,))
        asked = await one.asked()
        timers = one.cluster.connection_class.timers
        await eventually(lambda: call._timer is not None and call._timer.callback == call._on_timeout)
        assert sum(map(len, timers._slots.values())) == 1
        await one.answer(asked, 5)
        assert (await reports.page()).tuples() == [(5,)]
        assert len(call.attempted_hosts) == 1


async def test_a_clock_that_is_set_ends_no_call_early(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes(1, eager()) as one:
        call, reports = send(one.executor, statement(), (1,))
        set_clock(monkeypatch, 3600)
        asked = await one.asked()
        await eventually(lambda: call._timer is not None and call._timer.callback == call._on_timeout)
        await one.answer(asked, 5)
        assert (await reports.page()).tuples() == [(5,)]


async def test_a_clock_that_is_set_ends_no_call_late(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes(1, eager()) as one:
        _, reports = send(one.executor, statement(), (1,), timeout=0.5)
        set_clock(monkeypatch, -3600)
        assert isinstance(await reports.error(), OperationTimedOut)


def set_clock(monkeypatch: pytest.MonkeyPatch, ahead: float) -> None:
    """Set the clock, for this process, so many seconds ahead of what it was."""
    usual = time.time
    monkeypatch.setattr(time, "time", lambda: usual() + ahead)


# --- a node that does not read


async def test_full_socket_keeps_deadlines(one: Nodes) -> None:
    """If the socket refused requests when full, the driver would count them as in flight for all time."""
    (connection,) = (pool._connection for pool in one.cluster._pools.values())
    filling: Future[Any] = Future()
    connection.in_flight += 1
    connection.send_msg(QueryMessage("x" * 30_000_000, 1), connection.get_request_id(), filling.set_result)
    await eventually(lambda: connection._waits_to_write)
    sent = [send(one.executor, statement(), (number,), timeout=0.2)[1] for number in range(10)]
    assert {type(await reports.error()) for reports in sent} == {OperationTimedOut}
    assert (one.in_flight(), len(connection.orphaned_request_ids)) == ([11], 10)
    _, patient = send(one.executor, statement(), (1,))

    def answer_all() -> None:
        for asked in [one.peers[0].read() for _ in range(12)]:
            one.peers[0].answer(asked, RESULT, rows([("n", INT)], [int32(7)]))

    await in_thread(answer_all)
    assert (await patient.page()).tuples() == [(7,)]
    assert (one.in_flight(), connection.orphaned_request_ids) == ([1], set())  # that which fills is no call
    assert (filling.done(), {len(reports.all) for reports in sent}) == (True, {1})
