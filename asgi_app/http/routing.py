"""Routes: find the route of a path, check the method and the authorization, call the handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import isawaitable
from types import MappingProxyType
from typing import Any, NoReturn

import anyio
import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from asgi_app.errors import DeadlineExceeded, Forbidden, MethodNotAllowed, NotFound, ServiceError
from asgi_app.http.auth import Action, ApiKeys, Authorize, HasName, Verb
from asgi_app.http.context import context_of, service_if_started, service_of, set_principal
from asgi_app.http.paths import SplitPath, split_path
from asgi_app.runtime.scheduler import Lane

_FOUND = "asgi_cassandra.found"

_PROBES = "A load balancer may check GET /livez, whether the process answers, or GET /readyz, whether it can serve."
"""A hint for `OPTIONS /` and `OPTIONS *`, which some load balancers send unless they are configured."""

_NO_HINTS: Mapping[str, str] = MappingProxyType({})

Handler = Callable[[Request], Awaitable[ASGIApp]]
"""Takes the request and returns the response: Starlette's own, or any ASGI callable that sends one."""

Recover = Callable[[ServiceError, Scope, Receive], Awaitable[Receive | None]]
"""Takes what a handler raised, and returns the `receive` with which the request is served again, or None."""


def path(
    template: str,
    resource: str | None,
    *,
    verb: Verb | None = None,
    lane: Lane | None = None,
    while_draining: bool = False,
    recover: Recover | None = None,
    routine: bool = False,
    lacks: Mapping[str, str] = _NO_HINTS,
    **handlers: Handler,
) -> SegmentRoute:
    """Return the route of a path. `handlers` are named by their methods in lower case; `get` handles HEAD too.

    `resource` is what the `authorize` hook is called with; None is open to everybody. The hook's verb is `verb` if
    given, else "read" for GET and "write" for the other methods. `recover` decides after a failure whether the request
    is served once more. `lacks` has a sentence for clients on methods that there are elsewhere and not here, by the
    method in upper case. The other options are as in `SegmentRoute`.
    """
    methods = {
        name.upper(): (handler, Action(verb or ("read" if name == "get" else "write"), resource) if resource else None)
        for name, handler in handlers.items()
    }
    served = _Methods(methods, recover, lacks)
    return SegmentRoute(template, served, lane=lane, while_draining=while_draining, routine=routine)


def path_where(condition: Callable[[Scope], bool], template: str, resource: str | None, **options: Any) -> SegmentRoute:
    """Return a route as `path` does that exists only while `condition` holds; otherwise every method gets 404."""
    route = path(template, resource, **options)
    return _with_endpoint(route, _Where(condition, route.endpoint))


def path_or(
    condition: Callable[[Request], bool], other: Handler, template: str, resource: str | None, **options: Any
) -> SegmentRoute:
    """Return a route as `path` does on which `other` answers each GET and HEAD request for which `condition` holds.

    That answer is open to everybody: the `authorize` hook is not called.
    """
    route = path(template, resource, **options)
    return _with_endpoint(route, _Or(condition, other, route.endpoint))


def _with_endpoint(route: SegmentRoute, endpoint: ASGIApp) -> SegmentRoute:
    return SegmentRoute(
        route.path, endpoint, lane=route.lane, while_draining=route.while_draining, routine=route.routine
    )


class SegmentRoute(Route):
    """Matches the path as it was sent, segment by segment, and decodes after that.

    Servers decode the path before Starlette matches it, and then a key with a `/` looks like two segments.

    `lane` is the lane of the handler's statements; None for a handler without any. While the queue of `Lane.REQUESTS`
    is full, requests to routes of that lane are refused before anything is read. `while_draining` keeps the route
    served while the service refuses other requests because it is shutting down. `routine` requests are those that
    programs repeat all the time: the access log has them at DEBUG, unless they fail.
    """

    def __init__(
        self,
        template: str,
        endpoint: ASGIApp,
        *,
        lane: Lane | None = None,
        while_draining: bool = False,
        routine: bool = False,
    ) -> None:
        super().__init__(template, endpoint)
        self.segments = template.split("/")[1:]
        self.names = [segment[1:-1] for segment in self.segments if segment.startswith("{")]
        self.lane = lane
        self.while_draining = while_draining
        self.routine = routine

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return the match as Starlette's routes do; the parameters in `path_params` are decoded and never empty."""
        if scope["type"] != "http":
            return Match.NONE, {}
        sent = split_path(scope).segments
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


