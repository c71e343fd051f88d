"""How long and how much uvicorn waits for a request: its own protocols wait for ever, and buffer without end.

They are mixed in before one of uvicorn's protocols, and look at every piece of data after it has been parsed:

- the head of a request must be whole within the header timeout, counted from the connection or from its first byte;
- no more is buffered than a head may have;
- of requests that come before the ones ahead are answered, few are parsed and the rest is not read;
- what is left of a body that nobody wants any more must come within the body timeout. While somebody wants it, the
  application bounds it (`asgi_app.requests`), under every server.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl

from asgi_app.errors import HeadersTooLarge, MalformedRequest, RequestError, RequestTimeout, UriTooLong
from asgi_app.limits import MOST_HEADERS
from asgi_app.responses import problem_without_request
from asgi_app.settings import Settings

REQUEST_LINE = 256
"""Bytes for what of a head is neither URL nor header field."""

PIECE = 8192
"""Bytes that are parsed at once: some hundred requests at most."""

logger = logging.getLogger("asgi_app.access")


class BoundedConfig(uvicorn.Config):
    """uvicorn's configuration, which carries the bounds to where connections are made, in workers too."""

    def __init__(self, settings: Settings, *args: Any, **kwargs: Any) -> None:
        self.header_timeout = settings.header_timeout
        self.body_timeout = settings.body_timeout
        self.send_timeout = settings.send_timeout
        self.max_url_bytes = settings.max_url_bytes
        self.max_header_bytes = settings.max_header_bytes
        self.max_head_bytes = settings.max_url_bytes + settings.max_header_bytes + REQUEST_LINE
        super().__init__(*args, **kwargs)
        self.h11_max_incomplete_event_size = self.max_head_bytes

    def configure_logging(self) -> None:
        """As uvicorn does, in each process; records do without what no line here tells (logging's "Optimization")."""
        super().configure_logging()
        logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
        if sys.version_info >= (3, 12):
            logging.logAsyncioTasks = False


