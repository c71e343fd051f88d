"""What contenders in environments of their own ask of Cassandra, and where it is. Needs the standard library alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import chain, combinations

CHANGEABLE = ("name", "email", "age")
"""What a PATCH of a user may name."""

_KEYSPACE = os.environ.get("CASSANDRA_KEYSPACE", "test_keyspace")
_USERS = f'"{_KEYSPACE}"."users"'
_ANIMALS = f'"{_KEYSPACE}"."animals"'
_COLUMNS = "id, name, email, age, created_at, updated_at"

READ = f"SELECT {_COLUMNS} FROM {_USERS} WHERE id = ?"  # noqa: S608 - here and below: identifiers of our own
FIRST = f"SELECT {_COLUMNS} FROM {_USERS} LIMIT ?"  # noqa: S608
ALL = f"SELECT {_COLUMNS} FROM {_USERS}"  # noqa: S608
AFTER = f"SELECT {_COLUMNS} FROM {_USERS} WHERE token(id) > token(?) LIMIT ?"  # noqa: S608
INSERT = f"INSERT INTO {_USERS} ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
UPSERT = (
    f"INSERT INTO {_ANIMALS} (genus, species, image_url, size_cm, sightings, taxonomy) "  # noqa: S608
    "VALUES (?, ?, ?, ?, ?, ?)"
)


def update(names: Iterable[str]) -> str:
    """Sets these columns and `updated_at` of a user, in this order, where there is one."""
    assignments = ", ".join(f"{name} = ?" for name in (*names, "updated_at"))
    return f"UPDATE {_USERS} SET {assignments} WHERE id = ? IF EXISTS"  # noqa: S608


def updates() -> dict[tuple[str, ...], str]:
    """Every `update` there is, by the names of what it changes."""
    sizes = range(1, len(CHANGEABLE) + 1)
    return {names: update(names) for names in chain.from_iterable(combinations(CHANGEABLE, size) for size in sizes)}


def hosts() -> list[tuple[str, int]]:
    """Host and port of each node in `CASSANDRA_HOSTS`."""
    points = (point.strip().rpartition(":") for point in os.environ["CASSANDRA_HOSTS"].split(","))
    return [(host, int(port)) for host, _, port in points]
