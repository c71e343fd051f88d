"""Export a table: read its slices, several at once, and write each row once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio
from anyio import CancelScope, CapacityLimiter, to_thread

from asgi_app.db import Database
from asgi_app.errors import SchemaMissing, ServiceError
from asgi_app.scan import has_murmur3
from asgi_app.tables.slices import Slice, slices
from asgi_app.tables.table import Column, Table
from asgi_app.transfer import manifest as manifests
from asgi_app.transfer.files import TEMPORARY, locked
from asgi_app.transfer.live_table import chosen_columns, find_table, id_of
from asgi_app.transfer.manifest import Format, Manifest
from asgi_app.transfer.outcomes import Failed, Partial, Refused, TransferError
from asgi_app.transfer.part_files import part_file, whole_parts
from asgi_app.transfer.progress import Progress
from asgi_app.transfer.row_writers import TextFormat
from asgi_app.transfer.scanning import Scan

SLICES = 64
SAVE_SECONDS = 1.0
"""Seconds between two manifests: a run that is killed loses at most the parts of that time."""

Say = Callable[[str], None]
"""Tells the person at the command line a sentence."""

Send = Callable[[bytes], Awaitable[None]]


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


async def export_to_folder(
    database: Database, name: str, folder: Path, options: ExportOptions, progress: Progress, say: Say
) -> Manifest:
    """Export the table of this name into a folder, and return the manifest when all of it is there.

    Raises Refused before anything is written, Partial if a run with `resume` can do the rest, and Failed otherwise.
    After a cancellation, whole parts are kept and the manifest names them.
    """
    table, table_id, columns = await _source(database, name, options.select)
    try:
        await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
        with locked(folder):
            begun = await to_thread.run_sync(_begin, folder, table, table_id, columns, database, options, say)
            export = _FolderExport(database, table, begun, folder, progress)
            return await export.run(options.parallel)
    except OSError as error:
        raise Failed(f"{folder} cannot be used: {error.strerror}.") from error


async def export_to_stream(
    database: Database, name: str, send: Send, options: ExportOptions, progress: Progress
) -> None:
    """Export the table of this name as one text. Raises Refused before anything is sent, and Failed.

    `send` is awaited with a whole page of rows, one at a time; it raises OSError if it cannot. The format is NDJSON or
    CSV.
    """
    table, table_id, columns = await _source(database, name, options.select)
    form = TextFormat(options.format or "ndjson", columns)
    consistency = options.consistency or database.settings.cassandra_consistency
    count = options.slices or SLICES
    stream = _StreamExport(Scan(database, table, columns, consistency), form, send, progress)
    if form.header:
        await send(form.header)
    try:
        await _each(slices(count), count, options.parallel, stream, progress)
        await _check_same_table(database, table, table_id)
    except (ServiceError, OSError) as error:
        raise Failed(_reason(await _cause(database, table, table_id, error), table)) from error


async def _source(database: Database, name: str, select: Sequence[str]) -> tuple[Table, str | None, tuple[Column, ...]]:
    """Return the table of this name, its id and the columns to export. Raises Refused if they cannot be exported."""
    table = await find_table(database, name)
    if not has_murmur3(database):
        raise Refused("The cluster does not use the partitioner Murmur3, whose tokens the slices are made of.")
    return table, await id_of(database, table), chosen_columns(table, select)


# --- the manifest that a run begins with


def _begin(
    folder: Path,
    table: Table,
    table_id: str | None,
    columns: Sequence[Column],
    database: Database,
    options: ExportOptions,
    say: Say,
) -> Manifest:
    """Return the manifest of a new export, or of the one that is resumed, after it was written."""
    _remove_leftovers(folder)
    found = manifests.load(folder)
    if found is None:
        begun = manifests.plan(
            table,
            table_id,
            columns,
            form=options.format or "ndjson",
            gzip=bool(options.gzip),
            slices=options.slices or SLICES,
            consistency=options.consistency or database.settings.cassandra_consistency,
        )
        manifests.save(folder, begun)
        return begun
    if not options.resume:
        raise Refused(
            f"{folder} has an export of {found.keyspace}.{found.table} already. Resume it with --resume, or name "
            "another folder."
        )
    _check_same_export(found, table, table_id, columns, options, folder)
    return _resumed(folder, found, say)


def _resumed(folder: Path, found: Manifest, say: Say) -> Manifest:
    """Return the manifest with those parts whose files are whole."""
    kept = list(whole_parts(folder, found))
    damaged = len(found.parts) - len(kept)
    say(
        f"{folder}: {len(kept)} of {found.slices} parts are whole and kept, {found.slices - len(kept)} are to be made"
        + (f", {damaged} of them because their files are missing or damaged." if damaged else ".")
    )
    resumed = found.with_parts(kept)
    if damaged:
        manifests.save(folder, resumed)
    return resumed


def _check_same_export(
    found: Manifest,
    table: Table,
    table_id: str | None,
    columns: Sequence[Column],
    options: ExportOptions,
    folder: Path,
) -> None:
    """Raise Refused if a run with these options would not continue the export that the manifest describes."""
    if (found.keyspace, found.table) != (table.keyspace, table.name):
        raise Refused(
            f"{folder} has an export of {found.keyspace}.{found.table}, not of {table.keyspace}.{table.name}. Name "
            "another folder."
        )
    if found.table_id != table_id:
        raise Refused(
            f"{table.keyspace}.{table.name} was dropped and created again after the export in {folder} began. Name "
            "another folder."
        )
    _check_columns(found, table, columns if options.select else None, folder)
    for option, given, kept in (
        ("format", options.format, found.format),
        ("gzip", options.gzip, found.gzip),
        ("slices", options.slices, found.slices),
        ("consistency", options.consistency, found.consistency),
    ):
        if given is not None and given != kept:
            raise Refused(f"The export in {folder} was begun with {option} {kept}, not {given}. Leave --{option} out.")


def _check_columns(found: Manifest, table: Table, selected: Sequence[Column] | None, folder: Path) -> None:
    """Raise Refused if the table does not have the columns of the manifest, or others were chosen."""
    live = {column.name: column for column in manifests.described(table.columns)}
    changed = [column.name for column in found.columns if live.get(column.name) != column]
    if changed:
        raise Refused(
            f"{found.keyspace}.{found.table} has changed since the export in {folder} began: see the columns "
            f"{', '.join(changed)}. Export it into another folder."
        )
    if selected is not None and manifests.described(selected) != found.columns:
        raise Refused(f"The export in {folder} has the columns {', '.join(found.column_names)}. Leave --select out.")


def _remove_leftovers(folder: Path) -> None:
    """Remove the parts that an earlier run did not finish."""
    for path in folder.glob(f"part-*{TEMPORARY}"):
        path.unlink(missing_ok=True)


# --- the slices


class _Export(Protocol):
    async def slice(self, each: Slice) -> None:
        """Export the rows of one slice."""


async def _each(todo: Iterator[Slice], count: int, parallel: int, export: _Export, progress: Progress) -> None:
    """Export `count` slices, `parallel` at once. Raises the first failure after it has ended the others."""
    failures: list[Exception] = []

    async def work(scope: CancelScope) -> None:
        try:
            for each in todo:
                await export.slice(each)
                progress.done += 1
        except Exception as error:
            failures.append(error)
            scope.cancel()

    async with anyio.create_task_group() as tasks:
        for _ in range(min(parallel, count)):
            tasks.start_soon(work, tasks.cancel_scope)
    if failures:
        raise failures[0]


class _FolderExport:
    """The export of the slices that a manifest lacks, into its folder."""

    def __init__(self, database: Database, table: Table, manifest: Manifest, folder: Path, progress: Progress) -> None:
        self._database = database
        self._table = table
        self._columns = [table.column(name) for name in manifest.column_names]
        self._scan = Scan(database, table, self._columns, manifest.consistency)
        self._manifest = manifest
        self._folder = folder
        self._progress = progress
        self._parts = list(manifest.parts)
        self._threads = CapacityLimiter(8)
        self._saving = anyio.Lock()
        self._saved, self._saved_at = len(self._parts), time.monotonic()

    async def run(self, parallel: int) -> Manifest:
        """Export what is missing, and return the finished manifest."""
        missing = self._manifest.missing()
        self._progress.total = self._manifest.slices
        self._progress.done = self._progress.kept = self._manifest.slices - len(missing)
        try:
            await _each(iter(missing), len(missing), parallel, self, self._progress)
            await _check_same_table(self._database, self._table, self._manifest.table_id)
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
        cause = await _cause(self._database, self._table, self._manifest.table_id, error)
        if isinstance(cause, SchemaMissing):
            return Failed(_reason(cause, self._table))
        return Partial(f"{_reason(cause, self._table)} {len(self._parts)} of {self._manifest.slices} parts are whole.")


class _StreamExport:
    """The export of slices as one text."""

    def __init__(self, scan: Scan, form: TextFormat, send: Send, progress: Progress) -> None:
        self._scan = scan
        self._form = form
        self._send = send
        self._progress = progress
        self._turn = anyio.Lock()

    async def slice(self, each: Slice) -> None:
        """Send the rows of one slice."""
        async with self._scan.pages(each) as pages:
            async for page in pages:
                rows = await to_thread.run_sync(self._form.rows, page)
                async with self._turn:
                    await self._send(rows)
                self._progress.rows += page.row_count
                self._progress.bytes += len(rows)


# --- what went wrong


async def _check_same_table(database: Database, table: Table, table_id: str | None) -> None:
    """Raise SchemaMissing if the table is no longer the one whose export began."""
    if await id_of(database, table) != table_id:
        raise SchemaMissing


async def _cause(
    database: Database, table: Table, table_id: str | None, error: ServiceError | OSError
) -> ServiceError | OSError:
    """Return SchemaMissing if the table is gone, whatever error that caused; else the error."""
    if isinstance(error, OSError):
        return error
    try:
        await _check_same_table(database, table, table_id)
    except SchemaMissing as missing:
        return missing
    except ServiceError:
        pass
    return error


def _reason(error: ServiceError | OSError, table: Table) -> str:
    """Return the sentence of a failure."""
    if isinstance(error, BrokenPipeError):
        return "What reads standard output has closed it before the end."
    if isinstance(error, OSError):
        return f"A file could not be written: {error.strerror}."
    if isinstance(error, SchemaMissing):
        return f"{table.keyspace}.{table.name} was dropped or altered while it was exported."
    return error.detail
