"""Create the keyspace and the served tables, or return their DDL. What exists already is left unchanged."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from asgi_app.tables.cql import Queries, create_keyspace
from asgi_app.tables.table import Table

DEFAULT_REPLICATION_FACTOR = 3
"""The replication factor for a cluster with enough nodes: a quorum of three replicas survives the loss of one node."""

DDL_TIMEOUT = 60.0
"""Seconds that a schema change may take: it waits until all nodes agree on the schema."""


def schema_statements(
    keyspace: str, tables: Sequence[Table], replication: str | None, *, indexes: bool = False
) -> list[str]:
    """Return the DDL, in the order in which to run it.

    `replication` is a CQL map literal; None means that the keyspace exists. With `indexes`, the declared indexes are
    created too.
    """
    keyspace_ddl = [] if replication is None else [create_keyspace(keyspace, replication)]
    queries = [Queries(keyspace, table) for table in tables]
    table_ddl = [query.create_table() for query in queries]
    index_ddl = [ddl for query in queries for ddl in query.create_indexes()] if indexes else []
    return keyspace_ddl + table_ddl + index_ddl


def create_schema(
    session: Any, keyspace: str, replication: str | None, tables: Sequence[Table], *, indexes: bool = False
) -> None:
    """Run `schema_statements` on a driver session. Raises the driver's errors."""
    for statement in schema_statements(keyspace, tables, replication, indexes=indexes):
        session.execute(statement, timeout=DDL_TIMEOUT)


def network_replication(factor: int, datacenter: str | None = None) -> str:
    """Return the map literal for `factor` replicas in `datacenter`, or in each data centre of the cluster."""
    return _map_literal({"class": "NetworkTopologyStrategy", datacenter or "replication_factor": factor})


def local_replication(session: Any, factor: int | None = None) -> str:
    """Return the map literal for `factor` replicas in the data centre that this session is connected to.

    Without a factor: `DEFAULT_REPLICATION_FACTOR`, or the number of nodes in that data centre if it is smaller.
    """
    (datacenter,) = session.execute("SELECT data_center FROM system.local").one()
    nodes = sum(host.datacenter == datacenter for host in session.cluster.metadata.all_hosts())
    return network_replication(factor or min(DEFAULT_REPLICATION_FACTOR, nodes), datacenter)


def parse_replication(text: str) -> str:
    """Parse a CQL map literal and return it in normal form. Raises ValueError, with a message for people, otherwise.

    A map literal of strings and integers is also a Python literal, so `ast` parses it.
    """
    try:
        options = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        options = None
    if not isinstance(options, dict) or not all(map(_is_option, options.items())) or "class" not in options:
        raise ValueError("The replication must be a CQL map like {'class': 'SimpleStrategy', 'replication_factor': 1}.")
    return _map_literal(options)


def _is_option(item: tuple[Any, Any]) -> bool:
    """Return whether a name and value can stand in a replication map."""
    name, value = item
    return isinstance(name, str) and type(value) in (str, int)


def _map_literal(options: dict[str, str | int]) -> str:
    """Return a CQL map literal."""
    members = (f"{_literal(name)}: {_literal(value)}" for name, value in options.items())
    return "{" + ", ".join(members) + "}"


def _literal(value: str | int) -> str:
    """Return a CQL literal: a string in single quotes, or an integer."""
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
