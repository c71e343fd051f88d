"""Bare Starlette over scyllapy, which is ScyllaDB's driver in Rust behind asyncio. In an environment of its own.

The driver offers neither a page size nor a paging state, and its iteration over pages awaits every row, which costs
several times what the rows of one answer cost. So a stream asks for the rows after the last one's token, page by page.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from scyllapy import Consistency, ExecutionProfile, Scylla, SerialConsistency

from benchmarks.contenders import cql
from benchmarks.contenders.bare import NewUser, User, application
from benchmarks.contenders.times import time_text


class Scyllapy:
    """A `Store` over a session and its prepared statements."""

    def __init__(self, session: Scylla, prepared: dict[str, Any]) -> None:
        self._execute: Any = session.execute
        self._read, self._first, self._after = (prepared[text] for text in (cql.READ, cql.FIRST, cql.AFTER))
        self._insert, self._upsert = prepared[cql.INSERT], prepared[cql.UPSERT]
        self._updates = {names: prepared[text] for names, text in cql.updates().items()}

    async def read(self, user_id: uuid.UUID) -> User | None:
        """The user, or None where there is none."""
        row = (await self._execute(self._read, [user_id])).first()
        return None if row is None else _user(row)

    async def first(self, limit: int) -> list[User]:
        """So many users."""
        return list(map(_user, (await self._execute(self._first, [limit])).all()))

    async def insert(self, user: NewUser) -> None:
        """Write a new user."""
        await self._execute(self._insert, list(user))

    async def update(self, user_id: uuid.UUID, changes: dict[str, Any]) -> bool:
        """Set some columns of a user where there is one, `updated_at` the last of them; tells whether there is."""
        *names, _ = changes
        result = await self._execute(self._updates[tuple(names)], [*changes.values(), user_id])
        return bool(result.first()["[applied]"])

    async def upsert(self, animal: tuple[Any, ...]) -> None:
        """Write an animal, in the order of the table's columns."""
        await self._execute(self._upsert, list(animal))

    async def pages(self, limit: int | None, fetch_size: int) -> AsyncIterator[list[User]]:
        """All users, or so many of them; the next page is on its way while one is written."""
        left = limit
        size = _least(fetch_size, left)
        asked = self._execute(self._first, [size]) if size else None
        while asked is not None:
            rows = (await asked).all()
            left = None if left is None else left - len(rows)
            size, asked_before = _least(fetch_size, left), size
            more = size and len(rows) == asked_before
            asked = asyncio.ensure_future(self._execute(self._after, [rows[-1]["id"], size])) if more else None
            yield list(map(_user, rows))


def _least(fetch_size: int, left: int | None) -> int:
    return fetch_size if left is None else min(fetch_size, left)


def _user(row: dict[str, Any]) -> User:
    times = (time_text(row["created_at"]), time_text(row["updated_at"]))
    return User(row["id"], row["name"], row["email"], row["age"], *times)


@asynccontextmanager
async def _store() -> AsyncIterator[Scyllapy]:
    levels = ExecutionProfile(consistency=Consistency.LOCAL_QUORUM, serial_consistency=SerialConsistency.LOCAL_SERIAL)
    session = Scylla([f"{host}:{port}" for host, port in cql.hosts()], default_execution_profile=levels)
    await session.startup()
    try:
        texts = (cql.READ, cql.FIRST, cql.AFTER, cql.INSERT, cql.UPSERT, *cql.updates().values())
        yield Scyllapy(session, {text: await session.prepare(text) for text in texts})
    finally:
        await session.shutdown()


app = application(_store)
