"""The forms in which a stream of rows can be sent. A form knows bytes and rows, nothing of HTTP but its media type."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from asgi_app.driver.page import RowPage


class RowFormat(Protocol):
    """Writes one stream: `begin`, then `rows` for each page, then `end`, or `fail` where it breaks off."""

    media_type: str
    content_type: str
    """The media type with its parameters."""

    def begin(self, columns: Sequence[str]) -> bytes:
        """What comes before the first row."""

    def rows(self, page: RowPage) -> bytes:
        """The rows of the next page, with whatever separates them from those before."""

    def in_one_go(self, page: RowPage) -> bytes | None:
        """What `rows` gives, of a large page without keeping other threads waiting; None where that cannot be."""

    def end(self) -> bytes:
        """What comes after the last row of a stream that is whole."""

    def fail(self, problem: bytes) -> bytes:
        """What comes where a stream breaks off; `problem` is a JSON object. The connection is cut after it."""


class JSONArray:
    """One array. A stream that breaks off leaves it open, so that no parser takes it for whole."""

    media_type = content_type = "application/json"

    def __init__(self) -> None:
        self._empty = True

    def begin(self, columns: Sequence[str]) -> bytes:
        return b"["

    def rows(self, page: RowPage) -> bytes:
        return self._after_comma(page.json_rows())

    def in_one_go(self, page: RowPage) -> bytes | None:
        rows = page.transcoded_rows()
        return None if rows is None else self._after_comma(rows)

    def _after_comma(self, rows: bytes) -> bytes:
        if not rows:
            return b""
        separator, self._empty = b"" if self._empty else b",", False
        return separator + rows

    def end(self) -> bytes:
        return b"]"

    def fail(self, problem: bytes) -> bytes:
        return b""


class NDJSON:
    """An object a line; a stream that breaks off ends with a line `{"error": …}`."""

    media_type = content_type = "application/x-ndjson"

    def begin(self, columns: Sequence[str]) -> bytes:
        return b""

    def rows(self, page: RowPage) -> bytes:
        return page.json_lines()

    def in_one_go(self, page: RowPage) -> bytes | None:
        return page.transcoded_lines()

    def end(self) -> bytes:
        return b""

    def fail(self, problem: bytes) -> bytes:
        return b'{"error":%b}\n' % problem


class MessagePack:
    """A sequence of maps, one a row."""

    media_type = content_type = "application/vnd.msgpack"

    def begin(self, columns: Sequence[str]) -> bytes:
        return b""

    def rows(self, page: RowPage) -> bytes:
        return page.msgpack_rows()

    def in_one_go(self, page: RowPage) -> bytes | None:
        return None

    def end(self) -> bytes:
        return b""

    def fail(self, problem: bytes) -> bytes:
        return b""


class CSV:
    """RFC 4180 with a header line. Null is an empty field; a collection is its JSON."""

    media_type = "text/csv"
    content_type = "text/csv; charset=utf-8; header=present"

    def begin(self, columns: Sequence[str]) -> bytes:
        return _csv_lines([columns])

    def rows(self, page: RowPage) -> bytes:
        return _csv_lines([map(_csv_field, row) for row in page.tuples()])

    def in_one_go(self, page: RowPage) -> bytes | None:
        return None

    def end(self) -> bytes:
        return b""

    def fail(self, problem: bytes) -> bytes:
        return b""


FORMATS: Mapping[str, type[RowFormat]] = MappingProxyType(
    {"json": JSONArray, "ndjson": NDJSON, "msgpack": MessagePack, "csv": CSV}
)
"""By the name that `?format=` takes; the first is sent where a client likes several equally."""


class Gzip:
    """Compresses a stream so that what was sent so far can always be read: it flushes after each piece."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)

    def piece(self, data: bytes) -> bytes:
        """The next piece, compressed and flushed."""
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """The trailer, which tells a client that the stream is whole."""
        return self._compressor.flush()


def _csv_lines(rows: Sequence[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _csv_field(value: Any) -> Any:
    if value is None or type(value) in (str, int, float):  # and no bool, which csv would write as True
        return value
    return msgspec.json.encode(value).decode()
