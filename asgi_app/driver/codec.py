"""Decode the cells of every CQL type into the values that clients get, without ever raising.

The driver's own decoders raise on cells that Cassandra stores without complaint, such as a timestamp after year 9999.
In the driver's reactor such an exception closes the connection that all requests share. The decoders here accept any
bytes: a cell that is not a value of its type becomes its bytes as text, `0x…`.

Values are None, bool, int of at most 64 bits, finite float, str, list, and dict with str keys: all can be written as
JSON and as MessagePack. `docs/types.md` has the table. The binary forms follow section 6 of Cassandra's
`native_protocol_v5.spec` and, for `vector`, Cassandra's class `VectorType`.
"""

from __future__ import annotations

import math
import socket
import struct
from binascii import hexlify
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from functools import cache, lru_cache
from itertools import chain
from struct import Struct, pack, unpack
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
from cassandra import cqltypes

from asgi_app.tables.framing import vint_at

Cell = bytes | None
"""One encoded value. None is null; zero bytes are Cassandra's "empty", which most types accept."""

NOT_A_VALUE = (ArithmeticError, IndexError, ValueError, struct.error)
"""The errors of `struct`, slices, `int`, `Decimal`, `datetime` and msgspec for bytes that are not a value."""

_FEW = 3
"""Fewer cells than this are decoded faster one by one than together (measured)."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Decodes the cells of one CQL type. Immutable: any number of threads may use it.

    A cell is valid if its bytes are a value of the type.
    """

    cell: Callable[[bytes], Any]
    """Decodes one cell that is not null. Never raises."""
    whole: Callable[[Sequence[bytes]], Sequence[Any]] | None = None
    """Decodes many cells at once, several times faster. Raises one of `NOT_A_VALUE` unless all cells are valid."""
    names: bool = True
    """Whether a value can be the name of a member of a JSON object."""
    width: int | None = None
    """The size of each value in bytes, for types that Cassandra packs into a vector without lengths."""
    strict: Callable[[bytes], Any] | None = None
    """Decodes one valid cell, faster than `cell`. Raises one of `NOT_A_VALUE` for other cells."""

    def column(self, cells: Sequence[Cell]) -> Sequence[Any]:
        """Return the values of many cells of this type, in order; null is None. Never raises."""
        if self.whole is None or len(cells) < _FEW:
            return self._one_by_one(cells)
        try:
            return self._together(cells, self.whole)
        except NOT_A_VALUE:
            return self._one_by_one(cells)

    def _one_by_one(self, cells: Sequence[Cell]) -> Sequence[Any]:
        read = self.cell
        return [None if cell is None else read(cell) for cell in cells]

    @staticmethod
    def _together(cells: Sequence[Cell], whole: Callable[[Sequence[bytes]], Sequence[Any]]) -> Sequence[Any]:
        present = [cell for cell in cells if cell is not None]
        values = whole(present)
        if len(present) == len(cells):
            return values
        following = iter(values)
        return [None if cell is None else next(following) for cell in cells]


class Shape(NamedTuple):
    """The structure of a type that contains other types."""

    kind: type
    inner: tuple[Hashable, ...]
    names: tuple[str, ...]
    size: int


def shape_of(cql_type: Any) -> Hashable:
    """Return a key for how to decode a type, equal for equal types; None for an unknown type. Never raises.

    `cql_type` is a class of `cassandra.cqltypes`. The driver makes new classes for the nested types of each response.
    """
    if cql_type in _SCALARS:  # the usual case, checked for every page
        return cql_type  # type: ignore[no-any-return]
    ancestry = getattr(cql_type, "__mro__", ())
    kind = next((known for known in ancestry if known in _SCALARS or known in _NESTED), None)
    if kind is None or kind in _SCALARS:
        return kind
    inside = [cql_type.subtype] if kind is cqltypes.VectorType else cql_type.subtypes
    size = getattr(cql_type, "vector_size", 0)
    names = getattr(cql_type, "fieldnames", None) or ()
    return Shape(kind, tuple(map(shape_of, inside)), tuple(names), size if isinstance(size, int) else 0)


def codec_of(shape: Hashable) -> Codec:
    """Return the codec of a shape. An unknown type is decoded as its bytes, `0x…`. Never raises."""
    if isinstance(shape, Shape):
        return _NESTED[shape.kind](shape)
    return _SCALARS.get(shape, _OPAQUE)


