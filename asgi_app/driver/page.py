"""Rows as Cassandra sent them, decoded when and where somebody wants them.

The driver decodes rows in its reactor thread while it reads the response, and an exception there closes the connection
which all requests share. `RawProtocolHandler` makes it read only the description of the columns and keep the rest: a
`RowPage`. Its rows are decoded when a caller asks, in any thread, with the codecs of `asgi_app.driver.codec`, which
cannot fail.

    session.client_protocol_handler = RawProtocolHandler
    profile = ExecutionProfile(row_factory=keep_page)

The form of a response follows section 4.2.5.2 of Cassandra's `native_protocol_v5.spec` (and `_v4`, `_v3`). A column
encryption policy of the driver is not applied.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Any

import msgspec
from cassandra import cqltypes, protocol
from cassandra.protocol import RESULT_KIND_ROWS

from asgi_app.driver.codec import NOT_A_VALUE, Cell, Codec, codec_of, shape_of
from asgi_app.driver.transcoding import Plan, plan_of, without_line_ends

try:
    from cassandra.bytesio import BytesIOReader
    from cassandra.deserializers import find_deserializer, obj_array
    from cassandra.obj_parser import TupleRowParser
    from cassandra.parsing import ParseDesc
except ImportError:  # a driver installed without its compiled parts
    TupleRowParser = None


class RowsCorrupt(Exception):
    """The bytes of a page are not the rows that its description announces."""


class RowPage:
    """One page of a result as it came from Cassandra. Immutable: any thread may read it, any number of times.

    `row_count` is what the server says, `size` is the number of bytes of the encoded rows. Rows come out in the
    server's order, with the values that `asgi_app.driver.codec` describes. What a cell holds never raises; a page that
    is not whole raises `RowsCorrupt` from each method.
    """

    __slots__ = ("_body", "_columns_described", "_defect", "_ready", "row_count", "size")

    def __init__(
        self,
        column_names: tuple[str, ...],
        column_types: tuple[Any, ...],
        row_count: int,
        body: bytes,
        defect: Exception | None = None,
        *,
        described: Description | None = None,
    ) -> None:
        """`described` is what a page before had of the same columns; their names and types are read from it then."""
        self.row_count = row_count
        self.size = len(body)
        self._columns_described = described or Description(column_names, column_types)
        self._body = body
        self._defect = defect
        self._ready: list[Cell] | None = None

    @property
    def column_names(self) -> tuple[str, ...]:
        """In the order of the statement."""
        return self._columns_described.names

    def parts(self, size: int) -> Iterator[RowPage]:
        """The rows of this page in order, in pages of some `size` bytes and one row at least: to rest in between."""
        rows = max(1, self.row_count * size // max(1, self.size))
        if rows >= self.row_count:
            yield self
            return
        width = len(self._layout().codecs)
        cells = self._all_cells(width)
        for first in range(0, self.row_count, rows):
            count = min(rows, self.row_count - first)
            part = RowPage((), (), count, b"", described=self._columns_described)
            part._ready = cells[first * width : (first + count) * width]
            yield part

    def tuples(self) -> list[tuple[Any, ...]]:
        """The rows, each a tuple of its values."""
        return list(zip(*self._columns(), strict=True))

    def dicts(self) -> list[dict[str, Any]]:
        """The rows, each a dict from column name to value. Of columns with the same name the last counts."""
        names = self.column_names
        return [dict(zip(names, row, strict=True)) for row in self.tuples()]

    def json_rows(self) -> bytes:
        """The rows as JSON objects with commas between them, without the brackets around: `{"a":1},{"a":2}`."""
        rows = self.transcoded_rows()
        return msgspec.json.encode(self._encodable())[1:-1] if rows is None else rows

    def json_lines(self) -> bytes:
        """Return the rows as JSON objects, each with a newline after it and no other character that ends a line."""
        lines = self.transcoded_lines()
        return without_line_ends(msgspec.json.Encoder().encode_lines(self._encodable())) if lines is None else lines

    def transcoded_rows(self) -> bytes | None:
        """`json_rows` by compiled code, for which a page need not be taken in parts; None where that cannot be."""
        plan = self._plan()
        return None if plan is None else plan.rows(self._body, self.row_count)

    def transcoded_lines(self) -> bytes | None:
        """`json_lines` in the same way."""
        plan = self._plan()
        return None if plan is None else plan.lines(self._body, self.row_count)

    def msgpack_rows(self) -> bytes:
        """The rows as MessagePack maps, one after another."""
        return b"".join(map(msgspec.msgpack.Encoder().encode, self._encodable()))

    def _encodable(self) -> list[Any]:
        """The rows as what msgspec writes as an object each, fastest first."""
        layout = self._layout()
        row_type = layout.row_type
        if row_type is None:
            return self.dicts()
        if 0 < self.row_count <= _FEW_ROWS and self._ready is None:
            rows = _perfect_rows(self._body, self.row_count, layout.strict, row_type)
            if rows is not None:
                return rows
        return list(map(row_type, *self._columns()))

    def _layout(self) -> _Layout:
        if self._defect is not None:
            raise RowsCorrupt("the description of the rows cannot be read") from self._defect
        return self._columns_described.layout

    def _plan(self) -> Plan | None:
        return self._layout().plan if self._ready is None else None

    def _columns(self) -> list[Sequence[Any]]:
        codecs = self._layout().codecs
        width = len(codecs)
        cells = self._all_cells(width)
        return [codec.column(cells[at::width]) for at, codec in enumerate(codecs)]

    def _all_cells(self, width: int) -> list[Cell]:
        return _cells(self._body, self.row_count, width) if self._ready is None else self._ready


def keep_page(column_names: Any, parsed_rows: Any) -> Any:
    """The driver's `row_factory` for `RawProtocolHandler`: hands the `RowPage` on untouched."""
    return parsed_rows


