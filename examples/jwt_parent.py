"""An application of your own that checks JSON Web Tokens, with the service mounted below /db.

    JWT_KEY=… uvicorn --factory examples.jwt_parent:create_parent

The parent's middleware checks the token once, for everything the parent serves. The hook of the mounted service uses
the result: the token's subject is the principal's name, its claim `scope` says what they may do (`read write.users`).
"""

from __future__ import annotations

import os

import jwt
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount

from asgi_app import Action, Forbidden, Principal, Settings, Unauthorized, create_app, lifespan_of

AUDIENCE = "asgi-cassandra"
BEARER = {"WWW-Authenticate": "Bearer"}


class JsonWebTokens(AuthenticationBackend):
    """Authenticates clients by tokens that this key signed, for this audience, and that have not expired."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        """Return the token's scopes and subject, or None without a token. Raises AuthenticationError for a bad one."""
        scheme, _, token = conn.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            # The algorithm is fixed here, because a token must not choose how it is checked.
            claims = jwt.decode(
                token.strip(), self._key, algorithms=["HS256"], audience=AUDIENCE, options={"require": ["exp", "sub"]}
            )
        except jwt.InvalidTokenError as error:
            raise AuthenticationError("This token is not valid.") from error
        return AuthCredentials(str(claims.get("scope", "")).split()), SimpleUser(claims["sub"])


def refused(_: HTTPConnection, error: AuthenticationError) -> Response:
    """Return the answer to a bad token, for every path of the parent."""
    return JSONResponse({"detail": str(error)}, 401, BEARER)


def by_token(connection: HTTPConnection, action: Action) -> Principal:
    """Return the token's principal. Raises Unauthorized without a token, Forbidden if its scopes do not suffice."""
    if not connection.user.is_authenticated:
        raise Unauthorized("Send a token as `Authorization: Bearer <token>`.")
    principal = Principal(connection.user.display_name, frozenset(connection.auth.scopes))
    if not principal.may(action):
        raise Forbidden(f"This token does not have the scope {action.verb} or {action.verb}.{action.resource}.")
    return principal


def create_parent(key: str | None = None, settings: Settings | None = None) -> Starlette:
    """Return the parent application. The key defaults to JWT_KEY, the settings to those of the environment."""
    database = create_app(settings, authorize=by_token)
    backend = JsonWebTokens(key or os.environ["JWT_KEY"])
    return Starlette(
        routes=[Mount("/db", database)],
        middleware=[Middleware(AuthenticationMiddleware, backend=backend, on_error=refused)],
        lifespan=lifespan_of(database),
    )
