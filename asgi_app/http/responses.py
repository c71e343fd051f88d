"""Values and errors → responses."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from asgi_app.errors import FieldError, InternalError, MethodNotAllowed, NotFound, Overloaded, ServiceError
from asgi_app.http.context import context_of, metrics_of
from asgi_app.http.paths import encoded_path
from asgi_app.http.response_headers import header_text, raw_headers
from asgi_app.telemetry.metrics import SHED
from asgi_app.telemetry.request_record import log_fields, note_failure

logger = logging.getLogger("asgi_app.errors")

PROBLEM_TYPE = "application/problem+json"

_encoder = msgspec.json.Encoder()


class HeadersOnly:
    """Answers HEAD where the body's length is known only to who reads the rows: no row is read."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


class Problem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """RFC 9457 problem details, with this service's extension members after the standard ones."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    code: str
    request_id: str
    errors: tuple[FieldError, ...] = ()
    outcome: str | None = None


class JsonResponse:
    """A response whose body is JSON already: what Starlette's Response is, without a way to change it."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, body: bytes, status: int, headers: Mapping[str, str] | None) -> None:
        self._body = body
        self._status = status
        self._headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),
        ]
        if headers:
            self._headers += raw_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> JsonResponse:
    """`value` encoded by msgspec, or taken as it is where it is bytes of JSON already. Never to be cached."""
    return JsonResponse(value if isinstance(value, bytes) else _encoder.encode(value), status, headers)


def problem_without_request(error: ServiceError, request_id: str) -> bytes:
    """The body of a problem about what never became a request: there is no path to name."""
    return _encoder.encode(_problem(error, "", request_id))


def problem_body(error: ServiceError, scope: Scope) -> Problem:
    """The problem a client sees: of the error only what its class and its author wrote for clients."""
    context = context_of(scope)
    return _problem(error, encoded_path(scope), context.request_id if context else "")


def _problem(error: ServiceError, instance: str, request_id: str) -> Problem:
    return Problem(
        type=f"urn:problem-type:asgi-cassandra:{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance=instance,
        code=error.code,
        request_id=request_id,
        errors=error.errors,
        outcome=error.outcome,
    )


def problem_json(error: ServiceError, scope: Scope) -> bytes:
    """The problem as the body of a response."""
    return _encoder.encode(problem_body(error, scope))


def problem_response(error: ServiceError, scope: Scope) -> Response:
    """The error as a response; a refusal is counted, for every one of them comes through here."""
    if isinstance(error, SHED) and (metrics := metrics_of(scope)) is not None:
        metrics.request_shed(error.code)
    headers = {"Cache-Control": "no-store", **{name: header_text(value) for name, value in error.headers().items()}}
    if error.closes_connection and scope["http_version"].startswith("1"):  # HTTP/2 has no such field
        headers["Connection"] = "close"
    return Response(problem_json(error, scope), error.status, headers, media_type=PROBLEM_TYPE)


async def answer_service_error(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for ServiceError."""
    return failure_response(cast(ServiceError, error), request.scope)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for HTTPException."""
    return failure_response(cast(HTTPException, error), request.scope)


def failure_response(error: ServiceError | HTTPException, scope: Scope) -> Response:
    """What a handler raised as a response; logged where it is not the client's fault.

    An HTTPException is what Starlette raises where no route matches, or one that has not this method.
    """
    if isinstance(error, HTTPException):
        return problem_response(_of_framework(error), scope)
    if error.status >= 500:
        log_failure(error, scope)
    return problem_response(error, scope)


def _of_framework(error: HTTPException) -> ServiceError:
    if error.status_code == 404:
        return NotFound()
    if error.status_code == 405:  # of a route that somebody added
        return MethodNotAllowed(tuple((error.headers or {}).get("Allow", "").split(", ")))
    return InternalError()


def log_failure(error: BaseException, scope: Scope) -> None:
    """Tell the operator what the client is not told: the cause, whose text is the driver's, with the request's id.

    A bug comes with its traceback. An overload is counted and not logged: each line would make it worse.
    """
    note_failure(error)
    if isinstance(error, Overloaded):
        return
    ids, path = log_fields(), encoded_path(scope)
    is_bug = isinstance(error, InternalError) or not isinstance(error, ServiceError)
    logger.log(
        logging.ERROR if is_bug else logging.WARNING,
        "%s %s failed: %r%s [request %s]",
        scope["method"],
        path,
        error,
        f" because of {error.__cause__!r}" if error.__cause__ else "",
        ids.get("request_id", "-"),
        exc_info=error if is_bug else None,
        extra={
            **ids,
            "method": scope["method"],
            "path": path,
            "error": error.code if isinstance(error, ServiceError) else InternalError.code,
        },
    )
