"""What a running application keeps in `app.state` and in a request's scope; the only place their names are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Scope

from asgi_app.db import Database
from asgi_app.errors import LifespanNotStarted, OpenedBeforeFork, WrongEventLoop
from asgi_app.health import Health
from asgi_app.http.auth import Authorize, Named
from asgi_app.http.page_tokens import PageTokens
from asgi_app.http.response_headers import RawHeaders, security_headers
from asgi_app.paging import RowSizes
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.drain import Drain
from asgi_app.settings import Settings
from asgi_app.tables.cql import Queries
from asgi_app.tables.table import Table
from asgi_app.telemetry.metrics import Metrics

_REQUEST = "asgi_cassandra"
_PRINCIPAL = "asgi_cassandra.principal"
_SERVICE = "asgi_cassandra.service"


class RequestContext(msgspec.Struct, frozen=True):
    """What the service knows of one request before any handler runs."""

    request_id: str
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Service:
    """What the handlers of a started application share."""

    settings: Settings
    database: Database
    drain: Drain
    health: Health
    page_tokens: PageTokens
    diagnostics: bool
    row_sizes: RowSizes
    nested: anyio.Lock
    """Held by the diagnostics that open a cluster of their own."""
    queries: Mapping[str, Queries]
    """The statements of each served table, by the table's name."""
    authorize: Authorize | None = None
    """Decides who may do what; None lets everybody."""
    response_headers: RawHeaders = ()
    """What every answer carries."""


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
) -> Iterator[None]:
    """Within this context the application is started: its state holds what requests need.

    `app.state.database` is there for handlers of the user's own.
    """
    service = Service(
        settings=settings,
        database=database,
        drain=drain,
        health=Health(database, tables, timeout=settings.health_timeout, ttl=settings.health_ttl),
        page_tokens=PageTokens([key.reveal() for key in settings.page_keys], lifetime=settings.page_token_lifetime),
        diagnostics=diagnostics,
        row_sizes=RowSizes(
            settings.max_page_bytes,
            settings.max_prepared,
            page_bytes_beside=settings.page_bytes_beside_reads,
        ),
        nested=anyio.Lock(),
        queries={table.name: Queries(settings.keyspace, table) for table in tables},
        authorize=authorize,
        response_headers=security_headers(settings),
    )
    app.state.service, app.state.database = service, database
    try:
        yield
    finally:
        if app.state.service is service:  # else this is the late end of one whose event loop was closed before
            del app.state.service, app.state.database


def service_of(scope: Scope) -> Service:
    """Return what the application that answers this scope shares.

    Raise LifespanNotStarted if its lifespan does not run, WrongEventLoop if it runs on another event loop, and
    OpenedBeforeFork if it runs in the process that forked this one; so do all functions that read from it.
    """
    app = scope["app"]
    kept: tuple[Starlette, Service] | None = scope.get(_SERVICE)
    if kept is not None and kept[0] is app:  # a mounted application is handed the scope of the one around it
        return kept[1]
    try:
        service: Service = app.state.service
    except AttributeError:
        raise LifespanNotStarted from None
    service.database.check_caller()
    scope[_SERVICE] = app, service
    return service


def settings_of(scope: Scope) -> Settings:
    """The settings of the application that answers this scope."""
    return service_of(scope).settings


def database_of(request: Request) -> Database:
    """The database."""
    return service_of(request.scope).database


def service_if_started(scope: Scope) -> Service | None:
    """As `service_of`, but return None where that raises."""
    try:
        return service_of(scope)
    except (LifespanNotStarted, WrongEventLoop, OpenedBeforeFork):
        return None


def metrics_of(scope: Scope) -> Metrics | None:
    """Return what counts for the application that answers this scope; None where it cannot serve (`service_of`)."""
    service = service_if_started(scope)
    return None if service is None else service.database.metrics


def queries_of(request: Request, table: Table) -> Queries:
    """The statements of one of the served tables, in the configured keyspace."""
    return service_of(request.scope).queries[table.name]


def drain_of(scope: Scope) -> Drain:
    """The way out of the application that answers this scope."""
    return service_of(scope).drain


def row_sizes_of(request: Request) -> RowSizes:
    """What is known of the weight of each statement's rows."""
    return service_of(request.scope).row_sizes


def health_of(request: Request) -> Health:
    """The shared, cached view of Cassandra's health."""
    return service_of(request.scope).health


def page_tokens_of(request: Request) -> PageTokens:
    """What issues and reads page tokens."""
    return service_of(request.scope).page_tokens


def nested_lock_of(request: Request) -> anyio.Lock:
    """What the diagnostics that open a cluster of their own take turns by."""
    return service_of(request.scope).nested


def diagnostics_enabled(request: Request) -> bool:
    """Whether this application answers at its diagnostics' paths."""
    return service_of(request.scope).diagnostics


def set_context(scope: Scope, context: RequestContext) -> None:
    """Keep what is known of the request where handlers and error answers find it."""
    scope.setdefault("state", {})[_REQUEST] = context


def context_of(scope: Scope) -> RequestContext | None:
    """What is known of the request; None before the middleware has seen it."""
    context: RequestContext | None = scope.get("state", {}).get(_REQUEST)
    return context


def set_principal(scope: Scope, principal: Named) -> None:
    """Keep who asks. In the scope itself, which no two requests share, whatever a server does with `state`."""
    scope[_PRINCIPAL] = principal


def principal_of(scope: Scope) -> Named | None:
    """Who asks, as the `authorize` hook said; None where nobody was asked."""
    principal: Named | None = scope.get(_PRINCIPAL)
    return principal


def deadline_of(request: Request) -> Deadline:
    """The time by which this request must be answered."""
    context: RequestContext = request.scope["state"][_REQUEST]
    return context.deadline
