"""Begin an export: what its manifest plans, or whether it continues the export that a folder has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asgi_app.transfer import manifest as manifests
from asgi_app.transfer.files import TEMPORARY
from asgi_app.transfer.manifest import Format, Manifest, Part
from asgi_app.transfer.outcomes import Refused
from asgi_app.transfer.progress import Say
from asgi_app.transfer.table_identity import ChosenColumns

SLICES = 64
"""Into how many slices an export cuts the ring, unless it is told."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What to export, and how. None means the default, or what the manifest says that is resumed.

    `select`: the names of the columns, all if there are none. `parallel`: how many slices are read at once.
    """

    format: Format | None = None
    gzip: bool | None = None
    slices: int | None = None
    select: Sequence[str] = ()
    consistency: str | None = None
    parallel: int = 4
    resume: bool = False


def begin(folder: Path, exported: ChosenColumns, options: ExportOptions, consistency: str) -> Manifest:
    """Return the manifest of a new export after it was written, or that of the one that is resumed.

    `consistency` is that of a new export whose options name none. Raises Refused if the folder has another export, or
    one that is not to be resumed, Failed for a damaged manifest, and OSError.
    """
    found = manifests.load(folder)
    if found is None:
        _check_no_parts(folder)
        manifest = _new(exported, options, consistency)
        manifests.save(folder, manifest)
        return manifest
    if not options.resume:
        raise Refused(
            f"{folder} has an export of {found.keyspace}.{found.table} already. Resume it with --resume, or name "
            "another folder."
        )
    _check_same_table(found, exported, folder)
    _check_columns(found, exported, folder)
    _check_options(found, exported, options, folder)
    return found


def _check_no_parts(folder: Path) -> None:
    """Raise Refused if the folder has parts without a manifest: what reads all of its files would read both exports."""
    part = next((path for path in folder.glob("part-*-of-*") if path.suffix != TEMPORARY), None)
    if part is not None:
        raise Refused(
            f"{folder} has no {manifests.NAME}, but files of another export, such as {part.name}. Remove them, or name "
            "another folder."
        )


def _new(exported: ChosenColumns, options: ExportOptions, consistency: str) -> Manifest:
    return manifests.plan(
        exported.table,
        exported.columns,
        exported.identity,
        started_at=exported.began,
        form=options.format or "ndjson",
        gzip=bool(options.gzip),
        slices=options.slices or SLICES,
        consistency=options.consistency or consistency,
    )


def keep(folder: Path, found: Manifest, whole: Sequence[Part], say: Say) -> Manifest:
    """Return the manifest with the parts that are `whole`, after what is left of others was removed. Raises OSError."""
    for path in folder.glob(f"part-*{TEMPORARY}"):
        path.unlink(missing_ok=True)
    damaged = len(found.parts) - len(whole)
    say(
        f"{folder}: {len(whole)} of {found.slices} parts are whole and kept, {found.slices - len(whole)} are to be made"
        + (f", {damaged} of them because their files are missing or damaged." if damaged else ".")
    )
    if not damaged:
        return found
    resumed = found.with_parts(whole)
    manifests.save(folder, resumed)
    return resumed


# --- whether the folder has the same export


def _check_same_table(found: Manifest, exported: ChosenColumns, folder: Path) -> None:
    if (found.keyspace, found.table) != (exported.table.keyspace, exported.table.name):
        raise Refused(
            f"{folder} has an export of {found.keyspace}.{found.table}, not of {exported.name}. Name another folder."
        )


def _check_columns(found: Manifest, exported: ChosenColumns, folder: Path) -> None:
    """Raise Refused if the table does not have the columns of the manifest any more."""
    live = {column.name: column for column in manifests.described(exported.table.columns)}
    changed = [column.name for column in found.columns if live.get(column.name) != column]
    if changed:
        raise Refused(
            f"{exported.name} has changed since the export in {folder} began: see the columns {', '.join(changed)}. "
            "Export it into another folder."
        )


def _check_options(found: Manifest, exported: ChosenColumns, options: ExportOptions, folder: Path) -> None:
    """Raise Refused for an option with another value than the export has. Those that are not given do not matter."""
    if options.select and manifests.described(exported.columns) != found.columns:
        raise Refused(f"The export in {folder} has the columns {', '.join(found.column_names)}. Leave --select out.")
    for option in ("format", "gzip", "slices", "consistency"):
        given, begun = getattr(options, option), getattr(found, option)
        if given is not None and given != begun:
            raise Refused(f"The export in {folder} began with {option} {begun}, not {given}. Leave --{option} out.")
