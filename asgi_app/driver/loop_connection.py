"""The driver's connections on the application's own event loop: their sockets and their timers.

The driver's reactor is a thread with an event loop of its own. Beside ours that makes two threads that take the
interpreter from each other for every statement, and two wake-ups: to send it, and to hand its answer over. Here the
event loop that serves the requests reads and writes the driver's sockets itself, and what stands behind it (protocol,
pools, retries, reconnection) is the driver's own.

Connections are made, and most are closed, in the driver's worker threads; they block there and not on the loop. The
event loop must run for as long as the cluster lives.
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
from cassandra.segment import CrcException

from asgi_app.driver.timers import Timer, Timers

READ_AT_ONCE = 64 * 1024
"""Bytes. A page of 200 kB takes four reads, with the turns of other sockets in between."""

_HEADER = Struct(">BBhBi")  # native_protocol_v4.spec section 2: version, flags, stream, opcode, length of the body
_VERSION = 0x7F  # the other bit of the first byte tells a response from a request

_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class LoopConnection(Connection):  # type: ignore[misc]  # the driver has no types
    """A connection whose socket is read and written by an event loop; see `connection_class_for`."""

    in_buffer_size = READ_AT_ONCE
    is_closed: bool
    loop: asyncio.AbstractEventLoop
    timers: Timers

    @classmethod
    def create_timer(cls, timeout: float, callback: Callable[[], None]) -> Timer:
        """Calls `callback` on the loop after `timeout` seconds; the driver cancels most."""
        return cls.timers.start(timeout, callback)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Connect, which blocks: in a worker thread of the driver's. Raises what the driver's own connections raise."""
        super().__init__(*args, **kwargs)
        self._thread = self.timers.thread
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
            self._socket.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
            )  # else a request waits for the last answer
        self._is_tls = isinstance(self._socket, ssl.SSLSocket)
        self._descriptor = self._socket.fileno()
        try:
            self._on_loop(self._begin_reading)
        except ConnectionShutdown:
            self._socket.close()
            raise
        self._send_options_message()

    def close(self) -> None:
        """Close; what is under way ends with ConnectionShutdown. Callable from any thread."""
        with self.lock:
            if self.is_closed:
                return
            self.is_closed = True
        try:
            self._on_loop(self._release_socket)
        except ConnectionShutdown:  # no loop watches it any more
            self._socket.close()
        if not self.is_defunct:
            closed = ConnectionShutdown(f"Connection to {self.endpoint} was closed")
            if not self.connected_event.is_set():
                self.last_error = closed  # for whoever is still waiting for it to be made
                self.connected_event.set()
            self.error_all_requests(closed)

    def push(self, data: bytes) -> None:
        """Send, with all else that is pushed until the loop comes to it. Callable from any thread."""
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
            self._sending_is_due = False  # the next who sends is refused too
            raise ConnectionShutdown("the event loop of this connection has ended") from error

    def _begin_reading(self) -> None:
        if not self.is_closed:
            self.loop.add_reader(self._descriptor, self._read)

    def _release_socket(self) -> None:
        """The loop lets go of the descriptor before another socket can get its number."""
        self.loop.remove_reader(self._descriptor)
        self.loop.remove_writer(self._descriptor)
        self._socket.close()

    # --- writing

    def _send(self) -> None:
        self._sending_is_due = False  # before looking, so that a push from now on makes it due again
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
            self.defunct(error)
            return
        self._unsent = data[sent:]
        if self._unsent:
            # `_socket_writable` stays: of what it would refuse the driver 3.30 goes on counting that it is under way.
            self._waits_to_write = True
            self.loop.add_writer(self._descriptor, self._send_when_writable)

    # --- reading

    def _read(self) -> None:
        """Take what has come. Never raises: what goes wrong is this connection's and not the loop's."""
        try:
            while not self.is_closed:
                size = self._socket.recv_into(self._buffer)
                if not size:
                    self.defunct(ConnectionShutdown(f"Connection to {self.endpoint} was closed by the node"))
                    return
                self._take(bytes(self._buffer[:size]))
                if not self._is_tls:  # the loop will say whether there is more
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
                raise ProtocolError(f"this is no frame of a protocol that the driver speaks: {data[at : at + 9]!r}")
            body = at + _HEADER.size
            end = body + length
            if end > size:
                wanted = end - at
                break
            self.process_msg(_Frame(version & _VERSION, flags, stream, opcode, _HEADER.size, end), data[body:end])
            at = end
            if self._is_checksumming_enabled:  # that was the node's consent to it
                self._take_checksummed(data[at:])
                return
        if at < size:
            self._parts, self._held, self._wanted = [data[at:]], size - at, wanted

    def _take_checksummed(self, data: bytes) -> None:
        """Hand the driver whole segments only: of one that begins with less than its header it loses what it has."""
        data = self._segment_part + data
        at = 0
        while (end := at + self._segment_length(data, at)) <= len(data):
            self._iobuf.write(data[at:end])
            self.process_io_buffer()
            at = end
        self._segment_part = data[at:]

    def _segment_length(self, data: bytes, at: int) -> int:
        """How long the segment is that begins there; at least that of a header while it has none yet."""
        header: int = self._segment_codec.header_length_with_crc
        if len(data) - at < header:
            return header
        try:
            length: int = self._segment_codec.decode_header(BytesIO(data[at : at + header])).segment_length
        except CrcException as error:
            raise CrcMismatchException(str(error), self.endpoint) from error
        return length


def connection_class_for(loop: asyncio.AbstractEventLoop) -> type[LoopConnection]:
    """What a driver `Cluster` takes as its `connection_class` to live on `loop`. Called on that loop."""
    return type("LoopConnection", (LoopConnection,), {"loop": loop, "timers": Timers(loop)})


def _taken(queue: deque[bytes]) -> list[bytes]:
    """All that is in the queue, which other threads append to meanwhile."""
    taken = []
    with suppress(IndexError):
        while True:
            taken.append(queue.popleft())
    return taken
