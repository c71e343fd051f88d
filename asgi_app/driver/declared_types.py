"""The driver's classes for the types that tables declare, and the declared types for the driver's classes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from struct import Struct
from types import MappingProxyType
from typing import Any, Final

from cassandra import cqltypes

from asgi_app.driver.codec import Codec, Shape, codec_of, shape_of
from asgi_app.driver.page import JSON_OBJECTS, RowPage, ShapedDescription
from asgi_app.tables.types import (
    CqlType,
    ListOf,
    MapOf,
    Native,
    SetOf,
    TupleOf,
    UnknownType,
    UserType,
    VectorOf,
)


def codec_of_type(cql_type: CqlType) -> Codec:
    """Return the codec of a declared type."""
    return codec_of(_shape_of_declared(cql_type))


class DeclaredRows:
    """Writes rows of declared columns as JSON, as those that Cassandra sends are written."""

    def __init__(self, columns: Mapping[str, CqlType]) -> None:
        self._names = tuple(columns)
        self._description = ShapedDescription(self._names, tuple(map(_shape_of_declared, columns.values())))
        self._plan = self._description.layout.plan

    def json(self, row: Mapping[str, bytes | None]) -> bytes:
        """Return the object of one row, given by the cells of its columns; a column that `row` lacks is null."""
        body = b"".join(
            [_NULL if (cell := row.get(name)) is None else _length(len(cell)) + cell for name in self._names]
        )
        plan = self._plan
        compiled = None if plan is None else plan.rows(body, 1)
        return RowPage(self._description, 1, body).encoded(JSON_OBJECTS) if compiled is None else compiled


_length = Struct(">i").pack
_NULL = _length(-1)


def declared_type(cql_type: Any) -> CqlType:
    """Return the declared form of a class of `cassandra.cqltypes`: `UnknownType` for one that is not known."""
    shape = shape_of(cql_type)
    name = getattr(cql_type, "typename", "")
    return _declared(shape, str(name))


def _shape_of_declared(cql_type: CqlType) -> Hashable:
    match cql_type:
        case Native(name):
            return _CLASSES.get(name)
        case ListOf(element) | SetOf(element):
            kind = cqltypes.ListType if isinstance(cql_type, ListOf) else cqltypes.SetType
            return Shape(kind, (_shape_of_declared(element),), (), 0)
        case MapOf(key, value):
            return Shape(cqltypes.MapType, (_shape_of_declared(key), _shape_of_declared(value)), (), 0)
        case TupleOf(elements):
            return Shape(cqltypes.TupleType, tuple(map(_shape_of_declared, elements)), (), 0)
        case UserType(_, fields):
            names, types = tuple(name for name, _ in fields), tuple(_shape_of_declared(kind) for _, kind in fields)
            return Shape(cqltypes.UserType, types, names, 0)
        case VectorOf(element, size):
            return Shape(cqltypes.VectorType, (_shape_of_declared(element),), (), size)
    return None


def _declared(shape: Hashable, name: str) -> CqlType:
    if not isinstance(shape, Shape):
        return Native(_NAMES[shape]) if shape in _NAMES else UnknownType(name)
    inner = tuple(_declared(each, "") for each in shape.inner)
    if shape.kind in (cqltypes.FrozenType, cqltypes.ReversedType):
        return inner[0]
    if shape.kind is cqltypes.ListType:
        return ListOf(inner[0])
    if shape.kind is cqltypes.SetType:
        return SetOf(inner[0])
    if shape.kind is cqltypes.MapType:
        return MapOf(inner[0], inner[1])
    if shape.kind is cqltypes.UserType:
        return UserType(name, tuple(zip(shape.names, inner, strict=True)))
    if shape.kind is cqltypes.VectorType:
        return VectorOf(inner[0], shape.size)
    return TupleOf(inner)


_CLASSES: Final[Mapping[str, type]] = MappingProxyType(
    {
        "ascii": cqltypes.AsciiType,
        "bigint": cqltypes.LongType,
        "blob": cqltypes.BytesType,
        "boolean": cqltypes.BooleanType,
        "counter": cqltypes.CounterColumnType,
        "date": cqltypes.SimpleDateType,
        "decimal": cqltypes.DecimalType,
        "double": cqltypes.DoubleType,
        "duration": cqltypes.DurationType,
        "float": cqltypes.FloatType,
        "inet": cqltypes.InetAddressType,
        "int": cqltypes.Int32Type,
        "smallint": cqltypes.ShortType,
        "text": cqltypes.UTF8Type,
        "time": cqltypes.TimeType,
        "timestamp": cqltypes.DateType,
        "timeuuid": cqltypes.TimeUUIDType,
        "tinyint": cqltypes.ByteType,
        "uuid": cqltypes.UUIDType,
        "varint": cqltypes.IntegerType,
    }
)
"""The driver's classes of the native types, by the names of CQL."""

_NAMES: Final[Mapping[Hashable, str]] = MappingProxyType(
    {**{kind: name for name, kind in _CLASSES.items()}, cqltypes.VarcharType: "text"}
)
