"""Responses: values as JSON, and errors as problem details (RFC 9457)."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http.client import responses
from typing import Any, cast

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from asgi_app.errors import (
    FieldError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PreconditionFailed,
    ServiceError,
)
from asgi_app.http.context import context_of, metrics_of
from asgi_app.http.headers import NO_STORE, RAW_NO_STORE, raw_headers
from asgi_app.http.paths import encoded_path
from asgi_app.telemetry.metrics import SHED
from asgi_app.telemetry.request_record import log_fields, note_failure

logger = logging.getLogger("asgi_app.errors")

JSON_TYPE = b"application/json"
PROBLEM_TYPE = b"application/problem+json"

_TYPES = "urn:problem-type:asgi-cassandra:"

_encoder = msgspec.json.Encoder()
_no_letters = re.compile(r"[^a-z0-9]+")


class JsonResponse(Response):
    """A response whose body is encoded JSON, never to be cached.

    It takes a third of the time of Starlette's, which renders the body, looks headers up and serves websockets too.
    """

    def __init__(
        self, body: bytes, status: int, headers: Mapping[str, str] | None, media_type: bytes = JSON_TYPE
    ) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", media_type),
            RAW_NO_STORE,
        ]
        if headers:
            self.raw_headers += raw_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


class HeadersOnly:
    """The response to HEAD if the length of the body is unknown before the rows are read: no row is read."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        headers = [(b"content-type", JSON_TYPE), RAW_NO_STORE]
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
    current: Mapping[str, Any] | None = None


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> JsonResponse:
    """Return a response with `value` as JSON; `bytes` are JSON already. It must not be cached."""
    return JsonResponse(value if isinstance(value, bytes) else _encoder.encode(value), status, headers)


def no_content() -> Response:
    """Return the response 204."""
    return Response(status_code=204, headers=NO_STORE)


def problem_without_request(error: ServiceError, request_id: str) -> bytes:
    """Return a problem document for bytes that are not an HTTP request. Its `instance` is empty: there is no path."""
    return _encoder.encode(_problem(error, "", request_id))


def problem_body(error: ServiceError, scope: Scope) -> Problem:
    """Return the problem that the client sees, made only of texts that were written for clients."""
    context = context_of(scope)
    return _problem(error, encoded_path(scope), context.request_id if context else "")


def problem_response(error: ServiceError, scope: Scope) -> JsonResponse:
    """Return the response of an error. Count it if it is a refusal: the response of every refusal is made here."""
    if isinstance(error, SHED) and (metrics := metrics_of(scope)) is not None:
        metrics.request_shed(error.code)
    headers = error.headers()
    if error.closes_connection and scope["http_version"].startswith("1"):  # HTTP/2 has no such field
        headers["Connection"] = "close"
    return JsonResponse(_encoder.encode(problem_body(error, scope)), error.status, headers, PROBLEM_TYPE)


async def answer_service_error(request: Request, error: Exception) -> Response:
    """Handle a ServiceError, as an exception handler of Starlette."""
    return failure_response(cast(ServiceError, error), request.scope)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Handle an HTTPException, as an exception handler of Starlette."""
    return failure_response(cast(HTTPException, error), request.scope)


def failure_response(error: ServiceError | HTTPException, scope: Scope) -> Response:
    """Return the response of an error that a handler raised, and log the error if its status is 500 or above."""
    if (error.status_code if isinstance(error, HTTPException) else error.status) >= 500:
        log_failure(error, scope)
    return _http_response(error, scope) if isinstance(error, HTTPException) else problem_response(error, scope)


def log_failure(error: BaseException, scope: Scope) -> None:
    """Log the details that the client does not get: the cause, with the driver's message, and the request's id.

    A bug is logged with its traceback. An overload is only counted: a log line for each would make it worse.
    """
    note_failure(error)
    if isinstance(error, Overloaded):
        return
    ids, path = log_fields(), encoded_path(scope)
    is_bug = isinstance(error, InternalError) or not isinstance(error, ServiceError | HTTPException)
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
            "error": _code_of(error),
        },
    )


def _problem(error: ServiceError, instance: str, request_id: str) -> Problem:
    return Problem(
        type=f"{_TYPES}{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance=instance,
        code=error.code,
        request_id=request_id,
        errors=error.errors,
        outcome=error.outcome,
        current=error.current if isinstance(error, PreconditionFailed) else None,
    )


def _http_response(error: HTTPException, scope: Scope) -> Response:
    """Return the response of an HTTPException, with its status and its header fields.

    Starlette raises it if no route matches, if a route does not have the method, and for a form that it cannot read; a
    handler may raise it for any reason. Its text is meant for the client.
    """
    status, headers = error.status_code, dict(error.headers or {})
    phrase = _phrase_of(status)
    detail = error.detail if isinstance(error.detail, str) and error.detail != phrase else ""
    if status == 404:
        return problem_response(NotFound(detail), scope)
    if status == 405:
        return problem_response(MethodNotAllowed(tuple(headers.get("Allow", "").split(", "))), scope)
    if status < 400:
        return Response(status_code=status, headers={**NO_STORE, **headers})
    context, code = context_of(scope), _code_of(error)
    problem = Problem(
        type=f"{_TYPES}{code}",
        title=phrase,
        status=status,
        detail=detail or f"{phrase}.",
        instance=encoded_path(scope),
        code=code,
        request_id=context.request_id if context else "",
    )
    return JsonResponse(_encoder.encode(problem), status, headers, PROBLEM_TYPE)


def _code_of(error: BaseException) -> str:
    """Return the code of an error; that of an HTTPException is made of the name of its status: `too_many_requests`."""
    if isinstance(error, HTTPException):
        return _no_letters.sub("_", _phrase_of(error.status_code).lower())
    return error.code if isinstance(error, ServiceError) else InternalError.code


def _phrase_of(status: int) -> str:
    return responses.get(status, f"Status {status}")
