"""Export a table: read its slices, several at once, and write each row once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import anyio
from anyio import CancelScope, CapacityLimiter, to_thread

from asgi_app.db import Database
from asgi_app.errors import SchemaMissing, ServiceError
from asgi_app.runtime.tasks import run_together
from asgi_app.scan.partitioner import has_murmur3
from asgi_app.tables.slices import Slice, slices
from asgi_app.transfer import manifest as manifests
from asgi_app.transfer.export_plan import SLICES, ExportOptions, begin, keep
from asgi_app.transfer.files import locked
from asgi_app.transfer.manifest import Manifest
from asgi_app.transfer.outcomes import Failed, Partial, Refused, TransferError, reason_of
from asgi_app.transfer.part_files import damage, part_file
from asgi_app.transfer.progress import Progress, Say
from asgi_app.transfer.row_writers import TextFormat
from asgi_app.transfer.scanning import Scan
from asgi_app.transfer.table_identity import ChosenColumns
from asgi_app.transfer.table_lookup import chosen_columns, find_table

SAVE_SECONDS = 1.0
"""Seconds between two manifests: a run that is killed loses at most the parts of that time."""

FINAL_SECONDS = 1.0
"""Seconds within which the reader of a text must take the line that says that it is not whole."""

THREADS = 8
"""Pages that are written at once: compiled code writes them, and lets other threads run meanwhile."""

Send = Callable[[bytes], Awaitable[None]]


async def export_to_folder(
    database: Database, name: str, folder: Path, options: ExportOptions, progress: Progress, say: Say
) -> Manifest:
    """Export the table of this name into a folder, and return the manifest when all of it is there.

    Raises Refused, and what `Database.execute` raises, before anything is written, Partial if a run with `resume` can
    do the rest, and Failed otherwise. After a cancellation, whole parts are kept and the manifest names them.
    """
    exported = await _exported(database, name, options.select)
    try:
        await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
        with locked(folder):
            consistency = database.settings.cassandra_consistency
            manifest = await to_thread.run_sync(begin, folder, exported, options, consistency)
            if options.resume:
                manifest = await _kept(database, exported, folder, manifest, say)
            return await _FolderExport(database, exported, manifest, folder, progress).run(options.parallel)
    except OSError as error:
        raise Failed(f"{error.filename or folder} cannot be used: {error.strerror}.") from error


async def export_to_stream(
    database: Database, name: str, send: Send, options: ExportOptions, progress: Progress
) -> None:
    """Export the table of this name as one text.

    Raises Refused, and what `Database.execute` raises, before anything is sent, and Failed after that.

    `send` is awaited with a whole page of rows, one at a time; it raises OSError if it cannot. The format is NDJSON or
    CSV. NDJSON that is not whole, also after a cancellation, ends with a line that `import` knows.
    """
    exported = await _exported(database, name, options.select)
    form = TextFormat(options.format or "ndjson", exported.columns)
    consistency = options.consistency or database.settings.cassandra_consistency
    progress.total = options.slices or SLICES
    text = _Text(send)
    stream = _StreamExport(
        Scan(database, exported.table, exported.columns, consistency, progress), form, text, progress
    )
    is_whole = False
    try:
        await text.send(form.header)
        await _each(slices(progress.total), options.parallel, stream, progress)
        await _check_unchanged(database, exported)
        is_whole = True
    except (ServiceError, OSError) as error:
        raise await _failed(database, exported, error) or Failed(_reason(error)) from error
    finally:
        if not is_whole:
            with CancelScope(shield=True), anyio.move_on_after(FINAL_SECONDS), suppress(OSError):
                await text.break_off(form.broken_off)


async def _exported(database: Database, name: str, select: Sequence[str]) -> ChosenColumns:
    """Return the table of this name, and its columns to export. Raises Refused if that is not possible."""
    table = await find_table(database, name)
    if not has_murmur3(database):
        raise Refused("The cluster does not use the partitioner Murmur3, whose tokens the slices are made of.")
    return await ChosenColumns.now(database, table, chosen_columns(table, select))


async def _kept(database: Database, exported: ChosenColumns, folder: Path, manifest: Manifest, say: Say) -> Manifest:
    """Return the manifest with the parts whose files are whole. Reads them one by one, so that it can be cancelled.

    Raises Refused if others are missing, and the table does not have the rows any more that the whole parts have.
    """
    whole = [part for part in manifest.parts if await to_thread.run_sync(damage, folder, part) is None]
    if manifest.finished_at is None or len(whole) < manifest.slices:
        await _check_same_table(database, exported, folder, manifest)
    return await to_thread.run_sync(keep, folder, manifest, whole, say)


async def _check_same_table(database: Database, exported: ChosenColumns, folder: Path, manifest: Manifest) -> None:
    """Raise Refused if the table was changed since the export in the folder began."""
    begun = _begun(exported, manifest)
    change = await begun.change(database)
    if change is not None:
        raise Refused(
            f"{exported.name} {change} since the export in {folder} began, or is in another cluster. Name another "
            "folder."
        )


def _begun(exported: ChosenColumns, manifest: Manifest) -> ChosenColumns:
    """Return what is exported as it was when the export began."""
    columns = tuple(exported.table.column(name) for name in manifest.column_names)
    return ChosenColumns(exported.table, columns, manifest.identity, manifest.started_at)


class _Export(Protocol):
    async def slice(self, each: Slice) -> None:
        """Export the rows of one slice."""


async def _each(todo: Iterator[Slice], parallel: int, export: _Export, progress: Progress) -> None:
    """Export slices, `parallel` at once. Raises the first failure after it has ended the others."""

    async def work() -> None:
        for each in todo:
            await export.slice(each)
            progress.done += 1

    await run_together([work] * parallel)


class _FolderExport:
    """The export of the slices that a manifest lacks, into its folder."""

    def __init__(
        self, database: Database, exported: ChosenColumns, manifest: Manifest, folder: Path, progress: Progress
    ) -> None:
        self._database = database
        self._exported = _begun(exported, manifest)
        self._columns = self._exported.columns
        self._scan = Scan(database, exported.table, self._columns, manifest.consistency, progress)
        self._manifest = manifest
        self._folder = folder
        self._progress = progress
        self._parts = list(manifest.parts)
        self._threads = CapacityLimiter(THREADS)
        self._saving = anyio.Lock()
        self._saved, self._saved_at = len(self._parts), time.monotonic()

    async def run(self, parallel: int) -> Manifest:
        """Export what is missing, and return the finished manifest. Does nothing if it was finished before."""
        missing = self._manifest.missing()
        self._progress.total = self._manifest.slices
        self._progress.done = self._progress.kept = self._manifest.slices - len(missing)
        if self._manifest.finished_at is not None:
            return self._manifest
        try:
            await _each(iter(missing), parallel, self, self._progress)
            await _check_unchanged(self._database, self._exported)
            return await self._save(finished=True)
        except (ServiceError, OSError) as error:
            raise await self._outcome(error) from error
        finally:
            with CancelScope(shield=True), suppress(OSError):  # a full disk keeps the manifest before
                await self._save_rest()

    async def slice(self, each: Slice) -> None:
        """Export one slice to its file."""
        with part_file(self._folder, self._manifest, each, self._columns) as file:
            async with self._scan.pages(each) as pages:
                async for page in pages:
                    before = file.bytes
                    await to_thread.run_sync(file.add, page, limiter=self._threads)
                    self._progress.rows += page.row_count
                    self._progress.bytes += file.bytes - before
            self._parts.append(await to_thread.run_sync(file.commit, limiter=self._threads))
        if time.monotonic() - self._saved_at > SAVE_SECONDS:
            await self._save()

    async def _save(self, *, finished: bool = False) -> Manifest:
        """Write the manifest with the parts so far."""
        async with self._saving:
            now = self._manifest.with_parts(self._parts, finished=finished)
            await to_thread.run_sync(manifests.save, self._folder, now)
            self._saved, self._saved_at = len(now.parts), time.monotonic()
            return now

    async def _save_rest(self) -> None:
        """Write the manifest if it lacks a part."""
        if self._saved < len(self._parts):
            await self._save()

    async def _outcome(self, error: ServiceError | OSError) -> TransferError:
        failed = await _failed(self._database, self._exported, error)
        return failed or Partial(f"{_reason(error)} {len(self._parts)} of {self._manifest.slices} parts are whole.")


class _StreamExport:
    """The export of slices as one text."""

    def __init__(self, scan: Scan, form: TextFormat, text: _Text, progress: Progress) -> None:
        self._scan = scan
        self._form = form
        self._text = text
        self._progress = progress
        self._turn = anyio.Lock()

    async def slice(self, each: Slice) -> None:
        """Send the rows of one slice."""
        async with self._scan.pages(each) as pages:
            async for page in pages:
                rows = await to_thread.run_sync(self._form.rows, page)
                async with self._turn:
                    await self._text.send(rows)
                self._progress.rows += page.row_count
                self._progress.bytes += len(rows)


class _Text:
    """A text that is sent piece by piece. A piece that failed or was cancelled may have been sent in part."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_cut = False

    async def send(self, piece: bytes) -> None:
        """Send whole lines."""
        self._is_cut = True
        await self._send(piece)
        self._is_cut = False

    async def break_off(self, last_line: bytes) -> None:
        """End a text that is not whole, with a line that is not glued to a part of another; empty if there is none."""
        if last_line:
            await self._send(b"\n" + last_line if self._is_cut else last_line)


# --- what went wrong


async def _check_unchanged(database: Database, exported: ChosenColumns) -> None:
    """Raise Failed if the table does not have the rows any more whose export began."""
    change = await exported.change(database)
    if change is not None:
        raise Failed(f"{exported.name} {change} while it was exported.")


async def _failed(database: Database, exported: ChosenColumns, error: ServiceError | OSError) -> Failed | None:
    """Return the failure if a change of the table is the cause of an error, which then may be any."""
    if isinstance(error, OSError):
        return None
    try:
        await _check_unchanged(database, exported)
    except Failed as failed:
        return failed
    except ServiceError:
        pass
    if isinstance(error, SchemaMissing):
        return Failed(f"{exported.name} was dropped or altered while it was exported.")
    return None


def _reason(error: ServiceError | OSError) -> str:
    """Return the sentence of a failure."""
    if isinstance(error, BrokenPipeError):
        return "What reads standard output has closed it before the end."
    if isinstance(error, OSError):
        return f"{error.filename or 'Standard output'} could not be written: {error.strerror}."
    return reason_of(error)
