"""Encode values of every CQL type: from their JSON form, or a text in an address, to the bytes that Cassandra stores.

The JSON form of each type is the one that responses have (`docs/types.md`), so that what was read can be written back.
The rules are strict: `true` and `1.0` are no integers, nothing is null within a collection, a vector has exactly its
length. The binary forms follow section 6 of Cassandra's `native_protocol_v5.spec` and, for `vector`, Cassandra's class
`VectorType`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import chain
from struct import Struct
from typing import Any, NoReturn

import msgspec

from asgi_app.errors import FieldError
from asgi_app.tables.native_encoding import (
    MOST_DIGITS,
    NATIVE_ENCODINGS,
    NativeEncoding,
    decimal_identity,
    packed_floats,
    vint,
    wrong,
)
from asgi_app.tables.types import CqlType, ListOf, MapOf, Native, SetOf, TupleOf, UserType, VectorOf
from asgi_app.tables.wrong_value import MOST_ERRORS
from asgi_app.tables.wrong_value import WrongValue as WrongValue

_Write = Callable[[Any], bytes]


class Encoded(bytes):
    """The encoded value of one column."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes the values of one CQL type. Immutable: any number of threads may use it."""

    cql_type: CqlType
    write: _Write
    """Encodes a JSON value. Raises WrongValue, also for null."""
    value_of_text: Callable[[str], Any]
    """Returns the JSON value that a text stands for. Raises WrongValue."""
    width: int | None = None
    """The size of each value in bytes, for types that Cassandra packs into a vector without lengths."""

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
        case ListOf(element) | SetOf(element):
            return Encoder(cql_type, _list(encoder_of(element)), _decoded)
        case MapOf(key, value):
            write = _object if isinstance(key, Native) else _pairs
            return Encoder(cql_type, write(encoder_of(key), encoder_of(value)), _decoded)
        case TupleOf(elements):
            return Encoder(cql_type, _tuple(tuple(map(encoder_of, elements))), _decoded)
        case UserType(_, fields):
            return Encoder(cql_type, _user_type({name: encoder_of(field) for name, field in fields}), _decoded)
        case VectorOf(element, size):
            return _vector_encoder(cql_type, encoder_of(element), size)
        case _:
            return Encoder(cql_type, _refuse, str)


def encoded_list(values: Sequence[bytes]) -> Encoded:
    """Return the encoding of a list of encoded values, for the marker of `IN ?`."""
    return Encoded(_counted(len(values), values))


# --- JSON


def decode_json(body: bytes) -> Any:
    """Decode JSON. Numbers that are not integers become `Decimal`, with all their digits.

    A number that no CQL type can hold becomes `Decimal("NaN")`, so that its error has its place in the body. Raises
    msgspec.DecodeError if `body` is not JSON, RecursionError if it nests too deep.
    """
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:  # an integer of more digits than Python converts
        return _decode_long_integers(body)


def _decode_long_integers(body: bytes) -> Any:
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


_decoder = msgspec.json.Decoder(Any, float_hook=_exact)


def _decoded(text: str) -> Any:
    try:
        return decode_json(text.encode())
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise wrong("must be JSON") from None


# --- types without parameters


def _native_encoder(cql_type: Native, native: NativeEncoding) -> Encoder:
    return Encoder(cql_type, native.write, native.of_text, native.width)


def _refuse(_: Any) -> NoReturn:
    raise wrong("has a CQL type that this service cannot write")


# --- types that contain other types

_length = Struct(">i").pack
_NULL = _length(-1)


def _counted(count: int, parts: Iterable[bytes]) -> bytes:
    return _length(count) + b"".join([_framed(part) for part in parts])


def _framed(part: bytes | None) -> bytes:
    return _NULL if part is None else _length(len(part)) + part


def _list(element: Encoder) -> _Write:
    def write(value: Any) -> bytes:
        elements = _array(value)
        return _counted(len(elements), _elements(element.write, elements))

    return write


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise wrong("must be an array")
    return value


def _elements(write: _Write, values: Sequence[Any]) -> list[bytes]:
    """Return the encoded elements of an array. Raises WrongValue with the errors of all of them."""
    try:
        return list(map(write, values))
    except WrongValue:
        raise _together(_errors_at(index, write, value) for index, value in enumerate(values)) from None


def _errors_at(token: str | int, write: _Write, value: Any) -> Sequence[FieldError]:
    """Return the errors of a member that may not be null, with the member's token in front of their pointers."""
    if value is None:
        return (FieldError(f"/{token}", "must not be null"),)
    try:
        write(value)
    except WrongValue as error:
        return [FieldError(f"/{token}{inner.field}", inner.message) for inner in error.errors]
    return ()


def _together(errors: Iterable[Sequence[FieldError]]) -> WrongValue:
    found: list[FieldError] = []
    for some in errors:
        found += some
        if len(found) >= MOST_ERRORS:
            break
    return WrongValue.of(found)


def _tuple(elements: tuple[Encoder, ...]) -> _Write:
    message = f"must be an array of {len(elements)} elements"

    def write(value: Any) -> bytes:
        if not isinstance(value, list) or len(value) != len(elements):
            raise wrong(message)
        return _fields(elements, value, range(len(elements)))

    return write


def _fields(encoders: Iterable[Encoder], values: Sequence[Any], tokens: Iterable[str | int]) -> bytes:
    """Return the encoding of fields, one after another, each of which may be null."""
    try:
        return b"".join([_framed(encoder.from_json(value)) for encoder, value in zip(encoders, values, strict=True)])
    except WrongValue:
        members = zip(tokens, encoders, values, strict=True)
        raise _together(
            _errors_at(token, encoder.write, value) for token, encoder, value in members if value is not None
        ) from None


