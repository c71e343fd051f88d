"""The statements, nodes and times of the contenders. Needs only the standard library."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from itertools import combinations, pairwise

_KEYSPACE = os.environ.get("CASSANDRA_KEYSPACE", "test_keyspace")
_USERS = f'"{_KEYSPACE}"."users"'
_COLUMNS = "id, name, email, age, created_at, updated_at"

ALL = f"SELECT {_COLUMNS} FROM {_USERS}"  # noqa: S608 - here and below the identifiers are this module's own
READ = f"{ALL} WHERE id = ?"
FIRST = f"{ALL} LIMIT ?"
INSERT = f"INSERT INTO {_USERS} ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608


def _update(names: tuple[str, ...]) -> str:
    assignments = ", ".join(f"{name} = ?" for name in (*names, "updated_at"))
    return f"UPDATE {_USERS} SET {assignments} WHERE id = ? IF EXISTS"  # noqa: S608


def updates() -> dict[tuple[str, ...], str]:
    """Return the update of each combination of columns. It sets them in this order, and then `updated_at`."""
    columns = ("name", "email", "age")
    return {names: _update(names) for size in range(1, len(columns) + 1) for names in combinations(columns, size)}


def statements() -> list[str]:
    """Return every statement, to prepare it."""
    return [ALL, READ, FIRST, INSERT, *updates().values()]


def in_range(table: str, key: str) -> str:
    """Return the statement that selects the rows in a range of tokens. `key`: the column of the partition key."""
    return f'SELECT * FROM "{_KEYSPACE}"."{table}" WHERE token({key}) > ? AND token({key}) <= ?'  # noqa: S608


def ranges(count: int) -> list[tuple[int, int]]:
    """Return ranges of tokens, the values of `in_range`, that together have every partition once."""
    ends = [-(2**63) + 2**64 * place // count for place in range(count)] + [2**63 - 1]
    return list(pairwise(ends))


def hosts() -> list[tuple[str, int]]:
    """Return host and port of each node in `CASSANDRA_HOSTS`."""
    points = (point.strip().rpartition(":") for point in os.environ["CASSANDRA_HOSTS"].split(","))
    return [(host, int(port)) for host, _, port in points]


def time_text(moment: datetime) -> str:
    """Return a time in UTC, with or without its zone, as the API sends it."""
    return moment.isoformat(timespec="milliseconds")[:23] + "Z"


def now() -> datetime:
    """Return the time in UTC with milliseconds, like Cassandra."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
