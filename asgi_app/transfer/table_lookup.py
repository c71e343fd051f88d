"""Find a table in the live schema, by the name that a person gives."""

from __future__ import annotations

from collections.abc import Sequence

from asgi_app.catalog.reader import SchemaReader
from asgi_app.db import Database
from asgi_app.runtime.deadline import Deadline
from asgi_app.tables.cql import Statement
from asgi_app.tables.table import Column, Table
from asgi_app.transfer.outcomes import Refused

_OF_EACH_NODE = frozenset({"system", "system_schema", "system_views", "system_virtual_schema"})
"""The keyspaces whose tables each node has for itself."""

_TABLE_ID = Statement(
    "SELECT id FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?", idempotent=True, writes=False
)
_VIEW_ID = Statement(
    "SELECT id FROM system_schema.views WHERE keyspace_name = ? AND view_name = ?", idempotent=True, writes=False
)


async def find_table(database: Database, name: str) -> Table:
    """Return the table `users` of the configured keyspace, or `shop.users` of another, with its keyspace.

    Raises Refused if there is none, and what `Database.execute` raises.
    """
    keyspace, dot, table = name.rpartition(".")
    keyspace = keyspace if dot else database.settings.keyspace
    if keyspace in _OF_EACH_NODE:
        raise Refused(
            f"{keyspace} belongs to Cassandra: each node has other rows in it, and there is no whole of them."
        )
    schemas = await SchemaReader(database).read({keyspace}, Deadline.after(database.settings.request_timeout))
    tables = schemas[keyspace].tables
    if table not in tables:
        raise Refused(_no_table(keyspace, table, sorted(tables)))
    return tables[table]


async def id_of(database: Database, table: Table) -> str | None:
    """Return the id that Cassandra gave the table or view when it was created; None if it was dropped.

    Raises what `Database.execute` raises.
    """
    deadline = Deadline.after(database.settings.request_timeout)
    statement = _VIEW_ID if table.is_view else _TABLE_ID
    result = await database.execute(statement, (table.keyspace, table.name), deadline=deadline)
    return next((row["id"] for row in result.dicts()), None)


def chosen_columns(table: Table, names: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of these names, in this order; all if none are named. Raises Refused for one that is none."""
    unknown = [name for name in names if name not in table.column_names]
    if unknown:
        columns = ", ".join(table.column_names)
        raise Refused(f"{table.keyspace}.{table.name} has no column {', '.join(unknown)}. It has {columns}.")
    return tuple(table.column(name) for name in dict.fromkeys(names)) or table.columns


def _no_table(keyspace: str, table: str, others: Sequence[str]) -> str:
    if not others:
        found = f"There is no table {table}: Cassandra has no keyspace {keyspace}, or no table in it."
    else:
        found = f"There is no table {table} in the keyspace {keyspace}. It has {', '.join(others)}."
    return (
        f"{found} For another keyspace set CASSANDRA_KEYSPACE, or write KEYSPACE.{table}. Neither export nor import "
        "creates a table: for an import, create it first, by CQL or by `asgi-cassandra schema --resources`."
    )