def codec_for(cql_type: Any) -> Codec:
    """Return the codec of a class of `cassandra.cqltypes`."""
    return codec_of(shape_of(cql_type))


# --- cells that are not a value of their type


def _hex(cell: bytes) -> str:
    return "0x" + cell.hex()


def _safely(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return `read`, changed to decode an empty cell as null, and a cell that it refuses as its bytes in text."""

    def value(cell: bytes) -> Any:
        if not cell:
            return None
        try:
            return read(cell)
        except NOT_A_VALUE:
            return _hex(cell)

    return value


def _joined(cells: Sequence[bytes], width: int) -> bytes:
    if set(map(len, cells)) - {width}:
        raise ValueError("a cell does not have the width of its type")
    return b"".join(cells)


# --- text


def _text(cell: bytes) -> str:
    return cell.decode("utf-8", "replace")


def _texts(cells: Sequence[bytes]) -> Sequence[str]:
    return [cell.decode() for cell in cells]


# --- numbers


def _number(code: str, width: int, *, packed: bool = True) -> Codec:
    read = Struct(f">{code}").unpack

    def together(cells: Sequence[bytes]) -> Sequence[Any]:
        return unpack(f">{len(cells)}{code}", _joined(cells, width))

    def strict(cell: bytes) -> Any:
        return read(cell)[0]

    return Codec(_safely(strict), together, width=width if packed else None, strict=strict)


def _in_json(number: float) -> float | str:
    """Return a number as it is, but NaN and infinities as text: JSON has none, and msgspec would write null."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _all_in_json(numbers: Sequence[float]) -> Sequence[float | str]:
    return numbers if all(map(math.isfinite, numbers)) else [_in_json(number) for number in numbers]


def _doubles(cells: Sequence[bytes]) -> Sequence[float | str]:
    return _all_in_json(unpack(f">{len(cells)}d", _joined(cells, 8)))


def _singles(cells: Sequence[bytes]) -> Sequence[float | str]:
    return _all_in_json(_shortest(unpack(f">{len(cells)}f", _joined(cells, 4))))


def _shortest(singles: Sequence[float]) -> Sequence[float]:
    """Return for each 32-bit float the 64-bit float with the fewest digits that rounds to it.

    So 0.1 is not written as 0.10000000149011612. A 32-bit float keeps any six digits, and nine digits identify it (IEEE
    754-2019 section 5.12.2). Most need seven or eight, so these are tried first. All floats are converted at once,
    because a vector may have thousands.
    """
    found = list(singles)
    seven, more = _name_with(7, range(len(found)), singles, found)
    _name_with(6, seven, singles, found)
    _, nine = _name_with(8, more, singles, found)
    _name_with(9, nine, singles, found)
    return found


def _name_with(
    digits: int, places: Sequence[int], singles: Sequence[float], found: list[float]
) -> tuple[list[int], list[int]]:
    """Put into `found` the singles at `places` that `digits` digits identify. Return these places, and the rest."""
    guesses = list(map(float, map(f"%.{digits}g".__mod__, [singles[place] for place in places])))
    rounded = unpack(f">{len(guesses)}f", pack(f">{len(guesses)}f", *guesses))
    named, unnamed = [], []
    for place, guess, single in zip(places, guesses, rounded, strict=True):
        if single == singles[place]:
            found[place] = guess
            named.append(place)
        else:
            unnamed.append(place)
    return named, unnamed


def _varint(cell: bytes) -> str:
    return _digits(int.from_bytes(cell, "big", signed=True))


def _digits(number: int) -> str:
    """Return `str(number)`, but without its limit of 4,300 digits and its quadratic time."""
    if number.bit_length() < 10_000:
        return str(number)
    exact = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)
    sign = "-" if number < 0 else ""
    return sign + str(_as_decimal(abs(number), exact, cache(lambda bits: exact.power(2, bits))))


def _as_decimal(number: int, exact: Context, power_of_two: Callable[[int], Decimal]) -> Decimal:
    """Return the number as a Decimal.

    It is halved until it is small, because the conversion is quadratic and `Decimal`'s multiplication nearly linear.
    """
    bits = number.bit_length()
    if bits < 10_000:
        return Decimal(number)
    low_bits = 1 << ((bits - 1).bit_length() - 1)
    high, low = number >> low_bits, number & ((1 << low_bits) - 1)
    shifted = exact.multiply(_as_decimal(high, exact, power_of_two), power_of_two(low_bits))
    return exact.add(shifted, _as_decimal(low, exact, power_of_two))


