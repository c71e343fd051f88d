"""Which values the indexes of a table accept. Cassandra answers a write of others with a failure, not a refusal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from asgi_app.errors import FieldError
from asgi_app.tables.encoding import pointer_token
from asgi_app.tables.framing import members
from asgi_app.tables.table import Index, Table
from asgi_app.tables.types import VectorOf
from asgi_app.tables.vectors import vector_fault
from asgi_app.tables.writes import added

LONGEST_OF_ENTRY = 65535
"""The limit in bytes of a key, and of a value, of a map whose entries are indexed."""


def index_errors(table: Table, row: Mapping[str, bytes | None], pointer: str) -> Iterator[FieldError]:
    """Yield an error for each value that an index of the table does not take.

    `row` has encoded values by column, and what is added to a map by `added(column)`. `pointer` is the row's JSON
    pointer.
    """
    for index in table.indexes:
        cell = row.get(index.column) or row.get(added(index.column))
        fault = _fault(table, index, cell) if cell else None
        if fault is not None:
            yield FieldError(f"{pointer}/{pointer_token(index.column)}", fault)


def _fault(table: Table, index: Index, cell: bytes) -> str | None:
    if index.target == "entries":
        return _entries_fault(cell)
    return vector_fault(index, cell) if isinstance(table.column(index.column).type, VectorOf) else None


def _entries_fault(cell: bytes) -> str | None:
    """Return what is wrong with an encoded map whose entries are indexed, or None."""
    if len(cell) > LONGEST_OF_ENTRY and any(len(part) > LONGEST_OF_ENTRY for part in members(cell)):
        return f"must have keys and values of at most {LONGEST_OF_ENTRY} bytes, because its entries are indexed"
    return None
