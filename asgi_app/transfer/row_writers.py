"""Write pages of rows in the format of an export: the bytes of its files, and of standard output."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from asgi_app.driver.page import JSON_LINES, Encoding, RowPage
from asgi_app.http.formats import CSV, CSV_RECORDS, NDJSON
from asgi_app.tables.table import Column
from asgi_app.transfer.manifest import Format

Write = Callable[[bytes], object]
"""Takes the next bytes of a file."""


class RowWriter(Protocol):
    """Writes the rows of one file, in a worker thread. Its methods raise what the file raises."""

    def write(self, page: RowPage) -> None:
        """Write the rows of the next page."""

    def finish(self) -> None:
        """Write what belongs after the last row."""


class TextFormat:
    """NDJSON or CSV, with the same bytes that a stream of the service has."""

    def __init__(self, form: Format, columns: Sequence[Column]) -> None:
        self._encoding = _ENCODINGS[form]
        self.header = CSV().begin([column.name for column in columns]) if form == "csv" else b""
        self.broken_off = NDJSON().fail(b'{"detail":"The export broke off."}') if form == "ndjson" else b""
        """What ends a text that is not whole: CSV has nothing that a reader could not take for a row."""

    def rows(self, page: RowPage) -> bytes:
        """Return the rows of a page."""
        return page.encoded(self._encoding)


_ENCODINGS: Mapping[str, Encoding] = MappingProxyType({"ndjson": JSON_LINES, "csv": CSV_RECORDS})


class TextWriter:
    """Writes text, compressed by gzip if it shall be."""

    def __init__(self, write: Write, form: TextFormat, *, gzip: bool) -> None:
        self._write = write
        self._form = form
        self._compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16) if gzip else None
        self._add(form.header)

    def write(self, page: RowPage) -> None:
        """See `RowWriter`."""
        self._add(self._form.rows(page))

    def finish(self) -> None:
        """See `RowWriter`."""
        if self._compressor is not None:
            self._write(self._compressor.flush())

    def _add(self, data: bytes) -> None:
        self._write(data if self._compressor is None else self._compressor.compress(data))
