"""Serve the tables of the live schema: their routes and resources are made when they are first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from starlette.types import Receive, Scope, Send

from asgi_app.catalog import Catalog
from asgi_app.errors import NotFound, ServiceError
from asgi_app.http.context import context_of, service_of
from asgi_app.http.routing import RouteIndex, SegmentRoute, authenticate_unknown, serve_again
from asgi_app.resources.table.operations import ONLY_READ, operations_of, routes_of
from asgi_app.resources.table.served import ServedResource
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.scheduler import Lane
from asgi_app.tables.resource import Resource


class Resources(Mapping[str, ServedResource]):
    """The resources of a started application by name: the declared ones, and at any time those of the live schema."""

    def __init__(self, declared: Mapping[str, ServedResource], catalog: Catalog) -> None:
        self._declared = declared
        self._catalog = catalog
        self._mounted: dict[str, _Mounted] = {}
        self._unknown = _Unknown()

    def __getitem__(self, name: str) -> ServedResource:
        found = self._declared.get(name)
        if found is not None:
            return found
        mounted = self._of(name)
        if mounted is None:
            raise KeyError(name)
        return mounted.served

    def __contains__(self, name: object) -> bool:
        return name in self._declared or name in self._catalog.live

    def __iter__(self) -> Iterator[str]:
        yield from self._declared
        yield from self._catalog.live

    def __len__(self) -> int:
        return len(self._declared) + len(self._catalog.live)

    def routes(self, segment: str) -> RouteIndex | None:
        """Return the routes of the table whose paths begin with a segment; None if there is none.

        A table that may exist, for all that is known, has a route that finds out.
        """
        mounted = self._of(segment)
        if mounted is not None:
            return mounted.routes
        return self._unknown if self._catalog.may_have(segment) else None

    def _of(self, name: str) -> _Mounted | None:
        resource = self._catalog.live.get(name)
        if resource is None:
            self._mounted.pop(name, None)
            return None
        mounted = self._mounted.get(name)
        if mounted is None or mounted.resource is not resource:
            mounted = self._mounted[name] = _Mounted(resource, self._catalog)
        return mounted


class _Mounted:
    """A table of the live schema as it is served until it changes."""

    def __init__(self, resource: Resource, catalog: Catalog) -> None:
        self.resource = resource
        self.served = ServedResource(resource, resource.keyspace or "", catalog.current[resource.name])
        operations = operations_of(resource, self.served, only_read=_why_only_read(resource.name, catalog))
        self.routes = RouteIndex(routes_of(operations))


def _why_only_read(name: str, catalog: Catalog) -> str:
    """Return the sentence on a table of the live schema that clients may not write."""
    if name in catalog.offer.unwritten:
        return f"{ONLY_READ} The setting `--writable` of the service names the tables that may be written."
    return ONLY_READ


class _Unknown(RouteIndex):
    """All paths that begin with one segment, while it is not known whether there is a table of this name."""

    def __init__(self) -> None:
        super().__init__(())
        self._route = SegmentRoute("/{table}", _FindingOut(), lane=Lane.REQUESTS)

    def find(self, segments: Sequence[str], values: list[str]) -> SegmentRoute | None:
        """Return the one route, with the first segment as its parameter."""
        values.append(segments[0])
        return self._route


class _FindingOut:
    """Reads the schema if need be, and serves the request by what it says. An ASGI application.

    Raises NotFound if there is no such table, SchemaMissing if the table was named and cannot be served, and what
    reading the schema raises; before these what the `authorize` hook raises.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await _expect_table(scope)
        except ServiceError:
            await authenticate_unknown(scope, scope["path_params"]["table"])
            raise
        await serve_again(scope, receive, send)


async def _expect_table(scope: Scope) -> None:
    """Return if there is a table that the path names. Raises as `_FindingOut`."""
    name: str = scope["path_params"]["table"]
    catalog = service_of(scope).catalog
    context = context_of(scope)
    deadline = context.deadline if context else Deadline.after(0)
    if catalog.names_a_table(name):
        await catalog.table(name, deadline)
    else:
        await catalog.ensure_read(deadline)
    if name not in catalog.live:
        raise NotFound
