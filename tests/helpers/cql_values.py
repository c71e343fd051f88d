"""Strategies for CQL types nested to any depth, and for the cells of each: the bytes of its values."""

from __future__ import annotations

import struct
from typing import Any

from cassandra import cqltypes as driver_types
from cassandra import util
from hypothesis import strategies as st

from asgi_app.driver.codec import codec_for
from asgi_app.tables.stored_form import order_of
from asgi_app.tables.types import (
    NATIVE_TYPES,
    CqlType,
    ListOf,
    MapOf,
    Native,
    SetOf,
    TupleOf,
    UserType,
    VectorOf,
    freeze,
)

# --- the driver's own form of each type


def driver_type(cql_type: CqlType) -> Any:
    match cql_type:
        case Native(name):
            return driver_types.lookup_casstype(CASSANDRA_CLASSES[name])
        case ListOf(element):
            return driver_types.ListType.apply_parameters((driver_type(element),))
        case SetOf(element):
            return driver_types.SetType.apply_parameters((driver_type(element),))
        case MapOf(key, value):
            return driver_types.MapType.apply_parameters((driver_type(key), driver_type(value)))
        case TupleOf(elements):
            return driver_types.TupleType.apply_parameters(tuple(map(driver_type, elements)))
        case VectorOf(element, size):
            return driver_types.VectorType.apply_parameters((driver_type(element), size), None)
        case UserType(name, fields):
            types = tuple(driver_type(field) for _, field in fields)
            return driver_types.UserType.make_udt_class("ks", name, tuple(field for field, _ in fields), types)
    raise AssertionError(cql_type)


CASSANDRA_CLASSES = {
    "ascii": "AsciiType",
    "bigint": "LongType",
    "blob": "BytesType",
    "boolean": "BooleanType",
    "counter": "CounterColumnType",
    "date": "SimpleDateType",
    "decimal": "DecimalType",
    "double": "DoubleType",
    "duration": "DurationType",
    "float": "FloatType",
    "inet": "InetAddressType",
    "int": "Int32Type",
    "smallint": "ShortType",
    "text": "UTF8Type",
    "time": "TimeType",
    "timestamp": "DateType",
    "timeuuid": "TimeUUIDType",
    "tinyint": "ByteType",
    "uuid": "UUIDType",
    "varint": "IntegerType",
}


# --- cells that are values of their type


