"""The manifest of an export: what it contains, and which of its parts are whole."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from asgi_app.tables import slices as ring
from asgi_app.tables.cql import Queries, create_types
from asgi_app.tables.slices import Slice
from asgi_app.tables.table import Column, ColumnKind, Table
from asgi_app.transfer.files import replace_file
from asgi_app.transfer.outcomes import Failed
from asgi_app.transfer.table_identity import Identity

NAME = "manifest.json"
VERSION: Final = 1

Format = Literal["ndjson", "csv", "parquet"]

_Count = Annotated[int, Meta(ge=0)]


class ManifestColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column of the exported table: its name, its CQL type and its kind."""

    name: str
    type: str
    kind: ColumnKind


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file, with the rows of one slice."""

    slice: str
    file: str
    rows: _Count
    bytes: _Count
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An export, planned or done. `finished_at` is None until it is whole.

    `identity` is that of the exported columns when the export began. `started_at` is a time by the clock of a node of
    Cassandra. `digest` is the SHA-256 of the manifest without it, to find changes by accident.
    """

    version: Literal[1] = VERSION
    keyspace: str
    table: str
    identity: Identity
    format: Format
    gzip: bool
    slices: Annotated[int, Meta(ge=1, le=65536)]
    columns: tuple[ManifestColumn, ...]
    partition_key: tuple[str, ...]
    clustering_columns: tuple[str, ...]
    create_table: str
    consistency: str
    started_at: datetime
    finished_at: datetime | None = None
    rows: _Count = 0
    parts: tuple[Part, ...] = ()
    digest: str = ""

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the exported columns, in the order in which the parts have them."""
        return tuple(column.name for column in self.columns)

    @property
    def all_slices(self) -> list[Slice]:
        """Every slice of the ring, in order."""
        return list(ring.slices(self.slices))

    def missing(self) -> list[Slice]:
        """Return the slices that have no part, in order."""
        done = {part.slice for part in self.parts}
        return [each for each in self.all_slices if str(each) not in done]

    def part_name(self, each: Slice) -> str:
        """Return the name of a slice's file, such as `part-0003-of-0064.ndjson.gz`."""
        return f"part-{each.index:04}-of-{each.count:04}.{self.format}{'.gz' if self.gzip else ''}"

    def with_parts(self, parts: Iterable[Part], *, finished: bool = False) -> Manifest:
        """Return the manifest with these parts in place of its own; `finished` if that is the whole table."""
        ordered = tuple(sorted(parts, key=lambda part: part.file))
        at = datetime.now(UTC) if finished else None
        return replace(self, parts=ordered, rows=sum(part.rows for part in ordered), finished_at=at)


def plan(
    table: Table,
    columns: Sequence[Column],
    identity: Identity,
    *,
    started_at: datetime,
    form: Format,
    gzip: bool,
    slices: int,
    consistency: str,
) -> Manifest:
    """Return the manifest of an export of `columns` that begins at `started_at`. The table has its keyspace."""
    keyspace = table.keyspace or ""
    return Manifest(
        keyspace=keyspace,
        table=table.name,
        identity=identity,
        format=form,
        gzip=gzip,
        slices=slices,
        columns=described(columns),
        partition_key=table.partition_key,
        clustering_columns=table.clustering_columns,
        create_table=";\n".join([*create_types(keyspace, [table]), Queries(keyspace, table).create_table()]),
        consistency=consistency,
        started_at=started_at,
    )


def described(columns: Iterable[Column]) -> tuple[ManifestColumn, ...]:
    """Return columns as a manifest has them."""
    return tuple(ManifestColumn(column.name, str(column.type), column.kind) for column in columns)


def save(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest of a folder, so that it is always whole. Raises OSError."""
    signed = replace(manifest, digest=_digest(manifest))
    replace_file(folder / NAME, msgspec.json.format(msgspec.json.encode(signed), indent=2) + b"\n")


def load(folder: Path) -> Manifest | None:
    """Return the manifest of a folder, None if it has none.

    Raises Failed if it is not one, or was changed after it was written, and OSError.
    """
    path = folder / NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if _is_newer(data):
            raise Failed(f"{path} was written by a newer version of asgi-cassandra: use that one.") from error
        raise Failed(f"{path} is not the manifest of an export: {error}.") from error
    if manifest.digest != _digest(manifest) or not _is_consistent(manifest):
        raise Failed(f"{path} was changed after it was written: it no longer says what the parts contain.")
    return manifest


class _Versioned(msgspec.Struct):
    version: int = 0


def _is_newer(data: bytes) -> bool:
    """Return whether this is a manifest of a version that is not known yet."""
    try:
        return msgspec.json.decode(data, type=_Versioned).version > VERSION
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(msgspec.json.encode(replace(manifest, digest=""))).hexdigest()


def _is_consistent(manifest: Manifest) -> bool:
    """Return whether each part is the file of a slice, none twice: a name of a part is never a path elsewhere."""
    names = {str(each): manifest.part_name(each) for each in manifest.all_slices}
    named = [part.file for part in manifest.parts]
    right = all(names.get(part.slice) == part.file for part in manifest.parts)
    return right and _differ(named) and manifest.rows == sum(part.rows for part in manifest.parts)


def _differ(names: Collection[str]) -> bool:
    return len(set(names)) == len(names)
