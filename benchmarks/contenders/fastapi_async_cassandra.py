"""FastAPI over async-cassandra, in the style of that package's own example: pydantic models, a session for all.

The example prepares its statement in every request, although its text says otherwise, and so does this. Streams write a
page at a time. Runs in an environment of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from async_cassandra import AsyncCassandraSession, AsyncCluster, StreamConfig
from cassandra import ConsistencyLevel
from cassandra.query import PreparedStatement
from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, TypeAdapter

from benchmarks.contenders import cql
from benchmarks.contenders.cql import now, time_text


class User(BaseModel):
    """A user in an answer."""

    id: str
    name: str
    email: str
    age: int
    created_at: str
    updated_at: str


class UserCreate(BaseModel):
    """The body of a POST."""

    name: str
    email: str
    age: int


class UserUpdate(BaseModel):
    """The body of a PATCH."""

    name: str | None = None
    email: str | None = None
    age: int | None = None


session: AsyncCassandraSession
"""The session of all requests, as the example has it: set at start-up."""

updates = cql.updates()
_array = TypeAdapter(list[User])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the session. The end of the process closes it: the package's own ways to close sleep for five seconds."""
    global session
    hosts = cql.hosts()
    cluster = AsyncCluster([host for host, _ in hosts], port=hosts[0][1], protocol_version=5)
    session = await cluster.connect()
    yield


async def _statement(text: str) -> PreparedStatement:
    statement = await session.prepare(text)
    statement.consistency_level = ConsistencyLevel.LOCAL_QUORUM
    statement.serial_consistency_level = ConsistencyLevel.LOCAL_SERIAL
    return statement


app = FastAPI(lifespan=lifespan)


@app.get("/users/stream")
async def stream_users(
    limit: Annotated[int | None, Query(ge=0)] = None, fetch_size: Annotated[int, Query(ge=1, le=5000)] = 1000
) -> StreamingResponse:
    """Answer the first users, or all of them, as one array."""
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
    """Answer one user."""
    return await _read(user_id)


@app.get("/users", response_model=list[User])
async def list_users(limit: Annotated[int, Query(ge=1, le=100)] = 10) -> list[User]:
    """Answer the first users in token order."""
    result = await session.execute(await _statement(cql.FIRST), [limit])
    return [user_of(*row) for row in result.rows]


@app.post("/users", response_model=User, status_code=201)
async def create_user(user: UserCreate) -> User:
    """Create a user."""
    moment = now()
    row = (uuid4(), user.name, user.email, user.age, moment, moment)
    await session.execute(await _statement(cql.INSERT), row)
    return user_of(*row)


@app.patch("/users/{user_id}", response_model=User)
async def change_user(user_id: UUID, change: UserUpdate) -> User:
    """Change some fields of a user that exists."""
    sent = change.model_dump(exclude_unset=True)
    names = tuple(name for name in cql.CHANGEABLE if name in sent)
    values = [*(sent[name] for name in names), now(), user_id]
    result = await session.execute(await _statement(updates[names]), values)
    if not result.rows[0].applied:
        raise HTTPException(404, "There is no such user.")
    return await _read(user_id)


async def _read(user_id: UUID) -> User:
    result: Any = await session.execute(await _statement(cql.READ), [user_id])
    row = result.one()
    if row is None:
        raise HTTPException(404, "There is no such user.")
    return user_of(*row)


def user_of(user_id: UUID, name: str, email: str, age: int, created_at: datetime, updated_at: datetime) -> User:
    """Return a row, its columns in the table's order, as a model."""
    return User(
        id=str(user_id),
        name=name,
        email=email,
        age=age,
        created_at=time_text(created_at),
        updated_at=time_text(updated_at),
    )
