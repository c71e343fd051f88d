"""Build the CQL that creates, reads and writes a table. Identifiers are quoted, values are always bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from asgi_app.tables.table import Table


@dataclass(frozen=True, slots=True)
class Statement:
    """CQL to prepare, with the properties that decide how it can be run safely.

    `idempotent`: running it twice has the same effect as once, so it may be retried and sent to a second node
    speculatively. `writes`: if it fails after it was sent, its outcome is unknown. `table`: the served table that it
    reads or writes; None for CQL that was not built from a `Table`. `consistency` is a level of Cassandra such as
    `LOCAL_ONE`; None means the configured one.
    """

    cql: str
    idempotent: bool
    writes: bool
    table: Table | None = None
    consistency: str | None = None


class Queries:
    """The statements of one table in one keyspace. Each is built once."""

    def __init__(self, keyspace: str, table: Table) -> None:
        self.keyspace = keyspace
        self.table = table
        self._name = f"{quoted(keyspace)}.{quoted(table.name)}"
        self._rows = f"SELECT {_list(table.column_names)} FROM {self._name}"
        self._updates: dict[tuple[str, ...], Statement] = {}

    @cached_property
    def row(self) -> Statement:
        """The SELECT of one row by its primary key."""
        return self._read(f"{self._rows}{_where(self.table.primary_key)}")

    @cached_property
    def partition(self) -> Statement:
        """The SELECT of the rows of one partition."""
        return self._read(f"{self._rows}{_where(self.table.partition_key)}")

    @cached_property
    def every_row(self) -> Statement:
        """The SELECT of all rows."""
        return self._read(self._rows)

    def rows_at_least(self, column: str) -> Statement:
        """Return a statement that selects the rows whose `column` is at least a bound value.

        Without an index on the column, Cassandra reads and filters all rows.
        """
        return self._read(f"{self._rows} WHERE {quoted(column)} >= ? ALLOW FILTERING")

    @cached_property
    def insert(self) -> Statement:
        """The INSERT of a row, which overwrites an existing one. It binds every column, in the table's order."""
        return self._write(self._insert(), idempotent=self._insert_is_idempotent)

    @cached_property
    def insert_at(self) -> Statement:
        """The same INSERT, with the write's timestamp in microseconds as the last value."""
        return self._write(f"{self._insert()} USING TIMESTAMP ?", idempotent=self._insert_is_idempotent)

    def update_if_exists(self, columns: tuple[str, ...]) -> Statement:
        """Return a statement that sets `columns` of an existing row: a lightweight transaction.

        It binds the columns in the given order, then the primary key.
        """
        if columns not in self._updates:
            assignments = ", ".join(f"{quoted(column)} = ?" for column in columns)
            where = _where(self.table.primary_key)
            cql = f"UPDATE {self._name} SET {assignments}{where} IF EXISTS"
            self._updates[columns] = self._write(cql, idempotent=False)
        return self._updates[columns]

    @cached_property
    def delete_if_exists(self) -> Statement:
        """The DELETE of an existing row by its primary key: a lightweight transaction."""
        return self._write(f"DELETE FROM {self._name}{_where(self.table.primary_key)} IF EXISTS", idempotent=False)

    def create_table(self) -> str:
        """Return the DDL of the table. It has no effect if the table exists."""
        columns = ", ".join(f"{quoted(column.name)} {column.cql_type}" for column in self.table.columns)
        partition = f"({_list(self.table.partition_key)})"
        key = ", ".join([partition, *map(quoted, self.table.clustering_columns)])
        return f"CREATE TABLE IF NOT EXISTS {self._name} ({columns}, PRIMARY KEY ({key}))"

    @property
    def _insert_is_idempotent(self) -> bool:
        """Whether an insert may be repeated.

        Not with a list: each write gives its members new cell names, so a second write with the same timestamp leaves
        every member twice.
        """
        return not any("list<" in column.cql_type for column in self.table.columns)

    def create_indexes(self) -> list[str]:
        """Return the DDL of a storage-attached index for each indexable column. It has no effect on existing ones."""
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
    """Return the DDL of a keyspace; `replication` is a CQL map literal. It has no effect if the keyspace exists."""
    return f"CREATE KEYSPACE IF NOT EXISTS {quoted(keyspace)} WITH replication = {replication}"


def quoted(identifier: str) -> str:
    """Return `identifier` in double quotes, so that CQL keeps its case and accepts any character."""
    return '"' + identifier.replace('"', '""') + '"'


def _list(names: Sequence[str]) -> str:
    """Return the quoted names, separated by commas."""
    return ", ".join(map(quoted, names))


def _where(columns: Sequence[str]) -> str:
    """Return a WHERE clause that binds each of `columns`, or nothing if there are none."""
    return " WHERE " + " AND ".join(f"{quoted(column)} = ?" for column in columns) if columns else ""
