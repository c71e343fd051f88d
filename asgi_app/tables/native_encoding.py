"""Encode the values of CQL's types without parameters: from their JSON form to the bytes that Cassandra stores.

The binary forms follow section 6 of Cassandra's `native_protocol_v5.spec`.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import ip_address
from math import isfinite, nan
from struct import Struct, pack
from types import MappingProxyType
from typing import Any

from asgi_app.tables.framing import vint
from asgi_app.tables.moments import days_of, milliseconds_of, months_days_nanoseconds_of, nanoseconds_of
from asgi_app.tables.types import CqlType, Native, VectorOf
from asgi_app.tables.wrong_value import WrongValue

MOST_DIGITS = 4000
"""The digits of a `varint` or `decimal`. Python refuses to convert texts of more than 4,300 digits, for their cost."""

_integer = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_number = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class NativeEncoding:
    """How to encode the values of one type."""

    write: Callable[[Any], bytes]
    """Encode a JSON value. Raises WrongValue, also for null."""
    of_text: Callable[[str], Any] = str
    """Return the JSON value that a text in an address, or a name of an object's member, stands for."""
    width: int | None = None
    """The size of each value in bytes, for types that Cassandra packs into a vector without lengths."""


def wrong(message: str) -> WrongValue:
    """Return the error of a whole value."""
    return WrongValue("", message)


# --- texts


def _text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise wrong("must be text")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise wrong("is not Unicode text: it holds a lone surrogate") from None


def _ascii(value: Any) -> bytes:
    if not isinstance(value, str) or not value.isascii():
        raise wrong("must be text of ASCII characters")
    return value.encode()


def _by_text(
    convert: Callable[[str], bytes], message: str, hint: Callable[[str], str] = lambda _text: ""
) -> Callable[[Any], bytes]:
    """Return the encoder of a type whose JSON form is text. `convert` raises ValueError for a wrong one.

    `hint` returns what to add to the message for a wrong text.
    """

    def write(value: Any) -> bytes:
        if not isinstance(value, str):
            raise wrong(message)
        try:
            return convert(value)
        except (ValueError, OverflowError):
            raise wrong(message + hint(value)) from None

    return write


# --- numbers


