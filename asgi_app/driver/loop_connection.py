"""Driver connections whose sockets and timers run on the application's event loop.

The driver's reactor is a thread with its own event loop. It competes with the application's loop for the lock of the
interpreter, and each statement costs two wake-ups between the threads: to send it and to deliver its answer. Here the
loop that serves the requests also reads and writes the driver's sockets. Protocol, pools, retries and reconnection are
the driver's own code.

The driver's worker threads open connections and close most of them. Only these threads block, never the loop. The event
loop must run for as long as the cluster lives.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from struct import Struct
from typing import Any

from cassandra import ProtocolVersion
from cassandra.connection import Connection, ConnectionShutdown, CrcMismatchException, ProtocolError, _Frame
from cassandra.pool import NoConnectionsAvailable
from cassandra.segment import CrcException

from asgi_app.driver.timers import Timer, Timers

READ_AT_ONCE = 64 * 1024
"""Bytes of one read. A page of 200 kB takes four reads, so other sockets get their turn in between."""

_HEADER = Struct(">BBhBi")  # version, flags, stream, opcode, length of the body (native_protocol_v4.spec section 2)
_VERSION = 0x7F  # without the first bit, which is set in a response

_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class LoopConnection(Connection):  # type: ignore[misc]  # the driver has no types
    """A connection whose socket an event loop reads and writes; see `connection_class_for`."""

    in_buffer_size = READ_AT_ONCE
    is_closed: bool
    loop: asyncio.AbstractEventLoop
    timers: Timers
    create_timer: Callable[[float, Callable[[], None]], Timer]
    """Calls a function on the loop after so many seconds, and returns the timer. The driver cancels most timers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Connect. Blocks, so the driver calls it in a worker thread. Raises what the driver's own class raises."""
        super().__init__(*args, **kwargs)
        self._thread = self.timers.thread
        released = kwargs.get("on_orphaned_stream_released")  # a method of the pool; other connections have none
        if released is not None:
            _keep_the_loop_from_waiting(released.__self__, self._thread)
        self._buffer = memoryview(bytearray(READ_AT_ONCE))
        self._outgoing: deque[bytes] = deque()
        self._unsent = b""
        self._sending_is_due = False
        self._waits_to_write = False
        self._parts: list[bytes] = []
        self._segment_part = b""
        self._held = 0
        self._wanted = _HEADER.size
        self._connect_socket()
        self._socket.setblocking(False)
        if self._socket.family in (socket.AF_INET, socket.AF_INET6):
            # Without this a request waits until the node has acknowledged the one before (Nagle's algorithm).
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._is_tls = isinstance(self._socket, ssl.SSLSocket)
        self._descriptor = self._socket.fileno()
        try:
            self._on_loop(self._begin_reading)
        except ConnectionShutdown:
            self._socket.close()
            raise
        self._send_options_message()

    def close(self) -> None:
        """Close the connection. Running requests end with ConnectionShutdown. Callable from any thread."""
        with self.lock:
            if self.is_closed:
                return
            self.is_closed = True
        try:
            self._on_loop(self._release_socket)
        except ConnectionShutdown:  # the loop has ended and no longer reads the socket
            self._socket.close()
        if not self.is_defunct:
            closed = ConnectionShutdown(f"Connection to {self.endpoint} was closed")
            if not self.connected_event.is_set():
                self.last_error = closed  # for the thread that waits until the connection is ready
                self.connected_event.set()
            self.error_all_requests(closed)

    def push(self, data: bytes) -> None:
        """Send data, together with all other data pushed before the loop's next iteration. Callable from any thread."""
        self._outgoing.append(data)
        if not self._sending_is_due:
            self._sending_is_due = True
            self._on_loop(self._send)

    def _on_loop(self, function: Callable[[], None]) -> None:
        try:
            if threading.get_ident() == self._thread:
                self.loop.call_soon(function)
            else:
                self.loop.call_soon_threadsafe(function)
        except RuntimeError as error:
            self._sending_is_due = False  # so that the next push raises too
            raise ConnectionShutdown("the event loop of this connection has ended") from error

    def _begin_reading(self) -> None:
        if not self.is_closed:
            self.loop.add_reader(self._descriptor, self._read)

    def _release_socket(self) -> None:
        """Close the socket. The loop must forget the descriptor first, because another socket may get its number."""
        self.loop.remove_reader(self._descriptor)
        self.loop.remove_writer(self._descriptor)
        self._socket.close()

    # --- writing

    def _send(self) -> None:
        self._sending_is_due = False  # first, so that a push from now on schedules another call
        if not self._waits_to_write:
            self._send_all()

    def _send_when_writable(self) -> None:
        self._waits_to_write = False
        self.loop.remove_writer(self._descriptor)
        self._send_all()

    def _send_all(self) -> None:
        if self.is_closed:
            return
        data = self._unsent + b"".join(_taken(self._outgoing))
        try:
            sent = self._socket.send(data) if data else 0
        except _NOT_NOW:
            sent = 0
        except OSError as error:
            self._read()  # a node that refuses the TLS client sends an alert before it resets
            self.defunct(error)
            return
        self._unsent = data[sent:]
        if self._unsent:
            # `_socket_writable` stays true: driver 3.30 keeps counting a request that it refuses as in flight.
            self._waits_to_write = True
            self.loop.add_writer(self._descriptor, self._send_when_writable)

    # --- reading

    def _read(self) -> None:
        """Read what has arrived. Never raises: an error ends this connection, not the loop."""
        try:
            while not self.is_closed:
                size = self._socket.recv_into(self._buffer)
                if not size:
                    self.defunct(ConnectionShutdown(f"Connection to {self.endpoint} was closed by the node"))
                    return
                self._take(bytes(self._buffer[:size]))
                # The loop calls again if there is more. TLS may hold data that the loop does not see.
                if not self._is_tls:
                    return
        except _NOT_NOW:
            return
        except Exception as error:
            self.defunct(error)

    def _take(self, data: bytes) -> None:
        if self._is_checksumming_enabled:
            self._take_checksummed(data)
            return
        if self._parts:
            self._parts.append(data)
            self._held += len(data)
            if self._held < self._wanted:
                return
            data = b"".join(self._parts)
            self._parts = []
        self._take_frames(data)

    def _take_frames(self, data: bytes) -> None:
        at, size = 0, len(data)
        wanted = _HEADER.size
        while size - at >= _HEADER.size:
            version, flags, stream, opcode, length = _HEADER.unpack_from(data, at)
            if version & _VERSION not in ProtocolVersion.SUPPORTED_VERSIONS or length < 0:
                raise ProtocolError(f"not a frame of a supported protocol version: {data[at : at + 9]!r}")
            body = at + _HEADER.size
            end = body + length
            if end > size:
                wanted = end - at
                break
            self.process_msg(_Frame(version & _VERSION, flags, stream, opcode, _HEADER.size, end), data[body:end])
            at = end
            if self._is_checksumming_enabled:  # the message just processed was the node's consent to checksums
                self._take_checksummed(data[at:])
                return
        if at < size:
            self._parts, self._held, self._wanted = [data[at:]], size - at, wanted

    def _take_checksummed(self, data: bytes) -> None:
        """Give the driver complete segments only: it loses a part that is shorter than a segment's header."""
        data = self._segment_part + data
        at = 0
        while (end := at + self._segment_length(data, at)) <= len(data):
            self._iobuf.write(data[at:end])
            self.process_io_buffer()
            at = end
        self._segment_part = data[at:]

    def _segment_length(self, data: bytes, at: int) -> int:
        """Return the length of the segment at `at`; the length of a header if the header is incomplete."""
        header: int = self._segment_codec.header_length_with_crc
        if len(data) - at < header:
            return header
        try:
            length: int = self._segment_codec.decode_header(BytesIO(data[at : at + header])).segment_length
        except CrcException as error:
            raise CrcMismatchException(str(error), self.endpoint) from error
        return length


