"""Pages of rows, kept as the bytes that Cassandra sent and decoded only when a caller asks.

`asgi_app.driver.protocol` makes a `RowPage` of each response. Its rows are decoded in any thread with the codecs of
`asgi_app.driver.codec`, which never raise. The bytes follow section 4.2.5.2 of Cassandra's `native_protocol_v5.spec`
(and `_v4`, `_v3`).
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Any, Protocol

import msgspec
from cassandra import cqltypes, protocol

from asgi_app.driver.codec import NOT_A_VALUE, Cell, Codec, codec_of, shape_of
from asgi_app.driver.transcoding import Plan, plan_of, without_line_ends

try:
    from cassandra.bytesio import BytesIOReader
    from cassandra.deserializers import find_deserializer, obj_array
    from cassandra.obj_parser import TupleRowParser
    from cassandra.parsing import ParseDesc
except ImportError:  # the driver was installed without its compiled modules
    TupleRowParser = None

PART_BYTES = 32 * 1024
"""The size of the parts in which Python encodes a large page: about half a millisecond each.

Python encodes a part without letting other threads run. Compiled code lets them run and takes the page whole.
"""

GIL_YIELD_SECONDS = 0.00005
"""The sleep between two parts: long enough for a waiting thread to take the interpreter's lock."""


class RowsCorrupt(Exception):
    """Raised if the bytes of a page are not the rows that its description announces."""


class Rows(Protocol):
    """Rows to be encoded."""

    def tuples(self) -> list[tuple[Any, ...]]:
        """Return the rows, each a tuple of its values."""

    def objects(self) -> list[Any]:
        """Return the rows, each as an object that msgspec encodes as a map from column name to value."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A way to write rows as bytes; see `RowPage.encoded`."""

    write: Callable[[Rows], bytes]
    """Writes rows in Python."""
    separator: bytes = b""
    """Goes between two runs of rows that were written separately."""
    compiled: Callable[[Plan, bytes, int], bytes | None] | None = None
    """Writes the same bytes by compiled code, from the plan, the page's bytes and its number of rows.

    Returns None if Python must write the page. None if there is no compiled code for this encoding.
    """