def _boolean(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise wrong("must be true or false")
    return b"\1" if value else b"\0"


def _boolean_of_text(text: str) -> Any:
    return {"true": True, "false": False}.get(text)


def _integer_of_text(text: str) -> Any:
    """Return the integer that the text spells. Return None if it spells none, or one of more than 64 bits."""
    return int(text) if len(text) <= 20 and _integer.fullmatch(text) else None


def _integers(code: str, width: int, *, packed: bool = True) -> NativeEncoding:
    bits = 8 * width
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    to_bytes = Struct(f">{code}").pack

    def write(value: Any) -> bytes:
        if type(value) is not int or not low <= value <= high:  # True is an int, and no integer in JSON
            raise wrong(f"must be an integer from {low} to {high}")
        return to_bytes(value)

    return NativeEncoding(write, _integer_of_text, width if packed else None)


_NOT_FINITE: Mapping[str, float] = MappingProxyType({"NaN": nan, "Infinity": float("inf"), "-Infinity": -float("inf")})


def _floats(code: str, bits: int) -> NativeEncoding:
    to_bytes = Struct(f">{code}").pack
    message = f'must be a number within the range of {bits} bits, or "NaN", "Infinity" or "-Infinity"'

    def write(value: Any) -> bytes:
        try:
            return to_bytes(_float(value))
        except (KeyError, OverflowError, TypeError, ValueError):
            raise wrong(message) from None

    return NativeEncoding(write, _number_of_text, bits // 8)


def _float(value: Any) -> float:
    """Return a JSON number, or one of the three texts, as a float. Raises an error for other values."""
    if isinstance(value, str):
        return _NOT_FINITE[value]
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError("not a number")
    number = float(value)
    if not isfinite(number):
        raise OverflowError("not a 64-bit float")
    return number


def _number_of_text(text: str) -> Any:
    """Return the number, the text if it is one of the three that are not finite, or None."""
    if text in _NOT_FINITE:
        return text
    return Decimal(text) if _is_number(text) else None


def _is_number(text: str) -> bool:
    """Return whether the text is a JSON number (RFC 8259 section 6) with an exponent that `Decimal` can hold."""
    if _number.fullmatch(text) is None:
        return False
    exponent = re.split("[eE]", text)[-1] if "e" in text or "E" in text else ""
    return len(exponent) <= 15


def packed_floats(values: Sequence[Any]) -> bytes | None:
    """Return the 32-bit floats of many finite numbers at once, or None if one of the values is not such a number.

    A vector may have thousands, and this is several times faster than to encode them one by one.
    """
    if not set(map(type, values)) <= {int, float, Decimal}:
        return None
    try:
        numbers = list(map(float, values))
        return pack(f">{len(numbers)}f", *numbers) if all(map(isfinite, numbers)) else None
    except (OverflowError, ValueError):
        return None


def _varint(value: Any) -> bytes:
    if isinstance(value, str) and len(value) <= MOST_DIGITS + 1 and _integer.fullmatch(value):
        value = int(Decimal(value))
    if type(value) is not int or _digits_are_too_many(value):
        raise wrong(f"must be an integer of at most {MOST_DIGITS:,} digits, as a number or as text")
    return _big_integer(value)


_TOO_LARGE = 10**MOST_DIGITS


def _digits_are_too_many(number: int) -> bool:
    return not -_TOO_LARGE < number < _TOO_LARGE


def _big_integer(number: int) -> bytes:
    """Return the shortest two's complement, as Java's `BigInteger` writes it."""
    magnitude = ~number if number < 0 else number
    return number.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)


_DECIMAL = (
    f"must be a decimal number of at most {MOST_DIGITS:,} digits and with a scale of 32 bits, as a number or as text"
)


def _decimal(value: Any) -> bytes:
    unscaled, scale = _unscaled(value)
    if _digits_are_too_many(unscaled) or not -(2**31) <= scale < 2**31:
        raise wrong(_DECIMAL)
    return pack(">i", scale) + _big_integer(unscaled)


def _unscaled(value: Any) -> tuple[int, int]:
    """Return the two numbers whose quotient `unscaled / 10**scale` the value is."""
    if type(value) is int:
        return value, 0
    if isinstance(value, str) and _is_number(value):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise wrong(_DECIMAL)
    sign, digits, exponent = value.as_tuple()
    if len(digits) > MOST_DIGITS:  # checked before the conversion, whose cost grows faster than the digits
        raise wrong(_DECIMAL)
    return int(Decimal((sign, digits, 0))), -int(exponent)


# --- the other types


def _uuid_bytes(text: str) -> bytes:
    cell = bytes.fromhex(text.replace("-", ""))  # ignores blanks: then it is too short
    if len(cell) != 16 or len(text) != 36 or text[8:24:5] != "----":
        raise ValueError("not the text of a UUID")
    return cell


def _timeuuid(text: str) -> bytes:
    found = _uuid_bytes(text)
    if found[6] >> 4 != 1:  # the version, which Cassandra checks; it takes any variant
        raise ValueError("not a UUID of version 1")
    return found


def _inet(text: str) -> bytes:
    if "%" in text:
        raise ValueError("an address of one machine's interface")
    return ip_address(text).packed


_write_inet = _by_text(_inet, "must be an IPv4 or IPv6 address")
_MAPPED = bytes(10) + b"\xff\xff"
"""How an IPv6 address begins that stands for an IPv4 address (RFC 4291 section 2.5.5.2)."""


def shortest_inet(value: Any) -> bytes:
    """Return the encoding of an `inet`: of an IPv4 address also if it is written as `::ffff:1.2.3.4`."""
    return _write_inet(value).removeprefix(_MAPPED)


def _blob(text: str) -> bytes:
    if not text.startswith("0x"):
        raise ValueError("not in hexadecimal")
    return unhexlify(text[2:])


def _date(text: str) -> bytes:
    return (days_of(text) + 2**31).to_bytes(4, "big")


def _duration(text: str) -> bytes:
    return b"".join(map(_signed_vint, months_days_nanoseconds_of(text)))


def _signed_vint(number: int) -> bytes:
    return vint((number << 1) ^ (number >> 63))


_other_year = re.compile(r"(?!(?!0000)[0-9]{4}-)[+-]?[0-9]+-[0-9]{2}-[0-9]{2}", re.ASCII)
"""How a text begins whose year does not have four digits alone."""


def _year_hint(text: str) -> str:
    return "; years outside 0001 to 9999 have a sign" if _other_year.match(text) else ""


NATIVE_ENCODINGS: Mapping[str, NativeEncoding] = MappingProxyType(
    {
        "ascii": NativeEncoding(_ascii),
        "bigint": _integers("q", 8),
        "blob": NativeEncoding(_by_text(_blob, "must be bytes in hexadecimal, like 0xdead")),
        "boolean": NativeEncoding(_boolean, _boolean_of_text, 1),
        "counter": _integers("q", 8),
        "date": NativeEncoding(_by_text(_date, "must be a date like 2024-02-29", _year_hint)),
        "decimal": NativeEncoding(_decimal),
        "double": _floats("d", 64),
        "duration": NativeEncoding(_by_text(_duration, "must be a duration like 1y2mo25d5h6m7s8ms9us10ns")),
        "float": _floats("f", 32),
        "inet": NativeEncoding(_write_inet),
        "int": _integers("i", 4),
        "smallint": _integers("h", 2, packed=False),
        "text": NativeEncoding(_text),
        "time": NativeEncoding(
            _by_text(lambda text: pack(">q", nanoseconds_of(text)), "must be a time of day like 13:14:15.123456789")
        ),
        "timestamp": NativeEncoding(
            _by_text(
                lambda text: pack_milliseconds(milliseconds_of(text)),
                "must be a timestamp with a zone, like 2026-11-21T22:35:19.795Z",
                _year_hint,
            ),
            width=8,
        ),
        "timeuuid": NativeEncoding(_by_text(_timeuuid, "must be a UUID of version 1"), width=16),
        "tinyint": _integers("b", 1, packed=False),
        "uuid": NativeEncoding(_by_text(_uuid_bytes, "must be a UUID"), width=16),
        "varint": NativeEncoding(_varint),
    }
)


def pack_milliseconds(milliseconds: int) -> bytes:
    """Return the encoding of a `timestamp`. Raises OverflowError beyond 64 bits."""
    return milliseconds.to_bytes(8, "big", signed=True)


def width_of(cql_type: CqlType) -> int | None:
    """Return the bytes of each value if Cassandra packs them into a vector without lengths; else None."""
    match cql_type:
        case Native(name):
            return NATIVE_ENCODINGS[name].width
        case VectorOf(element, size):
            width = width_of(element)
            return None if width is None else width * size
    return None
