"""Driver connections on the application's event loop, with a scripted node."""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import psutil
import pytest
from cassandra import OperationTimedOut
from cassandra.cluster import Session
from cassandra.connection import (
    ConnectionShutdown,
    CrcMismatchException,
    DefaultEndPoint,
    ProtocolError,
)
from cassandra.protocol import EventMessage, OptionsMessage, ProtocolHandler, QueryMessage, ReadyMessage
from helpers.scripted_node import (
    BLOB,
    ERROR,
    EVENT,
    INT,
    OPTIONS,
    READY,
    RESULT,
    Asked,
    Peer,
    ScriptedNode,
    error,
    frame,
    rows,
    scripted_node,
    supported,
    tls_contexts,
)
from helpers.service import settings_for
from helpers.waiting import LONG, eventually, in_thread
from helpers.wire import int32, string

from asgi_app.driver.cluster import build_cluster
from asgi_app.driver.loop_connection import READ_AT_ONCE, LoopConnection, connection_class_for
from asgi_app.driver.protocol import RawProtocolHandler, keep_page

pytestmark = [pytest.mark.anyio, pytest.mark.loops("asyncio", "uvloop")]  # trio does not read the driver's sockets

SOON = 5.0
"""Seconds in which an immediate event happens even on a busy machine."""

VERSIONS = [4, 5]


class Line:
    """A connection, and the node's end of it."""

    def __init__(self, connection: Any, peer: Peer) -> None:
        self.connection = connection
        self.peer = peer

    def ask(self, message: Any = None, handler: Any = ProtocolHandler) -> Future[Any]:
        """Send a request as the driver's pool does; its outcome becomes the future's result."""
        with self.connection.lock:
            stream = self.connection.get_request_id()
        told: Future[Any] = Future()
        decoder = handler.decode_message
        self.connection.send_msg(message or OptionsMessage(), stream, told.set_result, decoder=decoder)
        return told

    async def asked(self, count: int) -> tuple[list[Future[Any]], list[Asked]]:
        """Send `count` requests and wait until all have arrived."""
        futures = [self.ask() for _ in range(count)]
        return futures, [await in_thread(self.peer.read) for _ in range(count)]

    async def works(self) -> None:
        """Check that a request is answered."""
        (told,), (asked,) = await self.asked(1)
        await in_thread(self.peer.answer, asked)
        assert isinstance(await answer(told), ReadyMessage)


async def answer(told: Future[Any], seconds: float = LONG) -> Any:
    """Return the outcome of a request."""
    with anyio.fail_after(seconds):
        return await asyncio.wrap_future(told)


async def connected(node: ScriptedNode, **options: Any) -> Line:
    """Return a new connection to the node. Raises what connecting raises."""
    version = options.setdefault("protocol_version", 4)
    kind = options.pop("kind", None) or connection_class_for(asyncio.get_running_loop())
    make = functools.partial(kind.factory, DefaultEndPoint("127.0.0.1", node.port), 10.0, compression=False, **options)
    ends: dict[str, Any] = {}

    async def keep(name: str, function: Callable[[], Any]) -> None:
        ends[name] = await in_thread(function)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep, "peer", node.welcome)
        tasks.start_soon(keep, "connection", make)
    assert ends["peer"].version == version
    return Line(ends["connection"], ends["peer"])


def is_unwatched(descriptor: int) -> bool:
    """Return whether the loop watches the descriptor neither for reading nor for writing."""
    loop = asyncio.get_running_loop()
    return not loop.remove_reader(descriptor) and not loop.remove_writer(descriptor)


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    with scripted_node() as running:
        yield running


@pytest.fixture
async def line(node: ScriptedNode) -> AsyncIterator[Line]:
    made = await connected(node)
    yield made
    made.connection.close()
    await eventually(lambda: made.connection._socket.fileno() == -1)


