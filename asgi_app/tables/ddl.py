"""Create the keyspace and the served tables, or return their DDL. What exists already is left unchanged."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from asgi_app.tables.cql import Queries, create_keyspace, create_types
from asgi_app.tables.live_schema import described_differences, schema_of_session
from asgi_app.tables.table import Table

DEFAULT_REPLICATION_FACTOR = 3
"""The replication factor for a cluster with enough nodes: a quorum of three replicas survives the loss of one node."""

DDL_TIMEOUT = 60.0
"""Seconds that a schema change may take: it waits until all nodes agree on the schema."""


class SchemaMismatchError(Exception):
    """A table exists with other columns than declared. The text says which, and that nothing alters them."""


def schema_statements(
    keyspace: str,
    tables: Sequence[Table],
    replication: str | None,
    *,
    indexes: bool = False,
    declared: Sequence[Table] = (),
) -> list[str]:
    """Return the DDL, in the order in which to run it.

    `replication` is a CQL map literal; None means that the keyspaces exist. With `indexes`, the indexes of `tables` are
    created too. `declared` are the tables of resources, which always get their indexes. A table without a keyspace of
    its own is in `keyspace`.
    """
    everything = [*tables, *declared]
    indexed = everything if indexes else declared
    index_ddl = [ddl for table in indexed for ddl in _queries(keyspace, table).create_indexes()]
    return _once([*_statements_before_indexes(keyspace, everything, replication), *index_ddl])


def create_schema(
    session: Any,
    keyspace: str,
    replication: str | None,
    tables: Sequence[Table],
    *,
    indexes: bool = False,
    declared: Sequence[Table] = (),
) -> None:
    """Run `schema_statements` on a driver session.

    Raises SchemaMismatchError at the end if a table of `declared` exists with other columns: its indexes are then not
    created. Raises the driver's errors.
    """
    for statement in _once(_statements_before_indexes(keyspace, [*tables, *declared], replication)):
        session.execute(statement, timeout=DDL_TIMEOUT)
    unfit = {table: names for table in declared if (names := _differences(session, keyspace, table))}
    indexed = [*(tables if indexes else ()), *(table for table in declared if table not in unfit)]
    for statement in _once(ddl for table in indexed for ddl in _queries(keyspace, table).create_indexes()):
        session.execute(statement, timeout=DDL_TIMEOUT)
    if unfit:
        raise SchemaMismatchError(" ".join(_mismatch(table.name, names) for table, names in unfit.items()))


def _once(statements: Iterable[str]) -> list[str]:
    """Return the statements without repetitions: several resources may have one table."""
    return list(dict.fromkeys(statements))


def _statements_before_indexes(keyspace: str, tables: Sequence[Table], replication: str | None) -> list[str]:
    """Return the DDL of the keyspaces, the user-defined types and the tables."""
    groups: dict[str, list[Table]] = {keyspace: []}
    for table in tables:
        groups.setdefault(table.keyspace or keyspace, []).append(table)
    keyspace_ddl = [] if replication is None else [create_keyspace(name, replication) for name in groups]
    type_ddl = [ddl for name, group in groups.items() for ddl in create_types(name, group)]
    return keyspace_ddl + type_ddl + [_queries(keyspace, table).create_table() for table in tables]


def _queries(keyspace: str, table: Table) -> Queries:
    return Queries(table.keyspace or keyspace, table)


def _differences(session: Any, keyspace: str, table: Table) -> tuple[str, ...]:
    """Return the columns in which the table differs from the declared one, and how each does."""
    live = schema_of_session(session, table.keyspace or keyspace).tables.get(table.name)
    return table.column_names if live is None else described_differences(table, live)


def _mismatch(table: str, columns: tuple[str, ...]) -> str:
    return (
        f"The table {table} exists, but not as declared: see {', '.join(columns)}. Existing tables are not altered; "
        "alter this one yourself, or change the declaration."
    )


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