# --- how the rows of a statement are read


@dataclass(frozen=True, slots=True)
class _Layout:
    codecs: tuple[Codec, ...]
    strict: tuple[Callable[[bytes], Any], ...]
    """Of each column what reads a perfect cell, and may raise one of `NOT_A_VALUE` for others."""
    row_type: Callable[..., Any] | None
    """Makes of one row's values what msgspec writes as a JSON object. None if msgspec does not take these names."""
    plan: Plan | None
    """How compiled code writes the rows. None if it does not know a type, or msgspec does not take these names."""


@lru_cache(maxsize=512)  # statements; a layout takes some 2 kB
def _layout(names: tuple[str, ...], shapes: tuple[Hashable, ...]) -> _Layout:
    codecs = tuple(map(codec_of, shapes))
    row_type = _row_type(names)
    plan = None if row_type is None else plan_of(names, shapes)
    return _Layout(codecs, tuple(codec.strict or codec.cell for codec in codecs), row_type, plan)


class Description:
    """Names and types of a page's columns, and how they are read. Immutable, as the pages are that share it."""

    __slots__ = ("_layout", "names", "types")

    def __init__(self, names: tuple[str, ...], types: tuple[Any, ...]) -> None:
        self.names = names
        self.types = types
        self._layout: _Layout | None = None

    @property
    def layout(self) -> _Layout:
        """Made when somebody reads the first row: not in the driver's reader."""
        if self._layout is None:
            self._layout = _layout(self.names, tuple(map(shape_of, self.types)))
        return self._layout


_FEW_ROWS = 2
"""Rows. So few are read faster cell by cell than column by column (measured)."""


def _perfect_rows(
    body: bytes, count: int, readers: Sequence[Callable[[bytes], Any]], row_type: Callable[..., Any]
) -> list[Any] | None:
    """The rows of a page, None where a cell is not what its type says, or the page is not whole."""
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
    """A struct is made and encoded three times as fast as a dict.

    Its fields are numbered and renamed, since a column such as `[applied]` or `count(*)` is no Python identifier.
    """
    renamed = {f"c{number}": name for number, name in enumerate(names)}
    try:
        return msgspec.defstruct("Row", [(field, Any) for field in renamed], rename=renamed, gc=False)
    except ValueError:  # a name twice, or one with quotes or control characters
        return None


# --- splitting a page into cells

_LAST = b"end of the rows"
"""Appended to a page as one more cell: it is read back only if the rows end exactly where they should."""