@pytest.fixture
def no_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that neither the loop nor the driver logs an error in the test."""
    with caplog.at_level(logging.ERROR):
        yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


# --- reading


@pytest.mark.usefixtures("no_complaints")
async def test_answers_in_any_order(line: Line) -> None:
    told, asked = await line.asked(3)
    for number in (2, 0, 1):
        await in_thread(line.peer.answer, asked[number], RESULT, rows([("n", INT)], [int32(number)]))
    assert [(await answer(one)).parsed_rows for one in told] == [[(0,)], [(1,)], [(2,)]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.usefixtures("no_complaints")
async def test_answers_split_at_every_byte(version: int) -> None:
    """Two answers, one without a body, split in two at each byte."""
    with scripted_node(version) as node:
        line = await connected(node, protocol_version=version)
        reads, total = Reads(line.connection), 0
        body = rows([("n", INT), ("b", BLOB)], [int32(1), b"x" * 5, int32(2), b""], paging_state=b"more")
        cut, size = 0, 2
        while cut < size - 1:
            cut += 1
            told, (first, second) = await line.asked(2)
            answers = [frame(version, first.stream, READY), frame(version, second.stream, RESULT, body)]
            data = b"".join(map(line.peer.encoded, answers))
            size = len(data)
            for piece in (data[:cut], data[cut:]):
                line.peer.socket.sendall(piece)
                total += len(piece)
                await reads.come_to(total)
            assert isinstance(await answer(told[0]), ReadyMessage)
            message = await answer(told[1])
            assert (message.parsed_rows, message.paging_state) == ([(1, b"x" * 5), (2, b"")], b"more")
        assert cut == size - 1 > 60
        line.connection.close()


class Reads:
    """Counts the bytes that a connection reads."""

    def __init__(self, connection: Any) -> None:
        self._take = connection._take
        self._total = 0
        self._more = anyio.Event()
        connection._take = self._taken

    def _taken(self, data: bytes) -> None:
        self._take(data)
        self._total += len(data)
        self._more.set()

    async def come_to(self, total: int) -> None:
        """Wait until `size` bytes were read."""
        with anyio.fail_after(LONG):
            while self._total < total:
                self._more = anyio.Event()
                await self._more.wait()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.usefixtures("no_complaints")
async def test_a_byte_at_a_time(version: int) -> None:
    with scripted_node(version) as node:
        line = await connected(node, protocol_version=version)
        reads = Reads(line.connection)
        told, asked = await line.asked(2)
        sent = [line.peer.encoded(frame(version, one.stream, RESULT, rows([("n", INT)], [int32(7)]))) for one in asked]
        for number, byte in enumerate(b"".join(sent)):
            line.peer.socket.sendall(bytes([byte]))
            await reads.come_to(number + 1)
        assert [(await answer(one)).parsed_rows for one in told] == [[(7,)], [(7,)]]
        line.connection.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.usefixtures("no_complaints")
async def test_many_answers_in_one_piece(version: int) -> None:
    with scripted_node(version) as node:
        line = await connected(node, protocol_version=version)
        told, asked = await line.asked(200)
        frames = [frame(version, one.stream, RESULT, rows([("n", INT)], [int32(one.stream)])) for one in asked]
        await in_thread(line.peer.send, *frames)
        assert [(await answer(one)).parsed_rows for one in told] == [[(one.stream,)] for one in asked]
        line.connection.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [READ_AT_ONCE - 60, READ_AT_ONCE, 3 * READ_AT_ONCE + 1, 1_000_000])
@pytest.mark.usefixtures("no_complaints")
async def test_a_large_page_between_small_answers(version: int, size: int) -> None:
    with scripted_node(version) as node:
        line = await connected(node, protocol_version=version)
        told, asked = await line.asked(3)
        bodies = [rows([("b", BLOB)], [content]) for content in (b"a", bytes(range(256)) * (size // 256), b"c")]
        frames = [frame(version, one.stream, RESULT, body) for one, body in zip(asked, bodies, strict=True)]
        await in_thread(line.peer.send, *frames)
        pages = [(await answer(one)).parsed_rows for one in told]
        assert pages == [[(b"a",)], [(bytes(range(256)) * (size // 256),)], [(b"c",)]]
        line.connection.close()


@pytest.mark.parametrize("version", VERSIONS)
async def test_frames_right_behind_the_consent_to_checksums(version: int) -> None:
    """READY and the frame right behind it, which is in a segment from version 5 on."""
    events: Future[Any] = Future()

    class Watching(LoopConnection):
        def handle_pushed(self, response: EventMessage) -> None:
            events.set_result(response.event_type)

    kind = on_this_loop(Watching)
    with scripted_node(version) as node:
        make = functools.partial(
            kind.factory, DefaultEndPoint("127.0.0.1", node.port), 10.0, compression=False, protocol_version=version
        )

        def welcome() -> Peer:
            peer = node.accept()
            peer.socket.sendall(frame(version, peer.read().stream, 0x06, supported()))
            ready = frame(version, peer.read().stream, READY)
            peer._in_segments = version >= 5
            peer.socket.sendall(ready + peer.encoded(frame(version, -1, EVENT, topology_change())))
            return peer

        made: list[Any] = []

        async def connect() -> None:
            made.append(await in_thread(make))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connect)
            peer = await in_thread(welcome)
        assert await answer(events) == "TOPOLOGY_CHANGE"
        await Line(made[0], peer).works()
        made[0].close()


def on_this_loop(kind: type[LoopConnection]) -> Any:
    """Return a new class of connections, made by `connection_class_for`."""
    made = connection_class_for(asyncio.get_running_loop())
    members = {"loop": made.loop, "timers": made.timers, "create_timer": staticmethod(made.timers.start)}
    return type(kind.__name__, (kind,), members)


def topology_change() -> bytes:
    address = b"\x04" + socket.inet_aton("127.0.0.9") + int32(9042)
    return string("TOPOLOGY_CHANGE") + string("NEW_NODE") + address


async def test_undecodable_body_ends_the_connection(node: ScriptedNode) -> None:
    line = await connected(node)
    told, asked = await line.asked(3)
    spoilt = frame(4, asked[0].stream, RESULT, int32(2) + b"\xff")
    await in_thread(line.peer.send, spoilt, frame(4, asked[1].stream, READY))
    answers = [await answer(one, SOON) for one in told]
    assert isinstance(answers[0], Exception)
    assert [type(one) for one in answers[1:]] == [ConnectionShutdown, ConnectionShutdown]
    assert line.connection.is_defunct
    await is_over(line)


SPOILT = {
    "a negative length": frame(4, 0, READY, length=-1),
    "the most negative length": frame(4, 0, READY, length=-(2**31)),
    "a version of no protocol": b"\xff" + frame(4, 0, READY)[1:],
    "version 0": b"\x00" + frame(4, 0, READY)[1:],
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
async def test_bytes_that_are_no_frame_end_the_connection(node: ScriptedNode, spoilt: bytes, split: bool) -> None:
    line, other = await connected(node), await connected(node)
    reads = Reads(line.connection)
    told, asked = await line.asked(3)
    good = frame(4, asked[1].stream, READY)
    if split:
        line.peer.socket.sendall(good + spoilt[:5])
        await reads.come_to(len(good) + 5)
        line.peer.socket.sendall(spoilt[5:])
    else:
        line.peer.socket.sendall(good + spoilt)
    assert isinstance(await answer(told[1]), ReadyMessage)
    for one in (told[0], told[2]):
        assert isinstance(await answer(one, SOON), ConnectionShutdown)
    assert line.connection.is_defunct
    assert isinstance(line.connection.last_error, ProtocolError)
    await is_over(line)
    await other.works()
    other.connection.close()


async def is_over(line: Line) -> None:
    """Check that the connection's socket is closed and unwatched, and that it refuses requests."""
    connection, descriptor = line.connection, line.connection._descriptor
    await eventually(lambda: connection._socket.fileno() == -1, SOON)
    assert is_unwatched(descriptor)
    assert connection.is_closed
    assert await in_thread(line.peer.is_closed_by_client)
    with pytest.raises(ConnectionShutdown):
        line.ask()
    assert connection._requests == {}


