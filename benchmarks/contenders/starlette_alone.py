"""Starlette without a database: what uvicorn, Starlette and JSON cost by themselves for the same requests and bytes."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
from cassandra.murmur3 import murmur3

from benchmarks.contenders.bare import NewUser, User, application
from benchmarks.contenders.times import time_text
from benchmarks.sample import ROWS_VARIABLE, sample_users


class Memory:
    """A `Store` of the sample users, in the order in which Cassandra gives them."""

    def __init__(self, count: int) -> None:
        rows = sorted(sample_users(count), key=lambda user: murmur3(user.id.bytes))
        self._users = {user.id: _user(*user) for user in rows}

    async def read(self, user_id: uuid.UUID) -> User | None:
        """The user, or None where there is none."""
        return self._users.get(user_id)

    async def first(self, limit: int) -> list[User]:
        """So many users."""
        return list(islice(self._users.values(), limit))

    async def insert(self, user: NewUser) -> None:
        """Keep a new user."""
        self._users[user.id] = _user(*user)

    async def update(self, user_id: uuid.UUID, changes: dict[str, Any]) -> bool:
        """Set some columns of a user where there is one; tells whether there is."""
        user = self._users.get(user_id)
        if user is not None:
            texts = {**changes, "updated_at": time_text(changes["updated_at"])}
            self._users[user_id] = msgspec.structs.replace(user, **texts)
        return user is not None

    async def upsert(self, animal: tuple[Any, ...]) -> None:
        """Nobody asks for animals."""

    async def pages(self, limit: int | None, fetch_size: int) -> AsyncIterator[list[User]]:
        """All users, or so many of them, page by page."""
        users = list(self._users.values())[:limit]
        for start in range(0, len(users), fetch_size):
            yield users[start : start + fetch_size]


def _user(user_id: uuid.UUID, name: str, email: str, age: int, created_at: datetime, updated_at: datetime) -> User:
    return User(user_id, name, email, age, time_text(created_at), time_text(updated_at))


@asynccontextmanager
async def _store() -> AsyncIterator[Memory]:
    yield Memory(int(os.environ[ROWS_VARIABLE]))


app = application(_store)
