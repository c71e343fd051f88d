"""The application in process: its lifespan run, and a client that speaks to it."""

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
    """Settings for the node at `address`; `changes` as `Settings` takes them."""
    defaults = {"cassandra_hosts": (ContactPoint(*address),), "cassandra_keyspace": keyspace}
    return Settings(**(defaults | changes))


def client_of(app: Any, **transport: Any) -> httpx.AsyncClient:
    """A client that calls `app` in this process; a bug in the app raises here."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, **transport), base_url=BASE, timeout=60)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    """An application within its lifespan, and a client of it. Enter and leave it in the same task."""
    app = create_app(settings)
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield app, client
