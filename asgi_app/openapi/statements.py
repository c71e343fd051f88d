"""The CQL behind an operation, for those who read the document."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from asgi_app.resources.table.served import ServedResource
from asgi_app.tables.cql import Queries, where
from asgi_app.tables.query_plan import QueryPlanner
from asgi_app.tables.types import RESERVED_WORDS
from asgi_app.tables.writes import Write


def statement_of(served: ServedResource, planner: QueryPlanner, kind: str, prefix: Sequence[str]) -> str | None:
    """Return the CQL of an operation without filters, or None if it names columns that clients do not know.

    `kind` is that of `Operation`, `prefix` are the columns in the path.
    """
    resource = served.resource
    if resource.bound or (resource.hidden and kind not in _READS):
        return None
    if kind in _READS:
        return readable(_READS[kind](served, planner, prefix))
    return readable(_write_of(served, kind, prefix).statement.cql)


def creation_of(served: ServedResource, planner: QueryPlanner) -> str | None:
    """Return the CQL that creates a table; None if clients do not know all columns, or nobody creates such a table."""
    table = planner.table
    is_whole = len(planner.columns) == len(table.columns)
    if not is_whole or table.is_view or table.is_virtual or table.is_compact:
        return None
    return readable(Queries(served.keyspace, table).create_table())


_quoted_name = re.compile(r'"([a-z][a-z0-9_]*)"', re.ASCII)


def readable(cql: str) -> str:
    """Return the statement without the quotes that its names do not need."""
    return _quoted_name.sub(lambda found: found[0] if found[1] in RESERVED_WORDS else found[1], cql)


_READS: Mapping[str, Callable[[ServedResource, QueryPlanner, Sequence[str]], str]] = {
    "export": lambda _served, planner, _prefix: planner.rows(planner.columns),
    "list": lambda _served, planner, prefix: planner.rows(planner.columns) + where(prefix),
    "pages": lambda _served, planner, _prefix: planner.rows(planner.columns),
    "partitions": lambda _served, planner, _: planner.rows(planner.table.partition_key, "SELECT DISTINCT"),
    "read": lambda served, _planner, _prefix: served.row.cql,
    "search": lambda _served, planner, _prefix: planner.rows(planner.columns),
    "stream": lambda _served, planner, _prefix: planner.rows(planner.columns),
}


def _write_of(served: ServedResource, kind: str, prefix: Sequence[str]) -> Write:
    writes, resource = served.writes, served.resource
    conditional = resource.writes == "conditional"
    match kind:
        case "create" | "batch":
            return writes.insert_if_not_exists if conditional and not resource.makes_keys else writes.insert
        case "replace":
            return writes.replace_if_exists if conditional else writes.insert
        case "change":
            if served.table.is_counter:
                return writes.add_to_counters
            return writes.update_if_exists() if conditional else writes.update()
        case "change_partition":
            return writes.update_static()
        case "delete_prefix":
            return writes.delete_prefix(len(prefix))
        case _:
            return writes.delete_if_exists if conditional else writes.delete
