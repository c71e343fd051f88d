"""Who may end the service."""

from __future__ import annotations

from hmac import compare_digest

from starlette.requests import Request
from starlette.types import Scope

from asgi_app.errors import Unauthorized
from asgi_app.http.auth import bearer_token
from asgi_app.http.context import settings_of


def has_admin(scope: Scope) -> bool:
    """Whether a token was configured; without one, nobody may."""
    return settings_of(scope).admin_token is not None


def require_admin(request: Request) -> None:
    """Raise Unauthorized unless the request carries the configured token."""
    expected = settings_of(request.scope).admin_token
    sent = bearer_token(request)
    if expected is None or sent is None or not compare_digest(sent.encode(), expected.reveal().encode()):
        raise Unauthorized
