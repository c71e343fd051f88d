"""Which vectors an index of Cassandra accepts."""

from __future__ import annotations

from array import array
from math import fsum, isfinite
from struct import unpack_from

from asgi_app.tables.table import Column, Index, Table
from asgi_app.tables.types import Native, VectorOf

LARGEST_COMPONENT = unpack_from(">f", b"\x5b\xb1\xa2\xbc")[0]
"""The largest 32-bit float of at most 1e17. Cassandra 5.0 answers a write or a search with a larger component, or with
NaN, by a WriteFailure or a ReadFailure."""


def index_on_vector(table: Table, column: Column) -> Index | None:
    """Return the index that finds the nearest vectors of a column, or None."""
    found = (index for index in table.indexes if index.column == column.name and index.kind == "sai")
    is_float = isinstance(column.type, VectorOf) and column.type.element == Native("float")
    return next(found, None) if is_float else None


def vector_fault(index: Index, vector: bytes) -> str | None:
    """Return what is wrong with a vector of 32-bit floats, written to an indexed column or searched for, or None.

    `vector` is encoded as Cassandra stores it. The fault is a predicate, such as `must not be zero`.
    """
    components = unpack_from(f">{len(vector) // 4}f", vector)
    if not all(isfinite(x) and abs(x) <= LARGEST_COMPONENT for x in components):
        return "must have only numbers from -1e17 to 1e17, because the column is indexed"
    if (index.similarity or "cosine") == "cosine" and not _squared_norm(components) > 0:
        return "must not be zero, nor so small that its square is zero: its index compares angles (cosine)"
    return None


def _squared_norm(components: tuple[float, ...]) -> float:
    """Return the squared norm as 32-bit floats give it: the square of a small component is zero.

    Cassandra accepts such a vector, and then its similarity to any other is Infinity.
    """
    return fsum(array("f", [x * x for x in components]))
