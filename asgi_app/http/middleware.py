"""What happens around every request: its id, its deadline, its log line, and the last resort for a bug."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable
from urllib.parse import quote

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
from asgi_app.http.context import (
    RequestContext,
    Service,
    principal_of,
    service_if_started,
    service_of,
    set_context,
)
from asgi_app.http.extensions import ABORT, StreamAborted, break_off
from asgi_app.http.headers import REQUEST_ID, REQUEST_TIMEOUT, Head, check_head
from asgi_app.http.paths import encoded_path, path_below
from asgi_app.http.response_headers import RawHeaders, raw_headers
from asgi_app.http.responses import PROBLEM_TYPE, failure_response, log_failure, problem_json, problem_response
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.drain import Drain
from asgi_app.settings import Settings
from asgi_app.telemetry.request_record import (
    TRACEPARENT,
    RequestRecord,
    begin,
    end,
    milliseconds,
    parse_traceparent,
)

SERVED_TO_THE_END = frozenset({"/health", "/livez", "/metrics", "/readyz", "/shutdown"})
"""The paths that a service which accepts no other work still answers."""

UNMATCHED = "unmatched"
"""Stands for the route of a request that found none."""

access_logger = logging.getLogger("asgi_app.access")

_NO_TIME = Deadline(0.0)

_sane_id = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
_seconds = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?", re.ASCII)


class RequestContextMiddleware:
    """Pure ASGI, so that it buffers nothing and streams keep their back-pressure.

    It answers what handlers raise, so that nothing else has to stand between it and the router.
    """

    def __init__(self, app: ASGIApp, takes_a_call: Callable[[str], bool]) -> None:
        """`takes_a_call` tells of which paths requests need one of the `REQUESTS` lane.

        While the queue for these is full, such requests are refused here, before anything is read or decoded: under
        overload most requests are refused, so the price of a refusal decides what is left for those accepted.
        """
        self.app = app
        self._takes_a_call = takes_a_call
        self._random = random.Random()  # noqa: S311 - an id must be unique, not secret; the system's source costs a call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request with its context set; a bug is logged, and answered 500 unless the answer has begun.

        A response that has begun and cannot be completed is broken off, for every layer outside too, and what broke it
        is raised.
        """
        if scope["type"] != "http":
            scope.setdefault("state", {})  # Starlette's lifespan has one to fill, also where the server knows none
            await self.app(scope, receive, send)
            return
        response = _Response(send, scope["method"] == "HEAD", scope["http_version"])
        try:
            await self._observed(scope, receive, response)
        except Exception:
            # A server that offers ABORT calls this application itself, so raising is enough for it.
            if ABORT not in scope.get("extensions", {}):
                await response.break_off()
            raise

    async def _observed(self, scope: Scope, receive: Receive, response: _Response) -> None:
        head = Head(scope)
        service = service_if_started(scope)
        outer_route = scope.get("route")  # of the application in which this one is mounted
        request_id = self._request_id(head)
        note = RequestRecord(request_id, parse_traceparent(head.values(TRACEPARENT)))
        begun = begin(note)
        response.request_id = request_id
        span = None
        if service is not None:
            service.database.metrics.request_began()
            tracing = service.database.observer.tracing
            if tracing is not None:
                span = tracing.begin_request(scope, encoded_path(scope), parent_is_sound=note.trace is not None)
                note.trace = span.trace or note.trace
            if service.settings.server_timing:
                response.timed = note
        try:
            await self._serve(service, scope, receive, response, head)
        except ClientDisconnect:
            pass  # nobody is there to answer
        except StreamAborted:
            raise  # logged where it happened; the server cuts the connection
        except Exception as error:
            log_failure(error, scope)
            if response.status is not None:
                raise
            await problem_response(InternalError(), scope)(scope, receive, response.send)
        finally:
            seconds = time.perf_counter() - note.began
            route = scope.get("route")
            template: str | None = getattr(route, "path", None) if route is not outer_route else None
            if service is not None:
                metrics = service.database.metrics
                metrics.request_ended(template or UNMATCHED, scope["method"], response.status or 0, seconds)
            _log_access(scope, response, note, template, seconds)
            end(begun)
            # Its traceback has this frame, and the frame has the note: neither may keep it.
            failure, note.failure = note.failure, None
            if span is not None:
                span.end(template, response.status, failure)
            del failure

    def _would_be_refused(self, service: Service, scope: Scope) -> bool:
        if not service.database.dispatcher.slots.is_full:
            return False
        return self._takes_a_call(path_below(scope))

    def _request_id(self, head: Head) -> str:
        sent = head.values(REQUEST_ID)
        if len(sent) == 1 and _sane_id.fullmatch(sent[0]):
            return sent[0]
        return f"{self._random.getrandbits(128):032x}"

    async def _serve(
        self, service: Service | None, scope: Scope, receive: Receive, response: _Response, head: Head
    ) -> None:
        try:
            service = service or service_of(scope)  # raises why there is none
            response.drain = service.drain
            response.headers = service.response_headers
            if service.drain.refusing and path_below(scope) not in SERVED_TO_THE_END:
                raise ShuttingDown
            if self._would_be_refused(service, scope):
                set_context(scope, RequestContext(response.request_id, _NO_TIME))
                await _refuse(service, scope, response)
                return
            check_head(head, scope, service.settings)
            deadline = Deadline.after(_seconds_of(head, service.settings))
        except ServiceError as error:
            set_context(scope, RequestContext(response.request_id, _NO_TIME))
            if isinstance(error, OpenedBeforeFork | WrongEventLoop):
                log_failure(error, scope)
            await problem_response(error, scope)(scope, receive, response.send)
            return
        set_context(scope, RequestContext(response.request_id, deadline))
        work = service.drain.begin_work()
        try:
            with work:
                await self.app(scope, receive, response.send)
            if work.interrupted:
                await _answer_cut(scope, receive, response)
        except (ServiceError, HTTPException) as error:
            if response.status is not None:
                raise
            await failure_response(error, scope)(scope, receive, response.send)
        finally:
            service.drain.end_work(work)