def _decimal(cell: bytes) -> str:
    """Return the text that Java's `BigDecimal` and Python's `Decimal` agree on: with trailing zeros, or as `1E+10`."""
    if len(cell) < 5:
        raise ValueError("a scale without digits")
    scale = int.from_bytes(cell[:4], "big", signed=True)
    return str(Decimal(f"{_varint(cell[4:])}E{-scale}"))


# --- identifiers, addresses, bytes


def _uuid(cell: bytes) -> str:
    if len(cell) != 16:
        raise ValueError("not the size of a UUID")
    digits = cell.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _uuids(cells: Sequence[bytes]) -> Sequence[str]:
    """Return many UUIDs as text, written by 32 strided copies in C: one for each digit of all texts."""
    digits = hexlify(_joined(cells, 16))
    lines = bytearray(_UUID_LINE * len(cells))
    for digit, place in enumerate(_UUID_PLACES):
        lines[place :: len(_UUID_LINE)] = digits[digit::32]
    return lines.decode().split("\n")[:-1]


_UUID_LINE = b"00000000-0000-0000-0000-000000000000\n"
_UUID_PLACES = tuple(place for place, sign in enumerate(_UUID_LINE) if sign == ord("0"))


_FAMILIES: Final[Mapping[int, int]] = MappingProxyType({4: socket.AF_INET, 16: socket.AF_INET6})


def _inet(cell: bytes) -> str:
    if len(cell) not in _FAMILIES:
        raise ValueError("neither an IPv4 nor an IPv6 address")
    return socket.inet_ntop(_FAMILIES[len(cell)], cell)


# --- days and times

_DAYS_TO_EPOCH = date(1970, 1, 1).toordinal() - 1  # from 0001-01-01
_DAYS_IN_CYCLE = 146_097  # the Gregorian calendar repeats after 400 years
_DAY_IN_MS = 86_400_000
_LAST_DAY = date.max.toordinal()


@lru_cache(maxsize=2048)  # some years of days: neighbouring timestamps share theirs
def _day(days: int) -> str:
    """Return days since 1970-01-01 as ISO 8601, with a signed year outside 0001 to 9999 (proleptic Gregorian)."""
    ordinal = days + _DAYS_TO_EPOCH
    if 0 <= ordinal < _LAST_DAY:
        return date.fromordinal(ordinal + 1).isoformat()
    cycles, within = divmod(ordinal, _DAYS_IN_CYCLE)
    stand_in = date.fromordinal(within + 1)
    return f"{stand_in.year + 400 * cycles:+05d}{stand_in.isoformat()[4:]}"


def _date(cell: bytes) -> str:
    return _day(unpack(">I", cell)[0] - 2**31)


def timestamp_text(milliseconds: int) -> str:
    """Return milliseconds since 1970-01-01T00:00Z, any int, as responses write it: `2026-11-21T22:35:19.795Z`."""
    days, milliseconds = divmod(milliseconds, _DAY_IN_MS)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{_day(days)}{_MINUTES[minutes]}{_SECONDS[seconds]}{_MILLISECONDS[milliseconds]}"


_MINUTES = tuple(f"T{hours:02d}:{minutes:02d}:" for hours in range(24) for minutes in range(60))
_SECONDS = tuple(f"{seconds:02d}." for seconds in range(60))
_MILLISECONDS = tuple(f"{milliseconds:03d}Z" for milliseconds in range(1000))
"""A lookup takes half the time of formatting."""


def _timestamp(cell: bytes) -> str:
    return timestamp_text(unpack(">q", cell)[0])


_Moments = list[datetime]
_MOMENT_LINE = b"0000-00-00T00:00:00.000Z\n"
_WRITTEN_SIZE = len('"1970-01-01T00:00:00.000500Z"\n')


