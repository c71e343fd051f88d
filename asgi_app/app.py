"""The composition root: settings, routes and lifespan become an application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any

from starlette import applications
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from asgi_app.db import Database
from asgi_app.driver.session import SessionSource
from asgi_app.errors import ServiceError
from asgi_app.http.api_keys import ApiKeys
from asgi_app.http.auth import Authorize
from asgi_app.http.context import started
from asgi_app.http.cors import CrossOriginMiddleware, PreflightMiddleware
from asgi_app.http.middleware import RequestContextMiddleware
from asgi_app.http.responses import answer_http_exception, answer_service_error
from asgi_app.http.routing import SegmentRouter
from asgi_app.routes import DIAGNOSTICS, OPERATIONS, SPECIES, USERS, takes_a_call
from asgi_app.runtime.drain import DRAIN, Drain, end_this_process
from asgi_app.runtime.gc_tuning import rare_collections
from asgi_app.runtime.ownership import Claim
from asgi_app.runtime.tasks import background_tasks, in_own_task
from asgi_app.settings import Problem, Settings, SettingsError, check_metrics_directory
from asgi_app.tables.builtin import TABLES


def create_app(
    settings: Settings | None = None,
    *,
    session: SessionSource = None,
    diagnostics: bool = False,
    authorize: Authorize | None = None,
    owns_process: bool = False,
) -> Starlette:
    """An application that connects to Cassandra while its lifespan runs and does nothing before.

    Without `settings` they are read from the environment and `.env` when the lifespan starts, which raises
    SettingsError with everything that is wrong with them, and for a PROMETHEUS_MULTIPROC_DIR that cannot be written to
    as well. `session` is a driver session of the caller's, or a function
    that returns it when the lifespan starts: then nothing is connected here, and it is not closed; the lifespan raises
    TypeError where it is none. `diagnostics` turns the demonstrations of behaviour on, unless the settings say
    otherwise. `authorize` decides who may do what, as `asgi_app.http.auth` says; without one the API keys of the
    settings do, and without those everybody may do everything. `owns_process` says that the process serves nothing
    else, so that its garbage collector may be set for that (`asgi_app.runtime.gc_tuning`) while the lifespan runs.

    The process and the event loop that enter the lifespan own the application until they leave it, in the same task or
    in another. A second entry raises AlreadyStarted meanwhile; other loops and forked processes are refused.
    """

    claim = Claim()

    @in_own_task
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        with claim.held():
            chosen = settings or Settings.load()
            decide = chosen_hook(chosen, authorize)
            check_metrics_directory()
            async with Database.open(chosen, session) as database, background_tasks() as tasks:
                drain = Drain(chosen.shutdown_grace, chosen.drain_delay, end_this_process)
                tasks.start_soon(drain.run)
                enabled = diagnostics if chosen.diagnostics is None else chosen.diagnostics
                with (
                    started(app, chosen, database, drain, TABLES, diagnostics=enabled, authorize=decide),
                    rare_collections() if owns_process else nullcontext(),
                ):
                    yield {DRAIN: drain}
                    await drain.finish()

    # Looked up now: instrumentation puts a class of its own there, perhaps after this module was imported.
    app = applications.Starlette(
        middleware=[
            Middleware(CrossOriginMiddleware),
            Middleware(RequestContextMiddleware, takes_a_call=takes_a_call),
            Middleware(PreflightMiddleware),
        ],
        exception_handlers={ServiceError: answer_service_error, HTTPException: answer_http_exception},
    )
    app.router = SegmentRouter([*USERS, *SPECIES, *OPERATIONS, *DIAGNOSTICS], lifespan=lifespan)
    return app


def chosen_hook(settings: Settings, authorize: Authorize | None) -> Authorize | None:
    """What decides who may do what. Raises SettingsError where there are two, because one would be without effect."""
    if not settings.api_keys:
        return authorize
    if authorize is None:
        return ApiKeys(settings.api_keys)
    raise SettingsError(
        [Problem("ASGI_CASSANDRA_API_KEYS", "has no effect beside this application's own `authorize`; unset it")]
    )


def lifespan_of(*apps: Starlette) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """A lifespan for a parent that mounts these applications: theirs, one within the other.

    Starlette and FastAPI run the parent's lifespan alone. A parent with a lifespan of its own enters
    `app.router.lifespan_context(app)` there instead, after it has opened what the application shall use.
    """

    @asynccontextmanager
    async def lifespan(_parent: Any) -> AsyncIterator[None]:
        async with AsyncExitStack() as entered:
            for app in apps:
                await entered.enter_async_context(app.router.lifespan_context(app))
            yield

    return lifespan


app = create_app(diagnostics=True, owns_process=True)