@pytest.mark.parametrize("part", ["header", "payload"])
async def test_wrong_checksum_ends_the_connection(part: str) -> None:
    with scripted_node(5) as node:
        line = await connected(node, protocol_version=5)
        (told,), (asked,) = await line.asked(1)
        data = bytearray(line.peer.encoded(frame(5, asked.stream, READY)))
        data[3 if part == "header" else -1] ^= 1
        line.peer.socket.sendall(bytes(data))
        assert isinstance(await answer(told, SOON), ConnectionShutdown)
        assert isinstance(line.connection.last_error, CrcMismatchException)
        await is_over(line)


async def test_unexpected_answer_is_dropped(line: Line) -> None:
    (told,), (asked,) = await line.asked(1)
    with line.connection.lock:
        line.connection._requests.pop(asked.stream)
        line.connection.orphaned_request_ids.add(asked.stream)
        line.connection.in_flight += 1
    await in_thread(line.peer.answer, asked)
    await line.works()
    assert not told.done()
    assert (line.connection.in_flight, line.connection.orphaned_request_ids) == (0, set())


async def test_raising_callback_harms_neither_loop_nor_connection(line: Line) -> None:
    called: Future[None] = Future()

    def fails(response: object) -> None:
        called.set_result(None)
        raise LookupError("in a callback")

    line.connection.send_msg(OptionsMessage(), 77, fails)
    asked = await in_thread(line.peer.read)
    assert asked.stream == 77
    await in_thread(line.peer.answer, asked)
    await answer(called)
    await line.works()


