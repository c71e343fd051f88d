"""Which Arrow type each CQL type has in a Parquet file, and values from one to the other. Needs the extra `parquet`.

    bigint, counter int64 · int int32 · smallint int16 · tinyint int8 · boolean bool · float, double as they are
    date date32 · time time64 in ns · timestamp in ms, UTC · uuid, timeuuid UUID · blob binary
    list, set list · map map · tuple struct with fields "0", "1", … · user types struct · vector fixed-size list
    all others text, as in JSON: ascii, text, inet, duration, and decimal and varint, which Arrow bounds

Within other types, dates, times, timestamps, UUIDs and blobs are text as in JSON too.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from math import isfinite
from types import MappingProxyType
from typing import Any

import msgspec
import pyarrow as pa

from asgi_app.driver.codec import timestamp_text
from asgi_app.tables.moments import days_of, milliseconds_of, nanoseconds_of
from asgi_app.tables.types import CqlType, ListOf, MapOf, Native, SetOf, TupleOf, UserType, VectorOf
from asgi_app.transfer.csv_cells import EXACT

_Convert = Callable[[Any], Any]

_DAY_MS = 86_400_000
_PLAIN: Mapping[str, Any] = MappingProxyType(
    {
        "bigint": pa.int64(),
        "boolean": pa.bool_(),
        "counter": pa.int64(),
        "double": pa.float64(),
        "float": pa.float32(),
        "int": pa.int32(),
        "smallint": pa.int16(),
        "tinyint": pa.int8(),
    }
)
"""The types whose values are the same in JSON, but for floats that are not finite."""


def arrow_field(name: str, cql_type: CqlType) -> Any:
    """Return the Arrow field of a column. Its metadata has the CQL type."""
    top = _TOP.get(_name(cql_type))
    return pa.field(name, top[0] if top else _inside(cql_type), metadata={"cql_type": str(cql_type)})


def arrow_array(cql_type: CqlType, values: Sequence[Any]) -> Any:
    """Return the Arrow array of a column's values, which have their JSON form.

    Raises ValueError, TypeError or `pa.ArrowException` for a value that is not of the type: Cassandra lets clients
    store some that are not.
    """
    top = _TOP.get(_name(cql_type))
    if top is not None:
        arrow_type, storage, convert = top
        stored = pa.array([None if value is None else convert(value) for value in values], storage)
        return (
            pa.ExtensionArray.from_storage(arrow_type, stored) if arrow_type == pa.uuid() else _as(stored, arrow_type)
        )
    inside = _to_arrow(cql_type)
    if inside is not None:
        values = [None if value is None else inside(value) for value in values]
    return pa.array(values, _inside(cql_type))


def _as(stored: Any, arrow_type: Any) -> Any:
    return stored if stored.type == arrow_type else stored.view(arrow_type)


_TOP: Mapping[str, tuple[Any, Any, _Convert]] = MappingProxyType(
    {
        "blob": (pa.binary(), pa.binary(), lambda text: bytes.fromhex(text[2:])),
        "date": (pa.date32(), pa.int32(), days_of),
        "time": (pa.time64("ns"), pa.int64(), nanoseconds_of),
        "timestamp": (pa.timestamp("ms", tz="UTC"), pa.int64(), milliseconds_of),
        "timeuuid": (pa.uuid(), pa.binary(16), lambda text: bytes.fromhex(text.replace("-", ""))),
        "uuid": (pa.uuid(), pa.binary(16), lambda text: bytes.fromhex(text.replace("-", ""))),
    }
)
"""Types that have an Arrow type of their own in a column: that type, the one it is stored as, and text → stored."""


def _name(cql_type: CqlType) -> str:
    return cql_type.name if isinstance(cql_type, Native) else ""


def _inside(cql_type: CqlType) -> Any:
    """Return the Arrow type of values within others, and of columns without an entry in `_TOP`."""
    match cql_type:
        case Native(name):
            return _PLAIN.get(name, pa.string())
        case ListOf(element) | SetOf(element):
            return pa.list_(_inside(element))
        case VectorOf(element, size):
            return pa.list_(_inside(element), size)
        case MapOf(key, value):
            return pa.map_(_inside(key), _inside(value))
        case TupleOf(elements):
            return pa.struct([pa.field(str(place), _inside(each)) for place, each in enumerate(elements)])
        case UserType(_, fields):
            return pa.struct([pa.field(name, _inside(each)) for name, each in fields])
        case _:
            return pa.string()


def _to_arrow(cql_type: CqlType) -> _Convert | None:
    """Return the function from a value's JSON form to what `pa.array` takes; None if that is the same."""
    match cql_type:
        case Native("float" | "double"):
            return float
        case ListOf(element) | SetOf(element) | VectorOf(element):
            inner = _or_same(_to_arrow(element))
            return lambda values: [None if value is None else inner(value) for value in values]
        case MapOf(key, value):
            return _map_to_arrow(key, _or_same(_to_arrow(key)), _or_same(_to_arrow(value)))
        case TupleOf(elements):
            return _struct_to_arrow([(str(place), place, _to_arrow(each)) for place, each in enumerate(elements)])
        case UserType(_, fields):
            return _struct_to_arrow([(name, name, _to_arrow(each)) for name, each in fields])
    return None


