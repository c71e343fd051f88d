"""Cross-origin requests of browsers (CORS), by Starlette's middleware; off until origins are configured.

The header fields are added outside everything else, so that scripts can read every response, errors too. A preflight is
answered inside the request's context, so that it has an id and a log line as other requests have, but before the
routes: a preflight cannot carry credentials, so none may be required.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from asgi_app.errors import FieldError, InvalidHeader
from asgi_app.settings import Settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
SENT = (
    "Authorization",
    "Cassandra-Consistency",
    "Cassandra-TTL",
    "If-Match",
    "If-None-Match",
    "X-API-Key",
    "X-Request-ID",
    "X-Request-Timeout",
    "traceparent",
    "tracestate",
)
EXPOSED = ("ETag", "Link", "Location", "Retry-After", "Server-Timing", "WWW-Authenticate", "X-Request-ID")

_ORIGIN = "origin"
_METHOD = "access-control-request-method"
_WRAPPED = "asgi_cassandra.cors"


class CrossOrigin:
    """CORS for the origins of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._starlette = CORSMiddleware(
            _keep_send,
            allow_origins=settings.cors_origins,
            allow_methods=METHODS,
            allow_headers=SENT,
            expose_headers=EXPOSED,
        )

    async def wrap(self, scope: Scope, receive: Receive, send: Send) -> Send:
        """Return a `send` that adds the fields for the browser to the response of this request."""
        await self._starlette(scope, receive, send)
        wrapped: Send = scope.pop(_WRAPPED)
        return wrapped

    def preflight_response(self, scope: Scope) -> Response:
        """Return the response to a preflight. Raises InvalidHeader if the announced request is not allowed."""
        headers = Headers(scope=scope)
        response = self._starlette.preflight_response(request_headers=headers)
        if response.status_code >= 400:
            raise self._refusal(headers)
        return response

    def _refusal(self, headers: Headers) -> InvalidHeader:
        if not self._starlette.is_allowed_origin(headers[_ORIGIN]):
            name = "Origin"
        elif headers[_METHOD] not in METHODS:
            name = "Access-Control-Request-Method"
        else:
            name = "Access-Control-Request-Headers"
        detail = "A page of this origin may not send such a request."
        return InvalidHeader(detail, errors=(FieldError(f"header.{name}", "is not allowed"),))


def is_preflight(scope: Scope) -> bool:
    """Return whether an HTTP request is a preflight: OPTIONS with an origin and the method of the announced request."""
    if scope["method"] != "OPTIONS":
        return False
    headers = Headers(scope=scope)
    return _ORIGIN in headers and _METHOD in headers


async def _keep_send(scope: Scope, receive: Receive, send: Send) -> None:
    """Keep the `send` that Starlette's middleware wrapped. The request goes on without another layer around it."""
    scope[_WRAPPED] = send
