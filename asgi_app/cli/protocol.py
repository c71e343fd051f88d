"""uvicorn's HTTP protocol, which waits for ever neither for a request nor for who takes its answer."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_app.http.extensions import ABORT, UNSENT, StreamAborted

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as HTTPProtocol

    from asgi_app.cli.with_h11 import H11Patience as Patience
else:
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HTTPProtocol

        from asgi_app.cli.with_httptools import HttpToolsPatience as Patience
    except ImportError:  # without the extra `server`
        from uvicorn.protocols.http.h11_impl import H11Protocol as HTTPProtocol

        from asgi_app.cli.with_h11 import H11Patience as Patience


class AbortableProtocol(Patience, HTTPProtocol):
    """Offers `ABORT` and `UNSENT` among the extensions of every scope.

    When an application fails, uvicorn closes the connection, and closing waits until the client has taken what was
    written. A client that takes nothing keeps its socket and its buffers so for ever; also where the whole answer fits
    into them, and the application was done long ago. So the last of an answer is watched until it is taken.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = self._offering_abort(self.app)
        self._delivery: asyncio.TimerHandle | None = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_delivery()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end_watch()

    def _watch_delivery(self) -> None:
        self._end_watch()
        if self.transport.get_write_buffer_size():
            self._delivery = self.loop.call_later(self.config.send_timeout, self._drop_unless_taken, self._untaken())

    def _drop_unless_taken(self, before: int) -> None:
        if self._untaken() < before:
            self._watch_delivery()
        else:
            self.abort()

    def _end_watch(self) -> None:
        if self._delivery is not None:
            self._delivery.cancel()
            self._delivery = None

    def _offering_abort(self, app: ASGIApp) -> ASGIApp:
        async def offering(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {}).update({ABORT: self.abort, UNSENT: self.unsent})
            if scope["type"] == "http" and scope["http_version"] == "1.0":
                send = _without_chunks(send)
            try:
                await app(scope, receive, send)
            except StreamAborted:
                self._watch_delivery()  # uvicorn closes the connection, which waits for the same client
                raise

        return offering

    def abort(self) -> None:
        """Drop the connection now, with what is buffered for it here and in the kernel."""
        if self.transport is not None:
            linger = struct.pack("ii", 1, 0)  # on, no time: the kernel drops its buffer too and resets
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()

    def unsent(self) -> int:
        """How many bytes are buffered for the client, here and, where it tells, in the kernel."""
        if self.transport is None or self.transport.is_closing():
            return 0
        return self._untaken()

    def _untaken(self) -> int:
        """The same of a connection that is there, though it may be closing."""
        buffered: int = self.transport.get_write_buffer_size()
        return buffered + _unsent_by_kernel(self.transport.get_extra_info("socket").fileno())


def _without_chunks(send: Send) -> Send:
    """HTTP/1.0 knows no chunks: a body of unknown length ends with the connection (RFC 9112 section 6.1).

    h11 does so by itself. With httptools uvicorn 0.54 sends chunks to everybody, unless the length is known to it:
    so here it always expects just what comes next.
    """
    cycle: Any = getattr(send, "__self__", None)  # the protocol has that of the newest request
    if not hasattr(cycle, "chunked_encoding"):
        return send
    unknown = False

    async def send_until_close(message: Message) -> None:
        nonlocal unknown
        if message["type"] == "http.response.start":
            unknown = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
            cycle.chunked_encoding = False if unknown else None
        elif unknown:
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    return send_until_close


if sys.platform == "linux":
    import fcntl
    import termios

    def _unsent_by_kernel(descriptor: int) -> int:
        """What the other side has not acknowledged (tcp(7), SIOCOUTQ)."""
        (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
        return int(count)

else:

    def _unsent_by_kernel(descriptor: int) -> int:
        """Not known."""
        return 0
