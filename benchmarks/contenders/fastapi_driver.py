"""FastAPI over cassandra-driver, in the style of the guide that Astra DB's documentation has for it.

As there: the session comes to every endpoint as a dependency that is an async generator, statements are prepared at
their first use and kept, endpoints are `async def` and call the driver in place, so that the event loop waits for
Cassandra; a stream is a generator of one piece of JSON a row. In an environment of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import cache
from itertools import islice
from typing import Annotated, Any
from uuid import UUID, uuid4

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.query import PreparedStatement
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.responses import StreamingResponse

from benchmarks.contenders import cql
from benchmarks.contenders.models import Animal, User, UserCreate, UserUpdate, user_of
from benchmarks.contenders.times import now

updates = cql.updates()


@cache
def get_session() -> Session:
    """The one session, made at its first use."""
    hosts = cql.hosts()
    levels = ExecutionProfile(
        consistency_level=ConsistencyLevel.LOCAL_QUORUM, serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL
    )
    cluster = Cluster(
        [host for host, _ in hosts],
        port=hosts[0][1],
        protocol_version=4,
        execution_profiles={EXEC_PROFILE_DEFAULT: levels},
    )
    return cluster.connect()


async def g_get_session() -> AsyncIterator[Session]:
    """The session as a dependency."""
    yield get_session()


Connected = Annotated[Any, Depends(g_get_session)]


@cache
def prepared(text: str) -> PreparedStatement:
    """A statement, prepared at its first use."""
    return get_session().prepare(text)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Closes the session at the end."""
    yield
    get_session().cluster.shutdown()


app = FastAPI(lifespan=lifespan)


@app.get("/users/stream")
async def stream_users(
    session: Connected,
    limit: Annotated[int | None, Query(ge=0)] = None,
    fetch_size: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> StreamingResponse:
    """All users, or so many, as one array."""
    statement = prepared(cql.ALL).bind(())
    statement.fetch_size = fetch_size
    users = (user_of(*row) for row in islice(session.execute(statement), limit))
    return StreamingResponse(_chunks(users), media_type="application/json")


def _chunks(users: Iterable[User]) -> Iterator[str]:
    yield "["
    for number, user in enumerate(users):
        yield f"{',' if number else ''}{user.model_dump_json()}"
    yield "]"


@app.get("/users/{user_id}", response_model=User)
async def read_user(user_id: UUID, session: Connected) -> User:
    """One user."""
    return _read(session, user_id)


@app.get("/users", response_model=list[User])
async def list_users(session: Connected, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> list[User]:
    """So many users."""
    return [user_of(*row) for row in session.execute(prepared(cql.FIRST), (limit,))]


@app.post("/users", response_model=User, status_code=201)
async def create_user(user: UserCreate, session: Connected) -> User:
    """A new user."""
    moment = now()
    row = (uuid4(), user.name, user.email, user.age, moment, moment)
    session.execute(prepared(cql.INSERT), row)
    return user_of(*row)


@app.patch("/users/{user_id}", response_model=User)
async def change_user(user_id: UUID, change: UserUpdate, session: Connected) -> User:
    """Some fields of a user that exists."""
    sent = change.model_dump(exclude_unset=True)
    names = tuple(name for name in cql.CHANGEABLE if name in sent)
    values = (*(sent[name] for name in names), now(), user_id)
    if not session.execute(prepared(updates[names]), values).was_applied:
        raise HTTPException(404, "There is no such user.")
    return _read(session, user_id)


@app.post("/animal", status_code=201)
async def write_animal(animal: Animal, session: Connected) -> dict[str, bool]:
    """An animal, written over one of its name."""
    session.execute(prepared(cql.UPSERT), tuple(animal.model_dump().values()))
    return {"inserted": True}


def _read(session: Session, user_id: UUID) -> User:
    row = session.execute(prepared(cql.READ), (user_id,)).one()
    if row is None:
        raise HTTPException(404, "There is no such user.")
    return user_of(*row)
