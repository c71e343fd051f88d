"""Cut the ring of partition keys into slices, and select the rows of a slice.

Cassandra keeps a partition where the token of its key says: a hash, with Murmur3 an integer of 64 bits. A slice is a
range of tokens that comes from arithmetic alone. So it holds the same rows wherever the nodes and their ranges are, and
it never wraps around the end of the ring: Cassandra would answer such a range with no rows, and with no error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from asgi_app.tables.cql import Statement
from asgi_app.tables.encoding import Encoded
from asgi_app.tables.wrong_value import WrongValue

MOST_SLICES = 65536
MOST_PARALLEL = 64
"""The largest number of slices that a client may ask to be read at once."""

MURMUR3 = "org.apache.cassandra.dht.Murmur3Partitioner"
"""The name of the partitioner whose tokens slices are made of."""

_RING = 2**64
_FIRST = -(2**63)
_LAST = 2**63 - 1
_SLICE = re.compile(r"([1-9][0-9]{0,4})/([1-9][0-9]{0,4})", re.ASCII)


class TokenRange(NamedTuple):
    """The tokens above `after`, up to and including `until`. `after` is less than `until`.

    The token -2^63 stands for no bound: a range after it begins with the first partition. As an upper bound it would
    mean the end of the ring, so it is never one.
    """

    after: int
    until: int

    def cells(self) -> tuple[Encoded, Encoded]:
        """Return the bounds as values of two markers of CQL's type `bigint`."""
        return _bigint(self.after), _bigint(self.until)

    def parts(self, count: int) -> list[TokenRange]:
        """Return `count` ranges that together are this one, in its order; fewer if it has fewer tokens."""
        width = self.until - self.after
        count = min(count, width)
        ends = [self.after + width * place // count for place in range(count + 1)]
        return [TokenRange(after, until) for after, until in pairwise(ends)]


WHOLE_RING = TokenRange(_FIRST, _LAST)


@dataclass(frozen=True, slots=True)
class Slice:
    """The `index`th of `count` slices of the ring, counted from 1. Its text is `3/64`.

    All slices of a count have, together, each partition once.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Slice:
        """Return the slice that a text such as `3/64` names. Raises WrongValue for any other text."""
        found = _SLICE.fullmatch(text)
        index, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= index <= count <= MOST_SLICES:
            raise WrongValue("", f"must be i/n, such as 3/64, with i from 1 to n and n from 1 to {MOST_SLICES}")
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def bounds(self) -> TokenRange:
        """The tokens of the slice."""
        until = _FIRST + self.index * _RING // self.count
        return TokenRange(_FIRST + (self.index - 1) * _RING // self.count, min(until, _LAST))


def slices(count: int) -> Iterator[Slice]:
    """Yield the slices of a count, in the order of their tokens."""
    return (Slice(index, count) for index in range(1, count + 1))


def _bigint(value: int) -> Encoded:
    return Encoded(value.to_bytes(8, "big", signed=True))


@dataclass(frozen=True, slots=True)
class RingSelect:
    """A SELECT that can be restricted to a range of tokens, unless `part` is None.

    `whole` selects all rows. `part` is the same with the condition of `in_range` before all others, so that the bounds
    are its first values. `values` are those of the other markers.
    """

    whole: Statement
    part: Statement | None = None
    values: tuple[Any, ...] = ()

    def within(self, tokens: TokenRange) -> tuple[Statement, tuple[Any, ...]]:
        """Return the statement that selects the rows in a range of tokens, and its values."""
        if tokens == WHOLE_RING or self.part is None:
            return self.whole, self.values
        return self.part, (*tokens.cells(), *self.values)
