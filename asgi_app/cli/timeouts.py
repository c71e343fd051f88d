"""How long and how much uvicorn waits for a request: its own protocols wait for ever, and buffer without end.

They are mixed in before one of uvicorn's protocols, and look at every piece of data after it has been parsed:

- the head of a request must be whole within the header timeout, counted from the connection or from its first byte;
- no more is buffered than a head may have;
- of requests that come before the ones ahead are answered, few are parsed and the rest is not read;
- what is left of a body that nobody wants any more must come within the body timeout. While somebody wants it, the
  application bounds it (`asgi_app.http.requests`), under every server.
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

REQUEST_LINE = 256
"""Bytes for what of a head is neither URL nor header field."""

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
        self.timeout_keep_alive = settings.keep_alive  # type: ignore[assignment]  # it may be a fraction

    def configure_logging(self) -> None:
        """As uvicorn does, in each process; records do without what no line here tells (logging's "Optimization")."""
        super().configure_logging()
        logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
        if sys.version_info >= (3, 12):
            logging.logAsyncioTasks = False


class Patience(asyncio.Protocol):
    """What both parsers have in common; each tells where in a request it stands."""

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
        self._start(self.config.header_timeout, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
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
        if self._refusal is not None:
            if not self._is_answering():
                self._answer(self._refusal)
        elif self._body_is_unwanted():
            self._start(self.config.body_timeout, self.transport.close)
        elif self._head_has_begun():  # its time counts from when it could have been served
            self._start(self.config.header_timeout, self._head_is_late)

    def send_400_response(self, _message: str) -> None:
        """In place of uvicorn's plain text for what its parser does not take."""
        self._refuse(self._fault() or MalformedRequest())

    def _should_upgrade(self) -> bool:
        """Return False: the service has no other protocol, so it ignores `Upgrade` (RFC 9110 section 7.8)."""
        return False

    def _head_is_late(self) -> None:
        self._timer = None
        if self._is_answering():  # the head of the next request may wait for the answer to this one
            self._start(self.config.header_timeout, self._head_is_late)
        elif self._head_has_begun():
            self._refuse(RequestTimeout("The head of this request did not arrive in the time it may take."))
        else:
            self.transport.close()

    def _refuse(self, error: RequestError) -> None:
        """Answer what never became a request, or not a whole one, and close.

        No request gets two answers: where the body of one is broken that has its answer already, the connection is
        closed, and an answer that has begun is cut. Requests that came before are answered first.
        """
        self._stop()
        if self._is_within_body() and not self._withdraw_queued():
            self._refuse_body(error)
        elif self._is_answering():
            self._refusal = error
        else:
            self._answer(error)

    def _refuse_body(self, error: RequestError) -> None:
        if self.cycle.response_complete:
            self.transport.close()
        elif self.cycle.response_started:
            self.transport.abort()
        else:
            self.cycle.disconnected = True  # so that the application's answer is not sent as well
            self.cycle.message_event.set()
            self._answer(error)

    def _answer(self, error: RequestError) -> None:
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

    def _fault(self) -> RequestError | None:
        """Return what is wrong with what the parser refused, where more is known than that it is no HTTP."""
        raise NotImplementedError

    def _withdraw_queued(self) -> bool:
        """Drop the newest request if it waits for its turn. Return whether it did."""
        return False
