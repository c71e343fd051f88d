"""The forms in which a stream of rows can be sent. A form knows bytes and rows, nothing of HTTP but its media type."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from asgi_app.driver.page import RowPage
from asgi_app.driver.transcoding import without_line_ends


class RowFormat(Protocol):
    """Writes one stream: `begin`, then `rows` for each page, then `end`, or `fail` where it breaks off."""

    media_type: str
    other_names: Sequence[str]
    """Media types that people use for the same."""
    parameters: str
    """What follows the media type in a Content-Type."""

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

    media_type = "application/json"
    other_names: Sequence[str] = ()
    parameters = ""

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
        return page.json_lines()

    def in_one_go(self, page: RowPage) -> bytes | None:
        return page.transcoded_lines()

    def end(self) -> bytes:
        return b""

    def fail(self, problem: bytes) -> bytes:
        return b'{"error":%b}\n' % without_line_ends(problem)


class MessagePack:
    """A sequence of maps, one a row."""

    media_type = "application/vnd.msgpack"
    other_names: Sequence[str] = ("application/msgpack", "application/x-msgpack")
    parameters = ""

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


_QUOTE = '"'
_to_be_quoted = re.compile(r'[",\r\n]').search


class CSV:
    """RFC 4180 with a header line. Null is an empty field, an empty text `""`; a collection is its JSON."""

    media_type = "text/csv"
    other_names: Sequence[str] = ("application/csv", "text/x-csv", "application/x-csv")
    parameters = "; charset=utf-8; header=present"

    def begin(self, columns: Sequence[str]) -> bytes:
        return _csv_line(columns).encode()

    def rows(self, page: RowPage) -> bytes:
        return "".join([_csv_line(row) for row in page.tuples()]).encode()

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

MEDIA_TYPES: Mapping[str, type[RowFormat]] = MappingProxyType(
    {form.media_type: form for form in FORMATS.values()}
    | {name: form for form in FORMATS.values() for name in form.other_names}
)
"""Every media type that `Accept` may name, the registered or usual one of each form first: a wildcard gets that."""


def named(media_type: str) -> RowFormat:
    """Return a writer of the form with this media type of `MEDIA_TYPES`, under that very name."""
    form = MEDIA_TYPES[media_type]()
    form.media_type = media_type
    return form


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


def _csv_line(row: Sequence[Any]) -> str:
    """Return a record. Null is `""` where it is the only field, because most readers skip an empty line."""
    return (",".join(map(_csv_field, row)) or '""') + "\r\n"


def _csv_field(value: Any) -> str:
    """Return a field that tells null from an empty text, which `csv.writer` can do from Python 3.12 on only."""
    if value is None:
        return ""
    kind = type(value)
    if kind is str:
        return value if value and not _to_be_quoted(value) else f'"{value.replace(_QUOTE, _QUOTE * 2)}"'
    if kind is int or kind is float:  # and no bool, which JSON writes in lower case
        return str(value)
    return _csv_field(msgspec.json.encode(value).decode())
