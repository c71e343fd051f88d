"""A path and what answers each of its methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from asgi_app.errors import MethodNotAllowed, NotFound
from asgi_app.http.auth import Action, Verb
from asgi_app.http.context import service_of
from asgi_app.http.paths import segments_below
from asgi_app.http.security import admit

_PROBES = "A load balancer may check GET /livez, whether the process answers, or GET /readyz, whether it can serve."
"""For what is asked at `OPTIONS /` and `OPTIONS *`, which some balancers do unless they are configured."""

Handler = Callable[[Request], Awaitable[ASGIApp]]
"""Takes the request and returns the response: Starlette's own, or any ASGI callable that sends one."""


def path(template: str, resource: str | None, verb: Verb | None = None, **handlers: Handler) -> Route:
    """The route of one path. `handlers` are named by their methods in lower case; `get` answers HEAD too.

    `resource` is what the `authorize` hook is asked about; None is open to everybody. It is asked about `verb` where
    that is given, else about "read" for GET and "write" for the other methods.
    """
    methods = {
        name.upper(): (handler, Action(verb or ("read" if name == "get" else "write"), resource) if resource else None)
        for name, handler in handlers.items()
    }
    return SegmentRoute(template, _Methods(methods))


def path_where(condition: Callable[[Scope], bool], template: str, resource: str | None, **handlers: Handler) -> Route:
    """The route of a path that is there only where `condition` holds; elsewhere it is 404 for every method."""
    return SegmentRoute(template, _Where(condition, path(template, resource, None, **handlers).endpoint))


class SegmentRoute(Route):
    """Matches the path as it was sent, segment by segment, and decodes after.

    Servers decode the path before Starlette matches it, and then a key that holds a `/` is two segments.
    """

    def __init__(self, template: str, endpoint: ASGIApp) -> None:
        super().__init__(template, endpoint)
        self.segments = template.split("/")[1:]
        self.names = [segment[1:-1] for segment in self.segments if segment.startswith("{")]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Starlette's contract; parameters are in `path_params`, decoded and never empty."""
        if scope["type"] != "http":
            return Match.NONE, {}
        sent = segments_below(scope)
        if len(sent) != len(self.segments):
            return Match.NONE, {}
        found: dict[str, Any] = {}
        for expected, segment in zip(self.segments, sent, strict=True):
            if expected.startswith("{") and segment:
                found[expected[1:-1]] = segment
            elif expected != segment:
                return Match.NONE, {}
        path_params = {**scope.get("path_params", {}), **found}
        return Match.FULL, {"endpoint": self.endpoint, "path_params": path_params}


class SegmentRouter(Router):
    """Starlette's router, which finds a `SegmentRoute` by its segments and not by asking one route after the other.

    Of two routes that match, the one with a fixed segment where the other has a parameter answers; the tables here are
    in that order too. Routes of other kinds are asked in turn where none of these matches.
    """

    def __init__(self, routes: Sequence[BaseRoute], *, lifespan: Lifespan[Any]) -> None:
        super().__init__(routes, redirect_slashes=False, lifespan=lifespan)
        self._indexed: list[BaseRoute] = []
        self._index = _Node()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request by the route that has its path; anything else as Starlette does."""
        if scope["type"] == "http":
            if self._indexed != self.routes:
                self._index, self._indexed = _index(self.routes), list(self.routes)
            values: list[str] = []
            route = _found(self._index, segments_below(scope), 0, values)
            if route is not None:
                scope.setdefault("router", self)
                scope["route"] = route
                scope["endpoint"] = route.endpoint
                scope["path_params"] = {**scope.get("path_params", {}), **dict(zip(route.names, values, strict=True))}
                await route.app(scope, receive, send)
                return
        await super().app(scope, receive, send)

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Starlette's contract. Raises NotFound with a hint where a probe or a client has nearly the right path."""
        if scope["type"] == "http" and "app" in scope:
            segments = segments_below(scope)
            if scope["method"] == "OPTIONS" and scope["path"] == "*":
                raise NotFound(f"This service has no options of its own. {_PROBES}")
            if len(segments) > 1 and not segments[-1] and _found(self._index, segments[:-1], 0, []) is not None:
                raise NotFound("There is nothing here, but there is without the slash at the end of this path.")
        await super().not_found(scope, receive, send)


class _Node:
    """Where paths go on from a segment."""

    __slots__ = ("fixed", "parameter", "route")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.route: SegmentRoute | None = None


def _index(routes: Sequence[BaseRoute]) -> _Node:
    root = _Node()
    for route in routes:
        if isinstance(route, SegmentRoute):
            node = root
            for segment in route.segments:
                if segment.startswith("{"):
                    node.parameter = node.parameter or _Node()
                    node = node.parameter
                else:
                    node = node.fixed.setdefault(segment, _Node())
            node.route = node.route or route
    return root


def _found(node: _Node, segments: Sequence[str], at: int, values: list[str]) -> SegmentRoute | None:
    """The route of the segments from number `at` on, and into `values` those that are parameters."""
    if at == len(segments):
        return node.route
    segment = segments[at]
    further = node.fixed.get(segment)
    if further is not None:
        route = _found(further, segments, at + 1, values)
        if route is not None:
            return route
    if node.parameter is None or not segment:
        return None
    values.append(segment)
    route = _found(node.parameter, segments, at + 1, values)
    if route is None:
        values.pop()
    return route


class _Methods:
    """Dispatches by method, so that a 405 can name every method of the path.

    Starlette matches one route a method, and its 405 names those of the first route that has the path.
    """

    def __init__(self, methods: dict[str, tuple[Handler, Action | None]]) -> None:
        self._methods = {"HEAD": methods["GET"], **methods} if "GET" in methods else methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = self._methods.get(scope["method"])
        if method is None:
            is_check = scope["method"] == "OPTIONS" and segments_below(scope) == [""]
            raise MethodNotAllowed(tuple(sorted(self._methods)), _PROBES if is_check else "")
        handler, action = method
        if action is not None and service_of(scope).authorize is not None:
            await admit(scope, action)
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
