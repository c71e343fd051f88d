"""Run a statement on the node with values that are encoded already, as the service binds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from cassandra.cluster import Session
from cassandra.query import UNSET_VALUE, BoundStatement, ConsistencyLevel

Value = bytes | None | msgspec.UnsetType


def run_encoded(
    session: Session, cql: str, values: Sequence[Value] = (), *, fetch_size: int | None = None, level: str | None = None
) -> list[Any]:
    """Prepare and execute a statement, and return its first page. Raises the driver's errors."""
    bound = BoundStatement(session.prepare(cql))
    assert len(bound.prepared_statement.column_metadata) == len(values), "as many values as markers"
    bound.values = [UNSET_VALUE if value is msgspec.UNSET else value for value in values]
    bound.fetch_size = fetch_size or 100
    if level is not None:
        bound.consistency_level = ConsistencyLevel.name_to_value[level]
    return session.execute(bound).current_rows
