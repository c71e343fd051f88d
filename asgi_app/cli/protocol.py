"""uvicorn's HTTP protocol with read and write timeouts, and with responses that are whole or visibly not."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_app.http.extensions import ABORT, UNSENT, StreamAborted

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as HTTPProtocol

    from asgi_app.cli.with_h11 import H11Limits as Limits
else:
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HTTPProtocol

        from asgi_app.cli.with_httptools import HttpToolsLimits as Limits
    except ImportError:  # without the extra `server`
        from uvicorn.protocols.http.h11_impl import H11Protocol as HTTPProtocol

        from asgi_app.cli.with_h11 import H11Limits as Limits


_RESET = struct.pack("ii", 1, 0)
_USUAL = struct.pack("ii", 0, 0)
"""Values of SO_LINGER (socket(7)): a closed connection ends with a reset, and the kernel drops what the client has not
received; or it ends as usual, and the kernel delivers the rest."""

FINAL_SECONDS = 1.0
DELIVERY_CHECK_SECONDS = 0.02
"""How long a client of HTTP/1.0 has to receive what precedes a reset, and how often that is looked at."""


class AbortableProtocol(Limits, HTTPProtocol):
    """The HTTP protocol of `serve` and `demo`; offers `ABORT` and `UNSENT` among the extensions of every scope.

    uvicorn closes a connection only once the client has received everything that was written, so a client that reads
    nothing would keep its socket and its buffers without limit. That also holds if the whole response fits into the
    buffers and the application has finished. So after each response the delivery of the rest is watched, and the
    connection is dropped if the client reads nothing for the send timeout.

    Over HTTP/1.0 a body of unknown length ends with the connection. So that half of such a body does not look whole,
    its connection ends with a reset, also if the process is killed, until the body has been handed to the kernel.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = self._with_extensions(self.app)
        self._delivery: asyncio.TimerHandle | None = None
        self._ends_by_reset = False
        self._is_whole = False
        """Whether the whole response was handed to the transport, and nothing of it was dropped since."""

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_delivery()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_watching()
        if exc is None and self._ends_by_reset and self._is_whole:  # all is written; the socket is closed after this
            self._end_with(_USUAL)

    def _watch_delivery(self) -> None:
        self._stop_watching()
        if self.transport.get_write_buffer_size():
            self._delivery = self.loop.call_later(
                self.config.send_timeout, self._abort_unless_progress, self._unsent_bytes()
            )

    def _abort_unless_progress(self, before: int) -> None:
        if self._unsent_bytes() < before:
            self._watch_delivery()
        else:
            self.abort()

    def _stop_watching(self) -> None:
        if self._delivery is not None:
            self._delivery.cancel()
            self._delivery = None

    def _with_extensions(self, app: ASGIApp) -> ASGIApp:
        async def app_with_extensions(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {}).update({ABORT: self.abort, UNSENT: self.unsent})
            is_old = scope["type"] == "http" and scope["http_version"] == "1.0"
            if is_old:
                send = self._resetting_unless_whole(_without_chunks(send))
            try:
                await app(scope, receive, send)
            except StreamAborted:
                if is_old:
                    await self._received()
                self._watch_delivery()  # uvicorn closes the connection, and that waits for the client
                raise

        return app_with_extensions

    def _resetting_unless_whole(self, send: Send) -> Send:
        """Return a `send` that lets the connection end with a reset until a body of unknown length is whole."""

        async def send_whole(message: Message) -> None:
            if message["type"] == "http.response.start" and _has_unknown_length(message):
                self._ends_by_reset, self._is_whole = True, False
                self._end_with(_RESET)
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                self._is_whole = True

        return send_whole

    async def _received(self) -> None:
        """Wait until the client's system has received everything, for `FINAL_SECONDS` at most."""
        with anyio.move_on_after(FINAL_SECONDS):
            while self.unsent():  # noqa: ASYNC110 - no event tells what a client has received
                await anyio.sleep(DELIVERY_CHECK_SECONDS)

    def abort(self) -> None:
        """Drop the connection at once, with the data buffered for it here and in the kernel."""
        if self.transport is not None:
            self._is_whole = False
            self._end_with(_RESET)
            self.transport.abort()

    def drop(self) -> None:
        """Drop the connection at once, with the data buffered for it here; what the kernel has is delivered."""
        if self.transport is not None:
            self._is_whole = self._is_whole and not self.transport.get_write_buffer_size()
            self.transport.abort()

    def _end_with(self, linger: bytes) -> None:
        """Set how the connection ends when its socket is closed. Do nothing if it is closed: the client has left."""
        connected = self.transport.get_extra_info("socket")
        if connected is not None and connected.fileno() >= 0:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def unsent(self) -> int:
        """Return how many bytes the client has not received: those buffered here and, on Linux, in the kernel."""
        if self.transport is None or self.transport.is_closing():
            return 0
        return self._unsent_bytes()

    def _unsent_bytes(self) -> int:
        buffered: int = self.transport.get_write_buffer_size()
        return buffered + _unsent_by_kernel(self.transport.get_extra_info("socket").fileno())


def _without_chunks(send: Send) -> Send:
    """Return a `send` that never uses chunked coding, which HTTP/1.0 does not have.

    A body of unknown length then ends with the connection (RFC 9112 section 6.1). h11 does so by itself. With httptools
    uvicorn 0.54 uses chunks unless it knows the length, so here its expected length is set before each part.
    """
    cycle: Any = getattr(send, "__self__", None)  # the cycle of this request; the protocol has the newest one
    if not hasattr(cycle, "chunked_encoding"):
        return send
    unknown_length = False

    async def send_until_close(message: Message) -> None:
        nonlocal unknown_length
        if message["type"] == "http.response.start":
            unknown_length = _has_unknown_length(message)
            cycle.chunked_encoding = False if unknown_length else None
        elif unknown_length:
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    return send_until_close


def _has_unknown_length(start: Message) -> bool:
    return all(name.lower() != b"content-length" for name, _ in start.get("headers", ()))


if sys.platform == "linux":
    import fcntl
    import termios

    def _unsent_by_kernel(descriptor: int) -> int:
        """Return how many bytes the client's kernel has not acknowledged (tcp(7), SIOCOUTQ)."""
        (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
        return int(count)

else:

    def _unsent_by_kernel(descriptor: int) -> int:
        """Return 0: this system does not report it."""
        return 0
