"""The application in this process: settings for it, its lifespan, and a client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette

from asgi_app.app import create_app
from asgi_app.settings import ContactPoint, Settings

BASE = "http://localhost:8000"


def settings_for(address: tuple[str, int], keyspace: str, **changes: Any) -> Settings:
    """Return settings for the node at `address`. `changes` are arguments of `Settings`."""
    defaults = {"cassandra_hosts": (ContactPoint(*address),), "cassandra_keyspace": keyspace}
    return Settings(**(defaults | changes))


def client_of(app: Any, **transport: Any) -> httpx.AsyncClient:
    """Return a client that calls `app` in this process. An exception that leaves the app is raised by the call."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, **transport), base_url=BASE, timeout=60)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    """Run an application's lifespan; return the application and a client of it.

    Enter and leave the context in the same task.
    """
    app = create_app(settings)
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield app, client