class RowPage:
    """One page of a result as Cassandra sent it. Immutable: any thread may read it, any number of times.

    `row_count` is the server's number of rows, `size` the number of bytes of the encoded rows. Rows keep the server's
    order; `asgi_app.driver.codec` describes their values. No content of a cell raises an error. If the page is
    incomplete or its description unreadable, each method raises RowsCorrupt.
    """

    __slots__ = ("_body", "description", "row_count", "size")

    def __init__(self, description: Description, row_count: int, body: bytes) -> None:
        self.description = description
        self.row_count = row_count
        self.size = len(body)
        self._body = body

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in the statement's order."""
        return self.description.names

    @property
    def fingerprint(self) -> bytes:
        """A hash of the encoded rows: the same for pages with the same rows."""
        return hashlib.blake2b(self._body, digest_size=16).digest()

    def tuples(self) -> list[tuple[Any, ...]]:
        """Return the rows, each a tuple of its values."""
        return self._split().tuples()

    def dicts(self) -> list[dict[str, Any]]:
        """Return the rows, each a dict from column name to value. If columns share a name, the last one counts."""
        return self._split().dicts()

    def objects(self) -> list[Any]:
        """Return the rows, each as an object that msgspec encodes as a map from column name to value."""
        layout = self.description.layout
        if 0 < self.row_count <= _FEW_ROWS and layout.row_type is not None:
            rows = _valid_rows(self._body, self.row_count, layout.strict, layout.row_type)
            if rows is not None:
                return rows
        return self._split().objects()

    def encoded(self, encoding: Encoding, *, in_parts: bool = False) -> bytes:
        """Return the rows in an encoding: written by compiled code if it can, else by Python.

        With `in_parts`, sleep between the parts of a large page that Python writes, to let other threads run. Use that
        in a worker thread only.
        """
        if encoding.compiled is not None:
            plan = self.description.layout.plan
            rows = None if plan is None else encoding.compiled(plan, self._body, self.row_count)
            if rows is not None:
                return rows
        if not in_parts or self.size <= PART_BYTES:
            return encoding.write(self)
        return encoding.separator.join(self._written_parts(encoding.write))

    def _written_parts(self, write: Callable[[Rows], bytes]) -> Iterator[bytes]:
        rows = self._split()
        for number, part in enumerate(rows.parts(max(1, self.row_count * PART_BYTES // self.size))):
            if number:
                time.sleep(GIL_YIELD_SECONDS)
            yield write(part)

    def _split(self) -> _SplitRows:
        width = len(self.description.layout.codecs)
        return _SplitRows(self.description, self.row_count, _cells(self._body, self.row_count, width))


class _SplitRows:
    """Rows that were split into cells, row after row."""

    __slots__ = ("_cells", "_count", "_description")

    def __init__(self, description: Description, count: int, cells: list[Cell]) -> None:
        self._description = description
        self._count = count
        self._cells = cells

    def tuples(self) -> list[tuple[Any, ...]]:
        """See `RowPage.tuples`."""
        return list(zip(*self._columns(), strict=True))

    def dicts(self) -> list[dict[str, Any]]:
        """See `RowPage.dicts`."""
        names = self._description.names
        return [dict(zip(names, row, strict=True)) for row in self.tuples()]

    def objects(self) -> list[Any]:
        """See `RowPage.objects`."""
        row_type = self._description.layout.row_type
        return self.dicts() if row_type is None else list(map(row_type, *self._columns()))

    def parts(self, rows: int) -> Iterator[_SplitRows]:
        """Yield the rows in order, at most `rows` at a time."""
        width = len(self._description.layout.codecs)
        for first in range(0, self._count, rows):
            count = min(rows, self._count - first)
            yield _SplitRows(self._description, count, self._cells[first * width : (first + count) * width])

    def _columns(self) -> list[Sequence[Any]]:
        codecs = self._description.layout.codecs
        width = len(codecs)
        return [codec.column(self._cells[at::width]) for at, codec in enumerate(codecs)]


# --- encodings


def _write_json_objects(rows: Rows) -> bytes:
    return msgspec.json.encode(rows.objects())[1:-1]


def _write_json_lines(rows: Rows) -> bytes:
    return without_line_ends(msgspec.json.Encoder().encode_lines(rows.objects()))


def _write_msgpack(rows: Rows) -> bytes:
    return b"".join(map(msgspec.msgpack.Encoder().encode, rows.objects()))


JSON_OBJECTS = Encoding(_write_json_objects, separator=b",", compiled=Plan.rows)
"""JSON objects with commas between them and no brackets around: `{"a":1},{"a":2}`."""

JSON_LINES = Encoding(_write_json_lines, compiled=Plan.lines)
"""JSON objects, each followed by a newline. No other character in them ends a line."""

MSGPACK = Encoding(_write_msgpack)
"""MessagePack maps, one after another."""


# --- how the rows of a statement are read


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read and write the rows of a statement."""

    codecs: tuple[Codec, ...]
    strict: tuple[Callable[[bytes], Any], ...]
    """Each column's reader of a valid cell. It may raise one of `NOT_A_VALUE` for other cells."""
    row_type: Callable[..., Any] | None
    """Makes an object that msgspec encodes as a map of one row's values. None if msgspec refuses the column names."""
    plan: Plan | None
    """How compiled code writes the rows. None if it does not accept a type, or msgspec refuses the column names."""


@lru_cache(maxsize=512)  # statements; a layout takes some 2 kB
def _layout_of(names: tuple[str, ...], shapes: tuple[Hashable, ...]) -> Layout:
    codecs = tuple(map(codec_of, shapes))
    row_type = _row_type(names)
    plan = None if row_type is None else plan_of(names, shapes)
    return Layout(codecs, tuple(codec.strict or codec.cell for codec in codecs), row_type, plan)


class Description:
    """The names and types of a page's columns. Immutable, as are the pages that share it."""

    __slots__ = ("_layout", "names", "types")

    def __init__(self, names: tuple[str, ...], types: tuple[Any, ...]) -> None:
        self.names = names
        self.types = types
        self._layout: Layout | None = None

    @property
    def layout(self) -> Layout:
        """How to read and write the rows; made when the first row is read, not while the driver reads a response."""
        if self._layout is None:
            self._layout = _layout_of(self.names, tuple(map(shape_of, self.types)))
        return self._layout


class ShapedDescription(Description):
    """The description of rows that Cassandra did not send, by the shapes of their columns (`codec.shape_of`)."""

    __slots__ = ()

    def __init__(self, names: tuple[str, ...], shapes: tuple[Hashable, ...]) -> None:
        super().__init__(names, ())
        self._layout = _layout_of(names, shapes)


class UnreadableDescription(Description):
    """A description that could not be read. Its `layout` raises RowsCorrupt from `defect`."""

    __slots__ = ("_defect",)

    def __init__(self, defect: Exception) -> None:
        super().__init__((), ())
        self._defect = defect

    @property
    def layout(self) -> Layout:
        """Always raises RowsCorrupt."""
        raise RowsCorrupt("the description of the rows cannot be read") from self._defect


_FEW_ROWS = 2
"""Up to this many rows are read faster cell by cell than column by column (measured)."""


def _valid_rows(
    body: bytes, count: int, readers: Sequence[Callable[[bytes], Any]], row_type: Callable[..., Any]
) -> list[Any] | None:
    """Return the rows of a page; None if a cell is not a value of its type, or the page is incomplete."""
    rows, at = [], 0
    try:
        for _ in range(count):
            values: list[Any] = []
            for read in readers:
                length = _length_at(body, at)[0]
                at += 4
                if length < 0:
                    values.append(None)
                else:
                    values.append(read(body[at : at + length]))
                    at += length
            rows.append(row_type(*values))
    except NOT_A_VALUE:
        return None
    return rows if at == len(body) else None


def _row_type(names: tuple[str, ...]) -> Callable[..., Any] | None:
    """Return a struct type with these field names; None if msgspec refuses them.

    A struct is made and encoded three times as fast as a dict. Its fields are numbered and renamed, because a column
    name such as `[applied]` or `count(*)` is no Python identifier.
    """
    renamed = {f"c{number}": name for number, name in enumerate(names)}
    try:
        return msgspec.defstruct("Row", [(field, Any) for field in renamed], rename=renamed, gc=False)
    except ValueError:  # a repeated name, or a name with quotes or control characters
        return None


# --- splitting a page into cells

_SENTINEL = b"end of the rows"
"""Appended to a page as one more cell. It is read back only if the rows end exactly where they should."""

_LENGTH = Struct(">i")
_length_at = _LENGTH.unpack_from
_NOT_ROWS = (EOFError, ValueError, IndexError, struct.error)


def _cells(body: bytes, rows: int, width: int) -> list[Cell]:
    """Return all cells of a page, row after row. Raise RowsCorrupt unless the bytes hold exactly these rows."""
    count = rows * width
    if rows < 0 or width < 1 or len(body) < _LENGTH.size * count:
        raise RowsCorrupt(f"{len(body)} bytes cannot be {rows} rows of {width} columns")
    try:
        cells = _split(body + _LENGTH.pack(len(_SENTINEL)) + _SENTINEL, count + 1)
    except _NOT_ROWS as error:
        raise RowsCorrupt(f"{len(body)} bytes end within {rows} rows of {width} columns") from error
    if cells.pop() != _SENTINEL:
        raise RowsCorrupt(f"{len(body)} bytes are not {rows} rows of {width} columns")
    return cells


def _split_in_python(data: bytes, count: int) -> list[Cell]:
    """Return the first `count` cells. Six times slower than `_split_in_c`."""
    cells: list[Cell] = []
    at, length_at = 0, _LENGTH.unpack_from
    for _ in range(count):
        start = at + 4
        length = length_at(data, at)[0]
        at = start + max(length, 0)
        cells.append(None if length < 0 else data[start:at])
    if at > len(data):
        raise EOFError
    return cells


_LARGEST_CHUNK = 4096
"""The most cells that `_split_in_c` reads at once."""


def _blob_row(cells: int) -> Any:
    """Return the description of a row of `cells` blobs, for which the driver's compiled parser returns raw bytes."""
    blobs = obj_array([find_deserializer(cqltypes.BytesType)] * cells)
    return ParseDesc(
        [""] * cells, [cqltypes.BytesType] * cells, None, [None] * cells, blobs, protocol.ProtocolVersion.V4
    )


def _split_in_c(data: bytes, count: int) -> list[Cell]:
    """Return the first `count` cells, split by the driver's compiled parser.

    The parser needs a description of each row width. So the page is read as rows whose number of cells is a power of
    two, whatever its real width.
    """
    reader, parser = BytesIOReader(data), TupleRowParser()
    cells: list[Cell] = []
    while count:
        size = min(_LARGEST_CHUNK, 1 << count.bit_length() - 1)
        cells += parser.unpack_row(reader, _BLOB_ROWS[size])
        count -= size
    return cells


_BLOB_ROWS = {} if TupleRowParser is None else {1 << power: _blob_row(1 << power) for power in range(13)}
_split = _split_in_python if TupleRowParser is None else _split_in_c
