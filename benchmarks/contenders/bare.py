"""Bare Starlette over a `Store`: the HTTP part of contenders that differ only in their driver.

It does less than the service: no middleware, no request id, no deadline, no admission, no validation beyond types.
msgspec reads and writes its JSON. This module imports nothing of the service.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from benchmarks.contenders import cql
from benchmarks.contenders.cql import now, time_text

Row = Sequence[Any]


class Store(Protocol):
    """The methods of a driver that the endpoints call."""

    async def execute(self, text: str, values: Row) -> list[Row]:
        """Execute one of the prepared statements of `cql`, and return its rows."""

    def pages(self, limit: int | None, fetch_size: int) -> AsyncIterator[list[Row]]:
        """Read the first users, or all of them, page by page."""


class User(msgspec.Struct, gc=False):
    """A user in an answer."""

    id: uuid.UUID | str
    name: str
    email: str
    age: int
    created_at: str
    updated_at: str


class UserFields(msgspec.Struct, gc=False):
    """The body of a POST."""

    name: str
    email: str
    age: int


class UserChanges(msgspec.Struct, gc=False):
    """The body of a PATCH."""

    name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    age: int | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(UserFields).decode
_decode_changes = msgspec.json.Decoder(UserChanges).decode
_UPDATES = cql.updates()


def application(store: Callable[[], AbstractAsyncContextManager[Store]]) -> Starlette:
    """Return the application over a store, which is open from start-up to shutdown."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with store() as app.state.store:
            yield

    return Starlette(routes=_ROUTES, lifespan=lifespan)


async def read_user(request: Request) -> Response:
    """Answer GET /users/{user_id}."""
    return await _answer(request, uuid.UUID(request.path_params["user_id"]))


async def list_users(request: Request) -> Response:
    """Answer GET /users?limit."""
    rows = await _store(request).execute(cql.FIRST, [int(request.query_params["limit"])])
    return _json(_encode(list(map(_user, rows))))


async def create_user(request: Request) -> Response:
    """Answer POST /users."""
    fields = _decode_fields(await request.body())
    moment = now()
    row = [uuid.uuid4(), fields.name, fields.email, fields.age, moment, moment]
    await _store(request).execute(cql.INSERT, row)
    return _json(_encode(_user(row)), 201)


async def change_user(request: Request) -> Response:
    """Answer PATCH /users/{user_id}."""
    sent = msgspec.structs.asdict(_decode_changes(await request.body()))
    changes = {name: value for name, value in sent.items() if value is not UNSET}
    user_id = uuid.UUID(request.path_params["user_id"])
    rows = await _store(request).execute(_UPDATES[tuple(changes)], [*changes.values(), now(), user_id])
    return await _answer(request, user_id) if rows[0][0] else Response(status_code=404)


async def stream_users(request: Request) -> Response:
    """Answer GET /users/stream?limit&fetch_size with a JSON array, a chunk a page."""
    query = request.query_params
    limit = int(query["limit"]) if "limit" in query else None
    pages = _store(request).pages(limit, int(query["fetch_size"]))
    return StreamingResponse(_chunks(pages), media_type="application/json")


async def _chunks(pages: AsyncIterator[list[Row]]) -> AsyncIterator[bytes]:
    separator = b"["
    async for page in pages:
        if page:
            yield separator + _encode(list(map(_user, page)))[1:-1]
            separator = b","
    yield b"[]" if separator == b"[" else b"]"


async def _answer(request: Request, user_id: uuid.UUID) -> Response:
    rows = await _store(request).execute(cql.READ, [user_id])
    return _json(_encode(_user(rows[0]))) if rows else Response(status_code=404)


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def _user(row: Row) -> User:
    user_id, name, email, age, created_at, updated_at = row
    return User(user_id, name, email, age, time_text(created_at), time_text(updated_at))


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


_ROUTES = [
    Route("/users/stream", stream_users),
    Route("/users/{user_id}", read_user),
    Route("/users/{user_id}", change_user, methods=["PATCH"]),
    Route("/users", list_users),
    Route("/users", create_user, methods=["POST"]),
]
