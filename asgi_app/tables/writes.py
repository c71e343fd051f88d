"""The statements that write one resource's table: a small, constant number, in which absent values are UNSET.

Cassandra leaves a column unchanged that is bound to UNSET, so one text serves every subset of columns. Only a column
that is merged (`m = m + ?`) needs another text than one that is replaced (`m = ?`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat
from typing import Any

from msgspec import UNSET

from asgi_app.tables.cql import Statement, insert_into, quoted, where
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Column, Table
from asgi_app.tables.types import ListOf, UserType, is_frozen

TTL = "$ttl"
TIMESTAMP = "$timestamp"
VERSIONS = "$versions"
"""The names of parameters that are no columns: seconds, microseconds since 1970, and the versions of If-Match."""

MOST_UPDATES = 100
"""Texts of UPDATE that are kept. Clients decide which columns they merge, and those sets could be many."""


@dataclass(frozen=True, slots=True)
class Write:
    """A statement, and the names of what it binds, in order."""

    statement: Statement
    parameters: tuple[str, ...]

    def values(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values to bind. What `given` lacks is UNSET: Cassandra leaves it as it is."""
        return tuple(map(given.get, self.parameters, repeat(UNSET)))

    def at(self, consistency: str | None) -> Write:
        """Return the same write at a consistency; None is the configured one."""
        if consistency is None:
            return self
        return Write(replace(self.statement, consistency=consistency), self.parameters)


def added(column: str) -> str:
    """Return the name of the parameter that is added to a collection or counter."""
    return f"+{column}"


def removed(column: str) -> str:
    """Return the name of the parameter that is removed from a collection."""
    return f"-{column}"


def member(column: str, field: str) -> str:
    """Return the name of the parameter that sets one field of a user type."""
    return f".{column}.{field}"


