"""The value types of the settings, the allowed words, and the error that lists what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest
from typing import Literal, NamedTuple

import msgspec

Consistency = Literal[
    "ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_ONE", "LOCAL_QUORUM", "EACH_QUORUM"
]  # ANY cannot read and the serial levels cannot write, so they cannot be the default for both
SerialConsistency = Literal["LOCAL_SERIAL", "SERIAL"]
ProtocolVersion = Literal[3, 4, 5]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["console", "json"]


class Secret:
    """A text that only `reveal` returns; `repr`, `str` and `format` return asterisks.

    It is not a `str`, so that no encoder, log formatter or f-string can write the value by accident.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text."""
        return self._value

    def __repr__(self) -> str:
        return "********"

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(_comparable(self._value), _comparable(other._value))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)


def _comparable(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # `compare_digest` takes no text outside ASCII


class Problem(NamedTuple):
    """A mistake in one variable, or in the `.env` file, and the values that are allowed instead."""

    name: str
    message: str


class SettingsError(Exception):
    """The settings cannot be used. `problems` holds all of them; `str()` is one line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{problem.name}: {problem.message}" for problem in self.problems))


class ContactPoint(msgspec.Struct, frozen=True):
    """A Cassandra node to connect to first: a host name or address, and a port unless it is CASSANDRA_PORT."""

    host: str
    port: int | None = None