# --- connecting


async def test_unsupported_protocol_version(node: ScriptedNode) -> None:
    def refuse() -> None:
        peer = node.accept()
        told = error(0x0A, "Invalid or unsupported protocol version (5); highest is 4")
        peer.socket.sendall(frame(4, int.from_bytes(peer.socket.recv(9)[2:4], "big"), ERROR, told))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(in_thread, refuse)
        with pytest.raises(Exception, match="protocol version"):
            kind = connection_class_for(asyncio.get_running_loop())
            await in_thread(
                functools.partial(kind.factory, DefaultEndPoint("127.0.0.1", node.port), 10.0, protocol_version=5)
            )


async def fails_to_connect(node: ScriptedNode, behave: Callable[[], None], seconds: float) -> BaseException:
    """Return the error of connecting, and check that no descriptor stays open."""
    kind = connection_class_for(asyncio.get_running_loop())
    failure: list[BaseException] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(in_thread, behave)
        try:
            endpoint = DefaultEndPoint("127.0.0.1", node.port)
            await in_thread(functools.partial(kind.factory, endpoint, seconds, protocol_version=4))
        except (ConnectionShutdown, OperationTimedOut, ProtocolError, OSError) as error:
            failure.append(error)
    node.close()
    (raised,) = failure
    return raised


async def test_node_closes_during_the_handshake(node: ScriptedNode) -> None:
    before = psutil.Process().num_fds() - 1  # the listener
    raised = await fails_to_connect(node, lambda: node.accept().socket.close(), LONG)
    assert isinstance(raised, ConnectionShutdown | ConnectionError)
    await eventually(lambda: psutil.Process().num_fds() <= before)


async def test_silent_node_times_out(node: ScriptedNode) -> None:
    before = psutil.Process().num_fds() - 1
    raised = await fails_to_connect(node, lambda: assert_asked(node), 0.3)
    assert isinstance(raised, OperationTimedOut)
    await eventually(lambda: psutil.Process().num_fds() <= before)


def assert_asked(node: ScriptedNode) -> None:
    assert node.accept().read().opcode == OPTIONS


async def test_no_listener(node: ScriptedNode) -> None:
    node.close()
    before = psutil.Process().num_fds()
    kind = connection_class_for(asyncio.get_running_loop())
    for _ in range(5):
        with pytest.raises(OSError, match="Tried connecting"):
            await in_thread(kind.factory, DefaultEndPoint("127.0.0.1", node.port), 5.0)
    assert psutil.Process().num_fds() <= before


# --- the end of a connection


@pytest.mark.parametrize("how", [Peer.reset, lambda peer: peer.socket.close()], ids=["reset", "closed"])
@pytest.mark.parametrize("count", [1, 3, 250])
async def test_close_by_the_node_ends_every_request(
    node: ScriptedNode, count: int, how: Callable[[Peer], None]
) -> None:
    line = await connected(node)
    told, _ = await line.asked(count)
    how(line.peer)
    answers = [await answer(one, SOON) for one in told]
    assert {type(one) for one in answers} == {ConnectionShutdown}
    assert line.connection.is_defunct
    assert is_unwatched(line.connection._descriptor)
    await eventually(lambda: line.connection._socket.fileno() == -1)
    with pytest.raises(ConnectionShutdown):
        line.ask()


async def test_answers_before_a_close_by_the_node_count(node: ScriptedNode) -> None:
    line = await connected(node)
    told, asked = await line.asked(2)
    line.peer.answer(asked[0])
    line.peer.socket.close()
    assert isinstance(await answer(told[0]), ReadyMessage)
    assert isinstance(await answer(told[1], SOON), ConnectionShutdown)


