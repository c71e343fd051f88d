"""State of a running application and of a request: the objects behind `app.state` and the scope, and their accessors.

No other module knows the keys under which they are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Scope

from asgi_app.catalog import Catalog
from asgi_app.db import Database
from asgi_app.driver.row_sizes import RowSizes
from asgi_app.errors import ForeignRequest, LifespanNotStarted, OpenedBeforeFork, WrongEventLoop
from asgi_app.http.auth import Authorize, HasName
from asgi_app.http.cors import CrossOrigin
from asgi_app.http.headers import RawHeaders, security_headers
from asgi_app.http.page_tokens import PageTokens
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.drain import Drain
from asgi_app.runtime.health import CassandraCheck, Health
from asgi_app.runtime.scheduler import Lane
from asgi_app.settings import Settings
from asgi_app.tables.cql import Queries
from asgi_app.tables.table import Table
from asgi_app.telemetry.metrics import Metrics

_REQUEST = "asgi_cassandra"
_PRINCIPAL = "asgi_cassandra.principal"
_SERVICE = "asgi_cassandra.service"
_BODY = "asgi_cassandra.body"
_NO_SERVICE = object()


class RequestContext(msgspec.Struct, frozen=True):
    """The id and the deadline of a request, set before its handler runs."""

    request_id: str
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Service:
    """The objects that the handlers of a started application share."""

    settings: Settings
    database: Database
    drain: Drain
    health: Health
    page_tokens: PageTokens
    diagnostics: bool
    """Whether the diagnostics' paths are served."""
    nested: anyio.Lock
    """A lock held by the diagnostics that open a cluster of their own, so that only one runs at a time."""
    queries: Mapping[str, Queries]
    """The statements of each built-in table, by the table's name."""
    catalog: Catalog
    """The live tables of the resources."""
    declared: Mapping[str, Any]
    """The `ServedResource` of each declared resource by its name."""
    resources: Mapping[str, Any]
    """The `ServedResource` of each resource by its name, at any time those of the live schema."""
    authorize: Authorize | None = None
    """The hook that authorizes requests; None allows all."""
    response_headers: RawHeaders = ()
    """Header fields of every response."""
    cors: CrossOrigin | None = None
    """CORS, if origins are configured."""


def mark(app: Starlette) -> None:
    """Mark an application as one that `create_app` made and that is not started; other applications have no mark."""
    app.state.service = None


@contextmanager
def started(
    app: Starlette,
    settings: Settings,
    database: Database,
    drain: Drain,
    tables: Sequence[Table],
    *,
    diagnostics: bool,
    authorize: Authorize | None = None,
    catalog: Catalog,
    declared: Mapping[str, Any],
    resources: Mapping[str, Any],
) -> Iterator[None]:
    """Keep the application started while the context lasts: its state holds the objects that requests need.

    `app.state.database` is public, for handlers that a user adds.
    """
    service = Service(
        settings=settings,
        database=database,
        drain=drain,
        health=Health(
            _cassandra_check(database, tables, catalog), timeout=settings.health_timeout, ttl=settings.health_ttl
        ),
        page_tokens=PageTokens([key.reveal() for key in settings.page_keys], lifetime=settings.page_token_lifetime),
        diagnostics=diagnostics,
        nested=anyio.Lock(),
        queries={table.name: Queries(settings.keyspace, table) for table in tables},
        catalog=catalog,
        declared=declared,
        resources=resources,
        authorize=authorize,
        response_headers=security_headers(settings),
        cors=CrossOrigin(settings) if settings.cors_origins else None,
    )
    app.state.service, app.state.database = service, database
    try:
        yield
    finally:
        if app.state.service is service:  # else another start replaced it after this event loop was closed
            mark(app)
            del app.state.database


def _cassandra_check(database: Database, tables: Sequence[Table], catalog: Catalog) -> CassandraCheck:
    """Return the health check: ping a node, then compare the built-in tables with the schema.

    Declared resources count only until their schema was read once: a resource that does not fit harms no other.
    """

    async def check(deadline: Deadline) -> tuple[str, ...]:
        await database.ping(deadline)
        missing = [t.name for t in tables if await database.missing_columns(t, deadline, Lane.PROBES)]
        await catalog.ensure_read(deadline)
        return tuple(missing)

    return check


