"""The statements that write the rows of an import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asgi_app.tables.cql import Statement, insert_into, quoted
from asgi_app.tables.encoding import Encoded
from asgi_app.tables.table import Column, Table
from asgi_app.transfer.row_encoding import Row


@dataclass(frozen=True, slots=True)
class _Insert:
    statement: Statement
    places: tuple[int, ...]


class Inserts:
    """The INSERT of rows of `columns`, and of static values alone. `ttl` in seconds; `timestamp` in microseconds.

    A write with a `timestamp` may be repeated only if `shift` grows with each repetition: a list that is written twice
    with one timestamp has every member twice. Each `shift` is a microsecond more.
    """

    def __init__(
        self,
        table: Table,
        columns: Sequence[Column],
        ttl: int | None = None,
        timestamp: int | None = None,
        consistency: str | None = None,
    ) -> None:
        self._columns = columns
        self._ttl = ttl
        self._timestamp = timestamp
        self._shifts = not table.is_repeatable
        self._table = table
        self._consistency = consistency
        every = tuple(range(len(columns)))
        static = tuple(place for place in every if columns[place].kind == "static" or _in_partition_key(columns[place]))
        self._row = self._insert(every)
        self._static = self._insert(static) if table.static_columns else self._row

    def of(self, row: Row) -> Statement:
        """Return the statement that writes a row. Rows of one kind have the same one."""
        return (self._static if row.is_static else self._row).statement

    def values(self, row: Row, shift: int) -> list[Any]:
        """Return the values that the statement of a row binds, at the `shift`th repetition."""
        insert = self._static if row.is_static else self._row
        values: list[Any] = [row.cells[place] for place in insert.places] if row.is_static else [*row.cells]
        if self._ttl is not None:
            values.append(_integer(self._ttl, 4))
        if self._timestamp is not None:
            values.append(_integer(self._timestamp + (shift if self._shifts else 0), 8))
        return values

    def _insert(self, places: tuple[int, ...]) -> _Insert:
        names = [self._columns[place].name for place in places]
        name = f"{quoted(self._table.keyspace or '')}.{quoted(self._table.name)}"
        used = [("TTL", self._ttl), ("TIMESTAMP", self._timestamp)]
        using = " AND ".join(f"{word} ?" for word, value in used if value is not None)
        cql = insert_into(name, names) + (f" USING {using}" if using else "")
        repeatable, consistency = self._table.is_repeatable, self._consistency
        statement = Statement(cql, idempotent=repeatable, writes=True, table=self._table, consistency=consistency)
        return _Insert(statement, places)


def _in_partition_key(column: Column) -> bool:
    return column.kind == "partition_key"


def _integer(value: int, size: int) -> Encoded:
    return Encoded(value.to_bytes(size, "big", signed=True))
