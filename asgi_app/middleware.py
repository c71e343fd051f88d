"""What happens around every request: its id, its deadline, its log line, and the last resort for a bug."""

from __future__ import annotations

import logging
import random
import re
import time
from contextlib import suppress
from urllib.parse import quote

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_app.deadline import Deadline
from asgi_app.errors import FieldError, InternalError, InvalidHeader, LifespanNotStarted, ServiceError
from asgi_app.limits import check_head
from asgi_app.response_headers import RawHeaders
from asgi_app.responses import log_failure, problem_response
from asgi_app.state import RequestContext, encoded_path, principal_of, service_of, set_context
from asgi_app.stream import StreamAborted

REQUEST_ID = b"x-request-id"

access_logger = logging.getLogger("asgi_app.access")

_NO_TIME = Deadline(0.0)

_sane_id = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
_seconds = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?", re.ASCII)


class RequestContextMiddleware:
    """Pure ASGI, so that it buffers nothing and streams keep their back-pressure."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._random = random.Random()  # noqa: S311 - an id must be unique, not secret; the system's source costs a call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request with its context set; a bug is logged, and answered 500 unless the answer has begun."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        response = _Response(send, scope["method"] == "HEAD")
        began = time.perf_counter()
        request_id = self._request_id(scope)
        response.request_id = request_id
        try:
            await self._serve(scope, receive, response, request_id)
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
            _count(scope, response)
            _log_access(scope, response, time.perf_counter() - began)

    def _request_id(self, scope: Scope) -> str:
        sent = _header_values(scope, REQUEST_ID)
        if len(sent) == 1 and _sane_id.fullmatch(sent[0]):
            return sent[0]
        return f"{self._random.getrandbits(128):032x}"

    async def _serve(self, scope: Scope, receive: Receive, response: _Response, request_id: str) -> None:
        set_context(scope, RequestContext(request_id, _NO_TIME))  # until more is known, for the problem that may say so
        try:
            service = service_of(scope)
            settings = service.settings
            response.headers = service.response_headers
            check_head(scope, settings)
            seconds = _chosen_timeout(scope, settings.max_request_timeout) or settings.request_timeout
            set_context(scope, RequestContext(request_id, Deadline.after(seconds)))
        except ServiceError as error:
            await problem_response(error, scope)(scope, receive, response.send)
            return
        await self.app(scope, receive, response.send)


class _Response:
    """Watches a response go by: adds the request's id, keeps its status, drops the body where HEAD asked for none."""

    def __init__(self, send: Send, head: bool) -> None:
        self._send = send
        self._head = head
        self.request_id = ""
        self.headers: RawHeaders = ()
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            others = [header for header in message["headers"] if header[0] != REQUEST_ID]
            message = {**message, "headers": [*others, *self.headers, (REQUEST_ID, self.request_id.encode())]}
        elif self._head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


def _chosen_timeout(scope: Scope, longest: float) -> float | None:
    """The seconds of X-Request-Timeout, None without one. Raises InvalidHeader where they are out of bounds."""
    sent = _header_values(scope, b"x-request-timeout")
    if not sent:
        return None
    if len(sent) == 1 and _seconds.fullmatch(sent[0]) and 0 < float(sent[0]) <= longest:
        return float(sent[0])
    message = f"must be a number of seconds above 0 and at most {longest:g}"
    raise InvalidHeader(f"X-Request-Timeout {message}.", errors=(FieldError("header.X-Request-Timeout", message),))


def _header_values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for sent, value in scope["headers"] if sent == name]


def _count(scope: Scope, response: _Response) -> None:
    with suppress(LifespanNotStarted):  # nothing is counted then
        route = getattr(scope.get("route"), "path", "unmatched")
        service_of(scope).database.metrics.request_ended(route, scope["method"], response.status or 0)


def _log_access(scope: Scope, response: _Response, seconds: float) -> None:
    if not access_logger.isEnabledFor(logging.INFO):
        return
    access_logger.info(
        "%s %s %s %.1fms%s [request %s]",
        scope["method"],
        encoded_path(scope),
        response.status if response.status is not None else "disconnected",
        seconds * 1000,
        _by(scope),
        response.request_id,
    )


def _by(scope: Scope) -> str:
    """Who asked. A name may come from a token that somebody else wrote: no control character of it reaches the log."""
    principal = principal_of(scope)
    return f" by {quote(principal.name[:100], safe='@:/+=.|', errors='replace')}" if principal else ""
