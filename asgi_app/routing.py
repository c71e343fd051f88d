"""A path and what answers each of its methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_app.errors import MethodNotAllowed, NotFound

_SEGMENTS = "asgi_cassandra.segments"

Handler = Callable[[Request], Awaitable[ASGIApp]]
"""Takes the request and returns the response: Starlette's own, or any ASGI callable that sends one."""


def path(template: str, **handlers: Handler) -> Route:
    """The route of one path. `handlers` are named by their methods in lower case; `get` answers HEAD too."""
    return SegmentRoute(template, _Methods({method.upper(): handler for method, handler in handlers.items()}))


def path_where(condition: Callable[[Scope], bool], template: str, **handlers: Handler) -> Route:
    """The route of a path that is there only where `condition` holds; elsewhere it is 404 for every method."""
    return SegmentRoute(template, _Where(condition, path(template, **handlers).endpoint))


class SegmentRoute(Route):
    """Matches the path as it was sent, segment by segment, and decodes after.

    Servers decode the path before Starlette matches it, and then a key that holds a `/` is two segments.
    """

    def __init__(self, template: str, endpoint: ASGIApp) -> None:
        super().__init__(template, endpoint)
        self._segments = template.split("/")[1:]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Starlette's contract; parameters are in `path_params`, decoded and never empty."""
        if scope["type"] != "http":
            return Match.NONE, {}
        sent = _sent_segments(scope)
        if len(sent) != len(self._segments):
            return Match.NONE, {}
        found: dict[str, Any] = {}
        for expected, segment in zip(self._segments, sent, strict=True):
            if expected.startswith("{") and segment:
                found[expected[1:-1]] = segment
            elif expected != segment:
                return Match.NONE, {}
        path_params = {**scope.get("path_params", {}), **found}
        return Match.FULL, {"endpoint": self.endpoint, "path_params": path_params}


def _sent_segments(scope: Scope) -> list[str]:
    """The decoded segments of the path below the prefix of a mount or a proxy; split once a request."""
    root = scope.get("root_path", "")
    kept: tuple[str, list[str]] | None = scope.get(_SEGMENTS)
    if kept is None or kept[0] != root:
        raw = scope.get("raw_path") or quote(scope["path"]).encode()
        segments = raw.decode("ascii", "replace").split("/")[1:]
        below = segments[root.rstrip("/").count("/") :] if scope["path"].startswith(root) else segments
        kept = scope[_SEGMENTS] = (root, [unquote(segment) for segment in below])
    return kept[1]


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


class _Where:
    """An endpoint that may be absent."""

    def __init__(self, condition: Callable[[Scope], bool], endpoint: ASGIApp) -> None:
        self._condition = condition
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._condition(scope):
            raise NotFound
        await self._endpoint(scope, receive, send)
