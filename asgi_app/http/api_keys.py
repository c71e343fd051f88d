"""The ready `authorize` hook: a key in a header, compared in constant time."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest

from starlette.requests import HTTPConnection

from asgi_app.errors import Forbidden, Unauthorized
from asgi_app.http.auth import Action, Principal, bearer_token
from asgi_app.settings import Secret


class ApiKeys:
    """Knows keys of the form `name:scope+scope:secret`, as the settings have checked them.

    Of the secrets only hashes are kept. All are compared each time, so that the time taken tells nothing.
    """

    def __init__(self, keys: Sequence[Secret]) -> None:
        self._known = tuple(_known(key.reveal()) for key in keys)

    def __call__(self, connection: HTTPConnection, action: Action) -> Principal:
        """Whose key the request carries. Raises Unauthorized without a known one, Forbidden where it has no scope."""
        sent = _sent_key(connection)
        if sent is None:
            raise Unauthorized("Send an API key as `Authorization: Bearer <key>` or `X-API-Key: <key>`.")
        digest = sha256(sent.encode("latin-1")).digest()
        found = None
        for known, principal in self._known:
            if compare_digest(known, digest):
                found = principal
        if found is None:
            raise Unauthorized("This API key is not known.")
        if not found.may(action):
            raise Forbidden(f"This API key does not have the scope {action.verb} or {action.verb}.{action.resource}.")
        return found


def _known(key: str) -> tuple[bytes, Principal]:
    name, scopes, secret = key.split(":")
    return sha256(secret.encode()).digest(), Principal(name, frozenset(scopes.split("+")))


def _sent_key(connection: HTTPConnection) -> str | None:
    """X-API-Key goes first: a proxy in between may have a use of its own for Authorization."""
    key = connection.headers.get("x-api-key")
    return bearer_token(connection) if key is None else key.strip()
