"""Write a page of rows as JSON by compiled code, if that was built.

`asgi_app.driver._transcoder` (`_transcoder.cpp`) is built during installation if a compiler is there
(`hatch_build.py`). It writes the same bytes as the Python code of `asgi_app.driver.page` ten times as fast, large pages
without the interpreter's lock. It leaves a page to Python if a text is not UTF-8, a number has more than some 3,000
digits, or two keys of a map have the same text. `tests/driver/test_page.py` runs with and without it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from types import MappingProxyType
from typing import Final

import msgspec
from cassandra import cqltypes

from asgi_app.driver.codec import Shape

try:
    from asgi_app.driver._transcoder import INTERFACE, transcode
except ImportError:  # not built, or not loadable
    INTERFACE = 0

EXPECTED_INTERFACE: Final = 3
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
        cqltypes.DecimalType: b"n",
        cqltypes.DoubleType: b"d",
        cqltypes.DurationType: b"p",
        cqltypes.FloatType: b"f",
        cqltypes.InetAddressType: b"a",
        cqltypes.Int32Type: b"i",
        cqltypes.IntegerType: b"v",
        cqltypes.LongType: b"q",
        cqltypes.ShortType: b"h",
        cqltypes.SimpleDateType: b"D",
        cqltypes.TimeType: b"T",
        cqltypes.TimeUUIDType: b"u",
        cqltypes.UTF8Type: b"t",
        cqltypes.UUIDType: b"u",
        cqltypes.VarcharType: b"t",
    }
)
"""The compiled code's codes for the types that contain no other type. All other such types are written as a blob is."""

_OPAQUE = KINDS[cqltypes.BytesType]

_CONTAINERS: Final[Mapping[type, tuple[bytes, int]]] = MappingProxyType(
    {
        cqltypes.FrozenType: (b"", 1),
        cqltypes.ListType: (b"L", 1),
        cqltypes.MapType: (b"M", 2),
        cqltypes.ReversedType: (b"", 1),
        cqltypes.SetType: (b"L", 1),
        cqltypes.VectorType: (b"[", 1),
    }
)
"""The codes for types that contain a fixed number of types, and that number. Some are written as the type inside."""

DEEPEST: Final = 64
"""The depth of types within types that the compiled code accepts."""

_COUNT = Struct(">I")

LINE_ENDS: Final = ((b"\xc2\x85", rb"\u0085"), (b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029"))
"""Line ends for Python that JSON does not escape: NEXT LINE, LINE SEPARATOR, PARAGRAPH SEPARATOR; and escapes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters with which compiled code writes the rows of a statement."""

    types: bytes
    """The code of each column's type, each followed by the codes of the types inside it."""
    names: tuple[bytes, ...]
    """The JSON before each column's value, `{"a":`, `,"b":`, each followed by those of its user types, `"x":`."""
    line_names: tuple[bytes, ...]
    """The same for JSON lines, with line ends escaped."""

    def rows(self, body: bytes, count: int) -> bytes | None:
        """Return the rows as JSON objects with commas between them; None if Python must write them."""
        return None if transcode is None else transcode(body, count, self.types, self.names, False)

    def lines(self, body: bytes, count: int) -> bytes | None:
        """Return the rows as JSON objects, each followed by a newline; None if Python must write them."""
        return None if transcode is None else transcode(body, count, self.types, self.line_names, True)


def plan_of(names: Sequence[str], shapes: Sequence[Hashable]) -> Plan | None:
    """Return the plan for columns of unique names and their shapes (`codec.shape_of`).

    Return None if there are no columns, or if a type is too deep or its description contradicts itself.
    """
    if not shapes:
        return None
    draft = _Draft(bytearray(), [])
    try:
        for at, (name, shape) in enumerate(zip(names, shapes, strict=True)):
            draft.names.append((b"," if at else b"{") + _member(name))
            draft.add(shape, 0)
    except ValueError:
        return None
    before = tuple(draft.names)
    return Plan(bytes(draft.types), before, tuple(map(without_line_ends, before)))


@dataclass(frozen=True, slots=True)
class _Draft:
    """A plan to which types are added."""

    types: bytearray
    names: list[bytes]

    def add(self, shape: Hashable, depth: int) -> None:
        """Add a type and the types inside it. Raise ValueError if the compiled code does not accept it."""
        if depth > DEEPEST:
            raise ValueError("types within types, too deep")
        if not isinstance(shape, Shape):
            self.types.extend(KINDS.get(shape, _OPAQUE))
        elif shape.kind is cqltypes.UserType:
            self._add_user_type(shape, depth)
        elif shape.kind is cqltypes.TupleType:
            self.types.extend(b"(" + _COUNT.pack(len(shape.inner)))
            self._add_all(shape.inner, depth)
        else:
            code, count = _CONTAINERS[shape.kind]
            self.types.extend(code + (_size(shape) if shape.kind is cqltypes.VectorType else b""))
            self._add_all(shape.inner if len(shape.inner) == count else [None] * count, depth)

    def _add_all(self, shapes: Iterable[Hashable], depth: int) -> None:
        for shape in shapes:
            self.add(shape, depth + 1)

    def _add_user_type(self, shape: Shape, depth: int) -> None:
        if len(set(shape.names)) != len(shape.names):
            raise ValueError("a repeated name")
        self.types.extend(b"{" + _COUNT.pack(len(shape.names)))
        for name, inner in zip(shape.names, shape.inner, strict=True):
            self.names.append(_member(name))
            self.add(inner, depth + 1)


def _size(vector: Shape) -> bytes:
    if not 0 <= vector.size < 2**31:
        raise ValueError("not a size of a vector")
    return _COUNT.pack(vector.size)


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


def _member(name: str) -> bytes:
    return msgspec.json.encode(name) + b":"