class Patience(asyncio.Protocol):
    """What both parsers have in common; each tells where in a request it stands."""

    config: Any
    loop: asyncio.AbstractEventLoop
    transport: Any
    cycle: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        if not isinstance(self.config, BoundedConfig):
            raise TypeError("this protocol needs a BoundedConfig")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._start(self.config.header_timeout, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        excess = self._excess()
        if excess is not None:
            self._refuse(excess)
        elif self._waits_for_head():
            if self._timer is None:
                self._start(self.config.header_timeout, self._head_is_late)
        elif not self._body_is_unwanted():
            self._stop()

    def on_response_complete(self) -> None:
        parent: Any = super()
        parent.on_response_complete()
        if self.transport.is_closing():
            return
        if self._body_is_unwanted():
            self._start(self.config.body_timeout, self.transport.close)
        elif self._head_has_begun():  # its time counts from when it could have been served
            self._start(self.config.header_timeout, self._head_is_late)

    def send_400_response(self, _message: str) -> None:
        """In place of uvicorn's plain text for what its parser does not take."""
        self._refuse(self._excess() or MalformedRequest())

    def _head_is_late(self) -> None:
        self._timer = None
        if self._is_answering():  # the head of the next request may wait for the answer to this one
            self._start(self.config.header_timeout, self._head_is_late)
        elif self._head_has_begun():
            self._refuse(RequestTimeout("The head of this request did not arrive in the time it may take."))
        else:
            self.transport.close()

    def _refuse(self, error: RequestError) -> None:
        """Answer what never became a request, and close; an answer that is under way is cut, as it cannot be mended."""
        self._stop()
        if self._is_answering():
            self.transport.abort()
            return
        request_id = uuid.uuid4().hex
        body = problem_without_request(error, request_id)
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
            "content-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\n"
            "cache-control: no-store\r\n"
            f"x-request-id: {request_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
        logger.info("- - %d %s [request %s]", error.status, error.code, request_id)

    def _too_long(self, url: int, head: int) -> RequestError | None:
        if url > self.config.max_url_bytes:
            return UriTooLong(self.config.max_url_bytes)
        if head > self.config.max_head_bytes:
            return HeadersTooLarge(self.config.max_header_bytes, MOST_HEADERS)
        return None

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _body_is_unwanted(self) -> bool:
        return self._is_within_body() and not self._is_answering()

    def _start(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop()
        self._timer = self.loop.call_later(seconds, then)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _waits_for_head(self) -> bool:
        """Whether what came last asks for a head, or is no request at all."""
        raise NotImplementedError

    def _head_has_begun(self) -> bool:
        raise NotImplementedError

    def _is_within_body(self) -> bool:
        raise NotImplementedError

    def _excess(self) -> RequestError | None:
        """What is too long about what came so far and is not whole."""
        raise NotImplementedError


class HoldableFlow(FlowControl):
    """uvicorn's, which does not read on while data is held."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()

    def hold(self, held: bool) -> None:
        """Whether there is data that must be parsed before more is read."""
        if held:
            self.held = True
            self.pause_reading()
        elif self.held:
            self.held = False
            self.resume_reading()


class HttpToolsPatience(Patience):
    """httptools reports what is complete; until then it buffers, and so the bytes are counted here.

    It parses all that is there, and uvicorn makes a cycle of each request, which takes more memory than the request,
    and reads on after each answer: a client that sends and does not take would fill the memory. So data is parsed in
    pieces, and not while a request waits for the answer to the one before.
    """

    url: bytes
    headers: list[tuple[bytes, bytes]]
    pipeline: Any
    flow: HoldableFlow

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._in_head = False
        self._in_message = False
        self._unreported = 0
        self._unparsed = b""
        self._answered: Any = None  # the cycle whose turn it is; uvicorn's `cycle` is the newest
        super().__init__(*args, **kwargs)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.flow = HoldableFlow(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed = b""
        if self._answered is not None:  # uvicorn tells the newest alone, and this one would go on to write
            self._answered.disconnected = not self._answered.response_complete
            self._answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._unparsed or self.pipeline or len(data) > PIECE:
            self._unparsed += data
            self._parse_on()
        else:
            self._parse(data)

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._answered, _ = self.pipeline[-1]
        super().on_response_complete()
        if self._unparsed:
            self._parse_on()

    def _parse(self, data: bytes) -> None:
        self._unreported += len(data)
        super().data_received(data)

    def _parse_on(self) -> None:
        while self._unparsed and not self.pipeline and not self.transport.is_closing():
            piece, self._unparsed = self._unparsed[:PIECE], self._unparsed[PIECE:]
            self._parse(piece)
        self.flow.hold(bool(self._unparsed))

    def on_message_begin(self) -> None:
        self._in_head = self._in_message = True
        parent: Any = super()
        parent.on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._unreported = 0
        parent: Any = super()
        parent.on_headers_complete()
        if not self.pipeline:
            self._answered = self.cycle
        self.headers = self.headers.copy()  # for trailers: they are no header fields (RFC 9110 section 6.5.1)

    def on_body(self, body: bytes) -> None:
        self._unreported = 0
        parent: Any = super()
        parent.on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        self._unreported = 0
        parent: Any = super()
        parent.on_message_complete()

    def _waits_for_head(self) -> bool:
        return self._in_head or not (self._in_message or self._is_answering())

    def _head_has_begun(self) -> bool:
        return self._in_head

    def _is_within_body(self) -> bool:
        return self._in_message and not self._in_head

    def _excess(self) -> RequestError | None:
        # Endless extensions of a chunk, and trailers, are buffered as fields are.
        return self._too_long(len(self.url) if self._in_head else 0, self._unreported)


class H11Patience(Patience):
    """h11 keeps what is not complete in its buffer, and refuses itself what would not fit."""

    conn: h11.Connection

    def _waits_for_head(self) -> bool:
        return self.conn.their_state is h11.IDLE

    def _head_has_begun(self) -> bool:
        return self._waits_for_head() and bool(self.conn.trailing_data[0])

    def _is_within_body(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY

    def _excess(self) -> RequestError | None:
        if self.conn.their_state not in (h11.IDLE, h11.ERROR):
            return None
        buffered, _ = self.conn.trailing_data
        first_line, _, _ = buffered[: self.config.max_head_bytes + 1].partition(b"\r\n")
        return self._too_long(len(first_line) - REQUEST_LINE, len(buffered))
