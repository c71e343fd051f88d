"""The service's routes and statements, and nothing of what it does around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_app.db import Database
from asgi_app.http.context import RequestContext, set_context, started
from asgi_app.routes import USERS
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.drain import Drain, end_this_process
from asgi_app.settings import Settings
from asgi_app.tables.builtin import TABLES
from asgi_app.telemetry.statements import StatementObserver

_SECONDS = 30.0


class Unobserved(StatementObserver):
    """Tells nobody of statements."""

    def end(self, *_: Any) -> None:
        """Leave it."""


class FixedContext:
    """Gives every request the same deadline, which the handlers cannot do without."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            set_context(scope, RequestContext("", Deadline.after(_SECONDS)))
        await self._app(scope, receive, send)


@asynccontextmanager
async def lifespan(application: Starlette) -> AsyncIterator[None]:
    """The database, without what counts for it."""
    settings = Settings.load()
    async with Database.open(settings) as database:
        database.observer = Unobserved(settings, database.metrics)
        drain = Drain(0, 0, end_this_process)
        with started(application, settings, database, drain, TABLES, diagnostics=False):
            yield


app = Starlette(routes=list(USERS), middleware=[Middleware(FixedContext)], lifespan=lifespan)
