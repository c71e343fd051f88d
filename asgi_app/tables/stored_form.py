"""How Cassandra orders the members of sets and the keys of maps, and which values it keeps as null.

The order is that of Cassandra 5.0's classes in `org.apache.cassandra.db.marshal`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from asgi_app.tables.framing import EMPTY, members, nullable_parts, vector_elements
from asgi_app.tables.native_encoding import width_of
from asgi_app.tables.types import (
    CqlType,
    ListOf,
    MapOf,
    Native,
    SetOf,
    TupleOf,
    UserType,
    VectorOf,
    is_frozen,
)

Stored = Callable[[bytes], bytes | None]
"""Takes an encoded value and returns it as Cassandra keeps it: None for an empty collection, or a user type without
values, that it keeps as null."""


def stored_form_of(cql_type: CqlType) -> Stored | None:
    """Return the function that makes the stored form of a column's values; None if Cassandra keeps them as they are."""
    if is_frozen(cql_type):
        return None
    if isinstance(cql_type, UserType):
        return lambda cell: None if all(part is None for part in nullable_parts(cell)) else cell
    return lambda cell: None if cell == EMPTY else cell


def order_of(cql_type: CqlType) -> Callable[[bytes], Any]:
    """Return the function whose results sort as Cassandra sorts the values. Equal results are one member of a set."""
    match cql_type:
        case Native(name):
            return _ORDERS.get(name, _same)
        case ListOf(element) | SetOf(element):
            order = order_of(element)
            return lambda cell: tuple(map(order, members(cell)))
        case MapOf(key, value):
            orders = (order_of(key), order_of(value))
            return lambda cell: tuple(orders[at % 2](part) for at, part in enumerate(members(cell)))
        case TupleOf(elements):
            return _order_of_fields([order_of(element) for element in elements])
        case UserType(_, fields):
            return _order_of_fields([order_of(field) for _, field in fields])
        case VectorOf(element):
            order, width = order_of(element), width_of(element)
            return lambda cell: tuple(map(order, vector_elements(cell, width)))
    return _same


def _same(cell: bytes) -> bytes:
    return cell


def _order_of_fields(orders: Sequence[Callable[[bytes], Any]]) -> Callable[[bytes], Any]:
    def order(cell: bytes) -> Any:
        parts = zip(orders, nullable_parts(cell), strict=False)
        return tuple((0,) if part is None else (1, each(part)) for each, part in parts)  # null comes first

    return order


def _integer(cell: bytes) -> int:
    return int.from_bytes(cell, "big", signed=True)


def _decimal(cell: bytes) -> Decimal:
    digits = _integer(cell[4:])
    sign, numerals, _ = Decimal(digits).as_tuple()
    return Decimal((sign, numerals, -_integer(cell[:4])))


def _float(cell: bytes) -> int:
    """Return an integer that sorts as Java compares floats: -0.0 before 0.0, and NaN last."""
    bits = int.from_bytes(cell, "big")
    top = 1 << 8 * len(cell) - 1
    return ~bits + 2 * top if bits & top else bits | top


def _time_of(cell: bytes) -> int:
    """Return the 60 bits of the time in a UUID of version 1 (RFC 9562 section 5.1)."""
    high, middle, low = cell[6:8], cell[4:6], cell[:4]
    return int.from_bytes(high + middle + low, "big") & (1 << 60) - 1


def _uuid(cell: bytes) -> tuple[int, int, bytes]:
    version = cell[6] >> 4
    return version, _time_of(cell) if version == 1 else int.from_bytes(cell[:8], "big"), cell[8:]


def _timeuuid(cell: bytes) -> tuple[int, bytes]:
    return _time_of(cell), bytes(byte ^ 0x80 for byte in cell[8:])  # Cassandra compares these bytes as signed


_ORDERS: Mapping[str, Callable[[bytes], Any]] = MappingProxyType(
    {
        **dict.fromkeys(("tinyint", "smallint", "int", "bigint", "timestamp", "varint"), _integer),
        **dict.fromkeys(("float", "double"), _float),
        "decimal": _decimal,
        "timeuuid": _timeuuid,
        "uuid": _uuid,
    }
)
"""The order of the types whose encodings do not sort as bytes do."""