class RouteIndex:
    """The routes by their segments. Immutable."""

    __slots__ = ("root",)

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self.root = _index(routes)

    def find(self, segments: Sequence[str], values: list[str]) -> SegmentRoute | None:
        """Return the route of these segments, and append its parameters to `values`; None if there is none."""
        return _find(self.root, segments, values)


class Found(msgspec.Struct):
    """The route of a request's path, or None, and the values of its parameters."""

    router: SegmentRouter
    split: SplitPath
    route: SegmentRoute | None
    values: list[str]


class SegmentRouter(Router):
    """Starlette's router with an index of the `SegmentRoute`s, used instead of asking one route after another.

    If two routes match, the one with a fixed segment where the other has a parameter has precedence; the route tables
    are in that order too. Routes of other kinds are asked one after another if no `SegmentRoute` matches.

    `more` gives further routes by the first segment of a path that no `SegmentRoute` matches; None if there are none.
    `declared` are the resources that the routes were made from, for commands that report on an application.
    """

    def __init__(
        self, routes: Sequence[BaseRoute], *, lifespan: Lifespan[Any], declared: Sequence[object] = ()
    ) -> None:
        super().__init__(routes, redirect_slashes=False, lifespan=lifespan)
        self.declared = tuple(declared)
        self._indexed: list[BaseRoute] = []
        self._index = RouteIndex(())
        self.more: Callable[[str], RouteIndex | None] | None = None

    def find(self, scope: Scope) -> Found:
        """Return the route of an HTTP request.

        The result is kept in the scope for the next caller. It is valid for this router and this path alone: a mounted
        application gets the scope of its parent, and a parent may rewrite the path.
        """
        split = split_path(scope)
        kept: Found | None = scope.get(_FOUND)
        if kept is not None and kept.split is split and kept.router is self:
            return kept
        if self._indexed != self.routes:
            self._index, self._indexed = RouteIndex(self.routes), list(self.routes)
        values: list[str] = []
        route = _find(self._index.root, split.segments, values)  # without one more call
        if route is None and self.more is not None:
            values = []
            route = self._find_more(split.segments, values)
        found = scope[_FOUND] = Found(self, split, route, values)
        return found

    def _find_more(self, segments: Sequence[str], values: list[str]) -> SegmentRoute | None:
        index = self.more(segments[0]) if self.more is not None and segments else None
        return None if index is None else index.find(segments, values)

    def lane(self, scope: Scope) -> Lane | None:
        """Return the lane of the request's route, or None if it has none."""
        route = self.find(scope).route
        return None if route is None else route.lane

    def serves_while_draining(self, scope: Scope) -> bool:
        """Return whether the request's route is served while the service is shutting down."""
        route = self.find(scope).route
        return route is not None and route.while_draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve an HTTP request by the `SegmentRoute` of its path, and anything else as Starlette does."""
        found = self.find(scope) if scope["type"] == "http" else None
        if found is None or found.route is None:
            await super().__call__(scope, receive, send)
            return
        route = found.route
        scope.setdefault("router", self)
        scope["route"] = route
        scope["endpoint"] = route.endpoint
        outer, own = scope.get("path_params"), dict(zip(route.names, found.values, strict=True))
        scope["path_params"] = {**outer, **own} if outer else own
        await route.app(scope, receive, send)

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raise NotFound as Starlette's router does, with a hint for OPTIONS probes and for an extra last slash.

        Raises what the `authorize` hook raises before that, if it hides which resources there are.
        """
        if scope["type"] == "http" and "app" in scope:
            segments = split_path(scope).segments
            if scope["method"] == "OPTIONS" and scope["path"] == "*":
                raise NotFound(f"This service has no options of its own. {_PROBES}")
            if _hides_names(scope):
                await authenticate_unknown(scope, segments[0] if segments else "")
            if len(segments) > 1 and not segments[-1] and self._has(segments[:-1]):
                raise NotFound("There is nothing here, but there is without the slash at the end of this path.")
        await super().not_found(scope, receive, send)

    def _has(self, segments: Sequence[str]) -> bool:
        """Return whether there is a route of these segments."""
        return self._index.find(segments, []) is not None or self._find_more(segments, []) is not None