def _timestamps(cells: Sequence[bytes]) -> Sequence[str]:
    """Return many timestamps as text, written by msgspec in C. Raises ValueError if a text would not be exact.

    msgspec writes microseconds, but no fraction if it is zero. So half a millisecond is added, and the `500` at the end
    of each text is dropped. The result is not exact if rounding changed the `500` or a year does not have four digits.
    No line of msgspec's is longer than `_WRITTEN_SIZE`, so the total length proves the length of each line.
    """
    count = len(cells)
    seconds = [ms / 1000 + 0.0005 for ms in unpack(f">{count}q", _joined(cells, 8))]
    written = msgspec.json.Encoder().encode_lines(msgspec.convert(seconds, _Moments, strict=False))
    ends = (written[place::_WRITTEN_SIZE] for place in (24, 25, 26))
    if len(written) != count * _WRITTEN_SIZE or tuple(ends) != (b"5" * count, b"0" * count, b"0" * count):
        raise ValueError("a moment that has no exact text here")
    lines = bytearray(_MOMENT_LINE * count)
    for place in range(len("0000-00-00T00:00:00.000")):
        lines[place :: len(_MOMENT_LINE)] = written[place + 1 :: _WRITTEN_SIZE]
    return lines.decode().split("\n")[:-1]


def _time(cell: bytes) -> str:
    nanoseconds = unpack(">q", cell)[0]
    seconds, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{'-' if nanoseconds < 0 else ''}{hours:02d}:{minutes:02d}:{seconds:02d}.{fraction:09d}"


_DURATION_UNITS: Final = (
    ((12, "y"), (1, "mo")),
    ((1, "d"),),
    (
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ),
)
"""The units of a duration's three numbers: months, days and nanoseconds."""


def _duration(cell: bytes) -> str:
    numbers, at = [], 0
    for _ in _DURATION_UNITS:
        number, at = _signed_vint(cell, at)
        numbers.append(number)
    if at != len(cell):
        raise ValueError("more than the three numbers of a duration")
    sign = "-" if min(numbers) < 0 else ""
    parts = chain.from_iterable(map(_in_units, map(abs, numbers), _DURATION_UNITS))
    return sign + ("".join(parts) or "0s")


def _in_units(amount: int, units: Iterable[tuple[int, str]]) -> Iterable[str]:
    for size, unit in units:
        count, amount = divmod(amount, size)
        if count:
            yield f"{count}{unit}"


def _signed_vint(cell: bytes, at: int) -> tuple[int, int]:
    folded, end = vint_at(cell, at)
    return (folded >> 1) ^ -(folded & 1), end


# --- types that contain other types


def _sequence(shape: Shape) -> Codec:
    (inner,) = _inner(shape, 1)
    return Codec(_safely(lambda cell: list(inner.column(_counted(cell, 1)))), names=False)


def _map(shape: Shape) -> Codec:
    keys, values = _inner(shape, 2)
    assemble = _object if keys.names else _pairs

    def read(cell: bytes) -> Any:
        parts = _counted(cell, 2)
        return assemble(keys.column(parts[0::2]), values.column(parts[1::2]))

    return Codec(_safely(read), names=False)


def _object(keys: Iterable[Any], values: Iterable[Any]) -> dict[str, Any]:
    return dict(zip(map(_name, keys), values, strict=True))


def _name(key: Any) -> str:
    """Return a key as the name of a member: text unchanged, other values as JSON, such as `1` or `true`."""
    return key if isinstance(key, str) else msgspec.json.encode(key).decode()


def _pairs(keys: Iterable[Any], values: Iterable[Any]) -> list[list[Any]]:
    return [[key, value] for key, value in zip(keys, values, strict=True)]


def _tuple(shape: Shape) -> Codec:
    return Codec(_safely(_fields(shape)), names=False)


def _udt(shape: Shape) -> Codec:
    names, fields = shape.names, _fields(shape)
    return Codec(_safely(lambda cell: dict(zip(names, fields(cell), strict=False))), names=False)


def _fields(shape: Shape) -> Callable[[bytes], list[Any]]:
    """Return a reader of fields, one after another.

    Fields that were added to the type after the value was written are null. Bytes after the last known field are
    ignored: they are fields that were added to the type after its description was read.
    """
    inner = tuple(map(codec_of, shape.inner))

    def read(cell: bytes) -> list[Any]:
        parts, _ = _framed(cell, 0, len(inner))
        values = [None if part is None else codec.cell(part) for codec, part in zip(inner, parts, strict=False)]
        return values + [None] * (len(inner) - len(parts))

    return read


def _vector(shape: Shape) -> Codec:
    (inner,), size = _inner(shape, 1), shape.size
    split = _with_lengths if inner.width is None else _packed
    width = None if inner.width is None else inner.width * size

    def read(cell: bytes) -> Any:
        return list(inner.column(split(cell, size, inner.width)))

    return Codec(_safely(read), names=False, width=width)


def _inside(shape: Shape) -> Codec:
    return _inner(shape, 1)[0]


