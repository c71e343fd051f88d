"""Build the CQL that creates, reads and writes a table. Identifiers are quoted, values are always bound."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from asgi_app.tables.table import Column, Index, Table
from asgi_app.tables.types import CqlType, ListOf, MapOf, SetOf, TupleOf, UserType, VectorOf, types_inside

_NOT_IN_INDEX_NAMES = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class Statement:
    """CQL to prepare, with the properties that decide how it can be run safely.

    `idempotent`: running it twice has the same effect as once, so it may be retried and sent to a second node
    speculatively. `writes`: if it fails after it was sent, its outcome is unknown. `table`: the served table that it
    reads or writes; None for CQL that was not built from a `Table`. `consistency` is a level of Cassandra such as
    `LOCAL_ONE`; None means the configured one. `needs`: for CQL that was not built from a `Table`, the tables (keyspace
    and name) whose absence is SchemaMissing, if Cassandra refuses the statement.
    """

    cql: str
    idempotent: bool
    writes: bool
    table: Table | None = None
    consistency: str | None = None
    needs: tuple[tuple[str, str], ...] = ()


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
        return self._read(f"{self._rows}{where(self.table.primary_key)}")

    @cached_property
    def partition(self) -> Statement:
        """The SELECT of the rows of one partition."""
        return self._read(f"{self._rows}{where(self.table.partition_key)}")

    @cached_property
    def every_row(self) -> Statement:
        """The SELECT of all rows."""
        return self._read(self._rows)

    @cached_property
    def rows_in_range(self) -> Statement:
        """The SELECT of the rows whose partitions have their token in a range; see `in_range`."""
        return self._read(f"{self._rows} WHERE {in_range(self.table.partition_key)}")

    def rows_at_least(self, column: str, *, in_a_range: bool = False) -> Statement:
        """Return a statement that selects the rows whose `column` is at least a bound value.

        With `in_a_range`, only those of `rows_in_range`, whose bounds are then its first values. Without an index on
        the column, Cassandra reads and filters all rows.
        """
        rows = f"{self.rows_in_range.cql} AND" if in_a_range else f"{self._rows} WHERE"
        return self._read(f"{rows} {quoted(column)} >= ? ALLOW FILTERING")

    @cached_property
    def insert(self) -> Statement:
        """The INSERT of a row, which overwrites an existing one. It binds every column, in the table's order."""
        return self._write(self._insert(), idempotent=self.table.is_repeatable)

    @cached_property
    def insert_at(self) -> Statement:
        """The same INSERT, with the write's timestamp in microseconds as the last value."""
        return self._write(f"{self._insert()} USING TIMESTAMP ?", idempotent=self.table.is_repeatable)

    def update_if_exists(self, columns: tuple[str, ...]) -> Statement:
        """Return a statement that sets `columns` of an existing row: a lightweight transaction.

        It binds the columns in the given order, then the primary key.
        """
        if columns not in self._updates:
            assignments = ", ".join(f"{quoted(column)} = ?" for column in columns)
            cql = f"UPDATE {self._name} SET {assignments}{where(self.table.primary_key)} IF EXISTS"
            self._updates[columns] = self._write(cql, idempotent=False)
        return self._updates[columns]

    @cached_property
    def delete_if_exists(self) -> Statement:
        """The DELETE of an existing row by its primary key: a lightweight transaction."""
        return self._write(f"DELETE FROM {self._name}{where(self.table.primary_key)} IF EXISTS", idempotent=False)

    def create_table(self) -> str:
        """Return the DDL of the table. It has no effect if the table exists."""
        columns = ", ".join(map(_column_ddl, self.table.columns))
        partition = f"({_list(self.table.partition_key)})"
        key = ", ".join([partition, *map(quoted, self.table.clustering_columns)])
        return f"CREATE TABLE IF NOT EXISTS {self._name} ({columns}, PRIMARY KEY ({key})){self._clustering_order()}"

    def create_indexes(self) -> list[str]:
        """Return the DDL of each storage-attached index. It has no effect on existing ones."""
        return [_index_ddl(self.table.name, self._name, index) for index in self.table.indexes]

    def _clustering_order(self) -> str:
        """Return the clause that sets the order of rows, or nothing if all columns ascend, which is the default."""
        if not self.table.descending:
            return ""
        directions = (
            f"{quoted(column)} {'DESC' if column in self.table.descending else 'ASC'}"
            for column in self.table.clustering_columns
        )
        return f" WITH CLUSTERING ORDER BY ({', '.join(directions)})"

    def _insert(self) -> str:
        return insert_into(self._name, self.table.column_names)

    def _read(self, cql: str) -> Statement:
        return Statement(cql, idempotent=True, writes=False, table=self.table)

    def _write(self, cql: str, *, idempotent: bool) -> Statement:
        return Statement(cql, idempotent=idempotent, writes=True, table=self.table)


def create_keyspace(keyspace: str, replication: str) -> str:
    """Return the DDL of a keyspace; `replication` is a CQL map literal. It has no effect if the keyspace exists."""
    return f"CREATE KEYSPACE IF NOT EXISTS {quoted(keyspace)} WITH replication = {replication}"


