"""The rows every contender reads, and the exact bytes each must answer: the same in every process and every run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

ROWS_VARIABLE = "ASGI_BENCHMARK_ROWS"
"""Tells a contender without a database how many sample users there are."""

_FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_NAMES = ("Ada Lovelace", "Grace Hopper", "Søren Kierkegaard", 'Anne "the quick" O\'Neil', "平塚 らいてう", "Bo")


class User(NamedTuple):
    """A row of `users`, its values in the order of the table's columns."""

    id: uuid.UUID
    name: str
    email: str
    age: int
    created_at: datetime
    updated_at: datetime

    @property
    def path(self) -> str:
        """Where the user is read."""
        return f"/users/{self.id}"

    def json(self) -> bytes:
        """The body of the answer, as the contract of the endpoint has it."""
        times = {"created_at": time_text(self.created_at), "updated_at": time_text(self.updated_at)}
        return msgspec.json.encode({**self._asdict(), **times})


def sample_users(count: int) -> Iterator[User]:
    """`count` users, number n always the same one."""
    for number in range(count):
        created = _FIRST_DAY + timedelta(hours=number, milliseconds=number * 37 % 1000)
        yield User(
            id=uuid.uuid5(uuid.NAMESPACE_URL, f"user {number}"),
            name=f"{_NAMES[number % len(_NAMES)]} {number}",
            email=f"user{number}@example.com",
            age=number % 100,
            created_at=created,
            updated_at=created + timedelta(minutes=number % 60),
        )


def time_text(moment: datetime) -> str:
    """A time as every contender answers it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
