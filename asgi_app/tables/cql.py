"""A table's description → the CQL that creates, reads and writes it. Identifiers are quoted, values always bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from asgi_app.tables.table import Table


@dataclass(frozen=True, slots=True)
class Statement:
    """CQL to prepare, and what must be known of it to run it safely.

    `idempotent`: running it twice leaves what running it once leaves, so that it may be retried and sent to a second
    node speculatively. `writes`: a failure after it was sent leaves its outcome unknown. `table` is the served table it
    was made for, or None for CQL of another's writing.
    """

    cql: str
    idempotent: bool
    writes: bool
    table: Table | None = None


class Queries:
    """The statements of one table in one keyspace, each written once."""

    def __init__(self, keyspace: str, table: Table) -> None:
        self.keyspace = keyspace
        self.table = table
        self._name = f"{quoted(keyspace)}.{quoted(table.name)}"
        self._rows = f"SELECT {_list(table.column_names)} FROM {self._name}"
        self._updates: dict[tuple[str, ...], Statement] = {}

    @cached_property
    def row(self) -> Statement:
        """Every column of the row of a primary key."""
        return self._read(f"{self._rows}{_where(self.table.primary_key)}")

    @cached_property
    def partition(self) -> Statement:
        """Every column of the rows of a partition key."""
        return self._read(f"{self._rows}{_where(self.table.partition_key)}")

    @cached_property
    def every_row(self) -> Statement:
        """Every column of all rows."""
        return self._read(self._rows)

    def rows_at_least(self, column: str) -> Statement:
        """Every column of the rows whose `column` is at least a bound value, found by filtering all rows."""
        return self._read(f"{self._rows} WHERE {quoted(column)} >= ? ALLOW FILTERING")

    @cached_property
    def insert(self) -> Statement:
        """Every column, in the table's order."""
        return self._write(self._insert(), idempotent=self._insert_is_idempotent)

    @cached_property
    def insert_at(self) -> Statement:
        """As `insert`, with the write's timestamp in microseconds as the last value."""
        return self._write(f"{self._insert()} USING TIMESTAMP ?", idempotent=self._insert_is_idempotent)

    def update_if_exists(self, columns: tuple[str, ...]) -> Statement:
        """Set `columns` of the row of a primary key, where it exists: a lightweight transaction."""
        if columns not in self._updates:
            assignments = ", ".join(f"{quoted(column)} = ?" for column in columns)
            where = _where(self.table.primary_key)
            cql = f"UPDATE {self._name} SET {assignments}{where} IF EXISTS"
            self._updates[columns] = self._write(cql, idempotent=False)
        return self._updates[columns]

    @cached_property
    def delete_if_exists(self) -> Statement:
        """Delete the row of a primary key, where it exists: a lightweight transaction."""
        return self._write(f"DELETE FROM {self._name}{_where(self.table.primary_key)} IF EXISTS", idempotent=False)

    def create_table(self) -> str:
        """The DDL, harmless where the table is there."""
        columns = ", ".join(f"{quoted(column.name)} {column.cql_type}" for column in self.table.columns)
        partition = f"({_list(self.table.partition_key)})"
        key = ", ".join([partition, *map(quoted, self.table.clustering_columns)])
        return f"CREATE TABLE IF NOT EXISTS {self._name} ({columns}, PRIMARY KEY ({key}))"

    @property
    def _insert_is_idempotent(self) -> bool:
        """A list that is written twice with one timestamp has its members twice: each write names them anew."""
        return not any("list<" in column.cql_type for column in self.table.columns)

    def create_indexes(self) -> list[str]:
        """The DDL of a storage-attached index on each column that may have one, harmless where it is there."""
        return [
            f"CREATE CUSTOM INDEX IF NOT EXISTS {quoted(f'{self.table.name}_{column}')} "
            f"ON {self._name} ({quoted(column)}) USING 'StorageAttachedIndex'"
            for column in self.table.indexable
        ]

    def _insert(self) -> str:
        names = self.table.column_names
        return f"INSERT INTO {self._name} ({_list(names)}) VALUES ({', '.join('?' for _ in names)})"

    def _read(self, cql: str) -> Statement:
        return Statement(cql, idempotent=True, writes=False, table=self.table)

    def _write(self, cql: str, *, idempotent: bool) -> Statement:
        return Statement(cql, idempotent=idempotent, writes=True, table=self.table)


def create_keyspace(keyspace: str, replication: str) -> str:
    """The DDL, harmless where the keyspace is there; `replication` is a CQL map literal."""
    return f"CREATE KEYSPACE IF NOT EXISTS {quoted(keyspace)} WITH replication = {replication}"


def quoted(identifier: str) -> str:
    """An identifier as CQL takes it letter by letter, whatever it holds."""
    return '"' + identifier.replace('"', '""') + '"'


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))


def _where(columns: Sequence[str]) -> str:
    return " WHERE " + " AND ".join(f"{quoted(column)} = ?" for column in columns) if columns else ""