_LENGTH = Struct(">i")
_length_at = _LENGTH.unpack_from
_NOT_ROWS = (EOFError, ValueError, IndexError, struct.error)


def _cells(body: bytes, rows: int, width: int) -> list[Cell]:
    """All cells of a page, row after row. Raises `RowsCorrupt` unless the bytes are exactly so many."""
    count = rows * width
    if rows < 0 or width < 1 or len(body) < _LENGTH.size * count:
        raise RowsCorrupt(f"{len(body)} bytes cannot be {rows} rows of {width} columns")
    try:
        cells = _split(body + _LENGTH.pack(len(_LAST)) + _LAST, count + 1)
    except _NOT_ROWS as error:
        raise RowsCorrupt(f"{len(body)} bytes end within {rows} rows of {width} columns") from error
    if cells.pop() != _LAST:
        raise RowsCorrupt(f"{len(body)} bytes are not {rows} rows of {width} columns")
    return cells


def _split_here(data: bytes, count: int) -> list[Cell]:
    """The first `count` cells, in plain Python: six times slower than `_split_in_c`."""
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


def _chunk(cells: int) -> Any:
    """Describes, to the driver's compiled parser, a row of so many blobs: it then hands out their bytes as they are."""
    blobs = obj_array([find_deserializer(cqltypes.BytesType)] * cells)
    return ParseDesc(
        [""] * cells, [cqltypes.BytesType] * cells, None, [None] * cells, blobs, protocol.ProtocolVersion.V4
    )


def _split_in_c(data: bytes, count: int) -> list[Cell]:
    """The first `count` cells, by the driver's compiled parser, which takes one description for each size of row.

    So the page is read as rows of a power of two of cells, whatever its real width.
    """
    reader, parser = BytesIOReader(data), TupleRowParser()
    cells: list[Cell] = []
    while count:
        size = min(_LARGEST_CHUNK, 1 << count.bit_length() - 1)
        cells += parser.unpack_row(reader, _CHUNKS[size])
        count -= size
    return cells


_CHUNKS = {} if TupleRowParser is None else {1 << power: _chunk(1 << power) for power in range(13)}
_split = _split_here if TupleRowParser is None else _split_in_c


# --- what the driver calls

_ROWS_HEAD = Struct(">ii")  # flags, number of columns
_ROWS = Struct(">iii")  # before them, what kind of result it is
_head_at = _ROWS_HEAD.unpack_from
_rows_at = _ROWS.unpack_from
_ONE_TABLE, _MORE_PAGES = 1, 2  # of the flags: all columns are of one table, and a paging state follows
_UDT_HEAD = re.compile(r"(UserType\()[^,]+,([0-9a-f]+)")


class KnownColumns(list[Any]):
    """The columns of a prepared statement's rows as the driver keeps them, and how responses describe them.

    Every response names its columns and their types again. While it does so with the same bytes as the one before,
    they need not be read again. Put in the place of a prepared statement's `result_metadata`.
    """

    __slots__ = ("seen",)

    def __init__(self, columns: Iterable[Any] = ()) -> None:
        super().__init__(columns)
        self.seen: tuple[int, int, bytes, Description] | None = None
        """Flags, number of columns, bytes of the last description that was read, and what it says."""


