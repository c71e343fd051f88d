"""Parent applications that mount the service behind middleware, for any server to run: `streams.parents:make()`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import anyio
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_app.app import create_app, lifespan_of
from asgi_app.settings import Settings

CHUNK_SECONDS = 0.02


async def untouched(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Pass the response on, as FastAPI's `@app.middleware("http")` does."""
    return await call_next(request)


class PassThrough:
    """Middleware in plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward every message."""

        async def forward(message: Message) -> None:
            await send(message)

        await self._app(scope, receive, forward)


class SlowReader:
    """Delays each chunk as a slow client would, so that a stream of few rows exceeds its time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward every message, each piece of the body after `CHUNK_SECONDS`."""

        async def forward(message: Message) -> None:
            if message["type"] == "http.response.body":
                await anyio.sleep(CHUNK_SECONDS)
            await send(message)

        await self._app(scope, receive, forward)


LAYERS: Mapping[str, Callable[[ASGIApp], ASGIApp]] = {
    "base": lambda app: BaseHTTPMiddleware(app, untouched),
    "cors": lambda app: CORSMiddleware(app, allow_origins=["*"]),
    "gzip": GZipMiddleware,
    "plain": PassThrough,
}

STACKS = (
    "none",
    "plain",
    "cors",
    "gzip",
    "base",
    "base-base",
    "base-gzip",
    "gzip-base",
    "gzip-base-base",
    "base-gzip-base",
)
"""Stacks of middleware around the service, the innermost first."""


def behind(stack: str, app: ASGIApp) -> ASGIApp:
    """Return `app` behind the middleware that `stack` names."""
    for layer in stack.split("-") if stack != "none" else ():
        app = LAYERS[layer](app)
    return app


def make() -> Starlette:
    """Return a parent with each stack at `/{stack}/off`, and at `/{stack}/on` with the service's compression on."""
    settings = Settings.load()
    services = {name: create_app(replace(settings, gzip=name == "on")) for name in ("off", "on")}
    places = [
        Mount(f"/{stack}/{name}", behind(stack, SlowReader(service)))
        for stack in STACKS
        for name, service in services.items()
    ]
    return Starlette(routes=places, lifespan=lifespan_of(*services.values()))
