"""The driver's protocol handler, changed to keep the rows of a response as a `RowPage`.

The driver decodes rows while it reads a response, and an exception there closes the connection that all requests share.
`RawProtocolHandler` makes it read only the description of the columns and keep the bytes of the rows.

    session.client_protocol_handler = RawProtocolHandler
    profile = ExecutionProfile(row_factory=keep_page)

Responses follow section 4.2.5.2 of Cassandra's `native_protocol_v5.spec` (and `_v4`, `_v3`). The driver's column
encryption policy is not applied.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterable
from struct import Struct
from typing import Any

from cassandra import cqltypes, protocol
from cassandra.protocol import RESULT_KIND_ROWS

from asgi_app.driver.page import Description, RowPage, RowsCorrupt, UnreadableDescription

_INT = Struct(">i")
_ROWS_HEAD = Struct(">ii")  # flags, number of columns
_ROWS = Struct(">iii")  # the kind of result, then the same
_int_at = _INT.unpack_from
_head_at = _ROWS_HEAD.unpack_from
_rows_at = _ROWS.unpack_from
_ONE_TABLE, _MORE_PAGES = 1, 2  # flags: all columns are of one table; a paging state follows
_UDT_HEAD = re.compile(r"(UserType\()[^,]+,([0-9a-f]+)")


class KnownColumns(list[Any]):
    """The columns of a prepared statement as the driver keeps them, and the last description that a response had.

    Every response repeats the names and types of its columns. As long as their bytes do not change, they are not read
    again. Replaces the `result_metadata` of a prepared statement.
    """

    __slots__ = ("seen",)

    def __init__(self, columns: Iterable[Any] = ()) -> None:
        super().__init__(columns)
        self.seen: tuple[int, int, bytes, Description] | None = None
        """The flags, the number of columns and the bytes of the last description, and the `Description` they mean."""


class RawResultMessage(protocol.ResultMessage):  # type: ignore[misc]  # the driver has no types
    """A RESULT response that keeps its rows encoded. The driver creates it while it reads; rows never raise there."""

    def recv_results_rows(self, f: io.BytesIO, *args: Any) -> None:
        """Keep the rows as a `RowPage`. Never raises.

        The parameters differ between drivers, except the last three.
        """
        user_type_map, result_metadata, _column_encryption_policy = args[-3:]
        known = result_metadata if type(result_metadata) is KnownColumns else None
        try:
            self.parsed_rows = self._page(f, user_type_map, result_metadata, known)
        except Exception as defect:  # of any kind: only this response is broken, not the connection
            self.parsed_rows = RowPage(UnreadableDescription(defect), 0, b"")

    @property
    def column_names(self) -> list[str] | None:
        """The names of the columns, as the driver keeps them; None for a result without rows."""
        return list(self.parsed_rows.column_names) if self.parsed_rows is not None else None

    @property
    def column_types(self) -> list[Any] | None:
        """The types of the columns, as `column_names`."""
        return list(self.parsed_rows.description.types) if self.parsed_rows is not None else None

    @classmethod
    def with_known_columns(cls, body: bytes, seen: tuple[int, int, bytes, Description]) -> RawResultMessage | None:
        """Return the response with this body; None if it has no rows or its description differs from `seen`."""
        known_flags, known_width, description, described = seen
        try:
            kind, flags, width = _rows_at(body)
            if kind != RESULT_KIND_ROWS or flags & ~_MORE_PAGES != known_flags or width != known_width:
                return None
            at = _ROWS.size
            paging_state = None
            if flags & _MORE_PAGES:
                start = at + _INT.size
                at = start + _int_at(body, at)[0]
                if at < start:
                    return None
                paging_state = body[start:at]
            if not body.startswith(description, at):
                return None
            at += len(description)
            page = RowPage(described, _int_at(body, at)[0], body[at + _INT.size :])
        except struct.error:  # the body is cut
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
        (row_count,) = _INT.unpack(f.read(4))  # raises if the page is cut, perhaps within its description
        if known is not None and flags & ~_MORE_PAGES in (0, _ONE_TABLE):
            before = _ROWS_HEAD.size + (_INT.size + len(self.paging_state or b"") if flags & _MORE_PAGES else 0)
            known.seen = flags & ~_MORE_PAGES, width, data[start + before : end], described
        return RowPage(described, row_count, f.read())

    @classmethod
    def read_type(cls, f: io.BytesIO, user_type_map: Any) -> Any:
        """Read a type as the driver does, but return an unknown type for a custom type that the driver cannot parse."""
        start = f.tell()
        if int.from_bytes(f.read(2), "big") != protocol.type_codes.CUSTOM_TYPE:
            f.seek(start)
            return super().read_type(f, user_type_map)
        return _custom_type(protocol.read_string(f))


def _custom_type(name: str) -> Any:
    """Return the driver's class for a type that is described by its Java name, such as a vector.

    The driver mistakes the hexadecimal name of a user type for a number if it has only digits (the name of `address`
    has), and fails. The name is not used here, so another one replaces it.
    """
    try:
        return cqltypes.lookup_casstype(_UDT_HEAD.sub(r"\1ks,6f\2", name))
    except Exception:  # the driver's parser raises errors of many kinds
        return cqltypes.BytesType


class RawProtocolHandler(protocol._ProtocolHandler):  # type: ignore[misc]  # the driver has no types
    """The driver's protocol handler with `RawResultMessage` for results, for `session.client_protocol_handler`.

    Use it with the row factory `keep_page`. All other messages are the driver's.
    """

    message_types_by_opcode = protocol._ProtocolHandler.message_types_by_opcode | {
        RawResultMessage.opcode: RawResultMessage
    }

    @classmethod
    def decode_message(cls, *args: Any) -> Any:
        """Decode as the driver does, but skip the description of rows if it is the same as in the last response.

        The first parameters differ between drivers (`scylla-driver` has one more); the last five do not.
        """
        flags, opcode, body, _decompressor, result_metadata = args[-5:]
        if opcode == RawResultMessage.opcode and not flags and type(result_metadata) is KnownColumns:
            seen = result_metadata.seen
            message = None if seen is None else RawResultMessage.with_known_columns(body, seen)
            if message is not None:
                return message
        return super().decode_message(*args)


def keep_page(column_names: Any, parsed_rows: Any) -> Any:
    """Return the `RowPage` unchanged: the driver's `row_factory` to use with `RawProtocolHandler`."""
    return parsed_rows
