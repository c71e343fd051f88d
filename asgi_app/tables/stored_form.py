"""What Cassandra makes of an encoded value when it stores it: sets and maps in order, and no member twice.

So the answer to a creation is what a later read answers, without that read. The order is that of Cassandra 5.0's
classes in `org.apache.cassandra.db.marshal`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from asgi_app.tables.framing import EMPTY, counted, members, nullable_parts, vector_elements, vector_of_lengths
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
    if isinstance(cql_type, VectorOf):  # Cassandra orders what is in a vector only if the vector is in a collection
        return None
    inner = _normal_set(cql_type.element) if isinstance(cql_type, SetOf) else _normal(cql_type)
    if isinstance(cql_type, UserType) and not cql_type.frozen:
        return lambda cell: None if all(part is None for part in nullable_parts(cell)) else cell
    if is_frozen(cql_type) or not isinstance(cql_type, ListOf | SetOf | MapOf):
        return inner

    def store(cell: bytes) -> bytes | None:
        return None if cell == EMPTY else cell if inner is None else inner(cell)

    return store


_Normal = Callable[[bytes], bytes]


def _normal(cql_type: CqlType) -> _Normal | None:
    """Return the function that puts the sets and maps within a value in order; None for a type without any.

    Cassandra does not look into tuples and user types.
    """
    match cql_type:
        case ListOf(element):
            return _each(_normal(element), members, _collection)
        case SetOf(element):
            # Within another collection Cassandra keeps 1.0 beside 1.00: there it compares values as Java does.
            return _set(_normal(element) or _same, order_of(element), _same)
        case MapOf(key, value):
            return _map(_normal(key) or _same, order_of(key), _normal(value) or _same)
        case VectorOf(element):  # with lengths: what has no order is packed
            return _each(_normal(element), lambda cell: vector_elements(cell, None), vector_of_lengths)
    return None


def _normal_set(element: CqlType) -> _Normal:
    """Return the function for a set that is the value of a column."""
    order = order_of(element)
    return _set(_normal(element) or _same, order, order)


def _same(cell: bytes) -> bytes:
    return cell


def _each(
    normal: _Normal | None, split: Callable[[bytes], Iterable[bytes]], join: Callable[[Sequence[bytes]], bytes]
) -> _Normal | None:
    if normal is None:
        return None
    return lambda cell: join([normal(element) for element in split(cell)])


def _set(normal: _Normal, order: Callable[[bytes], Any], identity: Callable[[bytes], Hashable]) -> _Normal:
    def store(cell: bytes) -> bytes:
        kept: dict[Hashable, bytes] = {}
        for member in map(normal, members(cell)):
            kept.setdefault(identity(member), member)
        return _collection(sorted(kept.values(), key=order))

    return store


def _map(normal_key: _Normal, order: Callable[[bytes], Any], normal_value: _Normal) -> _Normal:
    def store(cell: bytes) -> bytes:
        flat = list(members(cell))
        entries = [(normal_key(flat[at]), normal_value(flat[at + 1])) for at in range(0, len(flat), 2)]
        entries.sort(key=lambda entry: order(entry[0]))
        return counted(len(entries), (part for entry in entries for part in entry))

    return store


def _collection(values: Sequence[bytes]) -> bytes:
    return counted(len(values), values)


# --- the order of values


def identity_of(cql_type: CqlType) -> Callable[[bytes], Hashable]:
    """Return the function whose results are equal for keys of a map that Cassandra takes for the same: 1.0 and 1.00."""
    normal, order = _normal(cql_type), order_of(cql_type)
    return order if normal is None else lambda cell: order(normal(cell))


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
