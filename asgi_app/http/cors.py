"""Cross-origin requests of browsers (CORS), by Starlette's middleware, off until origins are configured.

It stands in two places. Outside everything, so that a script can read every answer, errors too. And inside the
request's context for the preflight, so that its answer has an id and a log line as any other. Before the routes, so
that no credentials are asked of a preflight, which cannot have any.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_app.errors import FieldError, InvalidHeader
from asgi_app.http.context import service_if_started
from asgi_app.http.responses import problem_response
from asgi_app.settings import Settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
SENT = ("Authorization", "X-API-Key", "X-Request-ID", "X-Request-Timeout", "traceparent", "tracestate")
EXPOSED = ("Link", "Location", "Retry-After", "Server-Timing", "WWW-Authenticate", "X-Request-ID")

_ORIGIN = "origin"
_METHOD = "access-control-request-method"


class _Configured:
    """Starlette's middleware around `app`, made when the first request brings the settings of a started service."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._made: tuple[Settings, CORSMiddleware] | None = None

    def cors(self, scope: Scope) -> CORSMiddleware | None:
        """None where no origins are configured, or nothing is known of the settings yet."""
        service = service_if_started(scope)
        if service is None or not service.settings.cors_origins:
            return None
        settings = service.settings
        if self._made is None or self._made[0] is not settings:
            self._made = settings, _middleware(self.app, settings)
        return self._made[1]


class CrossOriginMiddleware(_Configured):
    """Adds to every answer what tells a browser who may read it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, unchanged for what is no plain HTTP request."""
        cors = self.cors(scope) if scope["type"] == "http" and not _is_preflight(scope) else None
        await (cors or self.app)(scope, receive, send)


class PreflightMiddleware(_Configured):
    """Answers the question a browser asks before a request it would not send unasked."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A preflight is answered here, with a problem where the request would not be allowed; others go on."""
        cors = self.cors(scope) if scope["type"] == "http" and _is_preflight(scope) else None
        if cors is None:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        response = cors.preflight_response(request_headers=headers)
        if response.status_code >= 400:
            response = problem_response(_refusal(cors, headers), scope)
        await response(scope, receive, send)


def _is_preflight(scope: Scope) -> bool:
    if scope["method"] != "OPTIONS":
        return False
    headers = Headers(scope=scope)
    return _ORIGIN in headers and _METHOD in headers


def _refusal(cors: CORSMiddleware, headers: Headers) -> InvalidHeader:
    if not cors.is_allowed_origin(headers[_ORIGIN]):
        name = "Origin"
    elif headers[_METHOD] not in METHODS:
        name = "Access-Control-Request-Method"
    else:
        name = "Access-Control-Request-Headers"
    return InvalidHeader(
        "A page of this origin may not send such a request.", errors=(FieldError(f"header.{name}", "is not allowed"),)
    )


def _middleware(app: ASGIApp, settings: Settings) -> CORSMiddleware:
    return CORSMiddleware(
        app, allow_origins=settings.cors_origins, allow_methods=METHODS, allow_headers=SENT, expose_headers=EXPOSED
    )