def _user_type(fields: Mapping[str, Encoder]) -> _Write:
    encoders, tokens = tuple(fields.values()), tuple(map(pointer_token, fields))

    def write(value: Any) -> bytes:
        members = _members(value)
        unknown = [FieldError(f"/{pointer_token(name)}", _UNKNOWN_FIELD) for name in members if name not in fields]
        values = [members.get(name) for name in fields]
        if not unknown:
            return _fields(encoders, values, tokens)
        raise _together([_errors_of(_fields, encoders, values, tokens), unknown])

    return write


_UNKNOWN_FIELD = "is not a field of this type"


def _errors_of(write: Callable[..., bytes], *values: Any) -> Sequence[FieldError]:
    try:
        write(*values)
    except WrongValue as error:
        return error.errors
    return ()


def _members(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong("must be an object")
    return value


def pointer_token(name: str) -> str:
    """Return a member's name as a token of a JSON pointer (RFC 6901 section 3), cut to 100 characters."""
    text = name[:100].encode("utf-8", "replace").decode()
    return text.replace("~", "~0").replace("/", "~1")


_EntryErrors = Callable[[_Write, _Write, str | int, Sequence[Any]], Sequence[FieldError]]


def _object(key: Encoder, value: Encoder) -> _Write:
    """Return the encoder of a map whose keys are plain: an object, whose names are the texts of the keys."""
    identity = decimal_identity if key.cql_type == Native("decimal") else _itself

    def write_name(name: Any) -> bytes:
        return key.write(key.value_of_text(name))

    def write(given: Any) -> bytes:
        members = _members(given)
        tokens = list(map(pointer_token, members))
        entries = _entries(write_name, value.write, list(members.items()), tokens, _errors_of_member)
        return _map(entries, identity, tokens)

    return write


def _pairs(key: Encoder, value: Encoder) -> _Write:
    """Return the encoder of a map whose keys contain other values: an array of pairs."""

    def write(given: Any) -> bytes:
        pairs = _checked(_array(given))
        entries = _entries(key.write, value.write, pairs, range(len(pairs)), _errors_of_pair)
        return _map(entries, _itself, range(len(pairs)))

    return write


def _checked(pairs: Sequence[Any]) -> Sequence[Any]:
    wrong_ones = [index for index, pair in enumerate(pairs) if not isinstance(pair, list) or len(pair) != 2]
    if wrong_ones:
        raise WrongValue.of([FieldError(f"/{index}", "must be an array of a key and a value") for index in wrong_ones])
    return pairs


def _entries(
    write_key: _Write,
    write_value: _Write,
    pairs: Sequence[Sequence[Any]],
    tokens: Iterable[str | int],
    errors_of_entry: _EntryErrors,
) -> Sequence[tuple[bytes, bytes]]:
    """Return the encoded keys and values of a map. Raises WrongValue with the errors of all entries."""
    try:
        return [(write_key(key), write_value(value)) for key, value in pairs]
    except WrongValue:
        members = zip(tokens, pairs, strict=True)
        raise _together(errors_of_entry(write_key, write_value, *member) for member in members) from None


def _errors_of_member(
    write_name: _Write, write_value: _Write, token: str | int, member: Sequence[Any]
) -> Sequence[FieldError]:
    name, value = member
    in_name = [FieldError(f"/{token}", f"has a wrong name: it {e.message}") for e in _errors_of(write_name, name)]
    return in_name or _errors_at(token, write_value, value)


def _errors_of_pair(
    write_key: _Write, write_value: _Write, token: str | int, pair: Sequence[Any]
) -> Sequence[FieldError]:
    key, value = pair
    return [*_errors_at(f"{token}/0", write_key, key), *_errors_at(f"{token}/1", write_value, value)]


def _itself(key: bytes) -> Hashable:
    return key


def _map(
    entries: Sequence[tuple[bytes, bytes]], identity: Callable[[bytes], Hashable], tokens: Iterable[str | int]
) -> bytes:
    """Return the encoding of a map. Raises WrongValue if Cassandra would merge two of its entries."""
    repeated = list(_repeated([identity(key) for key, _ in entries], tokens))
    if repeated:
        raise WrongValue.of(repeated)
    return _counted(len(entries), chain.from_iterable(entries))


def _repeated(keys: Sequence[Hashable], tokens: Iterable[str | int]) -> Iterator[FieldError]:
    seen: set[Hashable] = set()
    for key, token in zip(keys, tokens, strict=True):
        if key in seen:
            yield FieldError(f"/{token}", "has the same key as an earlier entry")
        seen.add(key)


def _vector_encoder(cql_type: VectorOf, element: Encoder, size: int) -> Encoder:
    message = f"must be an array of {size} elements"
    join = b"".join if element.width is not None else _with_lengths
    together = packed_floats if element.cql_type == Native("float") else _never

    def write(value: Any) -> bytes:
        if not isinstance(value, list) or len(value) != size:
            raise wrong(message)
        encoded = together(value)
        return join(_elements(element.write, value)) if encoded is None else encoded

    return Encoder(cql_type, write, _decoded, None if element.width is None else element.width * size)


def _never(_: Sequence[Any]) -> None:
    return None


def _with_lengths(parts: Iterable[bytes]) -> bytes:
    return b"".join([vint(len(part)) + part for part in parts])
