"""The keyspace and the served tables: their DDL as text, and running it. Harmless where they are there already."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from asgi_app.tables.cql import Queries, create_keyspace
from asgi_app.tables.table import Table

MOST_REPLICAS = 3
"""The replication factor chosen where the cluster has the nodes for it: a quorum of three survives one lost node."""

DDL_TIMEOUT = 60.0
"""Seconds: a schema change waits until all nodes agree on it."""


def schema_statements(
    keyspace: str, tables: Sequence[Table], replication: str | None, *, indexes: bool = False
) -> list[str]:
    """The DDL, in the order to run it; `replication` is a CQL map literal, None leaves the keyspace to others."""
    makes_keyspace = [] if replication is None else [create_keyspace(keyspace, replication)]
    queries = [Queries(keyspace, table) for table in tables]
    makes_indexes = [ddl for query in queries for ddl in query.create_indexes()] if indexes else []
    return [*makes_keyspace, *(query.create_table() for query in queries), *makes_indexes]


def create_schema(
    session: Any, keyspace: str, replication: str | None, tables: Sequence[Table], *, indexes: bool = False
) -> None:
    """Run `schema_statements` on a driver session; raises the driver's errors. What exists stays as it is."""
    for statement in schema_statements(keyspace, tables, replication, indexes=indexes):
        session.execute(statement, timeout=DDL_TIMEOUT)


def network_replication(factor: int, datacenter: str | None = None) -> str:
    """The map literal for `factor` replicas in `datacenter`, or in each one the cluster has."""
    return _literal({"class": "NetworkTopologyStrategy", datacenter or "replication_factor": factor})


def local_replication(session: Any, factor: int | None = None) -> str:
    """The map literal for `factor` replicas in the data centre this session talks to.

    Without a factor: three, or as many as that data centre has nodes.
    """
    (datacenter,) = session.execute("SELECT data_center FROM system.local").one()
    nodes = sum(host.datacenter == datacenter for host in session.cluster.metadata.all_hosts())
    return network_replication(factor or min(MOST_REPLICAS, nodes), datacenter)


def parse_replication(text: str) -> str:
    """A CQL map literal that somebody wrote, written anew. Raises ValueError, with a sentence, where it is none."""
    try:
        options = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        options = None
    if not isinstance(options, dict) or not all(map(_is_option, options.items())) or "class" not in options:
        raise ValueError("The replication must be a CQL map like {'class': 'SimpleStrategy', 'replication_factor': 1}.")
    return _literal(options)


def _is_option(item: tuple[Any, Any]) -> bool:
    name, value = item
    return isinstance(name, str) and type(value) in (str, int)


def _literal(options: dict[str, str | int]) -> str:
    members = (f"{_quoted(name)}: {_quoted(value)}" for name, value in options.items())
    return "{" + ", ".join(members) + "}"


def _quoted(value: str | int) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
