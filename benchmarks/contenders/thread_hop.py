"""One thread hop a request: the usual way to call a blocking driver from Starlette, with nothing around it.

It has every advantage over the service: no middleware, no request id, no deadline, no admission, no validation beyond
what it needs. Cluster settings (protocol, balancing, no compression), prepared SELECT and JSON encoder are the same.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asgi_app.cluster import build_cluster
from asgi_app.cql import Queries
from asgi_app.settings import Settings
from asgi_app.tables import USERS

THREADS = 40
"""What anyio, and with it Starlette, gives blocking calls when nobody says otherwise."""


class User(msgspec.Struct, gc=False):
    """A row as it is answered."""

    id: uuid.UUID
    name: str
    email: str
    age: int
    created_at: str
    updated_at: str


_encode = msgspec.json.Encoder().encode


async def read_user(request: Request) -> Response:
    """GET /users/{user_id}."""
    state = request.app.state
    key = (uuid.UUID(request.path_params["user_id"]),)
    result = await to_thread.run_sync(state.session.execute, state.select, key, limiter=state.threads)
    row = result.one()
    return Response(status_code=404) if row is None else Response(_json(row), media_type="application/json")


def _json(row: tuple[Any, ...]) -> bytes:
    user_id, name, email, age, created_at, updated_at = row
    return _encode(User(user_id, name, email, age, _text(created_at), _text(updated_at)))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds") + "Z"


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """The session and the prepared SELECT, in `app.state`."""
    settings = Settings.load()
    cluster = build_cluster(settings)
    try:
        app.state.session = cluster.connect()
        app.state.select = app.state.session.prepare(Queries(settings.cassandra_keyspace, USERS).row.cql)
        app.state.threads = CapacityLimiter(THREADS)
        yield
    finally:
        cluster.shutdown()


app = Starlette(routes=[Route("/users/{user_id}", read_user)], lifespan=lifespan)
