"""Find a table in the live schema, by the name that a person gives."""

from __future__ import annotations

import re
from collections.abc import Sequence

from asgi_app.catalog.reader import SchemaReader
from asgi_app.db import Database
from asgi_app.runtime.deadline import Deadline
from asgi_app.settings import default_note
from asgi_app.tables.table import Column, Table
from asgi_app.transfer.outcomes import Refused

_OF_EACH_NODE = frozenset({"system", "system_schema", "system_views", "system_virtual_schema"})
"""The keyspaces whose tables each node has for itself."""

_NAME = re.compile(r"(?:([A-Za-z0-9_]+)\.)?([A-Za-z0-9_]+)", re.ASCII)
"""A table's name, after its keyspace's and a dot or alone. Cassandra has no other characters in either."""


def parts_of(name: str) -> tuple[str | None, str]:
    """Return the keyspace, None if none is named, and the table of `shop.users` or `users`. Raises Refused."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise Refused(
            f"{name!r} is not the name of a table: write TABLE or KEYSPACE.TABLE, without quotes. Both have letters, "
            "digits and underscores only."
        )
    return found[1], found[2]


async def find_table(database: Database, name: str) -> Table:
    """Return the table `users` of the configured keyspace, or `shop.users` of another, with its keyspace.

    Raises Refused if there is none or this is no name, and what `Database.execute` raises.
    """
    named, table = parts_of(name)
    keyspace = named or database.settings.keyspace
    if keyspace in _OF_EACH_NODE:
        raise Refused(
            f"{keyspace} belongs to Cassandra: each node has other rows in it, and there is no whole of them."
        )
    schemas = await SchemaReader(database).read({keyspace}, Deadline.after(database.settings.request_timeout))
    tables = schemas[keyspace].tables
    if table not in tables:
        raise Refused(_no_table(keyspace, table, sorted(tables), database.settings.address))
    return tables[table]


async def read_table(database: Database, keyspace: str, table: str) -> Table | None:
    """Return a table as Cassandra has it now, None if there is none. Raises what `Database.execute` raises."""
    schemas = await SchemaReader(database).read({keyspace}, Deadline.after(database.settings.request_timeout))
    return schemas[keyspace].tables.get(table)


def chosen_columns(table: Table, names: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of these names, in this order; all if none are named. Raises Refused for one that is none."""
    unknown = [name for name in names if name not in table.column_names]
    if unknown:
        columns = ", ".join(table.column_names)
        raise Refused(f"{table.keyspace}.{table.name} has no column {', '.join(unknown)}. It has {columns}.")
    return tuple(table.column(name) for name in dict.fromkeys(names)) or table.columns


def _no_table(keyspace: str, table: str, others: Sequence[str], address: str) -> str:
    note = default_note(keyspace)
    named = f"{keyspace} ({note})" if note else keyspace
    if not others:
        found = f"There is no table {table}: Cassandra at {address} has no keyspace {named}, or no table in it."
    else:
        found = f"There is no table {table} in the keyspace {named} at {address}. It has {', '.join(others)}."
    return (
        f"{found} For another keyspace set CASSANDRA_KEYSPACE, or write KEYSPACE.{table}. Neither export nor import "
        "creates a table: for an import, create it first, by CQL or by `asgi-cassandra schema --resources`."
    )