def exactly(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


def serialized(name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return values.map(lambda value: driver_type(Native(name)).serialize(value, 4))


def finite_or_one_nan(code: str, size: int) -> st.SearchStrategy[bytes]:
    """Return floats of all bits but the many bits of NaN, which are one value in JSON."""

    def one_nan(cell: bytes) -> bytes:
        (number,) = struct.unpack(f">{code}", cell)
        return cell if number == number else struct.pack(f">{code}", float("nan"))

    return exactly(size).map(one_nan)


def duration(months: int, days: int, nanoseconds: int, sign: int) -> util.Duration:
    return util.Duration(sign * months, sign * days, sign * nanoseconds)


MAPPED = bytes(10) + b"\xff\xff"
"""How an IPv6 address begins that stands for an IPv4 address."""

NON_NEGATIVE_32, NON_NEGATIVE_64 = st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1)
NATIVE_CELLS = {
    "ascii": st.text(st.characters(max_codepoint=127), max_size=9).map(str.encode),
    "bigint": exactly(8),
    "blob": st.binary(max_size=9),
    "boolean": st.sampled_from([b"\0", b"\1"]),
    "counter": exactly(8),
    "date": exactly(4),
    "decimal": serialized("decimal", st.decimals(allow_nan=False, allow_infinity=False)),
    "double": finite_or_one_nan("d", 8),
    "duration": serialized(
        "duration",
        st.builds(duration, NON_NEGATIVE_32, NON_NEGATIVE_32, NON_NEGATIVE_64, st.sampled_from([1, -1])),
    ),
    "float": finite_or_one_nan("f", 4),
    "inet": st.one_of(exactly(4), exactly(16), exactly(4).map(MAPPED.__add__)),
    "int": exactly(4),
    "smallint": exactly(2),
    "text": st.text(max_size=9).map(str.encode),
    "time": serialized("time", st.integers(0, 86_399_999_999_999)),
    "timestamp": exactly(8),
    "timeuuid": st.tuples(exactly(6), st.integers(0x10, 0x1F), exactly(9)).map(
        lambda parts: parts[0] + bytes([parts[1]]) + parts[2]
    ),
    "tinyint": exactly(1),
    "uuid": st.uuids(allow_nil=True).map(lambda value: value.bytes),
    "varint": serialized("varint", st.integers()),
}


def framed(parts: list[bytes | None]) -> bytes:
    return b"".join(b"\xff" * 4 if part is None else len(part).to_bytes(4, "big") + part for part in parts)


def counted(parts: list[Any], each: int = 1) -> bytes:
    return (len(parts) // each).to_bytes(4, "big") + framed(parts)


def in_vector(element: CqlType, cells: list[bytes]) -> bytes:
    if codec_for(driver_type(element)).width is not None:
        return b"".join(cells)
    return b"".join(driver_types.uvint_pack(len(cell)) + cell for cell in cells)


def cells_of(cql_type: CqlType) -> st.SearchStrategy[bytes]:
    """Return the cells of a type as the service writes them: sets and maps are in Cassandra's order.

    In collections no IPv4 address is written as IPv6.
    """
    match cql_type:
        case Native(name):
            return NATIVE_CELLS[name]
        case ListOf(element):
            return st.lists(member_cells_of(element), max_size=3).map(counted)
        case SetOf(element):
            order = order_of(element)
            members = st.lists(member_cells_of(element), max_size=3, unique_by=order)
            return members.map(lambda some: counted(sorted(some, key=order)))
        case MapOf(key, value):
            pairs = st.tuples(member_cells_of(key), member_cells_of(value))
            place = order_of(key)
            entries = st.lists(pairs, max_size=3, unique_by=lambda pair: place(pair[0]))
            ordered = entries.map(lambda some: sorted(some, key=lambda pair: place(pair[0])))
            return ordered.map(lambda some: counted([part for entry in some for part in entry], 2))
        case TupleOf(elements):
            return st.tuples(*(st.none() | cells_of(element) for element in elements)).map(list).map(framed)
        case UserType(_, fields):
            return st.tuples(*(st.none() | cells_of(field) for _, field in fields)).map(list).map(framed)
        case VectorOf(element, size):
            return vectors(element, cells_of(element), size)
    raise AssertionError(cql_type)


def vectors(element: CqlType, cells: st.SearchStrategy[bytes], size: int) -> st.SearchStrategy[bytes]:
    return st.lists(cells, min_size=size, max_size=size).map(lambda some: in_vector(element, some))


def member_cells_of(cql_type: CqlType) -> st.SearchStrategy[bytes]:
    match cql_type:
        case Native("inet"):
            return cells_of(cql_type).map(lambda cell: cell.removeprefix(MAPPED))
        case VectorOf(element, size):
            return vectors(element, member_cells_of(element), size)
    return cells_of(cql_type)


def disordered(cql_type: CqlType, value: Any) -> Any:
    """Return a JSON value in another form that Cassandra takes for the same.

    The sets and maps in it, at any depth, are in another order, and have a member twice. IPv4 addresses in collections
    are written as IPv6.
    """
    if value is None:
        return None
    match cql_type:
        case ListOf(element):
            return [_in_collection(element, member) for member in value]
        case SetOf(element):
            return [_in_collection(element, member) for member in (*reversed(value), *value[:1])]
        case MapOf(Native() as key, inner):
            entries = reversed(value.items())
            return {_in_collection(key, name): _in_collection(inner, member) for name, member in entries}
        case MapOf(key, inner):
            return [[_in_collection(key, name), _in_collection(inner, member)] for name, member in reversed(value)]
        case TupleOf(elements):
            return list(map(disordered, elements, value))
        case UserType(_, fields):
            return {name: disordered(field, value[name]) for name, field in reversed(fields)}
        case VectorOf(element):
            return [disordered(element, member) for member in value]
    return value


def _in_collection(cql_type: CqlType, value: Any) -> Any:
    match cql_type:
        case Native("inet"):
            return value if ":" in value else f"::ffff:{value}"
        case VectorOf(element):
            return [_in_collection(element, member) for member in value]
    return disordered(cql_type, value)


def containers(types: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    inside = types.map(freeze)
    field_types = st.lists(inside, min_size=1, max_size=3)
    return st.one_of(
        st.builds(ListOf, inside),
        st.builds(SetOf, inside),
        st.builds(MapOf, inside, inside),
        field_types.map(tuple).map(TupleOf),
        field_types.map(lambda some: UserType("u", tuple((f"f{at}", field) for at, field in enumerate(some)))),
        st.builds(VectorOf, inside, st.integers(1, 3)),
    )


NATIVE = st.sampled_from(sorted(NATIVE_TYPES)).map(Native)
ANY_TYPE = st.recursive(NATIVE, containers, max_leaves=5)
