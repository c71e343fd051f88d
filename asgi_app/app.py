"""The composition root: settings, routes and lifespan become an application."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from asgi_app.api_keys import ApiKeys
from asgi_app.authorization import Authorize
from asgi_app.cross_origin import CrossOriginMiddleware, PreflightMiddleware
from asgi_app.db import Database
from asgi_app.errors import ServiceError
from asgi_app.middleware import RequestContextMiddleware
from asgi_app.responses import answer_http_exception, answer_service_error
from asgi_app.routes import DIAGNOSTICS, OPERATIONS, SPECIES, USERS
from asgi_app.settings import Problem, Settings, SettingsError
from asgi_app.state import started
from asgi_app.tables import TABLES

logger = logging.getLogger("asgi_app.app")


def create_app(
    settings: Settings | None = None, *, diagnostics: bool = False, authorize: Authorize | None = None
) -> Starlette:
    """An application that connects to Cassandra while its lifespan runs and does nothing before.

    Without `settings` they are read from the environment and `.env` when the lifespan starts, which raises
    SettingsError with everything that is wrong with them. `diagnostics` turns the demonstrations of behaviour on,
    unless the settings say otherwise. `authorize` decides who may do what, as `asgi_app.authorization` says; without
    one the API keys of the settings do, and without those everybody may do everything.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        chosen = settings or Settings.load()
        decide = chosen_hook(chosen, authorize)
        async with Database.open(chosen) as database:
            warn_of_keys_of_its_own(chosen)
            enabled = diagnostics if chosen.diagnostics is None else chosen.diagnostics
            with started(app, chosen, database, TABLES, diagnostics=enabled, authorize=decide):
                yield

    app = Starlette(
        routes=[*USERS, *SPECIES, *OPERATIONS, *DIAGNOSTICS],
        middleware=[
            Middleware(CrossOriginMiddleware),
            Middleware(RequestContextMiddleware),
            Middleware(PreflightMiddleware),
        ],
        exception_handlers={ServiceError: answer_service_error, HTTPException: answer_http_exception},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
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


def warn_of_keys_of_its_own(settings: Settings) -> None:
    """Tell the operator of several workers without a common key; only a worker that was started by another can know."""
    if not settings.page_keys and multiprocessing.parent_process() is not None:
        logger.warning(
            "this is one worker of several and ASGI_CASSANDRA_PAGE_KEYS is not set: a page_state that one worker "
            "issues is refused by the others"
        )


app = create_app(diagnostics=True)
