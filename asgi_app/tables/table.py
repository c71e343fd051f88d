"""The description of a served table: its columns with their CQL types, its keys, and its indexes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from asgi_app.tables.types import CQLType, CqlType, ListOf, Native, type_of_hint

__all__ = ["CQLType", "Column", "Index", "Table", "column_hints", "indexes_of"]

ColumnKind = Literal["partition_key", "clustering", "static", "regular"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its CQL type, and its kind as `system_schema.columns` names it."""

    name: str
    type: CqlType
    kind: ColumnKind = "regular"

    @property
    def cql_type(self) -> str:
        """The CQL type as text, such as `list<text>`."""
        return str(self.type)


@dataclass(frozen=True, slots=True)
class Index:
    """An index on one column.

    `Annotated[int, Index()]` on a field of a struct declares a storage-attached index (SAI) on its column; `column` is
    then filled in. `target` is the part of a collection that is indexed: the `values` of a list or set, the `keys`,
    `values` or `entries` of a map, `full` for a frozen collection. `similarity` is for vectors; Cassandra's default is
    `cosine`. `name` defaults to the table's name and the column's.
    """

    column: str = ""
    target: Literal["", "values", "keys", "entries", "full"] = ""
    kind: Literal["sai", "legacy", "other"] = "sai"
    similarity: Literal["cosine", "dot_product", "euclidean"] | None = None
    name: str | None = None


@dataclass(frozen=True)
class Table:
    """A table that the service reads and writes.

    `partition_key` and `clustering_columns` are names of `columns`. Together, in this order, they are the primary key.
    `descending` are the clustering columns whose order is descending. `keyspace` is None for the keyspace of the
    settings. `has_default_ttl`: rows expire although no statement says so. `is_compact`: it is WITH COMPACT STORAGE.
    `other_static` names the static columns that Cassandra has beside the declared ones.
    """

    name: str
    columns: tuple[Column, ...]
    partition_key: tuple[str, ...]
    clustering_columns: tuple[str, ...] = ()
    descending: frozenset[str] = frozenset()
    indexes: tuple[Index, ...] = ()
    keyspace: str | None = None
    is_view: bool = False
    is_virtual: bool = False
    has_default_ttl: bool = False
    is_compact: bool = False
    comment: str = ""
    other_static: tuple[str, ...] = ()

    @classmethod
    def from_struct(
        cls,
        row: type[msgspec.Struct],
        name: str,
        *,
        partition_key: tuple[str, ...],
        clustering_columns: tuple[str, ...] = (),
        descending: Collection[str] = (),
        static: Collection[str] = (),
        keyspace: str | None = None,
    ) -> Table:
        """Return a table with one column for each field of the struct `row`, and the indexes that its fields declare.

        A column has the name that the field has in JSON. Raises TypeError if a field's type has no CQL type, ValueError
        if a key or static column is not a field.
        """
        hints = column_hints(row)
        missing = {*partition_key, *clustering_columns, *static} - hints.keys()
        if missing or not partition_key:
            raise ValueError(f"table {name}: the key needs columns of the row, not {sorted(missing)}")
        kinds: dict[str, ColumnKind] = {
            **dict.fromkeys(static, "static"),
            **dict.fromkeys(clustering_columns, "clustering"),
            **dict.fromkeys(partition_key, "partition_key"),
        }
        columns = tuple(
            Column(column, type_of_hint(hint), kinds.get(column, "regular")) for column, hint in hints.items()
        )
        indexes = tuple(index for column, hint in hints.items() for index in indexes_of(column, hint))
        return cls(name, columns, partition_key, clustering_columns, frozenset(descending), indexes, keyspace)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The partition key and clustering columns, in the order in which statements bind them."""
        return self.partition_key + self.clustering_columns

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of all columns, in the order in which the struct declares them."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def static_columns(self) -> tuple[Column, ...]:
        """The columns that all rows of a partition share."""
        return tuple(column for column in self.columns if column.kind == "static")

    @cached_property
    def value_columns(self) -> tuple[Column, ...]:
        """The columns of a row that are neither in its key nor static."""
        return tuple(column for column in self.columns if column.kind == "regular")

    @cached_property
    def is_counter(self) -> bool:
        """Whether the table holds counters, which can only be incremented."""
        return any(column.type == Native("counter") for column in self.columns)

    @cached_property
    def is_repeatable(self) -> bool:
        """Whether a write of whole values may be repeated.

        Not with a list that is not frozen: each write gives its members new cell names, so a second write with the same
        timestamp leaves every member twice.
        """
        return not any(isinstance(column.type, ListOf) and not column.type.frozen for column in self.columns)

    @property
    def is_key_only(self) -> bool:
        """Whether a row has no columns but its key and the partition's static ones."""
        return not self.value_columns

    def column(self, name: str) -> Column:
        """Return the column of this name. Raises KeyError if the table has none."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}


def column_hints(row: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the annotations of the struct's fields, by the names that they have in JSON. Raises NameError.

    A field that is renamed (`msgspec.field(name="my column")`) declares a column whose name is no Python identifier.
    """
    hints = get_type_hints(row, include_extras=True)
    names = zip(row.__struct_fields__, row.__struct_encode_fields__, strict=True)
    return {column: hints[field] for field, column in names}


def indexes_of(column: str, hint: Any) -> list[Index]:
    """Return the indexes that an annotation declares on `column`, also within a union with None."""
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        declared = [replace(extra, column=column) for extra in extras if isinstance(extra, Index)]
        return declared + indexes_of(column, inner)
    if type(None) in get_args(hint):
        return [index for member in get_args(hint) for index in indexes_of(column, member)]
    return []
