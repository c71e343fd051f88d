"""How values stand within another value: with their length before them, or in a vector of one width without lengths.

The forms follow section 6 of Cassandra's `native_protocol_v5.spec` and, for `vector`, Cassandra's class `VectorType`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct

_length = Struct(">i")

NULL = _length.pack(-1)
"""A null among framed values."""

EMPTY = _length.pack(0)
"""A collection without members."""


def framed(part: bytes) -> bytes:
    """Return a value with its length of four bytes before it."""
    return _length.pack(len(part)) + part


def counted(count: int, values: Iterable[bytes]) -> bytes:
    """Return a collection of `count` members, each of one value, or of two in a map."""
    return _length.pack(count) + b"".join([framed(value) for value in values])


def members(cell: bytes) -> Iterator[bytes]:
    """Yield the values of a collection that `counted` made."""
    for part in nullable_parts(cell, _length.size):
        yield part or b""


def nullable_parts(cell: bytes, at: int = 0) -> Iterator[bytes | None]:
    """Yield values that stand one after another from `at`, each with its length."""
    while at < len(cell):
        (size,) = _length.unpack_from(cell, at)
        at += _length.size
        yield None if size < 0 else cell[at : at + size]
        at += max(size, 0)


def vector_of_lengths(values: Iterable[bytes]) -> bytes:
    """Return a vector of values of different lengths, each with its length as a variable integer before it."""
    return b"".join([vint(len(value)) + value for value in values])


def vector_elements(cell: bytes, width: int | None) -> Iterator[bytes]:
    """Yield the elements of a vector: of `width` bytes each, or with a variable integer before each."""
    at = 0
    while at < len(cell):
        size, at = (width, at) if width is not None else vint_at(cell, at)
        yield cell[at : at + size]
        at += size


def vint(number: int) -> bytes:
    """Return a number of up to 64 bits in one to nine bytes. The leading ones of the first count the other bytes."""
    more = min(max(number.bit_length() - 1, 0) // 7, 8)
    leading_ones = (0xFF << (8 - more)) & 0xFF
    return (leading_ones << 8 * more | number).to_bytes(1 + more, "big")


def vint_at(cell: bytes, at: int) -> tuple[int, int]:
    """Return the number that `vint` wrote at this place, and its end. Raises IndexError or ValueError if it is cut."""
    first = cell[at]
    more = 8 - (first ^ 0xFF).bit_length()
    end = at + 1 + more
    if end > len(cell):
        raise ValueError("a number goes on after the end of its cell")
    return int.from_bytes(cell[at + 1 : end], "big") | (first & (0xFF >> more)) << 8 * more, end
