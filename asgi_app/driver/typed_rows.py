"""Make typed rows of decoded ones: the values that responses have, as the Python types of a struct's fields."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from asgi_app.driver.declared_types import declared_type
from asgi_app.driver.page import Description
from asgi_app.tables.annotations import ADDRESSES, EitherAddress, replaced_fields, with_either_address
from asgi_app.tables.types import CqlType, ListOf, MapOf, Native, SetOf, TupleOf, UserType, VectorOf

T = TypeVar("T", bound=msgspec.Struct)

_Reader = Callable[[Any], Any]


def typed_rows(rows: list[dict[str, Any]], description: Description, row: type[T]) -> list[T]:
    """Return the rows as instances of `row`. Raises msgspec.ValidationError if a value does not fit its field."""
    readers = {
        name: reader
        for name, kind in zip(description.names, description.types, strict=True)
        if (reader := _reader_of(declared_type(kind))) is not None
    }
    for name, reader in readers.items():
        for values in rows:
            values[name] = reader(values[name])
    readable = _readable(row)
    converted: list[Any] = msgspec.convert(rows, list[readable], strict=False, dec_hook=_address)  # type: ignore[valid-type]
    return converted if readable is row else [row(**msgspec.structs.asdict(each)) for each in converted]


@lru_cache(maxsize=512)
def _readable(row: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return `row`, or a struct in its place whose fields have no union of both kinds of addresses."""
    return replaced_fields(row, with_either_address)


def _address(kind: type[Any], value: Any) -> Any:
    """Return an `inet` as an address of `ipaddress`, which msgspec does not know."""
    if kind is EitherAddress and isinstance(value, str):
        return ipaddress.ip_address(value)
    if kind in ADDRESSES and isinstance(value, str):
        return kind(value)
    raise NotImplementedError(f"a row cannot have a field of type {kind.__name__}")


def _reader_of(cql_type: CqlType) -> _Reader | None:
    """Return how blobs in decoded values of a type become bytes; None if it has no blobs.

    msgspec would read their text as Base64.
    """
    match cql_type:
        case Native("blob"):
            return _bytes
        case ListOf(element) | SetOf(element) | VectorOf(element, _):
            return _list_reader(_reader_of(element))
        case MapOf(key, value):
            return _map_reader(_reader_of(key), _reader_of(value))
        case TupleOf(elements):
            return _tuple_reader(list(map(_reader_of, elements)))
        case UserType(_, fields):
            return _object_reader({name: reader for name, field in fields if (reader := _reader_of(field))})
        case _:
            return None


def _bytes(value: Any) -> Any:
    return bytes.fromhex(value[2:]) if isinstance(value, str) else value


def _list_reader(element: _Reader | None) -> _Reader | None:
    if element is None:
        return None
    return lambda values: list(map(element, values)) if isinstance(values, list) else values


def _map_reader(key: _Reader | None, value: _Reader | None) -> _Reader | None:
    if key is None and value is None:
        return None
    read_key, read_value = key or _itself, value or _itself

    def read(entries: Any) -> Any:
        if isinstance(entries, dict):
            return {read_key(name): read_value(member) for name, member in entries.items()}
        if isinstance(entries, list):
            return [[read_key(name), read_value(member)] for name, member in entries]
        return entries

    return read


def _tuple_reader(readers: Sequence[_Reader | None]) -> _Reader | None:
    if not any(readers):
        return None

    def read(values: Any) -> Any:
        if not isinstance(values, list):
            return values
        return [value if reader is None else reader(value) for reader, value in zip(readers, values, strict=True)]

    return read


def _object_reader(readers: Mapping[str, _Reader]) -> _Reader | None:
    if not readers:
        return None

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return value | {name: reader(value.get(name)) for name, reader in readers.items()}

    return read


def _itself(value: Any) -> Any:
    return value
