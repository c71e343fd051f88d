"""Encode values of every CQL type: from their JSON form, or a text in an address, to the bytes that Cassandra stores.

The JSON form of each type is the one that responses have (`docs/types.md`), so that what was read can be written back.
The rules are strict: `true` and `1.0` are no integers, nothing is null within a collection, a vector has exactly its
length. Sets and maps are put in Cassandra's order at every depth, and equal members of a set are merged: Cassandra does
so for columns and within collections, and stores what is in a tuple, a user type or a vector as it was sent. The binary
forms follow section 6 of Cassandra's `native_protocol_v5.spec` and, for `vector`, Cassandra's class
`VectorType`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import msgspec

from asgi_app.errors import FieldError
from asgi_app.tables.framing import NULL, counted, framed, vector_of_lengths
from asgi_app.tables.native_encoding import (
    MOST_DIGITS,
    NATIVE_ENCODINGS,
    NativeEncoding,
    packed_floats,
    shortest_inet,
    width_of,
    wrong,
)
from asgi_app.tables.stored_form import order_of
from asgi_app.tables.types import CqlType, ListOf, MapOf, Native, SetOf, TupleOf, UserType, VectorOf, types_inside
from asgi_app.tables.wrong_value import MOST_ERRORS
from asgi_app.tables.wrong_value import WrongValue as WrongValue

_Write = Callable[[Any], bytes]


class Encoded(bytes):
    """The encoded value of one column."""

    __slots__ = ()


def random_uuid() -> Encoded:
    """Return the bytes of a random UUID (RFC 9562 section 5.4): as `uuid.uuid4` makes it, without making an object."""
    octets = bytearray(os.urandom(16))
    octets[6] = octets[6] & 0x0F | 0x40
    octets[8] = octets[8] & 0x3F | 0x80
    return Encoded(octets)


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes the values of one CQL type. Immutable: any number of threads may use it."""

    cql_type: CqlType
    write: _Write
    """Encodes a JSON value. Raises WrongValue, also for null."""
    value_of_text: Callable[[str], Any]
    """Returns the JSON value that a text stands for. Raises WrongValue."""

    def from_json(self, value: Any) -> Encoded | None:
        """Return the encoding of a value that `decode_json` decoded; None for null. Raises WrongValue."""
        return None if value is None else Encoded(self.write(value))

    def from_text(self, text: str) -> Encoded:
        """Return the encoding of a value in an address, percent-decoded. Raises WrongValue.

        The text of a value is that of its JSON form, without quotes: `true`, `2024-02-29`, `[1, "a"]`.
        """
        return Encoded(self.write(self.value_of_text(text)))


def encoder_of(cql_type: CqlType) -> Encoder:
    """Return the encoder of a type. Values of a type that is not known have no encoding: each raises WrongValue."""
    match cql_type:
        case Native(name):
            return _native_encoder(cql_type, NATIVE_ENCODINGS[name])
        case ListOf(element):
            return Encoder(cql_type, _list(member_encoder_of(element)), _decoded)
        case SetOf(element):
            return Encoder(cql_type, _set(member_encoder_of(element)), _decoded)
        case MapOf(key, value):
            write = _object if isinstance(key, Native) else _pairs
            return Encoder(cql_type, write(member_encoder_of(key), member_encoder_of(value)), _decoded)
        case TupleOf(elements):
            return Encoder(cql_type, _tuple(tuple(map(encoder_of, elements))), _decoded)
        case UserType(_, fields):
            return Encoder(cql_type, _user_type([(name, encoder_of(field)) for name, field in fields]), _decoded)
        case VectorOf(element, size):
            return _vector_encoder(cql_type, encoder_of(element), size)
        case _:
            return Encoder(cql_type, _refuse, str)


def member_encoder_of(cql_type: CqlType) -> Encoder:
    """Return the encoder of what a list, set or map holds: there Cassandra makes `1.2.3.4` of `::ffff:1.2.3.4`."""
    match cql_type:
        case Native("inet"):
            return replace(encoder_of(cql_type), write=shortest_inet)
        case VectorOf(element, size):
            return _vector_encoder(cql_type, member_encoder_of(element), size)
        case _:
            return encoder_of(cql_type)


