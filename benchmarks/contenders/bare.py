"""Bare Starlette over a `Store`: the HTTP part of every contender that differs from others in its driver alone.

It does what the endpoints must do and no more: no middleware, no request id, no deadline, no admission, no validation
beyond the types of what is sent. JSON is msgspec's in both directions. Imports nothing of this project's service.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import UNSET, UnsetType
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from benchmarks.contenders.times import now, time_text


class User(msgspec.Struct, gc=False):
    """A user as answered."""

    id: uuid.UUID | str
    name: str
    email: str
    age: int
    created_at: str
    updated_at: str


class NewUser(NamedTuple):
    """A user as written, in the order of the table's columns."""

    id: uuid.UUID
    name: str
    email: str
    age: int
    created_at: datetime
    updated_at: datetime


class Store(Protocol):
    """A driver's side of the endpoints."""

    async def read(self, user_id: uuid.UUID) -> User | None:
        """The user, or None where there is none."""

    async def first(self, limit: int) -> list[User]:
        """So many users."""

    async def insert(self, user: NewUser) -> None:
        """Write a new user."""

    async def update(self, user_id: uuid.UUID, changes: dict[str, Any]) -> bool:
        """Set some columns of a user where there is one, `updated_at` the last of them; tells whether there is."""

    async def upsert(self, animal: tuple[Any, ...]) -> None:
        """Write an animal, in the order of the table's columns."""

    def pages(self, limit: int | None, fetch_size: int) -> AsyncIterator[list[User]]:
        """All users, or so many of them, page by page."""


class UserFields(msgspec.Struct, gc=False):
    """What is sent to create a user."""

    name: str
    email: str
    age: int


class UserChanges(msgspec.Struct, gc=False):
    """What is sent to change one."""

    name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    age: int | UnsetType = UNSET


class AnimalFields(msgspec.Struct):
    """What is sent to write an animal."""

    genus: str
    species: str
    image_url: str
    size_cm: float
    sightings: int
    taxonomy: list[str]


_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(UserFields).decode
_decode_changes = msgspec.json.Decoder(UserChanges).decode
_decode_animal = msgspec.json.Decoder(AnimalFields).decode


def application(store: Callable[[], AbstractAsyncContextManager[Store]], routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The application over the store, which is there while the application lives. `routes` come before its own."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with store() as app.state.store:
            yield

    return Starlette(routes=[*routes, *_ROUTES], lifespan=lifespan)


async def read_user(request: Request) -> Response:
    """GET /users/{user_id}."""
    return _answer(await _store(request).read(_user_id(request)))


async def list_users(request: Request) -> Response:
    """GET /users?limit."""
    return _json(_encode(await _store(request).first(int(request.query_params["limit"]))))


async def create_user(request: Request) -> Response:
    """POST /users."""
    fields = _decode_fields(await request.body())
    moment = now()
    user = NewUser(uuid.uuid4(), fields.name, fields.email, fields.age, moment, moment)
    await _store(request).insert(user)
    text = time_text(moment)
    return _json(_encode(User(user.id, user.name, user.email, user.age, text, text)), 201)


async def change_user(request: Request) -> Response:
    """PATCH /users/{user_id}."""
    sent = msgspec.structs.asdict(_decode_changes(await request.body()))
    changes = {name: value for name, value in sent.items() if value is not UNSET}
    user_id = _user_id(request)
    applied = await _store(request).update(user_id, {**changes, "updated_at": now()})
    return _answer(await _store(request).read(user_id) if applied else None)


async def write_animal(request: Request) -> Response:
    """POST /animal."""
    await _store(request).upsert(msgspec.structs.astuple(_decode_animal(await request.body())))
    return _json(b'{"inserted":true}', 201)


async def stream_users(request: Request) -> Response:
    """GET /users/stream?limit&fetch_size: a JSON array, a chunk a page."""
    query = request.query_params
    limit = int(query["limit"]) if "limit" in query else None
    pages = _store(request).pages(limit, int(query["fetch_size"]))
    return StreamingResponse(_chunks(pages), media_type="application/json")


async def _chunks(pages: AsyncIterator[list[User]]) -> AsyncIterator[bytes]:
    separator = b"["
    async for page in pages:
        if page:
            yield separator + _encode(page)[1:-1]
            separator = b","
    yield b"[]" if separator == b"[" else b"]"


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def _user_id(request: Request) -> uuid.UUID:
    return uuid.UUID(request.path_params["user_id"])


def _answer(user: User | None) -> Response:
    return Response(status_code=404) if user is None else _json(_encode(user))


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


_ROUTES = (
    Route("/users/stream", stream_users),
    Route("/users/{user_id}", read_user),
    Route("/users/{user_id}", change_user, methods=["PATCH"]),
    Route("/users", list_users),
    Route("/users", create_user, methods=["POST"]),
    Route("/animal", write_animal, methods=["POST"]),
)
