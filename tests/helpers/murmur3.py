"""Partition keys with a chosen token: the inverse of Cassandra's Murmur3 for keys of 16 bytes.

A key of 16 bytes is one block of MurmurHash3_x64_128. Each step of the hash can be undone, and the token is one half of
its result: so each token has a key for every value of the other half.
"""

from __future__ import annotations

import uuid

_MASK = 2**64 - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
_FIVE = pow(5, -1, 2**64)
_MIX = tuple(pow(factor, -1, 2**64) for factor in (0xC4CEB9FE1A85EC53, 0xFF51AFD7ED558CCD))


def id_with_token(token: int, other: int = 0) -> uuid.UUID:
    """Return a UUID whose token is this one; for -2^63, which no key has, one whose hash it is: its token is 2^63-1."""
    second = _unmixed(other & _MASK)
    first = _unmixed((token - other) & _MASK)
    second = (second - first) & _MASK
    first = ((first - second) & _MASK) ^ 16
    second ^= 16
    body = (((second - 0x38495AB5) * _FIVE) - first) & _MASK
    k2 = _rotated(_rotated(body, 31) * pow(_C1, -1, 2**64), 33) * pow(_C2, -1, 2**64)
    body = ((first - 0x52DCE729) * _FIVE) & _MASK
    k1 = _rotated(_rotated(body, 27) * pow(_C2, -1, 2**64), 31) * pow(_C1, -1, 2**64)
    return uuid.UUID(bytes=b"".join((k & _MASK).to_bytes(8, "little") for k in (k1, k2)))


def _unmixed(value: int) -> int:
    value ^= value >> 33
    for factor in _MIX:
        value = value * factor & _MASK
        value ^= value >> 33
    return value


def _rotated(value: int, bits: int) -> int:
    """Return the 64-bit number rotated to the right."""
    value &= _MASK
    return (value >> bits | value << (64 - bits)) & _MASK