def encoded_list(values: Sequence[bytes]) -> Encoded:
    """Return the encoding of a list of encoded values, for the marker of `IN ?`."""
    return Encoded(counted(len(values), values))


# --- JSON


def decode_json(body: bytes, *, exact: bool = True) -> Any:
    """Decode JSON. Numbers that are not integers become `Decimal`, with all their digits.

    If not `exact`, they become `float`, ten times faster: enough for all types but those for which `has_decimals` is
    true. A number that no CQL type can hold becomes `Decimal("NaN")`, so that its error has its place in the body.
    Raises msgspec.DecodeError if `body` is not JSON, RecursionError if it nests too deep.
    """
    try:
        return _exact_decoder.decode(body) if exact else _decoder.decode(body)
    except msgspec.ValidationError:  # a number that Python or a float cannot hold
        return _decode_long_numbers(body)


def has_decimals(cql_type: CqlType) -> bool:
    """Return whether values of the type hold decimals, whose encoding needs every digit of a number."""
    return cql_type == Native("decimal") or any(map(has_decimals, types_inside(cql_type)))


def _decode_long_numbers(body: bytes) -> Any:
    try:
        return json.loads(body, parse_float=_exact, parse_int=_short_integer, parse_constant=_no_number)
    except ValueError as error:
        raise msgspec.DecodeError("not JSON") from error


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _exact(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:  # an exponent of more than 18 digits
        return Decimal("NaN")


def _short_integer(digits: str) -> int | Decimal:
    return int(Decimal(digits)) if len(digits.lstrip("-")) <= MOST_DIGITS else Decimal("NaN")


_decoder = msgspec.json.Decoder(Any)
_exact_decoder = msgspec.json.Decoder(Any, float_hook=_exact)


def _decoded(text: str) -> Any:
    try:
        return decode_json(text.encode())
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise wrong("must be JSON") from None


# --- types without parameters


def _native_encoder(cql_type: Native, native: NativeEncoding) -> Encoder:
    return Encoder(cql_type, native.write, native.of_text)


def _refuse(_: Any) -> NoReturn:
    raise wrong("has a CQL type that this service cannot write")


# --- types that contain other types


class _Errors:
    """Collects the errors of a value's members, and raises them together: at once if they are many."""

    def __init__(self) -> None:
        self._found: list[FieldError] = []

    def add(self, token: str | int, value: Any, error: WrongValue) -> None:
        """Add the errors of the member `value`, which may not be null, at its token of a JSON pointer."""
        if value is None:
            self.add_message(token, "must not be null")
            return
        for inner in error.errors:
            self.add_message(f"{token}{inner.field}", inner.message)

    def add_message(self, token: str | int, message: str) -> None:
        """Add one error."""
        self._found.append(FieldError(f"/{token}", message))
        if len(self._found) == MOST_ERRORS:
            self.check()

    def check(self) -> None:
        """Raise WrongValue if there are errors."""
        if self._found:
            raise WrongValue.of(self._found)


def _list(element: Encoder) -> _Write:
    def write(value: Any) -> bytes:
        elements = _array(value)
        return counted(len(elements), _elements(element.write, elements))

    return write


def _set(element: Encoder) -> _Write:
    order = order_of(element.cql_type)

    def write(value: Any) -> bytes:
        members = _elements(element.write, _array(value))
        kept = {order(member): member for member in reversed(members)}  # of equal ones the first
        return counted(len(kept), [kept[place] for place in sorted(kept)])

    return write


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise wrong("must be an array")
    return value


def _elements(write: _Write, values: Sequence[Any]) -> list[bytes]:
    """Return the encoded elements of an array. Raises WrongValue with the errors of all of them."""
    encoded, errors = [], _Errors()
    for index, value in enumerate(values):
        try:
            encoded.append(write(value))
        except WrongValue as error:
            errors.add(index, value, error)
    errors.check()
    return encoded


def _tuple(elements: tuple[Encoder, ...]) -> _Write:
    message = f"must be an array of {len(elements)} elements"

    def write(value: Any) -> bytes:
        if not isinstance(value, list) or len(value) != len(elements):
            raise wrong(message)
        errors = _Errors()
        encoded = _fields(zip(range(len(elements)), elements, value, strict=True), errors)
        errors.check()
        return encoded

    return write


def _fields(fields: Iterable[tuple[str | int, Encoder, Any]], errors: _Errors) -> bytes:
    """Return the encoding of fields, one after another, each of which may be null. Adds to `errors`."""
    parts: list[bytes] = []
    for token, encoder, value in fields:
        try:
            parts.append(NULL if value is None else framed(encoder.write(value)))
        except WrongValue as error:
            errors.add(token, value, error)
    return b"".join(parts)


def _user_type(fields: Sequence[tuple[str, Encoder]]) -> _Write:
    known = frozenset(name for name, _ in fields)
    placed = [(name, pointer_token(name), encoder) for name, encoder in fields]

    def write(value: Any) -> bytes:
        members, errors = _members(value), _Errors()
        encoded = _fields([(token, encoder, members.get(name)) for name, token, encoder in placed], errors)
        for name in [name for name in members if name not in known]:
            errors.add_message(pointer_token(name), "is not a field of this type")
        errors.check()
        return encoded

    return write


def _members(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong("must be an object")
    return value


def pointer_token(name: str) -> str:
    """Return a member's name as a token of a JSON pointer (RFC 6901 section 3), cut to 100 characters."""
    text = name[:100].encode("utf-8", "replace").decode()
    return text.replace("~", "~0").replace("/", "~1")


def _object(key: Encoder, value: Encoder) -> _Write:
    """Return the encoder of a map whose keys are plain: an object, whose names are the texts of the keys."""
    order = order_of(key.cql_type)

    def write(given: Any) -> bytes:
        entries, errors = _Entries(order), _Errors()
        for name, member in _members(given).items():
            try:
                encoded_key = key.write(key.value_of_text(name))
            except WrongValue as error:
                errors.add_message(pointer_token(name), f"has a wrong name: it {error.message}")
                continue
            try:
                entries.add(encoded_key, value.write(member))
            except WrongValue as error:
                errors.add(pointer_token(name), member, error)
        errors.check()
        return entries.encoded()

    return write


def _pairs(key: Encoder, value: Encoder) -> _Write:
    """Return the encoder of a map whose keys contain other values: an array of pairs."""
    both = (key.write, value.write)
    order = order_of(key.cql_type)

    def write(given: Any) -> bytes:
        entries, errors = _Entries(order), _Errors()
        for index, pair in enumerate(_array(given)):
            try:
                entries.add(*_pair(both, pair))
            except WrongValue as error:
                errors.add(index, "a pair", error)
        errors.check()
        return entries.encoded()

    return write


def _pair(both: tuple[_Write, _Write], pair: Any) -> list[bytes]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise wrong("must be an array of a key and a value")
    encoded, errors = [], _Errors()
    for index, (write, value) in enumerate(zip(both, pair, strict=True)):
        try:
            encoded.append(write(value))
        except WrongValue as error:
            errors.add(index, value, error)
    errors.check()
    return encoded


class _Entries:
    """Collects the encoded entries of a map. Two keys that sort alike are an error: Cassandra would merge them."""

    def __init__(self, order: Callable[[bytes], Any]) -> None:
        self._order = order
        self._entries: dict[Any, tuple[bytes, bytes]] = {}

    def add(self, key: bytes, value: bytes) -> None:
        """Add an entry. Raises WrongValue if there is one with its key."""
        place = self._order(key)
        if place in self._entries:
            raise wrong("has the same key as an earlier entry")
        self._entries[place] = (key, value)

    def encoded(self) -> bytes:
        """Return the encoding of the map."""
        parts = [part for place in sorted(self._entries) for part in self._entries[place]]
        return counted(len(self._entries), parts)


def _vector_encoder(cql_type: VectorOf, element: Encoder, size: int) -> Encoder:
    message = f"must be an array of {size} elements"
    join = b"".join if width_of(element.cql_type) is not None else vector_of_lengths
    together = packed_floats if element.cql_type == Native("float") else _never

    def write(value: Any) -> bytes:
        if not isinstance(value, list) or len(value) != size:
            raise wrong(message)
        encoded = together(value)
        return join(_elements(element.write, value)) if encoded is None else encoded

    return Encoder(cql_type, write, _decoded)


def _never(_: Sequence[Any]) -> None:
    return None
