"""Users written and read by the driver directly, and read through the service by streams and pages."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import httpx
from cassandra import ConsistencyLevel
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from helpers.exchange import Exchange

User = dict[str, Any]

WRITES_AT_ONCE = 100


def stored_users(cql: Session, table: str) -> list[User]:
    """Return all users in token order, as JSON shows them."""
    read = f"SELECT token(id) AS place, id, name, email, age, created_at, updated_at FROM {table}"
    rows = list(cql.execute(read))
    places = [row.place for row in rows]
    assert places == sorted(places)
    return [
        {
            "id": str(row.id),
            "name": row.name,
            "email": row.email,
            "age": row.age,
            "created_at": _moment(row.created_at),
            "updated_at": _moment(row.updated_at),
        }
        for row in rows
    ]


def write_users(
    cql: Session,
    table: str,
    ages: Iterable[int],
    *,
    name: str = "n",
    consistency_level: int = ConsistencyLevel.ONE,
    at_once: int = WRITES_AT_ONCE,
) -> list[str]:
    """Write a user of each age, and return their ids."""
    ids = [(uuid.uuid4(), age) for age in ages]
    insert = cql.prepare(f"INSERT INTO {table} (id, name, age) VALUES (?, ?, ?)")
    insert.consistency_level = consistency_level
    writes = [(user_id, name, age) for user_id, age in ids]
    execute_concurrent_with_args(cql, insert, writes, concurrency=at_once)
    return [str(user_id) for user_id, _ in ids]


def delete_users(cql: Session, table: str, ids: Sequence[str]) -> None:
    """Delete the users with these ids."""
    delete = cql.prepare(f"DELETE FROM {table} WHERE id = ?")
    execute_concurrent_with_args(cql, delete, [(uuid.UUID(user_id),) for user_id in ids], concurrency=WRITES_AT_ONCE)


def ids_of(users: Iterable[User]) -> list[str]:
    return [user["id"] for user in users]


async def stream(app: Any, query: str = "", **exchange: Any) -> Exchange:
    """Request /users/stream, and return the exchange with every message of the response."""
    asked = Exchange("GET", "/users/stream", query=query.encode(), **exchange)
    await asked.run(app)
    return asked


async def streamed(app: Any, query: str = "") -> list[User]:
    """Return the users of a complete stream."""
    answer = await stream(app, query)
    assert (answer.status, answer.complete) == (200, True)
    users: list[User] = json.loads(b"".join(answer.chunks))
    return users


async def walk(client: httpx.AsyncClient, **params: Any) -> list[list[User]]:
    """Return the pages of /users/stream/pages, each requested by nothing but the token of the page before."""
    pages: list[list[User]] = []
    while True:
        answer = await client.get("/users/stream/pages", params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        pages.append(page["users"])
        assert page["has_more"] is (page["page_state"] is not None)
        if not page["has_more"]:
            return pages
        params = {"page_state": page["page_state"]}


def _moment(value: datetime.datetime | None) -> str | None:
    return value.isoformat(timespec="milliseconds") + "Z" if value is not None else None