def connection_class_for(loop: asyncio.AbstractEventLoop) -> type[LoopConnection]:
    """Return a `connection_class` for a driver `Cluster` that uses `loop`. Call it in the loop's thread."""
    timers = Timers(loop)
    members = {"loop": loop, "timers": timers, "create_timer": staticmethod(timers.start)}
    return type("LoopConnection", (LoopConnection,), members)


class _FreeStreamIds(threading.Condition):
    """What threads wait for if a connection has no free stream id. The event loop frees them, so it does not wait."""

    def __init__(self, lock: threading.Lock, loop_thread: int) -> None:
        super().__init__(lock)
        self._loop_thread = loop_thread

    def wait(self, timeout: float | None = None) -> bool:
        """Wait as any condition does. On the event loop, raise what the driver raises after two seconds."""
        if threading.get_ident() == self._loop_thread:
            raise NoConnectionsAvailable("All request ids are in use")
        return super().wait(timeout)


def _keep_the_loop_from_waiting(pool: Any, loop_thread: int) -> None:
    if not isinstance(pool._stream_available_condition, _FreeStreamIds):  # a replaced connection's pool has it
        pool._stream_available_condition = _FreeStreamIds(pool._lock, loop_thread)


def _taken(queue: deque[bytes]) -> list[bytes]:
    """Remove and return everything in the queue, to which other threads append meanwhile."""
    taken = []
    with suppress(IndexError):
        while True:
            taken.append(queue.popleft())
    return taken
