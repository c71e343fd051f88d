"""What a served table is: its name, its columns with their CQL types, its keys. Declared once, read by all."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

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
class CQLType:
    """Put into `Annotated[...]` where a column's CQL type is not the one its Python type stands for."""

    name: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its CQL type, as CQL writes it."""

    name: str
    cql_type: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the service reads and writes it.

    `partition_key` and `clustering_columns` are names of `columns`; together they are the primary key, in this order.
    `indexable` are columns that a filter asks for and that an index may serve, where somebody wants to pay for one.
    """

    name: str
    columns: tuple[Column, ...]
    partition_key: tuple[str, ...]
    clustering_columns: tuple[str, ...] = ()
    indexable: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        row: type[msgspec.Struct],
        name: str,
        *,
        partition_key: tuple[str, ...],
        clustering_columns: tuple[str, ...] = (),
        indexable: tuple[str, ...] = (),
    ) -> Table:
        """The table whose rows the struct `row` describes, a field a column.

        Raises TypeError for a field whose type has no CQL type, ValueError for a key that is no column.
        """
        hints = get_type_hints(row, include_extras=True)
        columns = tuple(Column(field, _cql_type(hints[field])) for field in row.__struct_fields__)
        missing = {*partition_key, *clustering_columns, *indexable} - {column.name for column in columns}
        if missing or not partition_key:
            raise ValueError(f"table {name}: the key needs columns of the row, not {sorted(missing)}")
        return cls(name, columns, partition_key, clustering_columns, indexable)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Partition key and clustering columns, in the order CQL binds them."""
        return self.partition_key + self.clustering_columns

    @property
    def column_names(self) -> tuple[str, ...]:
        """Every column, in the order its struct declares them."""
        return tuple(column.name for column in self.columns)


def _cql_type(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        named = [extra.name for extra in extras if isinstance(extra, CQLType)]
        return named[0] if named else _cql_type(inner)
    if get_origin(hint) in (list, set):
        (member,) = get_args(hint)
        return f"{get_origin(hint).__name__}<{_cql_type(member)}>"
    if type(None) in get_args(hint):
        (present,) = (arm for arm in get_args(hint) if arm is not type(None))
        return _cql_type(present)
    try:
        return _CQL_TYPES[hint]
    except (KeyError, TypeError):
        raise TypeError(f"{hint!r} stands for no CQL type: say which with Annotated[..., CQLType('...')]") from None