async def test_close_by_the_node_within_an_answer(node: ScriptedNode) -> None:
    line = await connected(node)
    (told,), (asked,) = await line.asked(1)
    line.peer.socket.sendall(frame(4, asked.stream, READY, b"\0" * 100)[:50])
    line.peer.socket.close()
    assert isinstance(await answer(told, SOON), ConnectionShutdown)


@pytest.mark.parametrize("from_loop", [True, False], ids=["loop", "thread"])
async def test_close_ends_every_request_and_frees_the_socket(node: ScriptedNode, from_loop: bool) -> None:
    before = psutil.Process().num_fds()
    line = await connected(node)
    told, _ = await line.asked(5)
    descriptor = line.connection._descriptor
    for _ in range(2):  # again does nothing
        if from_loop:
            line.connection.close()
        else:
            await in_thread(line.connection.close)
    assert {type(await answer(one, SOON)) for one in told} == {ConnectionShutdown}
    await is_over(line)
    assert is_unwatched(descriptor)
    line.peer.socket.close()
    await eventually(lambda: psutil.Process().num_fds() <= before)
    assert not line.connection.is_defunct  # it was wanted: the pool need not take the node for dead


async def test_concurrent_close(node: ScriptedNode) -> None:
    line = await connected(node)
    told, _ = await line.asked(5)
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(in_thread, line.connection.close)
    assert {type(await answer(one, SOON)) for one in told} == {ConnectionShutdown}
    await is_over(line)


async def test_close_within_a_callback(node: ScriptedNode) -> None:
    line = await connected(node)
    told: Future[Any] = Future()

    def close(response: object) -> None:
        line.connection.close()
        told.set_result(response)

    line.connection.send_msg(OptionsMessage(), 77, close)
    last, _ = await line.asked(1)
    line.peer.send(frame(4, 77, READY))
    assert isinstance(await answer(told), ReadyMessage)
    assert isinstance(await answer(last[0], SOON), ConnectionShutdown)
    await eventually(lambda: line.connection._socket.fileno() == -1)


async def test_close_during_the_handshake(node: ScriptedNode) -> None:
    """As with the driver's own class, not only after the timeout for connecting."""
    made: Future[Any] = Future()

    class Told(LoopConnection):
        def _send_options_message(self) -> None:
            super()._send_options_message()
            made.set_result(self)

    kind = on_this_loop(Told)
    failure: list[BaseException] = []

    def connect() -> None:
        try:
            kind.factory(DefaultEndPoint("127.0.0.1", node.port), LONG, protocol_version=4)
        except BaseException as error:
            failure.append(error)

    with anyio.fail_after(SOON):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, connect)
            await in_thread((await answer(made)).close)
    assert isinstance(failure[0], ConnectionShutdown)


async def test_descriptor_is_reused(node: ScriptedNode) -> None:
    """The loop forgets a descriptor before the kernel gives its number to another socket."""
    for _ in range(10):
        line = await connected(node)
        await line.works()
        await in_thread(line.connection.close)
        line.peer.socket.close()
        again = await connected(node)
        await again.works()
        again.connection.close()
        again.peer.socket.close()


# --- writing


async def test_requests_arrive_in_order(line: Line) -> None:
    count = 300
    told = [line.ask(QueryMessage(f"{number:06d}" * 100, 1)) for number in range(count)]
    bodies = [(await in_thread(line.peer.read)).body for _ in range(count)]
    assert [body[4:10] for body in bodies] == [b"%06d" % number for number in range(count)]
    assert not any(one.done() for one in told)


async def test_concurrent_send(line: Line) -> None:
    threads, each = 8, 50
    told: list[Future[Any]] = []

    def send(thread: int) -> None:
        for number in range(each):
            told.append(line.ask(QueryMessage(f"{thread}:{number}:" + "x" * 500, 1)))

    def answer_all() -> set[bytes]:
        asked = [line.peer.read() for _ in range(threads * each)]
        line.peer.send(*(frame(4, one.stream, READY) for one in asked))
        return {b":".join(one.body[4:].split(b":")[:2]) for one in asked}

    seen: list[set[bytes]] = []

    async def serve() -> None:
        seen.append(await in_thread(answer_all))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        for thread in range(threads):
            tasks.start_soon(in_thread, send, thread)
    assert seen == [{b"%d:%d" % (thread, number) for thread in range(threads) for number in range(each)}]
    assert {type(await answer(one)) for one in told} == {ReadyMessage}


