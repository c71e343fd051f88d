"""The middleware around every request: its id, its deadline, refusals, CORS, and the response to a bug."""

from __future__ import annotations

import random
import re
import time

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_app.errors import (
    FieldError,
    InternalError,
    InvalidHeader,
    OpenedBeforeFork,
    QueueFull,
    ServiceError,
    ShuttingDown,
    WrongEventLoop,
)
from asgi_app.http.context import RequestContext, Service, service_if_started, service_of, set_context
from asgi_app.http.cors import is_preflight
from asgi_app.http.extensions import ABORT, StreamAborted, break_off
from asgi_app.http.headers import REQUEST_ID, REQUEST_TIMEOUT, Head, check_head
from asgi_app.http.observed import ObservedRequest
from asgi_app.http.responses import failure_response, log_failure, problem_response
from asgi_app.http.routing import SegmentRouter
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.scheduler import Lane
from asgi_app.settings import Settings
from asgi_app.telemetry.request_record import TRACEPARENT, parse_traceparent

_NO_TIME = Deadline(0.0)

_sane_id = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
_seconds = re.compile(r"[0-9]{1,6}(\.[0-9]{1,30})?", re.ASCII)  # Python writes 0.1 + 0.2 with 17 digits


class RequestContextMiddleware:
    """Serves each request within its context: refuses it, or runs its handler and answers the handler's errors.

    It is pure ASGI, so that it buffers nothing and streams keep their back-pressure. It is the only middleware of this
    application's own, because each layer costs every request a call.
    """

    def __init__(self, app: ASGIApp, router: SegmentRouter) -> None:
        """Put the middleware around `app`, which ends in `router`."""
        self.app = app
        self._router = router
        self._random = random.Random()  # noqa: S311 - an id must be unique, not secret; the system's source costs a call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. A bug is logged, and answered with 500 unless the response has begun.

        A response that has begun and cannot be completed is broken off, for every layer outside too, and the error that
        broke it is raised.
        """
        if scope["type"] != "http":
            scope.setdefault("state", {})  # Starlette's lifespan fills it, and some servers do not provide it
            await self.app(scope, receive, send)
            return
        service = service_if_started(scope)
        if service is not None and service.cors is not None and not is_preflight(scope):
            send = await service.cors.wrap(scope, receive, send)
        head = Head(scope)
        trace = parse_traceparent(head.values(TRACEPARENT)) if TRACEPARENT in head.found else None
        observed = ObservedRequest(scope, service, self._request_id(head), trace)
        response = _Response(send, scope, service, observed)
        try:
            with observed:
                try:
                    await self._serve(service, scope, receive, response, head)
                except ClientDisconnect:
                    pass  # there is no client to answer
                except StreamAborted:
                    raise  # it was logged where it was raised
                except Exception as error:
                    log_failure(error, scope)
                    if observed.status is not None:
                        raise
                    await problem_response(InternalError(), scope)(scope, receive, response.send)
        except Exception:
            if ABORT not in scope.get("extensions", {}):  # a server that offers it cuts the connection when this raises
                await response.break_off()
            raise

    async def _serve(
        self, service: Service | None, scope: Scope, receive: Receive, response: _Response, head: Head
    ) -> None:
        """Refuse the request, or run the application and answer the errors that it raises for clients."""
        try:
            service = service or service_of(scope)  # raises the reason why there is none
            self._admit(service, scope, head, response.observed.record.request_id)
        except ServiceError as error:
            await _refuse(error, scope, receive, response)
            return
        app = self.app
        work = service.drain.begin_work()
        try:
            if service.cors is not None and is_preflight(scope):
                app = service.cors.preflight_response(scope)
            with work:
                await app(scope, receive, response.send)
            if work.interrupted:
                await _answer_cut(scope, receive, response)
        except (ServiceError, HTTPException) as error:
            if response.observed.status is not None:
                raise
            await failure_response(error, scope)(scope, receive, response.send)
        finally:
            service.drain.end_work(work)

    def _admit(self, service: Service, scope: Scope, head: Head, request_id: str) -> None:
        """Set the request's context, or raise the reason to refuse it: ShuttingDown, QueueFull, or a fault of its head.

        A full queue is checked here, before anything is read or decoded: under overload most requests are refused, so
        the cost of a refusal limits how many others can be served.
        """
        if service.drain.refusing and not self._router.serves_while_draining(scope):
            raise ShuttingDown
        if service.database.dispatcher.slots.is_full and self._router.lane(scope) is Lane.REQUESTS:
            raise QueueFull
        settings = service.settings
        check_head(head, scope, settings)
        seconds = _timeout(head, settings) if REQUEST_TIMEOUT in head.found else settings.request_timeout
        set_context(scope, RequestContext(request_id, Deadline(time.monotonic() + seconds)))

    def _request_id(self, head: Head) -> str:
        if REQUEST_ID in head.found:
            sent = head.values(REQUEST_ID)
            if len(sent) == 1 and _sane_id.fullmatch(sent[0]):
                return sent[0]
        return self._random.getrandbits(128).to_bytes(16, "big").hex()


class _Response:
    """Passes a response on to the server: adds the header fields of every response, drops the body after HEAD.

    While the service drains, the response asks to close the connection, so that the client's next connection goes to
    another process. If the settings ask for it, Server-Timing says how long the request has taken so far.
    """

    def __init__(self, send: Send, scope: Scope, service: Service | None, observed: ObservedRequest) -> None:
        self.observed = observed
        self._send = send
        self._service = service
        self._head = scope["method"] == "HEAD"
        self._knows_close = scope["http_version"].startswith("1")
        self._start: Message | None = None
        self._complete = False

    async def send(self, message: Message) -> None:
        """Send a message of the response; as ASGI's `send`."""
        if message["type"] == "http.response.start":
            self.observed.status = message["status"]
            message = self._start = {**message, "headers": self._headers(message["headers"])}
        elif self._head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)
        # Set after the send: if the client reads nothing, the send may be cancelled, and then the end was not sent.
        self._complete = message["type"] == "http.response.body" and not message.get("more_body", False)

    async def break_off(self) -> None:
        """Keep the layers outside from ending the response, if it has begun and is incomplete."""
        if self._start is not None and not self._complete:
            await break_off(self._start, self._send)

    def _headers(self, sent: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return the response's header fields: those in `sent` except X-Request-ID, and those of every response."""
        headers = [*sent]
        for field in sent:
            if field[0] == REQUEST_ID:
                headers.remove(field)
        record, service = self.observed.record, self._service
        if service is not None:
            headers += service.response_headers
        headers.append((REQUEST_ID, record.request_id.encode()))
        if service is not None and service.settings.server_timing:
            headers.append((b"server-timing", record.server_timing()))
        if service is not None and self._knows_close and service.drain.draining:
            headers.append((b"connection", b"close"))
        return headers


async def _refuse(error: ServiceError, scope: Scope, receive: Receive, response: _Response) -> None:
    """Answer a request that is refused before its handler runs. Refusals are counted, not logged."""
    set_context(scope, RequestContext(response.observed.record.request_id, _NO_TIME))
    if isinstance(error, OpenedBeforeFork | WrongEventLoop):
        log_failure(error, scope)
    await problem_response(error, scope)(scope, receive, response.send)


async def _answer_cut(scope: Scope, receive: Receive, response: _Response) -> None:
    """Answer a request that was interrupted at the end of the grace period, or raise if the response has begun."""
    error = ShuttingDown("The service stopped before this request was done.")
    if response.observed.status is not None:
        log_failure(error, scope)
        raise StreamAborted from error
    if scope["method"] not in ("GET", "HEAD"):
        error.outcome = "unknown"
    await problem_response(error, scope)(scope, receive, response.send)


def _timeout(head: Head, settings: Settings) -> float:
    """Return the seconds of X-Request-Timeout. Raises InvalidHeader if they are out of bounds."""
    sent = head.values(REQUEST_TIMEOUT)
    longest = settings.max_request_timeout
    if len(sent) == 1 and _seconds.fullmatch(sent[0]) and 0 < float(sent[0]) <= longest:
        return float(sent[0])
    message = f"must be a number of seconds above 0 and at most {longest:g}"
    raise InvalidHeader(f"X-Request-Timeout {message}.", errors=(FieldError("header.X-Request-Timeout", message),))
