"""The one place where a request meets the `authorize` hook."""

from __future__ import annotations

from collections.abc import Awaitable
from inspect import isawaitable

import anyio
from starlette.requests import HTTPConnection
from starlette.types import Scope

from asgi_app.errors import DeadlineExceeded
from asgi_app.http.auth import Action, Named
from asgi_app.http.context import context_of, service_of, set_principal


async def admit(scope: Scope, action: Action) -> None:
    """Ask the application's hook, if it has one, and keep who it says is asking.

    Raises what the hook raises (Unauthorized, Forbidden), DeadlineExceeded where it takes too long, TypeError where it
    returns nobody.
    """
    authorize = service_of(scope).authorize
    if authorize is None:
        return
    answer = authorize(HTTPConnection(scope), action)
    principal = await _in_time(scope, answer) if isawaitable(answer) else answer
    if not isinstance(getattr(principal, "name", None), str):
        raise TypeError("the authorize hook returned nothing that has a name")
    set_principal(scope, principal)


async def _in_time(scope: Scope, answer: Awaitable[Named]) -> Named:
    context = context_of(scope)
    with anyio.move_on_after(context.deadline.remaining() if context else None):
        return await answer
    raise DeadlineExceeded("The deadline of this request passed before its credentials were checked.")