@contextmanager
def serving(
    router: SegmentRouter, more: Callable[[str], RouteIndex | None], *, without: Sequence[BaseRoute] = ()
) -> Iterator[None]:
    """Serve `more` routes by their first segments, and none of `without`, while the context lasts."""
    kept = others(router, without)
    removed = [route for route in router.routes if not any(route is other for other in kept)]
    router.routes[:], router.more = kept, more
    try:
        yield
    finally:
        router.routes[:0], router.more = removed, None


def first_segments(router: SegmentRouter, without: Sequence[BaseRoute] = ()) -> set[str]:
    """Return the first segments of the paths of a router's routes, but of those `without`."""
    return {getattr(route, "path", "").lstrip("/").partition("/")[0] for route in others(router, without)}


def resource_names(routes: Iterable[BaseRoute]) -> set[str]:
    """Return what the `authorize` hook is called with for these routes."""
    endpoints = (getattr(route, "endpoint", None) for route in routes)
    return {name for each in endpoints if isinstance(each, _Methods | _Where | _Or) for name in each.resources}


def others(router: SegmentRouter, without: Sequence[BaseRoute]) -> list[BaseRoute]:
    """Return a router's routes, but for those `without`."""
    return [route for route in router.routes if not any(route is other for other in without)]


async def serve_again(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request that a router has found the route of before, by the route that its path has at present."""
    found: Found = scope.pop(_FOUND)
    await found.router(scope, receive, send)


class _Node:
    """A node of the index: the route that ends here, and the nodes by next segment."""

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


def _find(node: _Node, segments: Sequence[str], values: list[str]) -> SegmentRoute | None:
    """Return the route of the segments below `node`, and append its parameters to `values`.

    Without recursion, except where both a fixed segment and a parameter may match.
    """
    for at, segment in enumerate(segments):
        fixed, parameter = node.fixed.get(segment), node.parameter
        if fixed is not None and parameter is not None and segment:
            more: list[str] = []
            route = _find(fixed, segments[at + 1 :], more)
            if route is not None:
                values += more
                return route
            fixed = None
        if fixed is not None:
            node = fixed
        elif parameter is not None and segment:
            values.append(segment)
            node = parameter
        else:
            return None
    return node.route


class _Methods:
    """Calls the handler of the method, after authorization.

    With one route for each method, as in Starlette, a 405 would name only the methods of the first route.
    """

    def __init__(
        self, methods: dict[str, tuple[Handler, Action | None]], recover: Recover | None, lacks: Mapping[str, str]
    ) -> None:
        self._recover = recover
        self._lacks = lacks
        self._methods = {"HEAD": methods["GET"], **methods} if "GET" in methods else methods
        self.resources = {action.resource for _, action in methods.values() if action is not None}
        """What the `authorize` hook is called with."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = self._methods.get(scope["method"])
        if method is None:
            await self._refuse_method(scope)
        handler, action = method
        if action is not None and service_of(scope).authorize is not None:
            await authenticate(scope, action)
        try:
            response = await handler(Request(scope, receive, send))
            await response(scope, receive, send)
        except ServiceError as error:
            again = None if self._recover is None else await self._recover(error, scope, receive)
            if again is None:
                raise
        else:
            return
        await serve_again(scope, again, send)

    async def _refuse_method(self, scope: Scope) -> NoReturn:
        """Raise MethodNotAllowed; before that what the `authorize` hook raises, if it hides which resources there are.

        The hook is asked for the first action of the path: it decides whether the client may know of the path.
        """
        if scope["method"] == "OPTIONS" and split_path(scope).segments == [""]:
            raise MethodNotAllowed(tuple(sorted(self._methods)), _PROBES)
        action = next((action for _, action in self._methods.values() if action is not None), None)
        if action is not None and _hides_names(scope):
            await authenticate(scope, action)
        raise MethodNotAllowed(tuple(sorted(self._methods)), self._lacks.get(scope["method"], ""))


def _hides_names(scope: Scope) -> bool:
    """Return whether a client needs credentials to learn which resources there are.

    It does with API keys. A hook of the application's own is called with the names of its own resources alone, unless
    it serves tables of the live schema, whose names nobody knows before.
    """
    service = service_if_started(scope)
    if service is None or service.authorize is None:
        return False
    return isinstance(service.authorize, ApiKeys) or service.catalog.has_live_resources


async def authenticate_unknown(scope: Scope, name: str) -> None:
    """Call the `authorize` hook for a resource of which it is not known whether it exists. Raises what it raises."""
    await authenticate(scope, Action("read" if scope["method"] in ("GET", "HEAD") else "write", name))


async def authenticate(scope: Scope, action: Action) -> None:
    """Call the `authorize` hook, if there is one, and keep the client. Raises as `_authenticated`."""
    authorize = service_of(scope).authorize
    if authorize is not None:
        set_principal(scope, await _authenticated(authorize, scope, action))


async def _authenticated(authorize: Authorize, scope: Scope, action: Action) -> HasName:
    """Return the client, as the hook `authorize` identifies it. This is the only caller of the hook.

    Raises what the hook raises (Unauthorized, Forbidden), DeadlineExceeded if the hook takes too long, and TypeError if
    it returns an object without a name.
    """
    result = authorize(HTTPConnection(scope), action)
    principal = await _in_time(scope, result) if isawaitable(result) else result
    if not isinstance(getattr(principal, "name", None), str):
        raise TypeError("the authorize hook returned nothing that has a name")
    return principal


async def permits(scope: Scope, action: Action) -> bool:
    """Return whether the client may perform another action. Raises what the hook raises, except Forbidden."""
    authorize = service_of(scope).authorize
    if authorize is None:
        return True
    try:
        await _authenticated(authorize, scope, action)
    except Forbidden:
        return False
    return True


async def _in_time(scope: Scope, result: Awaitable[HasName]) -> HasName:
    context = context_of(scope)
    with anyio.move_on_after(context.deadline.remaining() if context else None):
        return await result
    raise DeadlineExceeded("The deadline of this request passed before its credentials were checked.")


class _Where:
    """An endpoint that exists only while a condition holds."""

    def __init__(self, condition: Callable[[Scope], bool], endpoint: ASGIApp) -> None:
        self._condition = condition
        self._endpoint = endpoint
        self.resources: set[str] = getattr(endpoint, "resources", set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._condition(scope):
            raise NotFound
        await self._endpoint(scope, receive, send)


class _Or:
    """An endpoint, and a handler that answers in its place where a condition holds."""

    def __init__(self, condition: Callable[[Request], bool], other: Handler, endpoint: ASGIApp) -> None:
        self._condition = condition
        self._other = other
        self._endpoint = endpoint
        self.resources: set[str] = getattr(endpoint, "resources", set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        if scope["method"] in ("GET", "HEAD") and self._condition(request):
            response = await self._other(request)
            await response(scope, receive, send)
            return
        await self._endpoint(scope, receive, send)