class RawResultMessage(protocol.ResultMessage):  # type: ignore[misc]  # the driver has no types
    """A RESULT response whose rows stay encoded. Runs where the driver reads: for rows it does not raise."""

    def recv_results_rows(self, f: io.BytesIO, *args: Any) -> None:
        """Keep the rows as they are. Drivers differ in what they pass in between, and agree on the last three."""
        user_type_map, result_metadata, _column_encryption_policy = args[-3:]
        known = result_metadata if type(result_metadata) is KnownColumns else None
        try:
            self.parsed_rows = self._page(f, user_type_map, result_metadata, known)
        except Exception as defect:  # whatever it is, it is this response's and not the connection's
            self.parsed_rows = RowPage((), (), 0, b"", defect)

    @property
    def column_names(self) -> list[str] | None:
        """Of the rows, as the driver has them; None where there are none."""
        return list(self.parsed_rows.column_names) if self.parsed_rows is not None else None

    @property
    def column_types(self) -> list[Any] | None:
        """As `column_names`."""
        return list(self.parsed_rows._columns_described.types) if self.parsed_rows is not None else None

    @classmethod
    def as_before(cls, body: bytes, seen: tuple[int, int, bytes, Description]) -> RawResultMessage | None:
        """The response with this body; None where it has no rows, or they are not described as those before."""
        known_flags, known_width, description, described = seen
        try:
            kind, flags, width = _rows_at(body)
            if kind != RESULT_KIND_ROWS or flags & ~_MORE_PAGES != known_flags or width != known_width:
                return None
            at = _ROWS.size
            paging_state = None
            if flags & _MORE_PAGES:
                start = at + _LENGTH.size
                at = start + _length_at(body, at)[0]
                if at < start:
                    return None
                paging_state = body[start:at]
            if not body.startswith(description, at):
                return None
            at += len(description)
            page = RowPage((), (), _length_at(body, at)[0], body[at + _LENGTH.size :], described=described)
        except struct.error:  # it ends within what it announces
            return None
        message = cls(RESULT_KIND_ROWS)
        message.parsed_rows = page
        message.paging_state = paging_state
        return message

    def _page(self, f: io.BytesIO, user_type_map: Any, result_metadata: Any, known: KnownColumns | None) -> RowPage:
        data, start = f.getvalue(), f.tell()
        flags, width = _head_at(data, start)
        self.recv_results_metadata(f, user_type_map)
        columns = self.column_metadata or result_metadata or ()
        if len(columns) != width:
            raise RowsCorrupt(f"rows of {width} columns with a description of {len(columns)}")
        described = Description(tuple(c[2] for c in columns), tuple(c[3] for c in columns))
        end = f.tell()
        (row_count,) = _LENGTH.unpack(f.read(4))  # raises where the page is cut, perhaps within its description
        if known is not None and flags & ~_MORE_PAGES in (0, _ONE_TABLE):
            before = _ROWS_HEAD.size + (_LENGTH.size + len(self.paging_state or b"") if flags & _MORE_PAGES else 0)
            known.seen = flags & ~_MORE_PAGES, width, data[start + before : end], described
        return RowPage((), (), row_count, f.read(), described=described)

    @classmethod
    def read_type(cls, f: io.BytesIO, user_type_map: Any) -> Any:
        """As the driver's, but a custom type that the driver cannot parse is an unknown type, not an error."""
        start = f.tell()
        if int.from_bytes(f.read(2), "big") != protocol.type_codes.CUSTOM_TYPE:
            f.seek(start)
            return super().read_type(f, user_type_map)
        return _custom_type(protocol.read_string(f))


def _custom_type(name: str) -> Any:
    """The driver's class for a type that is described by its Java name, such as a vector.

    The driver takes the hexadecimal name of a user type within for a number if it has only digits (that of `address`
    has), and fails. Nobody reads its name here, so it gets another.
    """
    try:
        return cqltypes.lookup_casstype(_UDT_HEAD.sub(r"\1ks,6f\2", name))
    except Exception:  # the driver parses with exceptions of many kinds
        return cqltypes.BytesType


class RawProtocolHandler(protocol._ProtocolHandler):  # type: ignore[misc]  # the driver has no types
    """For `session.client_protocol_handler`: the driver's own, but the rows of results come as a `RowPage`.

    Use it with the row factory `keep_page`. Everything else (errors, preparing, schema changes, void) is as ever.
    """

    message_types_by_opcode = protocol._ProtocolHandler.message_types_by_opcode | {
        RawResultMessage.opcode: RawResultMessage
    }

    @classmethod
    def decode_message(cls, *args: Any) -> Any:
        """Decode as the driver does; rows that are described as those before are taken from the body at once.

        Drivers differ in their first arguments (`scylla-driver` has one more), and agree on the last five.
        """
        flags, opcode, body, _decompressor, result_metadata = args[-5:]
        if opcode == RawResultMessage.opcode and not flags and type(result_metadata) is KnownColumns:
            seen = result_metadata.seen
            message = None if seen is None else RawResultMessage.as_before(body, seen)
            if message is not None:
                return message
        return super().decode_message(*args)
