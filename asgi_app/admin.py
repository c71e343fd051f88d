"""Who may end the service."""

from __future__ import annotations

from hmac import compare_digest

from starlette.requests import Request
from starlette.types import Scope

from asgi_app.errors import Unauthorized
from asgi_app.state import settings_of


def has_admin(scope: Scope) -> bool:
    """Whether a token was configured; without one, nobody may."""
    return settings_of(scope).admin_token is not None


def require_admin(request: Request) -> None:
    """Raise Unauthorized unless the request carries the configured token."""
    expected = settings_of(request.scope).admin_token
    sent = request.headers.getlist("authorization")
    if expected is None or len(sent) != 1:
        raise Unauthorized
    scheme, _, token = sent[0].partition(" ")
    if scheme.lower() != "bearer" or not compare_digest(token.strip(" ").encode(), expected.reveal().encode()):
        raise Unauthorized