class WriteStatements:
    """The statements that write the table of a resource. Each is built once, or once for each set of merged columns."""

    def __init__(self, keyspace: str, resource: Resource) -> None:
        self._table: Table = replace(resource.table, keyspace=keyspace)
        self._version = resource.version
        self._name = f"{quoted(keyspace)}.{quoted(self._table.name)}"
        self._key = self._table.primary_key
        self._columns = tuple(c for c in self._table.columns if c.kind == "regular")
        self._updates: dict[tuple[str, frozenset[str]], Write] = {}

    @cached_property
    def insert(self) -> Write:
        """The INSERT of a row, which overwrites an existing one, with TTL and timestamp."""
        cql = f"{self._insert_of(self._inserted)} USING TTL ? AND TIMESTAMP ?"
        return self._write(cql, (*self._inserted, TTL, TIMESTAMP), self._table.is_repeatable)

    @cached_property
    def insert_if_not_exists(self) -> Write:
        """The INSERT of a row that must not exist: a lightweight transaction, which takes no timestamp."""
        cql = f"{self._insert_of(self._inserted)} IF NOT EXISTS USING TTL ?"
        return self._write(cql, (*self._inserted, TTL))

    def update(self, merged: Collection[str] = ()) -> Write:
        """Return the UPDATE of a row, which creates it if need be. `merged` columns are changed, not replaced.

        Of a list, `merged` has the name of each parameter that is bound (`added`, `removed`) in place of the column's.
        """
        return self._kept("", merged, lambda: self._update(merged, "TTL ? AND TIMESTAMP ?", (TTL, TIMESTAMP), ""))

    def update_if_exists(self, merged: Collection[str] = ()) -> Write:
        """Return the UPDATE of an existing row: a lightweight transaction."""
        return self._kept("IF EXISTS", merged, lambda: self._update(merged, "TTL ?", (TTL,), " IF EXISTS"))

    def update_if_version(self, merged: Collection[str] = ()) -> Write:
        """Return the UPDATE of a row that has one of some versions: a lightweight transaction."""
        return self._kept("IF version", merged, lambda: self._update(merged, "TTL ?", (TTL,), self._if_version))

    @cached_property
    def replace_if_exists(self) -> Write:
        """The replacement of all columns of an existing row, which keeps it a row even if all columns are null."""
        return self._replacement(" IF EXISTS", ())

    @cached_property
    def replace_if_version(self) -> Write:
        """The same for a row that has one of some versions."""
        return self._replacement(self._if_version, (VERSIONS,))

    @cached_property
    def delete(self) -> Write:
        """The DELETE of a row."""
        return self._write(f"DELETE FROM {self._name}{where(self._key)}", self._key, True)

    @cached_property
    def delete_if_exists(self) -> Write:
        """The DELETE of an existing row: a lightweight transaction."""
        return self._write(f"DELETE FROM {self._name}{where(self._key)} IF EXISTS", self._key)

    @cached_property
    def delete_if_version(self) -> Write:
        """The DELETE of a row that has one of some versions: a lightweight transaction."""
        cql = f"DELETE FROM {self._name}{where(self._key)}{self._if_version}"
        return self._write(cql, (*self._key, VERSIONS))

    def delete_prefix(self, length: int) -> Write:
        """Return the DELETE of all rows whose first `length` key columns have given values."""
        key = self._key[:length]
        return self._write(f"DELETE FROM {self._name}{where(key)}", key, True)

    def update_static(self, merged: Collection[str] = ()) -> Write:
        """Return the UPDATE of the static columns of a partition."""
        if self._table.is_counter:
            return self._addition(self._table.static_columns, self._table.partition_key)
        return self._kept(
            "static", merged, lambda: self._update(merged, "TTL ? AND TIMESTAMP ?", (TTL, TIMESTAMP), "", static=True)
        )

    @cached_property
    def add_to_counters(self) -> Write:
        """The UPDATE that adds to the counters of a row. It takes neither TTL nor timestamp."""
        return self._addition(self._columns, self._key)

    def _addition(self, columns: Sequence[Column], key: Sequence[str]) -> Write:
        names = [column.name for column in columns]
        assignments = ", ".join(f"{quoted(name)} = {quoted(name)} + ?" for name in names)
        return self._write(f"UPDATE {self._name} SET {assignments}{where(key)}", (*map(added, names), *key))

    def _kept(self, kind: str, merged: Collection[str], make: Callable[[], Write]) -> Write:
        key = kind, frozenset(merged)
        if key not in self._updates:
            if len(self._updates) >= MOST_UPDATES:
                self._updates.clear()
            self._updates[key] = make()
        return self._updates[key]

    def _update(
        self, merged: Collection[str], using: str, used: tuple[str, ...], condition: str, *, static: bool = False
    ) -> Write:
        columns = self._table.static_columns if static else self._columns
        key = self._table.partition_key if static else self._key
        assignments = [assignment for column in columns for assignment in _assignments(column, merged)]
        texts = ", ".join(text for text, _ in assignments)
        cql = f"UPDATE {self._name} USING {using} SET {texts}{where(key)}{condition}"
        names = tuple(name for _, name in assignments)
        versions = (VERSIONS,) if condition == self._if_version and self._version is not None else ()
        return self._write(cql, (*used, *names, *key, *versions), not condition and self._table.is_repeatable)

    def _replacement(self, condition: str, versions: tuple[str, ...]) -> Write:
        """Return one conditional batch: an UPDATE of all columns, and an INSERT that keeps the row's marker.

        Without the INSERT a row whose columns are all null would vanish, and a TTL would leave a row of nulls.
        """
        names = tuple(column.name for column in self._columns)
        assignments = ", ".join(f"{quoted(name)} = ?" for name in names)
        cql = (
            f"BEGIN BATCH UPDATE {self._name} USING TTL ? SET {assignments}{where(self._key)}{condition}; "
            f"{self._insert_of(self._key)} USING TTL ?; APPLY BATCH"
        )
        return self._write(cql, (TTL, *names, *self._key, *versions, *self._key, TTL))

    def _insert_of(self, names: Sequence[str]) -> str:
        return insert_into(self._name, names)

    @property
    def _inserted(self) -> tuple[str, ...]:
        return tuple(column.name for column in self._table.columns if column.kind != "static")

    @property
    def _if_version(self) -> str:
        return f" IF {quoted(self._version)} IN ?" if self._version is not None else " IF EXISTS"

    def _write(self, cql: str, parameters: Sequence[str], idempotent: bool = False) -> Write:
        return Write(Statement(cql, idempotent=idempotent, writes=True, table=self._table), tuple(parameters))


def _assignments(column: Column, merged: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the assignments that change a column, each with the name of its parameter.

    Cassandra 5.0 answers an UNSET that is appended to a list with a server error. So a list has the assignments that
    are named in `merged`, and other types have all.
    """
    name, plus, minus = quoted(column.name), added(column.name), removed(column.name)
    if isinstance(column.type, ListOf) and (plus in merged or minus in merged):
        if plus in merged:
            yield f"{name} = {name} + ?", plus
        if minus in merged:
            yield f"{name} = {name} - ?", minus
    elif column.name not in merged or is_frozen(column.type):
        yield f"{name} = ?", column.name
    elif isinstance(column.type, UserType):
        for field, _ in column.type.fields:
            yield f"{name}.{quoted(field)} = ?", member(column.name, field)
    else:
        yield f"{name} = {name} + ?", plus
        yield f"{name} = {name} - ?", minus
