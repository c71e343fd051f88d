"""Describe in words how a table of the live schema is served: its key, its writes, its filters."""

from __future__ import annotations

from collections.abc import Iterator

from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Table


def described(resource: Resource, table: Table) -> str:
    """Return one line on a resource: its table, key, writes and filters. `table` has the indexes of Cassandra."""
    parts = [f"{table.keyspace}.{table.name}", f"key {key_text(table)}", writes_text(resource)]
    if filters := ", ".join(filter_texts(table)):
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


def filter_texts(table: Table) -> Iterator[str]:
    """Yield what indexes let clients filter by, beside the key: `kind`, `keys(tags)`."""
    for index in table.indexes:
        if index.kind != "other":
            yield f"{index.target}({index.column})" if index.target else index.column