def _inner(shape: Shape, count: int) -> list[Codec]:
    """Return the codecs of the contained types; those of `count` unknown types if the description lacks them."""
    return list(map(codec_of, shape.inner if len(shape.inner) == count else [None] * count))


def _counted(cell: bytes, parts_each: int) -> list[Cell]:
    """Return the parts of a list or set (one for each element) or map (two for each entry): a count, then the parts."""
    count = int.from_bytes(cell[:4], "big") * parts_each
    if len(cell) < 4 * (1 + count):
        raise ValueError("more elements than bytes")
    parts, end = _framed(cell, 4, count)
    if end != len(cell) or len(parts) != count:
        raise ValueError("not as many elements as announced")
    return parts


def _framed(cell: bytes, at: int, count: int) -> tuple[list[Cell], int]:
    """Return up to `count` parts, as many as the cell has, and their end. A length goes before each part."""
    parts: list[Cell] = []
    while len(parts) < count and at < len(cell):
        part, at = _part(cell, at)
        parts.append(part)
    return parts, at


def _part(cell: bytes, at: int) -> tuple[Cell, int]:
    start = at + 4
    length = _LENGTH.unpack_from(cell, at)[0]
    if length < 0:
        return None, start
    if start + length > len(cell):
        raise ValueError("a part goes on after the end of its cell")
    return cell[start : start + length], start + length


_LENGTH = Struct(">i")


def _packed(cell: bytes, count: int, width: int | None) -> list[bytes]:
    """Return the elements of a vector of elements of `width` bytes."""
    if width is None or len(cell) != count * width:
        raise ValueError("not the size of this vector")
    return [cell[at : at + width] for at in range(0, len(cell), width)]


def _with_lengths(cell: bytes, count: int, _: int | None) -> list[bytes]:
    """Return the elements of a vector that has a length before each element."""
    elements, at = [], 0
    for _ in range(count):
        length, start = vint_at(cell, at)
        at = start + length
        elements.append(cell[start:at])
    if at != len(cell):
        raise ValueError("not the size of this vector")
    return elements


# --- codecs by type

_OPAQUE = Codec(_hex)
_UUID = Codec(_safely(_uuid), _uuids, width=16, strict=_uuid)
_TEXT = Codec(_text, _texts, strict=bytes.decode)
_TIMESTAMP = Codec(_safely(_timestamp), _timestamps, width=8, strict=_timestamp)

_SCALARS: Final[Mapping[Hashable, Codec]] = MappingProxyType(
    {
        cqltypes.AsciiType: _TEXT,
        cqltypes.BooleanType: _number("?", 1),
        cqltypes.BytesType: _OPAQUE,
        cqltypes.ByteType: _number("b", 1, packed=False),
        cqltypes.CounterColumnType: _number("q", 8),
        cqltypes.DateType: _TIMESTAMP,
        cqltypes.DecimalType: Codec(_safely(_decimal)),
        cqltypes.DoubleType: Codec(_safely(lambda cell: _doubles([cell])[0]), _doubles, width=8),
        cqltypes.DurationType: Codec(_safely(_duration)),
        cqltypes.FloatType: Codec(_safely(lambda cell: _singles([cell])[0]), _singles, width=4),
        cqltypes.InetAddressType: Codec(_safely(_inet)),
        cqltypes.Int32Type: _number("i", 4),
        cqltypes.IntegerType: Codec(_safely(_varint)),
        cqltypes.LongType: _number("q", 8),
        cqltypes.ShortType: _number("h", 2, packed=False),
        cqltypes.SimpleDateType: Codec(_safely(_date)),
        cqltypes.TimeType: Codec(_safely(_time)),
        cqltypes.TimeUUIDType: _UUID,
        cqltypes.UTF8Type: _TEXT,
        cqltypes.UUIDType: _UUID,
        cqltypes.VarcharType: _TEXT,
    }
)
"""The types that contain no other type. A subclass that is not listed is decoded as its nearest ancestor."""

_NESTED: Final[Mapping[type, Callable[[Shape], Codec]]] = MappingProxyType(
    {
        cqltypes.FrozenType: _inside,
        cqltypes.ListType: _sequence,
        cqltypes.MapType: _map,
        cqltypes.ReversedType: _inside,
        cqltypes.SetType: _sequence,
        cqltypes.TupleType: _tuple,
        cqltypes.UserType: _udt,
        cqltypes.VectorType: _vector,
    }
)
"""Functions that make the codec of a type that contains other types."""
