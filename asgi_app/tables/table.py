"""The description of a served table: its name, its columns with their CQL types, its keys."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from asgi_app.tables.types import CQLType as CQLType

_CQL_TYPES: Mapping[Any, str] = MappingProxyType(
    {
        bool: "boolean",
        bytes: "blob",
        datetime.date: "date",
        datetime.datetime: "timestamp",
        float: "double",
        int: "int",
        str: "text",
        uuid.UUID: "uuid",
    }
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name and its CQL type, such as `list<text>`."""

    name: str
    cql_type: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table that the service reads and writes.

    `partition_key` and `clustering_columns` are names of `columns`. Together, in this order, they are the primary key.
    `indexable` are the columns that endpoints filter by: a storage-attached index can be created on each.
    """

    name: str
    columns: tuple[Column, ...]
    partition_key: tuple[str, ...]
    clustering_columns: tuple[str, ...] = ()
    indexable: tuple[str, ...] = ()

    @classmethod
    def from_struct(
        cls,
        row: type[msgspec.Struct],
        name: str,
        *,
        partition_key: tuple[str, ...],
        clustering_columns: tuple[str, ...] = (),
        indexable: tuple[str, ...] = (),
    ) -> Table:
        """Return a table with one column for each field of the struct `row`.

        Raises TypeError if a field's type has no CQL type, ValueError if a key or indexable column is not a field.
        """
        hints = get_type_hints(row, include_extras=True)
        columns = tuple(Column(field, _cql_type(hints[field])) for field in row.__struct_fields__)
        missing = {*partition_key, *clustering_columns, *indexable} - {column.name for column in columns}
        if missing or not partition_key:
            raise ValueError(f"table {name}: the key needs columns of the row, not {sorted(missing)}")
        return cls(name, columns, partition_key, clustering_columns, indexable)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The partition key and clustering columns, in the order in which statements bind them."""
        return self.partition_key + self.clustering_columns

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of all columns, in the order in which the struct declares them."""
        return tuple(column.name for column in self.columns)


def _cql_type(hint: Any) -> str:
    """Return the CQL type for a type hint. A union with None has the type of its other member."""
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        overrides = [extra.name for extra in extras if isinstance(extra, CQLType)]
        return overrides[0] if overrides else _cql_type(inner)
    if get_origin(hint) in (list, set):
        (member,) = get_args(hint)
        return f"{get_origin(hint).__name__}<{_cql_type(member)}>"
    if type(None) in get_args(hint):
        (inner,) = (member for member in get_args(hint) if member is not type(None))
        return _cql_type(inner)
    try:
        return _CQL_TYPES[hint]
    except (KeyError, TypeError):
        raise TypeError(f"{hint!r} has no CQL type: name one with Annotated[..., CQLType('...')]") from None
