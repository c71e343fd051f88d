"""Build the application from settings, routes, middleware and a lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any

from starlette import applications
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from asgi_app.catalog import Catalog
from asgi_app.db import Database
from asgi_app.driver.session import SessionSource
from asgi_app.errors import ServiceError
from asgi_app.http.auth import ApiKeys, Authorize
from asgi_app.http.context import mark, started
from asgi_app.http.middleware import RequestContextMiddleware
from asgi_app.http.responses import answer_http_exception, answer_service_error
from asgi_app.http.routing import SegmentRouter, first_segments, others, resource_names, serving
from asgi_app.openapi.serving import OpenApi
from asgi_app.resources.live import Resources
from asgi_app.resources.query import Query, check_declarations, check_lists, routes_of_queries
from asgi_app.resources.start_checks import report_refused, report_unknown_scopes
from asgi_app.resources.table.operations import operations_of, routes_of
from asgi_app.resources.table.served import ServedResource
from asgi_app.routes import EXAMPLES, OPERATIONS, RESERVED, documentation
from asgi_app.runtime.drain import DRAIN, Drain, end_this_process
from asgi_app.runtime.gc_tuning import rare_collections
from asgi_app.runtime.ownership import Claim
from asgi_app.runtime.tasks import background_tasks, in_own_task
from asgi_app.settings import Problem, Settings, SettingsError, check_metrics_directory
from asgi_app.tables.builtin import RESOURCES, TABLES
from asgi_app.tables.live_table import LiveTable
from asgi_app.tables.live_wanted import Wanted
from asgi_app.tables.resource import Resource


def create_app(
    settings: Settings | None = None,
    *,
    session: SessionSource = None,
    diagnostics: bool = False,
    authorize: Authorize | None = None,
    resources: Sequence[Resource | LiveTable] = (),
    queries: Sequence[Query] = (),
    routes: Sequence[BaseRoute] = (),
    examples: bool | None = None,
    owns_process: bool = False,
) -> Starlette:
    """Return an application that connects to Cassandra while its lifespan runs and does nothing before.

    `settings` defaults to the environment and `.env`, read when the lifespan starts. `session` is a driver session of
    the caller's, or a function that returns it when the lifespan starts: the application then opens no connection, and
    it does not close the session. `diagnostics` enables the demonstrations of behaviour, unless the settings decide.
    `authorize` decides which clients may do what, as `asgi_app.http.auth.Authorize` describes; without it the API keys
    of the settings decide, and without those everybody may do everything. With `owns_process` the process serves
    nothing else, so its garbage collector is tuned (`asgi_app.runtime.gc_tuning`) while the lifespan runs.

    `resources` are tables to serve, also such as `Resource.from_table` returns; the settings may name more
    (`ASGI_CASSANDRA_TABLES`). `queries` are statements to serve, and `routes` are routes with handlers of your
    own (`asgi_app.path`). `examples` serves the built-in tables `users`, `animals` and `plants`, and the demonstrations
    that need them; by default only if there is nothing of your own and the settings name no tables.

    Raises ResourceError with every mistake in `resources`, `queries` and `routes`. The lifespan raises SettingsError,
    with every problem of the settings or of PROMETHEUS_MULTIPROC_DIR, and TypeError if `session` is not a driver
    session.

    The process and the event loop that enter the lifespan own the application until they leave it, in the same task or
    in another. A second entry in the meantime raises AlreadyStarted; requests on other event loops and in forked
    processes are refused.
    """

    check_lists(
        {"resources": (resources, (Resource, LiveTable)), "queries": (queries, Query), "routes": (routes, BaseRoute)}
    )
    may_have_examples = not (resources or queries or routes) if examples is None else examples
    builtin = (*EXAMPLES, *OPERATIONS) if may_have_examples else OPERATIONS
    check_declarations(resources, queries, {*RESERVED, *(route.segments[0] for route in builtin)})
    declared = [each for each in resources if isinstance(each, Resource)]
    claim = Claim()

    @in_own_task
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        with claim.held():
            chosen = settings or Settings.load()
            hook = choose_hook(chosen, authorize)
            check_metrics_directory()
            async with Database.open(chosen, session) as database, background_tasks() as tasks:
                drain = Drain(chosen.shutdown_grace, chosen.drain_delay, end_this_process)
                tasks.start_soon(drain.run)
                has_examples = bool(examples) or (may_have_examples and not chosen.tables)
                examples_served, without = (RESOURCES, ()) if has_examples else ((), EXAMPLES)
                served = {each.name: ServedResource(each, chosen.keyspace) for each in (*examples_served, *declared)}
                wanted = _wanted(chosen, resources, {*RESERVED, *first_segments(router, without)})
                catalog = Catalog(database, {each.name: served[each.name].table for each in declared}, wanted)
                tasks.start_soon(catalog.follow, chosen.request_timeout)
                tasks.start_soon(report_refused, database, queries, chosen.request_timeout)
                known = {*resource_names(others(router, without)), *wanted.names}
                tasks.start_soon(report_unknown_scopes, chosen.api_keys, known, catalog, chosen.request_timeout)
                all_resources = Resources(served, catalog)
                enabled = diagnostics if chosen.diagnostics is None else chosen.diagnostics
                with (
                    started(
                        app,
                        chosen,
                        database,
                        drain,
                        TABLES if has_examples else (),
                        diagnostics=enabled,
                        authorize=hook,
                        catalog=catalog,
                        declared=served,
                        resources=all_resources,
                    ),
                    serving(router, all_resources.routes, without=without),
                    rare_collections() if owns_process else nullcontext(),
                ):
                    yield {DRAIN: drain}
                    await drain.finish()

    own = [route for each in declared for route in routes_of(operations_of(each))]
    own += routes_of_queries(queries)
    router = SegmentRouter(
        [*builtin, *documentation(OpenApi(queries)), *own, *routes], lifespan=lifespan, declared=resources
    )
    # Not the imported name: instrumentation replaces the class in its module, perhaps after this module was imported.
    app = applications.Starlette(
        middleware=[Middleware(RequestContextMiddleware, router=router)],
        exception_handlers={ServiceError: answer_service_error, HTTPException: answer_http_exception},
    )
    app.router = router
    mark(app)
    return app


def _wanted(settings: Settings, resources: Sequence[Resource | LiveTable], reserved: Collection[str]) -> Wanted:
    """Return the tables to serve from the live schema. `reserved` are the first segments of paths that are taken."""
    declared = [each for each in resources if isinstance(each, LiveTable)]
    return Wanted.of_settings(settings.keyspace, declared, settings.tables, settings.writable, reserved)


def choose_hook(settings: Settings, authorize: Authorize | None) -> Authorize | None:
    """Return the hook that authorizes requests. Raises SettingsError if there are both API keys and `authorize`."""
    if not settings.api_keys:
        return authorize
    if authorize is None:
        return ApiKeys(settings.api_keys)
    raise SettingsError(
        [Problem("ASGI_CASSANDRA_API_KEYS", "has no effect beside this application's own `authorize`; unset it")]
    )


def lifespan_of(*apps: Starlette) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """Return a lifespan for a parent that mounts these applications. It enters their lifespans, one inside another.

    Starlette and FastAPI run only the parent's lifespan. A parent that has its own lifespan enters
    `app.router.lifespan_context(app)` there instead, after it has opened what the application uses.
    """

    @asynccontextmanager
    async def lifespan(_parent: Any) -> AsyncIterator[None]:
        async with AsyncExitStack() as entered:
            for app in apps:
                await entered.enter_async_context(app.router.lifespan_context(app))
            yield

    return lifespan


app = create_app(diagnostics=True, owns_process=True)
