"""A path and what answers each of its methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_app.errors import MethodNotAllowed

Handler = Callable[[Request], Awaitable[ASGIApp]]
"""Takes the request and returns the response: Starlette's own, or any ASGI callable that sends one."""


def path(template: str, **handlers: Handler) -> Route:
    """The route of one path. `handlers` are named by their methods in lower case; `get` answers HEAD too."""
    return Route(template, _Methods({method.upper(): handler for method, handler in handlers.items()}))


class _Methods:
    """Dispatches by method, so that a 405 can name every method of the path.

    Starlette matches one route a method, and its 405 names those of the first route that has the path.
    """

    def __init__(self, handlers: dict[str, Handler]) -> None:
        self._handlers = handlers
        if "GET" in handlers:
            self._handlers = {"HEAD": handlers["GET"], **handlers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handlers.get(scope["method"])
        if handler is None:
            raise MethodNotAllowed(tuple(sorted(self._handlers)))
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)