async def test_request_does_not_wait_for_an_acknowledgement(line: Line) -> None:
    """Nagle's algorithm would delay it until the node acknowledges the one before: some forty milliseconds."""
    assert line.connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


LARGE = 1 << 20


async def fill(line: Line) -> int:
    """Send until the socket is full, and return the number of requests."""
    sent = 0
    while not line.connection._waits_to_write:
        assert sent < 100
        line.ask(QueryMessage("x" * LARGE, 1))
        sent += 1
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
    return sent


async def test_requests_to_a_node_that_does_not_read_arrive_later(line: Line) -> None:
    sent = await fill(line)
    told = [line.ask(QueryMessage(f"{number:06d}", 1)) for number in range(200)]
    await anyio.lowlevel.checkpoint()

    def read_all() -> list[Asked]:
        return [line.peer.read() for _ in range(sent + 200)]

    asked = await in_thread(read_all)
    assert all(one.body[4 : LARGE + 4] == b"x" * LARGE for one in asked[:sent])
    assert [one.body[4:10] for one in asked[sent:]] == [b"%06d" % number for number in range(200)]
    await in_thread(line.peer.send, *(frame(4, one.stream, READY) for one in asked[sent:]))
    assert {type(await answer(one)) for one in told} == {ReadyMessage}
    await line.works()


async def test_answers_are_read_while_the_node_does_not_read(line: Line) -> None:
    (told,), (asked,) = await line.asked(1)
    await fill(line)
    await in_thread(line.peer.answer, asked)
    assert isinstance(await answer(told), ReadyMessage)


@pytest.mark.parametrize("how", ["closed here", "closed by the node"])
async def test_connection_ends_while_its_socket_is_full(node: ScriptedNode, how: str) -> None:
    line = await connected(node)
    (told,), _ = await line.asked(1)
    await fill(line)
    descriptor = line.connection._descriptor
    if how == "closed here":
        line.connection.close()
    else:
        line.peer.reset()
    assert isinstance(await answer(told, SOON), ConnectionShutdown)
    await eventually(lambda: line.connection._socket.fileno() == -1, SOON)
    assert is_unwatched(descriptor)


# --- a loop that has ended


def test_ended_loop_refuses_requests(node: ScriptedNode) -> None:
    loop = asyncio.new_event_loop()
    runner = threading.Thread(target=loop.run_forever)
    runner.start()
    before = psutil.Process().num_fds()
    kind = asyncio.run_coroutine_threadsafe(_class_here(), loop).result(LONG)
    welcomed: list[Peer] = []
    welcoming = threading.Thread(target=lambda: welcomed.append(node.welcome()))
    welcoming.start()
    connection = kind.factory(DefaultEndPoint("127.0.0.1", node.port), LONG, protocol_version=4, compression=False)
    welcoming.join(LONG)
    loop.call_soon_threadsafe(loop.stop)
    runner.join(LONG)
    loop.close()
    line = Line(connection, welcomed[0])
    for _ in range(3):
        with pytest.raises(ConnectionShutdown):
            line.ask()
    connection.close()
    connection.close()
    line.peer.socket.close()
    assert connection._socket.fileno() == -1
    assert psutil.Process().num_fds() <= before


async def _class_here() -> Any:
    return connection_class_for(asyncio.get_running_loop())


def test_ended_loop_leaves_no_socket_open(node: ScriptedNode) -> None:
    loop = asyncio.new_event_loop()
    kind = connection_class_for(loop)
    loop.close()
    before = psutil.Process().num_fds()
    with pytest.raises(ConnectionShutdown):
        kind.factory(DefaultEndPoint("127.0.0.1", node.port), 5.0, protocol_version=4)
    assert psutil.Process().num_fds() <= before


# --- TLS