class _Response:
    """Watches a response go by: adds the request's id, keeps its status, drops the body where HEAD asked for none.

    While the service drains it asks for the end of the connection too, so that the client's next one is to another.
    With `timed` it tells how long the request has taken until then, and what for.
    """

    def __init__(self, send: Send, head: bool, http_version: str) -> None:
        self._send = send
        self._head = head
        self.request_id = ""
        self.headers: RawHeaders = ()
        self.status: int | None = None
        self._start: Message | None = None
        self._complete = False
        self.drain: Drain | None = None
        self.timed: RequestRecord | None = None
        self._knows_close = http_version.startswith("1")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [header for header in message["headers"] if header[0] != REQUEST_ID]
            headers += self.headers
            headers.append((REQUEST_ID, self.request_id.encode()))
            if self.timed is not None:
                headers.append((b"server-timing", self.timed.server_timing()))
            if self._knows_close and self.drain is not None and self.drain.draining:
                headers.append((b"connection", b"close"))
            message = self._start = {**message, "headers": headers}
        elif self._head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)
        # Not before: who waits for the client may give up, and the end has not gone out then.
        self._complete = message["type"] == "http.response.body" and not message.get("more_body", False)

    async def break_off(self) -> None:
        """Keep the layers outside from ending the response, where it has begun and was not completed."""
        if self._start is not None and not self._complete:
            await break_off(self._start, self._send)


async def _answer_cut(scope: Scope, receive: Receive, response: _Response) -> None:
    """What is left to say to a request that the end of the grace period interrupted."""
    error = ShuttingDown("The service stopped before this request was done.")
    if response.status is not None:
        log_failure(error, scope)
        raise StreamAborted from error
    if scope["method"] not in ("GET", "HEAD"):
        error.outcome = "unknown"
    await problem_response(error, scope)(scope, receive, response.send)


async def _refuse(service: Service, scope: Scope, response: _Response) -> None:
    """Answer QueueFull as the exception would be answered, at half the price: no body read, no route, no traceback."""
    error = QueueFull()
    service.database.metrics.request_shed(error.code)
    body = problem_json(error, scope)
    headers = [
        (b"content-length", b"%d" % len(body)),
        (b"content-type", PROBLEM_TYPE.encode()),
        (b"cache-control", b"no-store"),
        *raw_headers(error.headers()),
    ]
    await response.send({"type": "http.response.start", "status": error.status, "headers": headers})
    await response.send({"type": "http.response.body", "body": body})


def _seconds_of(head: Head, settings: Settings) -> float:
    """What X-Request-Timeout says, or the default. Raises InvalidHeader where it is out of bounds."""
    sent = head.values(REQUEST_TIMEOUT)
    if not sent:
        return settings.request_timeout
    longest = settings.max_request_timeout
    if len(sent) == 1 and _seconds.fullmatch(sent[0]) and 0 < float(sent[0]) <= longest:
        return float(sent[0])
    message = f"must be a number of seconds above 0 and at most {longest:g}"
    raise InvalidHeader(f"X-Request-Timeout {message}.", errors=(FieldError("header.X-Request-Timeout", message),))


def _log_access(scope: Scope, response: _Response, note: RequestRecord, template: str | None, seconds: float) -> None:
    if not access_logger.isEnabledFor(logging.INFO):
        return
    path = encoded_path(scope)
    principal = _principal(scope)
    status = response.status if response.status is not None else "disconnected"
    by = f" by {principal}" if principal is not None else ""
    told = (scope["method"], path, status, seconds * 1000, by, note.request_id)
    # Made by hand: to look for the caller and to check each field's name takes longer than the rest of it.
    record = access_logger.makeRecord(
        access_logger.name, logging.INFO, __file__, 0, "%s %s %s %.1fms%s [request %s]", told, None
    )
    fields = record.__dict__
    fields |= note.log_fields()
    fields["method"] = scope["method"]
    fields["route"] = template
    fields["path"] = path
    fields["status"] = response.status
    fields["duration_ms"] = milliseconds(seconds)
    fields["queue_ms"] = milliseconds(note.queued)
    fields["driver_ms"] = milliseconds(note.driven)
    fields["statements"] = note.statements
    if note.rows is not None:
        fields["rows"] = note.rows
        fields["bytes"] = note.bytes
    if principal is not None:
        fields["principal"] = principal
    if scope.get("client"):
        fields["client"] = scope["client"][0]
    access_logger.handle(record)


def _principal(scope: Scope) -> str | None:
    """Who asked. A name may come from a token that somebody else wrote: no control character of it reaches the log."""
    principal = principal_of(scope)
    return quote(principal.name[:100], safe="@:/+=.|", errors="replace") if principal else None
