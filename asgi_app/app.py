"""The composition root: settings, routes and lifespan become an application."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from asgi_app.db import Database
from asgi_app.errors import ServiceError
from asgi_app.middleware import RequestContextMiddleware
from asgi_app.responses import answer_http_exception, answer_service_error
from asgi_app.routes import DIAGNOSTICS, OPERATIONS, SPECIES, USERS, takes_a_call
from asgi_app.settings import Settings
from asgi_app.state import started
from asgi_app.tables import TABLES

logger = logging.getLogger("asgi_app.app")


def create_app(settings: Settings | None = None, *, diagnostics: bool = False) -> Starlette:
    """An application that connects to Cassandra while its lifespan runs and does nothing before.

    Without `settings` they are read from the environment and `.env` when the lifespan starts, which raises
    SettingsError with everything that is wrong with them. `diagnostics` turns the demonstrations of behaviour on,
    unless the settings say otherwise.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        chosen = settings or Settings.load()
        async with Database.open(chosen) as database:
            warn_of_keys_of_its_own(chosen)
            enabled = diagnostics if chosen.diagnostics is None else chosen.diagnostics
            with started(app, chosen, database, TABLES, diagnostics=enabled):
                yield

    app = Starlette(
        routes=[*USERS, *SPECIES, *OPERATIONS, *DIAGNOSTICS],
        middleware=[Middleware(RequestContextMiddleware, takes_a_call=takes_a_call)],
        exception_handlers={ServiceError: answer_service_error, HTTPException: answer_http_exception},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def warn_of_keys_of_its_own(settings: Settings) -> None:
    """Tell the operator of several workers without a common key; only a worker that was started by another can know."""
    if not settings.page_keys and multiprocessing.parent_process() is not None:
        logger.warning(
            "this is one worker of several and ASGI_CASSANDRA_PAGE_KEYS is not set: a page_state that one worker "
            "issues is refused by the others"
        )


app = create_app(diagnostics=True)
