"""CQL types as the driver's classes, and hypothesis strategies for types and for the bytes of their values."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from cassandra import cqltypes as cql
from hypothesis import strategies as st

from asgi_app.driver.codec import codec_for
from helpers.wire import encoded, int32

PLAIN = (
    cql.AsciiType,
    cql.BooleanType,
    cql.BytesType,
    cql.ByteType,
    cql.CounterColumnType,
    cql.DateType,
    cql.DecimalType,
    cql.DoubleType,
    cql.DurationType,
    cql.FloatType,
    cql.InetAddressType,
    cql.Int32Type,
    cql.IntegerType,
    cql.LongType,
    cql.ShortType,
    cql.SimpleDateType,
    cql.TimestampType,
    cql.TimeType,
    cql.TimeUUIDType,
    cql.UTF8Type,
    cql.UUIDType,
    cql.VarcharType,
    cql.mkUnrecognizedType("org.example.Strange"),
)
"""The types that contain no other type, and one that nobody knows."""


def list_of(inner: Any) -> Any:
    """Return `list<inner>`."""
    return cql.ListType.apply_parameters((inner,))


def set_of(inner: Any) -> Any:
    """Return `set<inner>`."""
    return cql.SetType.apply_parameters((inner,))


def map_of(key: Any, value: Any) -> Any:
    """Return `map<key, value>`."""
    return cql.MapType.apply_parameters((key, value))


def tuple_of(*inner: Any) -> Any:
    """Return `tuple<inner…>`."""
    return cql.TupleType.apply_parameters(inner)


def vector_of(inner: Any, size: int) -> Any:
    """Return `vector<inner, size>`."""
    return cql.VectorType.apply_parameters((inner, size), None)


def udt_of(**fields: Any) -> Any:
    """Return a user type with these fields."""
    return cql.UserType.make_udt_class("ks", "t" + "_".join(fields), tuple(fields), tuple(fields.values()))


def nested(types: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return the types that contain some of `types`."""
    return st.one_of(
        types.map(list_of),
        types.map(set_of),
        types.map(lambda t: cql.FrozenType.apply_parameters((t,))),
        types.map(lambda t: cql.ReversedType.apply_parameters((t,))),
        st.tuples(types, types).map(lambda two: map_of(*two)),
        st.lists(types, min_size=1, max_size=3).map(lambda some: tuple_of(*some)),
        st.tuples(types, types).map(lambda two: udt_of(a=two[0], b=two[1])),
        st.tuples(types, st.integers(1, 4)).map(lambda two: vector_of(*two)),
    )


ANY_TYPE = st.recursive(st.sampled_from(PLAIN), nested, max_leaves=5)


# --- the bytes of values


def framed(*parts: bytes | None) -> bytes:
    """Return parts with a length before each, as in a tuple or user type."""
    return encoded([parts])


def counted(*parts: bytes | None, each: int = 1) -> bytes:
    """Return parts with their number and a length before each, as in a list; in a map an entry has two."""
    return int32(len(parts) // each) + framed(*parts)


def vint(number: int) -> bytes:
    """Return a number from 0 to 2**64 - 1 in one to nine bytes; the leading ones of the first count the others."""
    more = next(more for more in range(9) if more == 8 or number < 1 << 7 * (more + 1))
    first = (0xFF00 >> more & 0xFF) | (number >> 8 * more if more < 8 else 0)
    return bytes([first]) + (number & (1 << 8 * more) - 1).to_bytes(more, "big")


def _of_size(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


_INT64 = _of_size(8)
_TEXT = st.text().map(str.encode)
_WHOLE = st.one_of(
    st.binary(min_size=1, max_size=40), st.sampled_from([b"\0", b"\x80", b"\xff", b"\0" * 9, b"\x80" * 9])
)
_SCALE = st.one_of(st.integers(-12, 40), st.integers(-(2**31), 2**31 - 1)).map(int32)
_VINT = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1)).map(vint)