def service_of(scope: Scope) -> Service:
    """Return the service of the application that handles this scope.

    Raises ForeignRequest if another application handles it, such as the parent of a mounted one, LifespanNotStarted if
    the lifespan is not running, WrongEventLoop if it runs on another event loop, and OpenedBeforeFork if it runs in the
    process that forked this one. The accessors below raise the same.
    """
    app = scope.get("app")
    kept: tuple[Starlette, Service] | None = scope.get(_SERVICE)
    if kept is not None and kept[0] is app:  # a mounted application gets the scope of its parent
        return kept[1]
    service = getattr(getattr(app, "state", None), "service", _NO_SERVICE)
    if service is None:
        raise LifespanNotStarted
    if app is None or not isinstance(service, Service):
        raise ForeignRequest
    service.database.check_caller()
    scope[_SERVICE] = app, service
    return service


def service_if_started(scope: Scope) -> Service | None:
    """Return the service as `service_of` does, or None if that raises."""
    try:
        return service_of(scope)
    except (ForeignRequest, LifespanNotStarted, WrongEventLoop, OpenedBeforeFork):
        return None


def settings_of(scope: Scope) -> Settings:
    """Return the settings of the application."""
    return service_of(scope).settings


def database_of(request: Request) -> Database:
    """Return the database."""
    return service_of(request.scope).database


def metrics_of(scope: Scope) -> Metrics | None:
    """Return the application's metrics, or None if it cannot serve (see `service_of`)."""
    service = service_if_started(scope)
    return None if service is None else service.database.metrics


def queries_of(request: Request, table: Table) -> Queries:
    """Return the statements of a served table, in the configured keyspace."""
    return service_of(request.scope).queries[table.name]


def drain_of(scope: Scope) -> Drain:
    """Return the application's graceful shutdown."""
    return service_of(scope).drain


def row_sizes_of(request: Request) -> RowSizes:
    """Return the estimates of row sizes, by statement."""
    return service_of(request.scope).database.row_sizes


def health_of(request: Request) -> Health:
    """Return the shared, cached health check of Cassandra."""
    return service_of(request.scope).health


def page_tokens_of(request: Request) -> PageTokens:
    """Return the issuer and reader of page tokens."""
    return service_of(request.scope).page_tokens


def nested_lock_of(request: Request) -> anyio.Lock:
    """Return the lock of the diagnostics that open a cluster of their own."""
    return service_of(request.scope).nested


def diagnostics_enabled(request: Request) -> bool:
    """Return whether the application serves the diagnostics' paths."""
    return service_of(request.scope).diagnostics


def set_context(scope: Scope, context: RequestContext) -> None:
    """Store the context of the request, in the scope itself: some servers share `state` between requests."""
    scope[_REQUEST] = context


def context_of(scope: Scope) -> RequestContext | None:
    """Return the context of the request, or None if the middleware has not set it yet."""
    context: RequestContext | None = scope.get(_REQUEST)
    return context


def set_principal(scope: Scope, principal: HasName) -> None:
    """Store the authenticated client."""
    scope[_PRINCIPAL] = principal


def principal_of(scope: Scope) -> HasName | None:
    """Return the client that the `authorize` hook authenticated, or None if the hook was not called.

    It is not called for a request of another application, such as a parent's.
    """
    principal: HasName | None = scope.get(_PRINCIPAL)
    return principal


def keep_body(scope: Scope, body: bytes) -> None:
    """Store the whole body of the request, which a server sends only once."""
    scope[_BODY] = body


def kept_body(scope: Scope) -> bytes | None:
    """Return the body of the request, or None if it was not read to its end."""
    body: bytes | None = scope.get(_BODY)
    return body


def deadline_of(request: Request) -> Deadline:
    """Return the time by which this request must be answered.

    Raises ForeignRequest for a request that the service did not receive, such as one of a parent application.
    """
    context = context_of(request.scope)
    if context is None:
        raise ForeignRequest
    return context.deadline
