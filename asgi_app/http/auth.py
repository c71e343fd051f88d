"""Authorization: the types that an `authorize` hook works with, and the ready hook that checks API keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Literal, Protocol

from starlette.requests import HTTPConnection

from asgi_app.errors import Forbidden, Unauthorized
from asgi_app.settings import Secret

Verb = Literal["read", "write", "operate"]
"""`read` and `write` data, or `operate`: make the service do something itself, as the demonstrations do."""


@dataclass(frozen=True, slots=True)
class Action:
    """The verb and the resource of a request. Both come from the declaration of its route, not from its path.

    Where no route has the path, and the tables of the live schema decide which there are, the resource is the first
    segment of the path: the hook is asked before the client learns that there is nothing.
    """

    verb: Verb
    resource: str


class HasName(Protocol):
    """The result of an `authorize` hook: any object with a name. The name is logged, the rest is for handlers."""

    @property
    def name(self) -> str:
        """The client's name."""
        ...


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated client: its name and its scopes.

    A scope is a verb (`read`), or a verb of one resource (`read.users`).
    """

    name: str
    scopes: frozenset[str] = frozenset()

    def may(self, action: Action) -> bool:
        """Return whether a scope covers the action."""
        return action.verb in self.scopes or f"{action.verb}.{action.resource}" in self.scopes


Authorize = Callable[[HTTPConnection, Action], HasName | Awaitable[HasName]]
"""An `authorize` hook. Takes the connection (headers, client, scope; no body was read yet) and the action, and returns
the client.

It raises `Unauthorized` if it does not know the client and `Forbidden` if the client may not perform the action. A
plain function runs on the event loop and must not block; a coroutine is bounded by the deadline of the request and is
cancelled with it. Any other exception, or a result without a name, is a bug of the hook: the response is 500, and the
handler does not run.
"""


class ApiKeys:
    """An `authorize` hook that checks API keys of the form `name:scope+scope:secret`, as validated by the settings.

    It keeps only hashes of the secrets, and compares all of them each time, so that the time taken reveals nothing.
    """

    def __init__(self, keys: Sequence[Secret]) -> None:
        self._known = tuple(_hash_and_principal(key.reveal()) for key in keys)

    def __call__(self, connection: HTTPConnection, action: Action) -> Principal:
        """Return the owner of the request's key.

        Raises Unauthorized without a known key, Forbidden if no scope of the key covers the action.
        """
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


def unknown_scopes(keys: Sequence[Secret], names: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Return the scopes of API keys for resources that are not in `names`, each with the name of its key."""
    principals = [_hash_and_principal(key.reveal())[1] for key in keys]
    of_resources = [(each.name, scope) for each in principals for scope in sorted(each.scopes) if "." in scope]
    return tuple((name, scope) for name, scope in of_resources if scope.partition(".")[2] not in names)


def bearer_token(connection: HTTPConnection) -> str | None:
    """Return the token of `Authorization: Bearer` (RFC 6750 section 2.1), or None if there is none."""
    scheme, _, token = connection.headers.get("authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _hash_and_principal(key: str) -> tuple[bytes, Principal]:
    name, scopes, secret = key.split(":")
    return sha256(secret.encode()).digest(), Principal(name, frozenset(scopes.split("+")))


def _sent_key(connection: HTTPConnection) -> str | None:
    """Return the key sent. X-API-Key has precedence, because a proxy may use Authorization for itself."""
    key = connection.headers.get("x-api-key")
    return bearer_token(connection) if key is None else key.strip()
