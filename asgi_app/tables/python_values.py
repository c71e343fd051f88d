"""Turn Python's objects into the JSON form of a CQL type, for values that the server makes: ids, moments, names."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from math import isfinite
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec

from asgi_app.tables.types import CqlType, ListOf, MapOf, Native, SetOf, TupleOf, UserType, VectorOf


def json_form(cql_type: CqlType, value: Any) -> Any:
    """Return the value that an `Encoder` of the type takes, as `decode_json` would give it.

    Takes what annotations of a struct allow: UUIDs, aware datetimes, bytes, sets, tuples, structs, members of an
    `Enum` and others, at any depth. An object that has no JSON form is returned as it is, and the encoder refuses it.
    Raises ValueError for a datetime without a zone.
    """
    if isinstance(value, Enum):
        value = value.value
    match cql_type:
        case ListOf(element) | SetOf(element) | VectorOf(element) if isinstance(value, _SEQUENCES):
            return [json_form(element, member) for member in value]
        case TupleOf(elements) if isinstance(value, _SEQUENCES) and len(value) == len(elements):
            return list(map(json_form, elements, value))
        case MapOf(key, inner) if isinstance(value, Mapping):
            entries = [(json_form(key, name), json_form(inner, member)) for name, member in value.items()]
            return _object(entries) if isinstance(key, Native) else list(map(list, entries))
        case UserType(_, fields):
            return _fields(dict(fields), value)
        case Native("blob") if isinstance(value, bytes):
            return "0x" + value.hex()
        case Native("decimal") if isinstance(value, float):
            return float.__repr__(value)
        case _:
            return _plain(value)


_SEQUENCES = (list, tuple, set, frozenset)


def _object(entries: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    return {key if isinstance(key, str) else msgspec.json.encode(key).decode(): member for key, member in entries}


def _fields(types: Mapping[str, CqlType], value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        members = zip(value.__struct_encode_fields__, msgspec.structs.astuple(value), strict=True)
        value = {name: member for name, member in members if member is not msgspec.UNSET}
    if not isinstance(value, Mapping):
        return value
    return {name: json_form(types[name], member) if name in types else member for name, member in value.items()}


def _plain(value: Any) -> Any:
    convert = _conversion_of(value.__class__)
    return value if convert is None else convert(value)


@lru_cache(maxsize=512)
def _conversion_of(kind: type) -> Callable[[Any], Any] | None:
    """Return the conversion of a class or its nearest ancestor: libraries of dates and ids return subclasses."""
    return next((_CONVERSIONS[each] for each in kind.__mro__ if each in _CONVERSIONS), None)


def _moment(value: datetime.datetime) -> str:
    ahead = value.utcoffset()
    if ahead is None:
        raise ValueError("a timestamp needs a zone: use datetime.now(UTC)")
    if ahead % _MINUTE:  # as before the time zones: no text has the seconds of an offset
        value = _in_utc(value)
    return datetime.datetime.isoformat(value, timespec="milliseconds").replace("+00:00", "Z")


_MINUTE = datetime.timedelta(minutes=1)


def _in_utc(value: datetime.datetime) -> datetime.datetime:
    try:
        return value.astimezone(datetime.UTC)
    except OverflowError:
        raise ValueError("a timestamp outside the years 1 to 9999 in UTC") from None


def _float(value: float) -> float | str:
    if isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


_CONVERSIONS: Mapping[type, Callable[[Any], Any]] = MappingProxyType(
    {
        datetime.date: datetime.date.isoformat,
        datetime.datetime: _moment,
        datetime.time: datetime.time.isoformat,
        Decimal: str,
        bool: bool,
        float: _float,
        int: int,
        IPv4Address: str,
        IPv6Address: str,
        UUID: UUID.__str__,
    }
)
