"""Write a page of rows as JSON by compiled code, if that was built and the columns have plain types.

`asgi_app.driver._transcoder` (`_transcoder.cpp`) is built during installation if a compiler is there
(`hatch_build.py`). It writes the same bytes as the Python code of `asgi_app.driver.page` ten times as fast, large pages
without the interpreter's lock. It refuses a page with other types or with a cell that is not a value of its type;
Python then writes the page. `tests/driver/test_page.py` runs with and without it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import msgspec
from cassandra import cqltypes

try:
    from asgi_app.driver._transcoder import INTERFACE, transcode
except ImportError:  # not built, or not loadable
    INTERFACE = 0

EXPECTED_INTERFACE: Final = 2
"""The interface of the compiled code that this module uses: `kInterface` in `_transcoder.cpp`."""

if INTERFACE != EXPECTED_INTERFACE:  # not built, or built from older sources than this module
    transcode = None  # type: ignore[assignment]

HOW: Final = "in Python" if transcode is None else "by compiled code"
"""How JSON of rows is written, for the log."""

KINDS: Final[Mapping[Hashable, bytes]] = MappingProxyType(
    {
        cqltypes.AsciiType: b"t",
        cqltypes.BooleanType: b"?",
        cqltypes.BytesType: b"x",
        cqltypes.ByteType: b"b",
        cqltypes.CounterColumnType: b"q",
        cqltypes.DateType: b"m",
        cqltypes.DoubleType: b"d",
        cqltypes.FloatType: b"f",
        cqltypes.Int32Type: b"i",
        cqltypes.LongType: b"q",
        cqltypes.ShortType: b"h",
        cqltypes.SimpleDateType: b"D",
        cqltypes.TimeUUIDType: b"u",
        cqltypes.UTF8Type: b"t",
        cqltypes.UUIDType: b"u",
        cqltypes.VarcharType: b"t",
    }
)
"""The types that the compiled code knows, and its codes for them."""


LINE_ENDS: Final = ((b"\xc2\x85", rb"\u0085"), (b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029"))
"""Line ends for Python that JSON does not escape: NEXT LINE, LINE SEPARATOR, PARAGRAPH SEPARATOR; and escapes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters with which compiled code writes the rows of a statement."""

    kinds: bytes
    """The code of each column's type."""
    names: tuple[bytes, ...]
    """The JSON before each column's value: `{"a":`, `,"b":`."""
    line_names: tuple[bytes, ...]
    """The same for JSON lines, with line ends escaped."""

    def rows(self, body: bytes, count: int) -> bytes | None:
        """Return the rows as JSON objects with commas between them; None if Python must write them."""
        return None if transcode is None else transcode(body, count, self.kinds, self.names, False)

    def lines(self, body: bytes, count: int) -> bytes | None:
        """Return the rows as JSON objects, each followed by a newline; None if Python must write them."""
        return None if transcode is None else transcode(body, count, self.kinds, self.line_names, True)


def plan_of(names: Sequence[str], shapes: Sequence[Hashable]) -> Plan | None:
    """Return the plan for columns of unique names and their shapes (`codec.shape_of`); None if a type is not plain."""
    if not shapes or not all(shape in KINDS for shape in shapes):
        return None
    before = tuple(b'%b"%b":' % (b"," if at else b"{", _escaped(name)) for at, name in enumerate(names))
    return Plan(b"".join(KINDS[shape] for shape in shapes), before, tuple(map(without_line_ends, before)))


def without_line_ends(json: bytes) -> bytes:
    """Return the JSON with escapes for the characters at which Python's `str.splitlines` ends a line.

    Readers of lines, such as `httpx.Response.iter_lines`, end a line there. JSON itself escapes the other line ends,
    which are control characters. Replacing the bytes is safe: in UTF-8 no other character contains them.
    """
    if json.isascii():
        return json
    for character, escaped in LINE_ENDS:
        json = json.replace(character, escaped)
    return json


def _escaped(name: str) -> bytes:
    return msgspec.json.encode(name)[1:-1]
