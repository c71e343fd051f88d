"""Who may do what: the words a hook decides with. The hook is given to `create_app(authorize=...)`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from starlette.requests import HTTPConnection

Verb = Literal["read", "write", "operate"]
"""Read data, change data, or have the service itself do something, as the demonstrations do."""


@dataclass(frozen=True, slots=True)
class Action:
    """What a request wants to do. It comes from the declaration of the route, not from the text of the path."""

    verb: Verb
    resource: str


class Named(Protocol):
    """Whatever a hook returns: the name is written into the log, the rest is for handlers."""

    @property
    def name(self) -> str:
        """Who it is."""
        ...


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody by name, and what they may do: verbs (`read`), or verbs of one resource (`read.users`)."""

    name: str
    scopes: frozenset[str] = frozenset()

    def may(self, action: Action) -> bool:
        """Whether a scope covers the action."""
        return action.verb in self.scopes or f"{action.verb}.{action.resource}" in self.scopes


def bearer_token(connection: HTTPConnection) -> str | None:
    """What `Authorization: Bearer` carries (RFC 6750 section 2.1); None where it carries none."""
    scheme, _, token = connection.headers.get("authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


Authorize = Callable[[HTTPConnection, Action], Named | Awaitable[Named]]
"""Takes the connection (headers, client, scope; no body was read yet) and the action, and returns who asks.

Raises `Unauthorized` where that is not known and `Forbidden` where they may not. A plain function runs on the event
loop and must not wait; a coroutine is bounded by the deadline of the request and is cancelled with it. Any other
exception, or an answer without a name, is a bug of the hook: 500, and the handler does not run.
"""
