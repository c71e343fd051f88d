"""The formats in which a stream of rows can be sent: JSON, NDJSON, MessagePack, CSV, and gzip around them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from asgi_app.driver.page import JSON_LINES, JSON_OBJECTS, MSGPACK, Encoding, RowPage, Rows
from asgi_app.driver.transcoding import without_line_ends


class RowFormat(Protocol):
    """Encodes one stream: `begin`, then `rows` for each page or part of one, then `end`, or `fail` if it breaks off."""

    media_type: str
    other_names: Sequence[str]
    """Other media types in use for this format."""
    parameters: str
    """The parameters after the media type in Content-Type."""

    def begin(self, columns: Sequence[str]) -> bytes:
        """Return the bytes before the first row. `columns`: the names of the columns."""

    def rows(self, page: RowPage) -> bytes:
        """Return the rows of the next page, after what separates them from the rows before.

        Call it in a worker thread for a page of 32 KiB (`page.PART_BYTES`) or more: it may sleep.
        """

    def end(self) -> bytes:
        """Return the bytes after the last row of a complete stream."""

    def fail(self, problem: bytes) -> bytes:
        """Return the bytes before the connection is cut if the stream fails. `problem`: the error as a JSON object."""


class JSONArray:
    """One array of objects. It stays open if the stream breaks off, so that no parser mistakes it for complete."""

    media_type = "application/json"
    other_names: Sequence[str] = ()
    parameters = ""

    def __init__(self) -> None:
        self._empty = True

    def begin(self, columns: Sequence[str]) -> bytes:
        return b"["

    def rows(self, page: RowPage) -> bytes:
        rows = page.encoded(JSON_OBJECTS, in_parts=True)
        if not rows:
            return b""
        separator, self._empty = b"" if self._empty else b",", False
        return separator + rows

    def end(self) -> bytes:
        return b"]"

    def fail(self, problem: bytes) -> bytes:
        return b""


class NDJSON:
    """One object per line. If the stream breaks off, the last line is `{"error": …}`."""

    media_type = "application/x-ndjson"
    other_names: Sequence[str] = (
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
        "application/json-lines",
        "text/ndjson",
        "text/x-ndjson",
        "text/jsonl",
        "text/x-jsonl",
    )
    parameters = ""

    def begin(self, columns: Sequence[str]) -> bytes:
        return b""

    def rows(self, page: RowPage) -> bytes:
        return page.encoded(JSON_LINES, in_parts=True)

    def end(self) -> bytes:
        return b""

    def fail(self, problem: bytes) -> bytes:
        return b'{"error":%b}\n' % without_line_ends(problem)


class MessagePack:
    """A sequence of maps, one per row."""

    media_type = "application/vnd.msgpack"
    other_names: Sequence[str] = ("application/msgpack", "application/x-msgpack")
    parameters = ""

    def begin(self, columns: Sequence[str]) -> bytes:
        return b""

    def rows(self, page: RowPage) -> bytes:
        return page.encoded(MSGPACK, in_parts=True)

    def end(self) -> bytes:
        return b""

    def fail(self, problem: bytes) -> bytes:
        return b""


def _write_csv(rows: Rows) -> bytes:
    return "".join([_csv_line(row) for row in rows.tuples()]).encode()


CSV_RECORDS = Encoding(_write_csv)

_QUOTE = '"'
_needs_quotes = re.compile(r'[",\r\n]').search


class CSV:
    """RFC 4180 with a header line. Null is an empty field, an empty text is `""`, and a collection is its JSON."""

    media_type = "text/csv"
    other_names: Sequence[str] = ("application/csv", "text/x-csv", "application/x-csv")
    parameters = "; charset=utf-8; header=present"

    def begin(self, columns: Sequence[str]) -> bytes:
        return _csv_line(columns).encode()

    def rows(self, page: RowPage) -> bytes:
        return page.encoded(CSV_RECORDS, in_parts=True)

    def end(self) -> bytes:
        return b""

    def fail(self, problem: bytes) -> bytes:
        return b""


FORMATS: Mapping[str, type[RowFormat]] = MappingProxyType(
    {"json": JSONArray, "ndjson": NDJSON, "msgpack": MessagePack, "csv": CSV}
)
"""The formats by their names in `?format=`. The first is sent if a client accepts several equally."""

MEDIA_TYPES: Mapping[str, type[RowFormat]] = MappingProxyType(
    {form.media_type: form for form in FORMATS.values()}
    | {name: form for form in FORMATS.values() for name in form.other_names}
)
"""Every media type that `Accept` may name. The registered or usual names come first: a wildcard selects one of them."""


def named(media_type: str) -> RowFormat:
    """Return an encoder for one of `MEDIA_TYPES`; its `media_type` is the name the client used."""
    form = MEDIA_TYPES[media_type]()
    form.media_type = media_type
    return form


class Gzip:
    """Compresses a stream and flushes after each piece, so that everything sent so far can be decompressed."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)

    def piece(self, data: bytes) -> bytes:
        """Compress and flush the next piece."""
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """Return the trailer, which shows a client that the stream is complete."""
        return self._compressor.flush()


def _csv_line(row: Sequence[Any]) -> str:
    """Return a record. Null is `""` if it is the only field, because most readers skip an empty line."""
    return (",".join(map(_csv_field, row)) or '""') + "\r\n"


def _csv_field(value: Any) -> str:
    """Return a field. It distinguishes null from an empty text, which `csv.writer` can only from Python 3.12 on."""
    if value is None:
        return ""
    kind = type(value)
    if kind is str:
        return value if value and not _needs_quotes(value) else f'"{value.replace(_QUOTE, _QUOTE * 2)}"'
    if kind is int or kind is float:  # not bool, which JSON writes in lower case
        return str(value)
    return _csv_field(msgspec.json.encode(value).decode())
