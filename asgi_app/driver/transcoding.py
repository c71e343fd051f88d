"""A page of rows → JSON by compiled code, where that was built and the columns are plain.

`asgi_app.driver._transcoder` (`_transcoder.cpp`) is built while the project is installed, if that can be done there
(`hatch_build.py`). It writes what `RowPage.json_rows` and `RowPage.json_lines` write, ten times as fast, large pages
without the interpreter's lock. For whatever is not a perfect page of plain columns they do it themselves, with the same
bytes: `tests/driver/test_page.py` runs on both.
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
except ImportError:  # it was not built, or cannot be loaded
    INTERFACE = 0

if INTERFACE != 2:  # also where sources were updated, and not installed again
    transcode = None  # type: ignore[assignment]

HOW: Final = "in Python" if transcode is None else "by compiled code"
"""For the log."""

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
"""The types that the compiled code reads, with its codes for them."""


LINE_ENDS: Final = ((b"\xc2\x85", rb"\u0085"), (b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029"))
"""What ends a line for Python and is not escaped by JSON: NEXT LINE, LINE SEPARATOR, PARAGRAPH SEPARATOR."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How compiled code writes the rows of a statement."""

    kinds: bytes
    names: tuple[bytes, ...]
    line_names: tuple[bytes, ...]
    """The same for rows as lines."""

    def rows(self, body: bytes, count: int) -> bytes | None:
        """The rows as JSON objects with commas between them; None where Python has to look at them."""
        return None if transcode is None else transcode(body, count, self.kinds, self.names, False)

    def lines(self, body: bytes, count: int) -> bytes | None:
        """The rows as JSON objects, each with a newline after it; None as above."""
        return None if transcode is None else transcode(body, count, self.kinds, self.line_names, True)


def plan_of(names: Sequence[str], shapes: Sequence[Hashable]) -> Plan | None:
    """The plan for columns of these names, which differ, and shapes (`codec.shape_of`); None if one is not plain."""
    if not shapes or not all(shape in KINDS for shape in shapes):
        return None
    before = tuple(b'%b"%b":' % (b"," if at else b"{", _escaped(name)) for at, name in enumerate(names))
    return Plan(b"".join(KINDS[shape] for shape in shapes), before, tuple(map(without_line_ends, before)))


def without_line_ends(json: bytes) -> bytes:
    """Return the JSON with each raw character escaped that Python's `str.splitlines` takes for a line's end.

    JSON itself escapes the others, which are control characters, and bytes of UTF-8 mean no other character anywhere.
    Readers of lines, such as `httpx.Response.iter_lines`, end a line at each of them.
    """
    if json.isascii():
        return json
    for character, escaped in LINE_ENDS:
        json = json.replace(character, escaped)
    return json


def _escaped(name: str) -> bytes:
    return msgspec.json.encode(name)[1:-1]
