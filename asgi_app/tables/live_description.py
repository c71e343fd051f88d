"""Describe in words how a table of the live schema is served: its key, its writes, its filters."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from asgi_app.tables.query_plan import EVERY_OPTION
from asgi_app.tables.relations import Operator, parameter
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Table
from asgi_app.tables.where import WherePlanner


def described(resource: Resource, table: Table) -> str:
    """Return one line on a resource: its table, key, writes and filters. `table` has the indexes of Cassandra."""
    parts = [f"{table.keyspace}.{table.name}", f"key {key_text(table)}", writes_text(resource)]
    if filters := ", ".join(filters_of(resource, table)):
        parts.append(f"filters {filters}")
    return "; ".join(parts)


def key_text(table: Table) -> str:
    """Return the primary key: `(tenant, day), at desc, id`."""
    partition = ", ".join(table.partition_key)
    if len(table.partition_key) > 1:
        partition = f"({partition})"
    clustering = (f"{name} desc" if name in table.descending else name for name in table.clustering_columns)
    return ", ".join([partition, *clustering])


def writes_text(resource: Resource) -> str:
    """Return what clients may write: `read-only`, `plain writes`."""
    return "read-only" if resource.writes == "none" else f"{resource.writes} writes"


WRITABLE_HINT = "`--writable NAME` (ASGI_CASSANDRA_WRITABLE) lets clients write"
"""How a table that settings name becomes one that clients may write."""


def filters_of(resource: Resource, table: Table) -> tuple[str, ...]:
    """Return the parameters that clients of a resource may filter by beside the key, as `filter_texts`."""
    return tuple(filter_texts(table, resource.allow_filtering, {*resource.hidden, *resource.bound}))


_NAMING: tuple[Operator, ...] = ("eq", "contains", "contains_key")
"""The operators whose parameters are listed. The documentation says which other operators go with them."""


def filter_texts(table: Table, allow_filtering: Collection[str] = (), unnamed: Collection[str] = ()) -> Iterator[str]:
    """Yield the parameters that clients may filter by beside the key: `kind`, `tags.contains`.

    They are those that an index serves, and those of the columns in `allow_filtering`. For a vector it is
    `near.embedding`, a member of a search. `unnamed` are columns that clients cannot name.
    """
    where = WherePlanner(table, frozenset(allow_filtering), unnamed)
    for column, operator in where.servable:
        if operator in _NAMING and (where.is_allowed(column) or where.index(column, operator) is not None):
            name = parameter(column.name, operator)
            yield f"{name}.eq" if name in EVERY_OPTION else name
    for column in table.columns:
        if column.name not in unnamed and where.index_on_vector(column) is not None:
            yield f"near.{column.name}"
