"""Write one part of an export: the file of a slice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from asgi_app.driver.page import RowPage
from asgi_app.tables.slices import Slice
from asgi_app.tables.table import Column
from asgi_app.transfer.files import WholeFile, facts_of
from asgi_app.transfer.manifest import Manifest, Part
from asgi_app.transfer.row_writers import RowWriter, TextFormat, TextWriter


class PartFile:
    """The file of one slice. Use it in one thread at a time; its methods raise OSError."""

    def __init__(self, folder: Path, manifest: Manifest, each: Slice, columns: Sequence[Column]) -> None:
        self._slice = each
        self._name = manifest.part_name(each)
        self._file = WholeFile(folder / self._name)
        self._writer = _writer(self._file, manifest, columns)
        self.rows = 0

    @property
    def bytes(self) -> int:
        """The bytes that were written so far."""
        return self._file.tell()

    def add(self, page: RowPage) -> None:
        """Write the rows of the next page."""
        self._writer.write(page)
        self.rows += page.row_count

    def commit(self) -> Part:
        """Finish the file, give it its name, and return what the manifest says of it."""
        self._writer.finish()
        facts = self._file.commit()
        return Part(str(self._slice), self._name, self.rows, facts.bytes, facts.sha256)

    def abort(self) -> None:
        """Remove what was written, unless `commit` was called. Never raises."""
        self._file.abort()


def _writer(file: WholeFile, manifest: Manifest, columns: Sequence[Column]) -> RowWriter:
    if manifest.format == "parquet":
        from asgi_app.transfer.parquet_writer import ParquetWriter

        return ParquetWriter(file, columns)
    return TextWriter(file.write, TextFormat(manifest.format, columns), gzip=manifest.gzip)


def damage(folder: Path, part: Part) -> str | None:
    """Return what is wrong with the file of a part, None if nothing is. Reads all of it. Raises OSError."""
    path = folder / part.file
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return f"{path} is missing"
    if size != part.bytes:
        return f"{path} has {size} bytes, and the manifest says {part.bytes}: it was cut or changed"
    if facts_of(path).sha256 != part.sha256:
        return f"{path} has other content than the manifest says: it was changed"
    return None


@contextmanager
def part_file(folder: Path, manifest: Manifest, each: Slice, columns: Sequence[Column]) -> Iterator[PartFile]:
    """Open the file of a slice, and remove it at the end of the block if it was not committed."""
    file = PartFile(folder, manifest, each, columns)
    try:
        yield file
    finally:
        file.abort()