@pytest.fixture
def tls(tmp_path: Path) -> Any:
    return tls_contexts(tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.usefixtures("no_complaints")
async def test_tls_pages_of_any_size(version: int, tls: Any) -> None:
    """Bytes that OpenSSL has already decrypted do not wake the loop, so a read must go on to their end."""
    with scripted_node(version, tls[0]) as node:
        line = await connected(node, protocol_version=version, ssl_context=tls[1])
        for size in (1, 16_000, 16_384, 20_000, READ_AT_ONCE, 1_000_000):
            told, asked = await line.asked(3)
            bodies = [rows([("b", BLOB)], [content]) for content in (b"a", b"x" * size, b"c")]
            frames = [frame(version, one.stream, RESULT, body) for one, body in zip(asked, bodies, strict=True)]
            await in_thread(line.peer.send, *frames)
            assert [(await answer(one)).parsed_rows[0][0] for one in told] == [b"a", b"x" * size, b"c"]
        line.connection.close()
        await is_over(line)


async def test_tls_requests_to_a_node_that_does_not_read_arrive_later(tls: Any) -> None:
    with scripted_node(tls=tls[0]) as node:
        line = await connected(node, ssl_context=tls[1])
        sent = await fill(line)
        told = [line.ask() for _ in range(20)]

        def read_all() -> set[bytes]:
            return {line.peer.read().body[4 : LARGE + 4] for _ in range(sent)}

        assert await in_thread(read_all) == {b"x" * LARGE}
        for _ in told:
            await in_thread(line.peer.answer, await in_thread(line.peer.read))
        assert {type(await answer(one)) for one in told} == {ReadyMessage}
        line.connection.close()


@pytest.mark.parametrize("how", [Peer.reset, lambda peer: peer.socket.close()], ids=["reset", "closed"])
async def test_tls_close_by_the_node_ends_every_request(tls: Any, how: Callable[[Peer], None]) -> None:
    with scripted_node(tls=tls[0]) as node:
        line = await connected(node, ssl_context=tls[1])
        told, _ = await line.asked(3)
        how(line.peer)
        assert {type(await answer(one, SOON)) for one in told} == {ConnectionShutdown}
        await eventually(lambda: line.connection._socket.fileno() == -1)


async def test_tls_other_bytes_end_the_connection(tls: Any) -> None:
    with scripted_node(tls=tls[0]) as node:
        line = await connected(node, ssl_context=tls[1])
        told, _ = await line.asked(1)
        plain = socket.socket(fileno=line.peer.socket.detach())
        plain.sendall(b"no record of TLS")
        assert isinstance(await answer(told[0], SOON), ConnectionShutdown)
        await eventually(lambda: line.connection._socket.fileno() == -1)
        plain.close()


# --- on a real node


@pytest.fixture(scope="session")
def large(cql: Session, keyspace: str) -> str:
    """The name of a table whose first page takes several reads, and with version 5 several segments."""
    cql.execute(f"CREATE TABLE IF NOT EXISTS {keyspace}.large (k int PRIMARY KEY, v blob)")
    insert = cql.prepare(f"INSERT INTO {keyspace}.large (k, v) VALUES (?, ?)")
    for key in range(40):
        cql.execute(insert, (key, bytes([key]) * 10_000))
    return f"{keyspace}.large"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.usefixtures("no_complaints")
async def test_a_real_node(version: int, node_address: tuple[str, int], keyspace: str, large: str) -> None:
    """With the driver's pools and control connection; with version 5 also checksums."""
    before = psutil.Process().num_fds()
    settings = settings_for(node_address, keyspace, protocol_version=version)
    own = connection_class_for(asyncio.get_running_loop())
    cluster = await in_thread(functools.partial(build_cluster, settings, keep_page, connection_class=own))
    try:
        session = await in_thread(cluster.connect)
        session.client_protocol_handler = RawProtocolHandler
        connections = [pool._connection for pool in session._pools.values()]
        connections.append(cluster.control_connection._connection)
        assert all(isinstance(one, LoopConnection) for one in connections)
        assert {one._is_checksumming_enabled for one in connections} == {version >= 5}
        futures = [session.execute_async(f"SELECT k, v FROM {large}", timeout=LONG) for _ in range(5)]
        for future in futures:
            await in_thread(future.result)
            assert dict(future._final_result.tuples()) == {key: "0x" + f"{key:02x}" * 10_000 for key in range(40)}
    finally:
        await in_thread(cluster.shutdown)
    await eventually(lambda: psutil.Process().num_fds() <= before)