_SCALARS: Mapping[Any, st.SearchStrategy[bytes]] = {
    cql.AsciiType: _TEXT,
    cql.BooleanType: _of_size(1),
    cql.BytesType: st.binary(),
    cql.ByteType: _of_size(1),
    cql.CounterColumnType: _INT64,
    cql.DateType: st.one_of(_INT64, st.integers(-(2**48), 2**48).map(lambda ms: struct.pack(">q", ms))),
    cql.DecimalType: st.tuples(_SCALE, _WHOLE).map(b"".join),
    cql.DoubleType: _INT64,
    cql.DurationType: st.tuples(_VINT, _VINT, _VINT).map(b"".join),
    cql.FloatType: _of_size(4),
    cql.InetAddressType: st.one_of(
        _of_size(4), _of_size(16), st.lists(st.sampled_from([0, 1, 255]), min_size=16, max_size=16).map(bytes)
    ),
    cql.Int32Type: _of_size(4),
    cql.IntegerType: _WHOLE,
    cql.LongType: _INT64,
    cql.ShortType: _of_size(2),
    cql.SimpleDateType: st.one_of(
        _of_size(4), st.integers(2**31 - 2**20, 2**31 + 2**23).map(lambda d: struct.pack(">I", d))
    ),
    cql.TimestampType: _INT64,
    cql.TimeType: st.one_of(_INT64, st.integers(0, 86_400 * 10**9).map(lambda ns: struct.pack(">q", ns))),
    cql.TimeUUIDType: _of_size(16),
    cql.UTF8Type: _TEXT,
    cql.UUIDType: _of_size(16),
    cql.VarcharType: _TEXT,
}


def values_of(cql_type: Any) -> st.SearchStrategy[bytes]:
    """Return the bytes of values of a type. Different keys of a map have different texts."""
    kind = next((known for known in cql_type.__mro__ if known in _NESTED), None)
    return _SCALARS.get(cql_type, st.binary()) if kind is None else _NESTED[kind](cql_type)


def _inner(cql_type: Any) -> st.SearchStrategy[bytes]:
    return values_of(cql_type.subtypes[0])


def _sequences(cql_type: Any) -> st.SearchStrategy[bytes]:
    return st.lists(st.none() | _inner(cql_type), max_size=4).map(lambda parts: counted(*parts))


def _maps(cql_type: Any) -> st.SearchStrategy[bytes]:
    key, value = cql_type.subtypes
    entries = st.tuples(values_of(key), st.none() | values_of(value))
    return st.lists(entries, max_size=4, unique_by=lambda entry: _text(key, entry[0])).map(
        lambda some: counted(*(part for entry in some for part in entry), each=2)
    )


def _text(key: Any, cell: bytes) -> str:
    value = codec_for(key).cell(cell)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _elements(cql_type: Any) -> st.SearchStrategy[bytes]:
    """Return tuples and user types: whole, or with the last elements missing, or with more."""
    parts = st.tuples(*(st.none() | values_of(inner) for inner in cql_type.subtypes), st.binary(max_size=3))
    return st.tuples(parts, st.integers(0, len(cql_type.subtypes) + 1)).map(lambda some: framed(*some[0][: some[1]]))


def _vectors(cql_type: Any) -> st.SearchStrategy[bytes]:
    inner, size = cql_type.subtype, cql_type.vector_size
    packed = codec_for(inner).width is not None
    element = values_of(inner) if packed else values_of(inner).map(lambda cell: vint(len(cell)) + cell)
    return st.lists(element, min_size=size, max_size=size).map(b"".join)


_NESTED: Mapping[type, Callable[[Any], st.SearchStrategy[bytes]]] = {
    cql.FrozenType: _inner,
    cql.ListType: _sequences,
    cql.MapType: _maps,
    cql.ReversedType: _inner,
    cql.SetType: _sequences,
    cql.TupleType: _elements,
    cql.UserType: _elements,
    cql.VectorType: _vectors,
}


@st.composite
def broken_values_of(draw: st.DrawFn, cql_type: Any) -> bytes:
    """Return the bytes of values of a type after some were replaced, dropped or added, at any depth."""
    cell = draw(values_of(cql_type))
    start = draw(st.integers(0, len(cell)))
    end = draw(st.integers(start, min(len(cell), start + 4)))
    return cell[:start] + draw(st.binary(max_size=4)) + cell[end:]


def rows_of(types: Sequence[Any], cells_of: Callable[[Any], st.SearchStrategy[bytes]]) -> st.SearchStrategy[Any]:
    """Return types with rows of them: cells of a strategy for each type, and null."""
    row: Iterable[Any] = [st.none() | cells_of(each) for each in types]
    return st.tuples(st.just(types), st.lists(st.tuples(*row), max_size=5))