def select_row(keyspace: str, table: Table, columns: Sequence[str]) -> str:
    """Return the SELECT of some columns of one row by its primary key."""
    return f"SELECT {_list(columns)} FROM {quoted(keyspace)}.{quoted(table.name)}{where(table.primary_key)}"


def read_of_nothing(table: Table) -> str:
    """Return a SELECT with a null in the partition key, which Cassandra refuses after it has checked permissions.

    The table has its keyspace.
    """
    return f"SELECT {_list(table.primary_key)} FROM {_null_partition(table)}"


def write_of_nothing(table: Table) -> str:
    """Return a DELETE with a null in the partition key, as `read_of_nothing` does."""
    return f"DELETE FROM {_null_partition(table)}"


def _null_partition(table: Table) -> str:
    key = " AND ".join(f"{quoted(name)} = null" for name in table.partition_key)
    return f"{quoted(table.keyspace or '')}.{quoted(table.name)} WHERE {key}"


def insert_into(name: str, columns: Sequence[str]) -> str:
    """Return the INSERT that binds these columns; `name` is the table's, quoted."""
    return f"INSERT INTO {name} ({_list(columns)}) VALUES ({', '.join('?' for _ in columns)})"


def quoted(identifier: str) -> str:
    """Return `identifier` in double quotes, so that CQL keeps its case and accepts any character."""
    return '"' + identifier.replace('"', '""') + '"'


def _list(names: Sequence[str]) -> str:
    """Return the quoted names, separated by commas."""
    return ", ".join(map(quoted, names))


def where(columns: Sequence[str]) -> str:
    """Return a WHERE clause that binds each of `columns`, or nothing if there are none."""
    return " WHERE " + " AND ".join(f"{quoted(column)} = ?" for column in columns) if columns else ""


def in_range(partition_key: Sequence[str]) -> str:
    """Return the condition that a row's partition has its token above one marker's and not above another's."""
    token = f"token({_list(partition_key)})"
    return f"{token} > ? AND {token} <= ?"


def create_types(keyspace: str, tables: Iterable[Table]) -> list[str]:
    """Return the DDL of the user-defined types of the tables' columns, each after those that it contains.

    It has no effect on types that exist.
    """
    found: dict[str, UserType] = {}
    for table in tables:
        for column in table.columns:
            _add_user_types(column.type, found)
    return [_create_type(keyspace, user_type) for user_type in found.values()]


def _add_user_types(cql_type: CqlType, found: dict[str, UserType]) -> None:
    """Add to `found` the user-defined types within `cql_type`, then itself if it is one."""
    for inside in types_inside(cql_type):
        _add_user_types(inside, found)
    if isinstance(cql_type, UserType):
        found.setdefault(cql_type.name, cql_type)


def _create_type(keyspace: str, user_type: UserType) -> str:
    fields = ", ".join(f"{quoted(name)} {_type_ddl(field)}" for name, field in user_type.fields)
    return f"CREATE TYPE IF NOT EXISTS {quoted(keyspace)}.{quoted(user_type.name)} ({fields})"


def _column_ddl(column: Column) -> str:
    """Return a column's part of CREATE TABLE."""
    return f"{quoted(column.name)} {_type_ddl(column.type)}{' STATIC' if column.kind == 'static' else ''}"


def _type_ddl(cql_type: CqlType) -> str:
    """Return the type as DDL needs it: with every user-defined type quoted, because its name can be a word of CQL."""
    inside = ", ".join(map(_type_ddl, types_inside(cql_type)))
    match cql_type:
        case UserType(name):
            text = quoted(name)
        case ListOf():
            text = f"list<{inside}>"
        case SetOf():
            text = f"set<{inside}>"
        case MapOf():
            text = f"map<{inside}>"
        case TupleOf():
            return f"frozen<tuple<{inside}>>"
        case VectorOf(_, size):
            return f"vector<{inside}, {size}>"
        case _:
            return str(cql_type)
    return f"frozen<{text}>" if cql_type.frozen else text


def _index_ddl(table: str, qualified: str, index: Index) -> str:
    """Return the DDL of a storage-attached index; `qualified` is the table's name with its keyspace, quoted."""
    column = quoted(index.column)
    target = f"{index.target}({column})" if index.target else column
    options = f" WITH OPTIONS = {{'similarity_function': '{index.similarity}'}}" if index.similarity else ""
    return (
        f"CREATE CUSTOM INDEX IF NOT EXISTS {quoted(index_name(table, index))} "
        f"ON {qualified} ({target}) USING 'StorageAttachedIndex'{options}"
    )


def index_name(table: str, index: Index) -> str:
    """Return the index's own name, or one made of the table, the column and the target.

    Cassandra takes only letters, digits and underscores in the name of an index: others become `_` and their number.
    """
    parts = (table, index.column, index.target)
    return index.name or _NOT_IN_INDEX_NAMES.sub(lambda match: f"_{ord(match[0]):x}_", "_".join(filter(None, parts)))