def _or_same(convert: _Convert | None) -> _Convert:
    return convert or (lambda value: value)


def _map_to_arrow(key_type: CqlType, key: _Convert, value: _Convert) -> _Convert:
    named = _key_of_name(key_type)

    def convert(entries: Any) -> list[tuple[Any, Any]]:
        pairs = [(named(name), member) for name, member in entries.items()] if isinstance(entries, dict) else entries
        return [(key(each), None if member is None else value(member)) for each, member in pairs]

    return convert


def _key_of_name(key_type: CqlType) -> _Convert:
    """Return the function from the name of an object's member to the value of a map's key."""
    if _name(key_type) in _PLAIN:
        return msgspec.json.decode if _name(key_type) not in ("float", "double") else float
    return str


def _struct_to_arrow(fields: Sequence[tuple[str, Any, _Convert | None]]) -> _Convert:
    placed = [(name, place, _or_same(convert)) for name, place, convert in fields]

    def convert(value: Any) -> dict[str, Any]:
        members = {name: (value[place], each) for name, place, each in placed}
        return {name: None if member is None else each(member) for name, (member, each) in members.items()}

    return convert


# --- and back


def json_values(cql_type: CqlType, array: Any) -> list[Any]:
    """Return the JSON form of the values of an Arrow array, whoever wrote it. What has none becomes text."""
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if pa.types.is_timestamp(kind):
        multiply, divide = _MILLISECONDS[kind.unit]
        return _each(lambda ticks: timestamp_text(ticks * multiply // divide), array.cast(pa.int64()))
    if pa.types.is_date32(kind):
        return _each(_day_text, array.cast(pa.int32()))
    if pa.types.is_time64(kind) or pa.types.is_time32(kind):
        return _each(_time_text, array.cast(pa.time64("ns")).cast(pa.int64()))
    if _name(cql_type) in ("uuid", "timeuuid") and (pa.types.is_fixed_size_binary(kind) or pa.types.is_binary(kind)):
        return _each(lambda value: str(uuid.UUID(bytes=value)) if len(value) == 16 else value.hex(), array)
    if _name(cql_type) in _INTEGERS and pa.types.is_floating(kind):
        return _each(_integer, array)
    return _each(_to_json(cql_type), array)


_MILLISECONDS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}
)
"""By Arrow's unit of a timestamp, what to multiply and then to divide by. Digits after the milliseconds are cut off, as
of a text: Arrow itself would round up what is before 1970."""


def _each(convert: _Convert, array: Any) -> list[Any]:
    return [None if value is None else convert(value) for value in array.to_pylist()]


_INTEGERS = frozenset({"bigint", "int", "smallint", "tinyint", "varint"})


def _integer(value: float) -> Any:
    """Return the integer that a float stands for: pandas makes floats of a column of integers with nulls."""
    return int(value) if value.is_integer() and abs(value) < EXACT else _plain(value)


def _day_text(days: int) -> str:
    return timestamp_text(days * _DAY_MS).partition("T")[0]


def _time_text(nanoseconds: int) -> str:
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:09}"


def _to_json(cql_type: CqlType) -> _Convert:
    """Return the function from a value that Arrow gives to its JSON form."""
    match cql_type:
        case ListOf(element) | SetOf(element) | VectorOf(element):
            inner = _to_json(element)
            return lambda values: [None if value is None else inner(value) for value in values]
        case MapOf(key, value):
            return _map_to_json(key, _to_json(key), _to_json(value))
        case TupleOf(elements):
            return _struct_to_json([(str(place), _to_json(each)) for place, each in enumerate(elements)], list)
        case UserType(_, fields):
            return _struct_to_json([(name, _to_json(each)) for name, each in fields], dict)
    return _plain


def _map_to_json(key_type: CqlType, key: _Convert, value: _Convert) -> _Convert:
    def convert(entries: Any) -> Any:
        pairs = entries.items() if isinstance(entries, dict) else entries
        found = [(key(each), None if member is None else value(member)) for each, member in pairs]
        if not isinstance(key_type, Native):
            return [list(pair) for pair in found]
        return {_member_name(each): member for each, member in found}

    return convert


def _member_name(key: Any) -> str:
    return key if isinstance(key, str) else msgspec.json.encode(key).decode()


def _struct_to_json(fields: Sequence[tuple[str, _Convert]], form: type[list[Any]] | type[dict[str, Any]]) -> _Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, dict) or value.keys() != {name for name, _ in fields}:
            return value  # the encoder says what is wrong with it
        members = {name: None if value[name] is None else each(value[name]) for name, each in fields}
        return list(members.values()) if form is list else members

    return convert


def _plain(value: Any) -> Any:
    """Return the JSON form of a value of Python that is not nested."""
    match value:
        case float():
            return value if isfinite(value) else _NOT_FINITE.get(value, "NaN")
        case bytes():
            return "0x" + value.hex()
        case datetime.datetime():
            return value.isoformat(timespec="microseconds") + ("" if value.tzinfo else "Z")
        case datetime.date() | datetime.time():
            return value.isoformat()
        case Decimal() | uuid.UUID():
            return str(value)
    return value


_NOT_FINITE = {float("inf"): "Infinity", float("-inf"): "-Infinity"}
