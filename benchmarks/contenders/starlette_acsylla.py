"""Bare Starlette over acsylla, which is DataStax's driver in C++ behind asyncio. In an environment of its own."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import acsylla

from benchmarks.contenders import cql
from benchmarks.contenders.bare import NewUser, User, application
from benchmarks.contenders.times import time_text


class Acsylla:
    """A `Store` over a session and its prepared statements."""

    def __init__(self, session: Any, prepared: dict[str, Any]) -> None:
        self._execute = session.execute
        self._read, self._first, self._all = (prepared[text] for text in (cql.READ, cql.FIRST, cql.ALL))
        self._insert, self._upsert = prepared[cql.INSERT], prepared[cql.UPSERT]
        self._updates = {names: prepared[text] for names, text in cql.updates().items()}

    async def read(self, user_id: uuid.UUID) -> User | None:
        """The user, or None where there is none."""
        row = (await self._execute(self._read([user_id]))).first()
        return None if row is None else _user(row)

    async def first(self, limit: int) -> list[User]:
        """So many users."""
        return list(map(_user, await self._execute(self._first([limit]))))

    async def insert(self, user: NewUser) -> None:
        """Write a new user."""
        await self._execute(self._insert(list(user)))

    async def update(self, user_id: uuid.UUID, changes: dict[str, Any]) -> bool:
        """Set some columns of a user where there is one, `updated_at` the last of them; tells whether there is."""
        *names, _ = changes
        result = await self._execute(self._updates[tuple(names)]([*changes.values(), user_id]))
        return bool(result.first().column_value_by_index(0))

    async def upsert(self, animal: tuple[Any, ...]) -> None:
        """Write an animal, in the order of the table's columns."""
        await self._execute(self._upsert(list(animal)))

    async def pages(self, limit: int | None, fetch_size: int) -> AsyncIterator[list[User]]:
        """All users, or so many of them; the next page is on its way while one is written."""
        left = limit
        statement = self._all(page_size=fetch_size)
        result = await self._execute(statement)
        while result is not None:
            rows = list(map(_user, result))[:left]
            left = None if left is None else left - len(rows)
            following = None
            if left != 0 and result.has_more_pages():
                statement.set_page_state(result.page_state())
                following = asyncio.ensure_future(self._execute(statement))
            yield rows
            result = None if following is None else await following


def _user(row: Any) -> User:
    user_id, name, email, age, created_at, updated_at = row.as_tuple()
    return User(user_id, name, email, age, time_text(created_at), time_text(updated_at))


@asynccontextmanager
async def _store() -> AsyncIterator[Acsylla]:
    hosts = cql.hosts()
    cluster = acsylla.create_cluster(
        [host for host, _ in hosts],
        port=hosts[0][1],
        consistency="LOCAL_QUORUM",
        serial_consistency="LOCAL_SERIAL",
        log_level="error",
    )
    session = await cluster.create_session()
    try:
        texts = (cql.READ, cql.FIRST, cql.ALL, cql.INSERT, cql.UPSERT, *cql.updates().values())
        yield Acsylla(session, {text: await session.create_prepared(text) for text in texts})
    finally:
        await session.close()


app = application(_store)
