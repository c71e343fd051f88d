"""Bound how long and how much uvicorn waits for a request: its own protocols wait and buffer without limit.

`RequestLimits` is mixed in before one of uvicorn's protocols, and looks at each piece of data after it was parsed:

- The head of a request must be complete within the header timeout. It counts from the start of the connection or from
  the first byte of the head, and restarts while an earlier response is still being sent.
- No more is buffered than a head may have.
- The rest of a body that the application no longer reads must arrive within the body timeout. While the application
  reads a body, it applies the timeout itself (`asgi_app.http.requests`), under every server.

`asgi_app.cli.pipelining` bounds the requests that wait for the response to an earlier one.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import uvicorn

from asgi_app.cli.peers import plain_address
from asgi_app.errors import HeadersTooLarge, MalformedRequest, RequestError, RequestTimeout, UriTooLong
from asgi_app.http.headers import MOST_HEADERS
from asgi_app.http.responses import problem_without_request
from asgi_app.settings import Settings

REQUEST_LINE_BYTES = 256
"""Allowance for the method, the version and the blanks of a request line."""

logger = logging.getLogger("asgi_app.access")


class BoundedConfig(uvicorn.Config):
    """uvicorn's configuration with the request limits, so that the protocols find them, in worker processes too."""

    def __init__(self, settings: Settings, *args: Any, **kwargs: Any) -> None:
        self.header_timeout = settings.header_timeout
        self.body_timeout = settings.body_timeout
        self.send_timeout = settings.send_timeout
        self.max_url_bytes = settings.max_url_bytes
        self.max_header_bytes = settings.max_header_bytes
        self.max_head_bytes = settings.max_url_bytes + settings.max_header_bytes + REQUEST_LINE_BYTES
        super().__init__(*args, **kwargs)
        self.timeout_keep_alive = settings.keep_alive  # type: ignore[assignment]  # may be a fraction

    def configure_logging(self) -> None:
        """Configure logging as uvicorn does, in each process, and skip details that no formatter here prints.

        See "Optimization" in the documentation of Python's logging.
        """
        super().configure_logging()
        logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
        if sys.version_info >= (3, 12):
            logging.logAsyncioTasks = False


class RequestLimits(asyncio.Protocol):
    """The limits that both parsers share. A subclass for each parser knows the position within a request."""

    config: Any
    client: tuple[str, int] | None
    loop: asyncio.AbstractEventLoop
    transport: Any
    cycle: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._refusal: RequestError | None = None
        if not isinstance(self.config, BoundedConfig):
            raise TypeError("this protocol needs a BoundedConfig")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.client is not None:
            host, port = self.client
            self.client = plain_address(host), port
        self._start_timer(self.config.header_timeout, self._on_head_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        super().data_received(data)
        if self.transport.is_closing():
            return
        excess = self._excess()
        if excess is not None:
            self._refuse(excess)
        elif self._expects_head():
            if self._timer is None:
                self._start_timer(self.config.header_timeout, self._on_head_timeout)
        elif self._is_answering() or not self._is_within_body():
            self._stop_timer()

    def on_response_complete(self) -> None:
        parent: Any = super()
        parent.on_response_complete()
        if self.transport.is_closing():
            return
        if self._refusal is not None:
            if not self._is_answering():
                self._send_problem(self._refusal)
        elif self._is_within_body() and not self._is_answering():  # the response came before the end of the body
            self._start_timer(self.config.body_timeout, self.transport.close)
        elif self._head_has_begun():  # the next request could not be served before, so its time starts now
            self._start_timer(self.config.header_timeout, self._on_head_timeout)

    def send_400_response(self, _message: str) -> None:
        """Send a problem document instead of uvicorn's plain text if the parser refuses a request."""
        self._refuse(self._fault() or MalformedRequest())

    def _should_upgrade(self) -> bool:
        """Return False: the service has no other protocol, so it ignores `Upgrade` (RFC 9110 section 7.8)."""
        return False

    def _on_head_timeout(self) -> None:
        self._timer = None
        if self._is_answering():  # the head of the next request may wait for this response
            self._start_timer(self.config.header_timeout, self._on_head_timeout)
        elif self._head_has_begun():
            self._refuse(RequestTimeout("The head of this request did not arrive in the time it may take."))
        else:
            self.transport.close()

    def _refuse(self, error: RequestError) -> None:
        """Send `error` in response to an incomplete request, after the responses to earlier ones, and close.

        No request gets two responses. If its body is broken and its response is complete, the connection is closed; if
        the response has begun, the connection is aborted.
        """
        self._stop_timer()
        if self._is_within_body() and not self._withdraw_queued():
            self._refuse_body(error)
        elif self._is_answering():
            self._refusal = error
        else:
            self._send_problem(error)

    def _refuse_body(self, error: RequestError) -> None:
        if self.cycle.response_complete:
            self.transport.close()
        elif self.cycle.response_started:
            self.transport.abort()
        else:
            self.cycle.disconnected = True  # uvicorn then discards the application's response
            self.cycle.message_event.set()
            self._send_problem(error)

    def _send_problem(self, error: RequestError) -> None:
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

    def _size_error(self, url_bytes: int, head_bytes: int) -> RequestError | None:
        if url_bytes > self.config.max_url_bytes:
            return UriTooLong(self.config.max_url_bytes)
        if head_bytes > self.config.max_head_bytes:
            return HeadersTooLarge(self.config.max_header_bytes, MOST_HEADERS)
        return None

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_timer(self, seconds: float, callback: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, callback)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expects_head(self) -> bool:
        """Return whether the data so far ends within a head, or between two requests."""
        raise NotImplementedError

    def _head_has_begun(self) -> bool:
        """Return whether a part of a head has arrived."""
        raise NotImplementedError

    def _is_within_body(self) -> bool:
        """Return whether a head is complete and its body is not."""
        raise NotImplementedError

    def _excess(self) -> RequestError | None:
        """Return the error if the incomplete data is larger than allowed."""
        raise NotImplementedError

    def _fault(self) -> RequestError | None:
        """Return the precise reason why the parser refused the data, or None if it only was not valid HTTP."""
        raise NotImplementedError

    def _withdraw_queued(self) -> bool:
        """Remove the newest request if it waits for the response to another one. Return whether it did."""
        return False
