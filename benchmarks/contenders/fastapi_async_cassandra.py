"""FastAPI over async-cassandra, in the style of that package's own example: pydantic models, a session for all.

The example prepares its statement anew in every request, although its text says otherwise: so does this one where
`PREPARE_VARIABLE` says `each`. Else each is prepared once, at the start. Streams are written a page at a time. In an
environment of its own.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID, uuid4

from async_cassandra import AsyncCassandraSession, AsyncCluster, StreamConfig
from cassandra import ConsistencyLevel
from cassandra.query import PreparedStatement
from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from benchmarks.contenders import PREPARE_VARIABLE, cql
from benchmarks.contenders.models import Animal, User, UserCreate, UserUpdate, user_of
from benchmarks.contenders.times import now

session: AsyncCassandraSession
"""For all requests, from the start to the end."""

in_each_request = os.environ.get(PREPARE_VARIABLE) == "each"
prepared: dict[str, PreparedStatement] = {}
updates = cql.updates()
_array = TypeAdapter(list[User])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The session, and the statements.

    The driver closes what is open when the process ends; the package's own ways to close sleep for five seconds each.
    """
    global session
    hosts = cql.hosts()
    cluster = AsyncCluster([host for host, _ in hosts], port=hosts[0][1], protocol_version=5)
    session = await cluster.connect()
    for text in (cql.READ, cql.FIRST, cql.ALL, cql.INSERT, cql.UPSERT, *updates.values()):
        prepared[text] = await _prepare(text)
    yield


async def _prepare(text: str) -> PreparedStatement:
    statement = await session.prepare(text)
    statement.consistency_level = ConsistencyLevel.LOCAL_QUORUM
    statement.serial_consistency_level = ConsistencyLevel.LOCAL_SERIAL
    return statement


async def _statement(text: str) -> PreparedStatement:
    return await _prepare(text) if in_each_request else prepared[text]


app = FastAPI(lifespan=lifespan)


@app.get("/users/stream")
async def stream_users(
    limit: Annotated[int | None, Query(ge=0)] = None, fetch_size: Annotated[int, Query(ge=1, le=5000)] = 1000
) -> StreamingResponse:
    """All users, or so many, as one array."""
    return StreamingResponse(_chunks(limit, fetch_size), media_type="application/json")


async def _chunks(limit: int | None, fetch_size: int) -> AsyncIterator[bytes]:
    separator, left = b"[", limit
    config = StreamConfig(fetch_size=fetch_size)
    async with await session.execute_stream(await _statement(cql.ALL), stream_config=config) as result:
        async for page in result.pages():
            rows = page[:left]
            if rows:
                yield separator + _array.dump_json([user_of(*row) for row in rows])[1:-1]
                separator = b","
            left = None if left is None else left - len(rows)
            if left == 0:
                break
    yield b"[]" if separator == b"[" else b"]"


@app.get("/users/{user_id}", response_model=User)
async def read_user(user_id: UUID) -> User:
    """One user."""
    return await _read(user_id)


@app.get("/users", response_model=list[User])
async def list_users(limit: Annotated[int, Query(ge=1, le=100)] = 10) -> list[User]:
    """So many users."""
    result = await session.execute(await _statement(cql.FIRST), [limit])
    return [user_of(*row) for row in result.rows]


@app.post("/users", response_model=User, status_code=201)
async def create_user(user: UserCreate) -> User:
    """A new user."""
    moment = now()
    row = (uuid4(), user.name, user.email, user.age, moment, moment)
    await session.execute(await _statement(cql.INSERT), row)
    return user_of(*row)


@app.patch("/users/{user_id}", response_model=User)
async def change_user(user_id: UUID, change: UserUpdate) -> User:
    """Some fields of a user that exists."""
    sent = change.model_dump(exclude_unset=True)
    names = tuple(name for name in cql.CHANGEABLE if name in sent)
    values = [*(sent[name] for name in names), now(), user_id]
    result = await session.execute(await _statement(updates[names]), values)
    if not result.rows[0].applied:
        raise HTTPException(404, "There is no such user.")
    return await _read(user_id)


@app.post("/animal", status_code=201)
async def write_animal(animal: Animal) -> dict[str, bool]:
    """An animal, written over one of its name."""
    await session.execute(await _statement(cql.UPSERT), list(animal.model_dump().values()))
    return {"inserted": True}


async def _read(user_id: UUID) -> User:
    result: Any = await session.execute(await _statement(cql.READ), [user_id])
    row = result.one()
    if row is None:
        raise HTTPException(404, "There is no such user.")
    return user_of(*row)
