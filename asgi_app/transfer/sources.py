"""What can be imported: the folder of an export, or one file."""

from __future__ import annotations

import gzip
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple, cast

from asgi_app.transfer import manifest as manifests
from asgi_app.transfer.csv_records import fields_of, records_of
from asgi_app.transfer.manifest import Format, Manifest, Part
from asgi_app.transfer.outcomes import Failed, Refused
from asgi_app.transfer.part_files import damage
from asgi_app.transfer.standard_input import StandardInput

FORMATS: Mapping[str, Format] = MappingProxyType(
    {".ndjson": "ndjson", ".jsonl": "ndjson", ".csv": "csv", ".parquet": "parquet"}
)
"""The formats by the endings of file names."""

STDIN = Path("-")

_GZIP = ".gz"


class OpenedFile(NamedTuple):
    """The text or Parquet of a file, and a function that says how many of the file's bytes were read."""

    content: BinaryIO
    position: Callable[[], int]


def _nowhere() -> int:
    """Return 0: what reads Parquet jumps to and fro."""
    return 0


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of rows. `part` is what a manifest says of it."""

    path: Path
    format: Format
    gzip: bool
    bytes: int
    part: Part | None = None

    @property
    def name(self) -> str:
        """The name by which reports call it."""
        return "standard input" if self.path == STDIN else self.path.name

    @property
    def is_in_ring_order(self) -> bool:
        """Whether its rows come as they lie on the ring: in a part of an export, or from one through a pipe."""
        return self.part is not None or self.path == STDIN

    def check(self) -> None:
        """Raise Failed if the file is not what the manifest says. Reads all of it; raises OSError."""
        if self.part is not None:
            found = damage(self.path.parent, self.part)
            if found is not None:
                raise Failed(f"{found}.")

    @contextmanager
    def open(self) -> Iterator[OpenedFile]:
        """Open the file for the duration of the block.

        A Failed of the block gets the file's name. Raises Failed too if compressed data is damaged, and OSError.
        """
        try:
            if self.path == STDIN:
                stdin = StandardInput()
                yield OpenedFile(stdin.buffered(), stdin.tell)
                return
            if self.gzip and not self.bytes:
                raise EOFError  # Python takes no bytes for an empty text
            with self.path.open("rb") as stored:
                file = cast(BinaryIO, gzip.GzipFile(fileobj=stored)) if self.gzip else stored
                yield OpenedFile(file, stored.tell if self.format != "parquet" else _nowhere)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise Failed(f"{self.path} is not whole: its compressed data is cut or damaged.") from error
        except Failed as error:
            raise Failed(f"{self.name if self.path == STDIN else self.path}: {error}") from error


@dataclass(frozen=True, slots=True)
class Source:
    """The files to import. `columns` are those that they have, None if only the rows say that.

    `types` are the CQL types of the columns as a manifest has them; empty without one. `exported_at` and `digest` come
    from it too; None without one.
    """

    files: tuple[SourceFile, ...]
    columns: tuple[str, ...] | None
    types: Mapping[str, str]
    exported_at: datetime | None = None
    digest: str | None = None

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.bytes for file in self.files)


def open_source(path: Path, form: Format | None) -> Source:
    """Return what is at a path: the folder of a finished export, or a file; `STDIN` is NDJSON on standard input.

    `form` is the format of a file whose name does not say it. Looks at the sizes of parts, and not into them. Raises
    Refused, Failed and OSError.
    """
    if path == STDIN:
        return Source((SourceFile(path, "ndjson", gzip=False, bytes=0),), None, {})
    return _folder(path) if path.is_dir() else _file(path, form)


def _folder(folder: Path) -> Source:
    manifest = manifests.load(folder)
    if manifest is None:
        raise Refused(f"{folder} has no {manifests.NAME}: it is not an export. Files are imported one by one.")
    if manifest.finished_at is None:
        missing = len(manifest.missing())
        raise Refused(
            f"The export in {folder} is not finished: {missing} of {manifest.slices} parts are not noted in "
            "its manifest yet. Resume it first."
        )
    files = tuple(_part(folder, manifest, part) for part in manifest.parts)
    types = {column.name: column.type for column in manifest.columns}
    return Source(files, manifest.column_names, types, manifest.started_at, manifest.digest)


def _part(folder: Path, manifest: Manifest, part: Part) -> SourceFile:
    path = folder / part.file
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise Failed(f"{path} is missing. The export must be made again.") from None
    if size != part.bytes:
        raise Failed(f"{path} has {size} bytes, and the manifest says {part.bytes}: it was cut or changed.")
    return SourceFile(path, manifest.format, manifest.gzip, part.bytes, part)


def _file(path: Path, form: Format | None) -> Source:
    plain = path.with_suffix("") if path.suffix == _GZIP else path
    found = form or FORMATS.get(plain.suffix)
    if found is None:
        raise Refused(
            f"The name of {path} does not end with {', '.join(FORMATS)} or one of these and {_GZIP}: add --format."
        )
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise Refused(f"{path} is not a file. Rows that come through a pipe are read from standard input: name `-`.")
    file = SourceFile(path, found, path.suffix == _GZIP, status.st_size)
    return Source((file,), _columns_in(file), {})


def _columns_in(file: SourceFile) -> tuple[str, ...] | None:
    """Return the columns that the head of a file names; None for NDJSON, whose rows name theirs."""
    if file.format == "ndjson":
        return None
    with file.open() as opened:
        if file.format == "parquet":
            from asgi_app.transfer.parquet_reader import columns_in

            return columns_in(opened.content)
        return header_of(opened.content)


def header_of(file: BinaryIO) -> tuple[str, ...]:
    """Return the names in the first record of a CSV file. Raises Failed if there is none, or one is there twice."""
    try:
        header = fields_of(next(records_of(file))[1])
    except StopIteration:
        raise Failed("The file is empty: a CSV file begins with the names of its columns.") from None
    except ValueError as error:
        raise Failed(f"The first line is not CSV: {error}.") from error
    names = [name or "" for name in header]
    if len(set(names)) < len(names):
        raise Failed("The first line names a column twice.")
    return tuple(names)
