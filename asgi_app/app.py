"""Build the application from routes, middleware and a lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from starlette import applications
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from asgi_app.driver.session import SessionSource
from asgi_app.errors import ServiceError
from asgi_app.http.auth import Authorize
from asgi_app.http.context import mark
from asgi_app.http.middleware import RequestContextMiddleware
from asgi_app.http.responses import answer_http_exception, answer_service_error
from asgi_app.http.routing import SegmentRouter
from asgi_app.lifespan import Plan, lifespan_of_plan
from asgi_app.openapi.serving import OpenApi
from asgi_app.resources.query import Query, check_declarations, check_lists, routes_of_queries
from asgi_app.resources.table.operations import operations_of, routes_of
from asgi_app.routes import EXAMPLES, OPERATIONS, RESERVED, documentation, own_scopes
from asgi_app.runtime.ownership import Claim
from asgi_app.settings import Settings
from asgi_app.tables.live_table import LiveTable
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
    with every problem of the settings or of PROMETHEUS_MULTIPROC_DIR, ClusterConfigError for what only the driver finds
    wrong in them, such as a certificate that cannot be read, and TypeError if `session` is not a driver session.

    The process and the event loop that enter the lifespan own the application until they leave it, in the same task or
    in another. A second entry in the meantime raises AlreadyStarted; requests on other event loops and in forked
    processes are refused.
    """

    check_lists(
        {"resources": (resources, (Resource, LiveTable)), "queries": (queries, Query), "routes": (routes, BaseRoute)}
    )
    if examples is None and (resources or queries or routes):
        examples = False
    builtin = OPERATIONS if examples is False else (*EXAMPLES, *OPERATIONS)
    check_declarations(
        resources,
        queries,
        {*RESERVED, *(route.segments[0] for route in builtin)},
        own_scopes(examples=examples is not False),
    )
    plan = Plan(settings, session, diagnostics, authorize, resources, queries, examples, owns_process)
    claim = Claim()

    def lifespan(app: Starlette) -> AbstractAsyncContextManager[Mapping[str, Any]]:
        return lifespan_of_plan(plan, app, router, claim)

    own = [route for each in plan.declared for route in routes_of(operations_of(each))]
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
