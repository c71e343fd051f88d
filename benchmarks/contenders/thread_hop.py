"""One thread hop a request: the usual way to call a blocking driver from Starlette, with nothing around it.

It has every advantage over the service: no middleware, no request id, no deadline, no admission, no validation beyond
what it needs. Cluster settings (protocol, balancing, no compression) and JSON encoder are the same.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import CapacityLimiter, to_thread

from asgi_app.driver.cluster import build_cluster
from asgi_app.settings import Settings
from benchmarks.contenders import cql
from benchmarks.contenders.bare import NewUser, User, application
from benchmarks.contenders.times import time_text

THREADS = 40
"""What anyio, and with it Starlette, gives blocking calls when nobody says otherwise."""


class ThreadHop:
    """A `Store` over a session and its prepared statements; every call of the driver is in a worker thread."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self._threads = CapacityLimiter(THREADS)
        self._read, self._first, self._all = map(session.prepare, (cql.READ, cql.FIRST, cql.ALL))
        self._insert, self._upsert = session.prepare(cql.INSERT), session.prepare(cql.UPSERT)
        self._updates = {names: session.prepare(text) for names, text in cql.updates().items()}

    async def read(self, user_id: uuid.UUID) -> User | None:
        """The user, or None where there is none."""
        row = (await self._execute(self._read, (user_id,))).one()
        return None if row is None else _user(row)

    async def first(self, limit: int) -> list[User]:
        """So many users."""
        return list(map(_user, (await self._execute(self._first, (limit,))).current_rows))

    async def insert(self, user: NewUser) -> None:
        """Write a new user."""
        await self._execute(self._insert, user)

    async def update(self, user_id: uuid.UUID, changes: dict[str, Any]) -> bool:
        """Set some columns of a user where there is one, `updated_at` the last of them; tells whether there is."""
        *names, _ = changes
        result = await self._execute(self._updates[tuple(names)], (*changes.values(), user_id))
        return bool(result.one()[0])

    async def upsert(self, animal: tuple[Any, ...]) -> None:
        """Write an animal, in the order of the table's columns."""
        await self._execute(self._upsert, animal)

    async def pages(self, limit: int | None, fetch_size: int) -> AsyncIterator[list[User]]:
        """All users, or so many of them; a hop for each page."""
        result = await self._execute(self.every_user(fetch_size))
        left = limit
        while True:
            rows = list(map(_user, result.current_rows[:left]))
            left = None if left is None else left - len(rows)
            yield rows
            if left == 0 or not result.has_more_pages:
                return
            await to_thread.run_sync(result.fetch_next_page, limiter=self._threads)

    def every_user(self, fetch_size: int) -> Any:
        """The statement of all users, in pages of that size."""
        statement = self._all.bind(())
        statement.fetch_size = fetch_size
        return statement

    async def _execute(self, *statement: Any) -> Any:
        return await to_thread.run_sync(self.session.execute, *statement, limiter=self._threads)


def _user(row: tuple[Any, ...]) -> User:
    user_id, name, email, age, created_at, updated_at = row
    return User(user_id, name, email, age, time_text(created_at), time_text(updated_at))


@asynccontextmanager
async def store() -> AsyncIterator[ThreadHop]:
    """The store over a session of its own. Nothing is served yet, so that it may block."""
    cluster = build_cluster(Settings.load())
    try:
        yield ThreadHop(cluster.connect())
    finally:
        cluster.shutdown()


app = application(store)
