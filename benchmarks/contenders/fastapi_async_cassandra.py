"""FastAPI over async-cassandra, in the style of that package's own example: a pydantic model, one session for all.

The example prepares its statement in every request, although its text says otherwise, and so does this. It answers
point reads only. Runs in an environment of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from async_cassandra import AsyncCassandraSession, AsyncCluster
from cassandra import ConsistencyLevel
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from benchmarks.contenders import cql
from benchmarks.contenders.cql import time_text


class User(BaseModel):
    """A user in an answer."""

    id: str
    name: str
    email: str
    age: int
    created_at: str
    updated_at: str


session: AsyncCassandraSession
"""The session of all requests, set at start-up, as in the example."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the session. The end of the process closes it: the package's own ways to close sleep for five seconds."""
    global session
    hosts = cql.hosts()
    cluster = AsyncCluster([host for host, _ in hosts], port=hosts[0][1], protocol_version=5)
    session = await cluster.connect()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/users/{user_id}", response_model=User)
async def read_user(user_id: UUID) -> User:
    """Answer one user."""
    statement = await session.prepare(cql.READ)
    statement.consistency_level = ConsistencyLevel.LOCAL_QUORUM
    result: Any = await session.execute(statement, [user_id])
    row = result.one()
    if row is None:
        raise HTTPException(404, "There is no such user.")
    _, name, email, age, created_at, updated_at = row
    return User(
        id=str(user_id),
        name=name,
        email=email,
        age=age,
        created_at=time_text(created_at),
        updated_at=time_text(updated_at),
    )
