"""Make typed rows of decoded ones: the values that responses have, as the Python types of a struct's fields."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from asgi_app.driver.declared_types import declared_type
from asgi_app.driver.page import Description
from asgi_app.tables.annotations import (
    ADDRESSES,
    EitherAddress,
    described_type,
    plain_type,
    replaced_fields,
    with_either_address,
)
from asgi_app.tables.types import CqlType, ListOf, MapOf, Native, SetOf, TupleOf, UserType, VectorOf

T = TypeVar("T", bound=msgspec.Struct)

_Reader = Callable[[Any], Any]


def typed_rows(rows: list[dict[str, Any]], description: Description, row: type[T]) -> list[T]:
    """Return the rows as instances of `row`. Raises msgspec.ValidationError if a value does not fit its field."""
    fields = _described(row)
    readers = {
        name: reader
        for name, kind in zip(description.names, description.types, strict=True)
        if name in fields and (reader := _reader_of(declared_type(kind), fields[name])) is not None
    }
    for name, reader in readers.items():
        for values in rows:
            values[name] = reader(values[name])
    return _converted(rows, row)


def _converted(rows: list[Any], row: type[T]) -> list[T]:
    readable = _readable(row)
    converted: list[Any] = msgspec.convert(rows, list[readable], strict=False, dec_hook=_custom)  # type: ignore[valid-type]
    return converted if readable is row else [row(**msgspec.structs.asdict(each)) for each in converted]


@lru_cache(maxsize=512)
def _described(row: type[msgspec.Struct]) -> Mapping[str, inspect.Type]:
    """Return the described types of a struct's fields, by the names of their columns."""
    return _types_of_fields(described_type(row))


def _types_of_fields(described: inspect.Type) -> Mapping[str, inspect.Type]:
    return {field.encode_name: field.type for field in getattr(described, "fields", ())}


# --- what msgspec does not know


@lru_cache(maxsize=512)
def _readable(row: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return `row`, or a struct in its place whose fields have no union of both kinds of addresses, at any depth."""
    return replaced_fields(row, lambda hint: with_either_address(hint, _stand_in))


class _StandIn(type):
    """A class that msgspec leaves to `_custom`, in place of the struct of a user type that has such a union."""

    struct: type[msgspec.Struct]

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.struct)


@lru_cache(maxsize=512)
def _stand_in(struct: type[msgspec.Struct]) -> type:
    return struct if _readable(struct) is struct else _StandIn(struct.__name__, (), {"struct": struct})


def _custom(kind: type[Any], value: Any) -> Any:
    """Return an `inet` as an address of `ipaddress`, or a user type as its struct."""
    if isinstance(kind, _StandIn):
        return _converted([value], kind.struct)[0]
    if kind is EitherAddress and isinstance(value, str):
        return ipaddress.ip_address(value)
    if kind in ADDRESSES and isinstance(value, str):
        return kind(value)
    raise NotImplementedError(f"a row cannot have a field of type {kind.__name__}")


# --- what msgspec would read in another way

_ANYTHING = inspect.AnyType()


def _reader_of(cql_type: CqlType, found: inspect.Type) -> _Reader | None:
    """Return how decoded values of a type become what msgspec takes for a described type; None if they are that.

    msgspec would read the text of a blob as Base64, and round the nanoseconds of a time, past midnight. It makes no
    dict of an array of pairs, which is how a map is decoded whose keys are not plain.
    """
    if isinstance(cql_type, Native) and cql_type.name not in ("blob", "time"):
        return None
    found = plain_type(found)
    match cql_type:
        case Native("blob"):
            return None if isinstance(found, _TEXTS) else _bytes
        case Native():
            return _microseconds if isinstance(found, inspect.TimeType) else None
        case ListOf(element) | SetOf(element) | VectorOf(element):
            if isinstance(found, inspect.TupleType):
                return _tuple_reader([_reader_of(element, item) for item in found.item_types])
            return _list_reader(_reader_of(element, _type_of_items(found)))
        case MapOf(key, value):
            return _reader_of_map(key, value, found)
        case TupleOf(elements):
            items = found.item_types if isinstance(found, inspect.TupleType) else ()
            each = items if len(items) == len(elements) else [_type_of_items(found)] * len(elements)
            return _tuple_reader(list(map(_reader_of, elements, each)))
        case UserType(_, fields):
            types = _types_of_fields(found)
            readers = {name: _reader_of(field, types.get(name, _ANYTHING)) for name, field in fields}
            return _object_reader({name: reader for name, reader in readers.items() if reader is not None})
        case _:
            return None


_TEXTS = (inspect.StrType, inspect.EnumType, inspect.LiteralType)


def _type_of_items(found: inspect.Type) -> inspect.Type:
    item: inspect.Type = getattr(found, "item_type", _ANYTHING)
    return item


def _reader_of_map(key: CqlType, value: CqlType, found: inspect.Type) -> _Reader | None:
    if isinstance(found, inspect.DictType):
        readers = _reader_of(key, found.key_type), _reader_of(value, found.value_type)
        return _map_reader(*readers) if isinstance(key, Native) else _reader_of_pairs(*readers)
    if isinstance(key, Native):
        return _map_reader(_reader_of(key, _ANYTHING), _reader_of(value, _ANYTHING))
    return _reader_of(ListOf(TupleOf((key, value))), found)


def _bytes(value: Any) -> Any:
    return bytes.fromhex(value[2:]) if isinstance(value, str) else value


_WITH_MICROSECONDS = len("13:14:15.123456")


def _microseconds(value: Any) -> Any:
    return value[:_WITH_MICROSECONDS] if isinstance(value, str) and value[:1].isdigit() else value


def _list_reader(element: _Reader | None) -> _Reader | None:
    if element is None:
        return None
    return lambda values: list(map(element, values)) if isinstance(values, list) else values


def _map_reader(key: _Reader | None, value: _Reader | None) -> _Reader | None:
    if key is None and value is None:
        return None
    read_key, read_value = key or _itself, value or _itself

    def read(entries: Any) -> Any:
        if not isinstance(entries, dict):
            return entries
        return {read_key(name): read_value(member) for name, member in entries.items()}

    return read


def _reader_of_pairs(key: _Reader | None, value: _Reader | None) -> _Reader:
    read_key, read_value = key or _itself, value or _itself

    def read(entries: Any) -> Any:
        if not isinstance(entries, list):
            return entries
        return {_hashable(read_key(name)): read_value(member) for name, member in entries}

    return read


class _Members(dict[str, Any]):
    """The fields of a user type as the key of a dict, until msgspec makes its struct of them."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def _hashable(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    return _Members(value) if isinstance(value, dict) else value


def _tuple_reader(readers: Sequence[_Reader | None]) -> _Reader | None:
    if not any(readers):
        return None

    def read(values: Any) -> Any:
        if not isinstance(values, list) or len(values) != len(readers):
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
