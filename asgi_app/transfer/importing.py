"""Import rows of files into a table: read, encode, and write many at once, with bounded memory."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import anyio
from anyio import CancelScope, to_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec import UNSET
from msgspec.structs import replace

from asgi_app.db import Database
from asgi_app.errors import (
    BatchTooLarge,
    DeadlineExceeded,
    FieldError,
    RejectedByCassandra,
    SchemaMissing,
    ServiceError,
    Unavailable,
)
from asgi_app.runtime.deadline import Deadline
from asgi_app.tables.table import Column, Table
from asgi_app.tables.types import is_known
from asgi_app.transfer import import_state, rejects
from asgi_app.transfer.batches import batches_of
from asgi_app.transfer.exporting import Say
from asgi_app.transfer.import_state import ImportState
from asgi_app.transfer.inserts import Inserts
from asgi_app.transfer.live_table import chosen_columns, find_table, id_of
from asgi_app.transfer.manifest import Format, described
from asgi_app.transfer.outcomes import Failed, Partial, Refused, RowsRejected, TransferError
from asgi_app.transfer.progress import Progress
from asgi_app.transfer.rejects import Rejects
from asgi_app.transfer.row_encoding import Row, RowEncoder
from asgi_app.transfer.row_readers import Rejected, rows_of
from asgi_app.transfer.sources import Source, SourceFile, check_columns, open_source

CHUNK = 256
"""Batches that are read and encoded at once: some milliseconds in a worker thread."""

PATIENCE = 60.0
"""Seconds for which a write is tried again while Cassandra does not take it."""

LONGEST_PAUSE = 2.0
SAVE_SECONDS = 1.0
MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to import.

    `format`: that of a file whose name does not say it. `select`: the columns to write, all if there are none.
    `parallel`: how many statements are in flight. `batch`: the most rows of one statement. `timestamp`: of all writes,
    in microseconds; `export` is the time of the export, `now` the time of each write. `ttl` in seconds. `nulls`: what a
    null does to the value of a row that exists. `max_rejects`: the import stops above so many rejected rows.
    `state` and `rejects`: files in place of those beside the export.
    """

    format: Format | None = None
    select: Sequence[str] = ()
    consistency: str | None = None
    parallel: int = 64
    batch: int = 32
    timestamp: int | Literal["now", "export"] = "now"
    ttl: int | None = None
    nulls: Literal["keep", "delete"] = "keep"
    max_rejects: int = 100
    resume: bool = False
    dry_run: bool = False
    state: Path | None = None
    rejects: Path | None = None


async def import_from(
    database: Database, name: str, path: Path, options: ImportOptions, progress: Progress, say: Say
) -> Rejects:
    """Import the files at `path` into the table of this name, and return its rejected rows: none, or a few.

    Raises Refused before the first write, Partial if a run with `resume` can do the rest, RowsRejected if more than
    `max_rejects` rows were rejected, and Failed otherwise.
    """
    table = await find_table(database, name)
    try:
        source = await to_thread.run_sync(open_source, path, options.format)
        columns = _columns(table, source, options.select)
        timestamp = _timestamp(table, source, options)
        table_id = await id_of(database, table) or ""
        journal = await to_thread.run_sync(_Journal.begin, table, table_id, source, path, options, say)
        run = _Import(database, table, columns, source, timestamp, options, journal, progress)
        await run.run()
    except OSError as error:
        raise Failed(f"{error.filename or path} cannot be used: {error.strerror}.") from error
    return journal.rejects


# --- what is told before the first write


def _columns(table: Table, source: Source, select: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns to write. Raises Refused if the table or the files do not allow it."""
    name = f"{table.keyspace}.{table.name}"
    if table.is_view:
        raise Refused(f"{name} is a materialized view: import into the table that it is a view of.")
    if table.is_counter:
        raise Refused(
            f"{name} has counters, which can only be added to: adding twice would count twice. It cannot be imported."
        )
    wanted = select or source.columns or ()
    if source.columns is not None:
        absent = [column for column in wanted if column not in source.columns]
        if absent:
            raise Refused(f"The files have no column {', '.join(absent)}. They have {', '.join(source.columns)}.")
    missing = [column for column in wanted if column not in table.column_names]
    if missing and not select:
        raise Refused(
            f"{name} has no column {', '.join(missing)}, of which the files have values. Add it, or name the columns "
            "to write with --select."
        )
    columns = chosen_columns(table, wanted)
    _check_key(table, columns)
    _check_types(table, columns, source)
    return columns


def _check_key(table: Table, columns: Sequence[Column]) -> None:
    names = [column.name for column in columns]
    lacking = [column for column in table.primary_key if column not in names]
    if lacking:
        raise Refused(
            f"The key of {table.keyspace}.{table.name} has {', '.join(lacking)}, of which there are no values."
        )


def _check_types(table: Table, columns: Sequence[Column], source: Source) -> None:
    strange = [f"{column.name} ({column.type})" for column in columns if not is_known(column.type)]
    if strange:
        raise Refused(f"Values of these columns cannot be written: {', '.join(strange)}. Leave them out with --select.")
    differing = check_columns(described(columns), source.types)
    if differing:
        raise Refused(f"{table.keyspace}.{table.name} has other types than the files: see {', '.join(differing)}.")


def _timestamp(table: Table, source: Source, options: ImportOptions) -> int | None:
    """Return the timestamp of all writes, None for the time of each. Raises Refused if there can be none."""
    if options.timestamp == "now":
        return None
    if source.digest is None and not table.is_repeatable:
        raise Refused(
            f"{table.keyspace}.{table.name} has lists, which double if they are written twice with one timestamp. Only "
            "the import of a folder remembers how often it ran: leave --timestamp out."
        )
    if options.timestamp != "export":
        return options.timestamp
    if source.exported_at is None:
        raise Refused("--timestamp export needs the folder of an export: a file does not say when it was made.")
    return int(source.exported_at.timestamp() * MICROSECONDS)


# --- what is remembered in files


class _Journal:
    """What is done and what was rejected, in the files beside the export. `state` is None without a manifest."""

    def __init__(self, state: ImportState | None, path: Path, rejected: Rejects) -> None:
        self.state = state
        self.rejects = rejected
        self._path = path
        self._saved_at = time.monotonic()

    @classmethod
    def begin(
        cls, table: Table, table_id: str, source: Source, path: Path, options: ImportOptions, say: Say
    ) -> _Journal:
        """Return the journal of a new import, or of the one that is resumed, after it was written."""
        keyspace = table.keyspace or ""
        beside = path if path.is_dir() else path.parent
        state_path = options.state or beside / f"import-{keyspace}.{table.name}.json"
        state = None
        if source.digest is not None and not options.dry_run:
            state = ImportState(keyspace=keyspace, table=table.name, table_id=table_id, digest=source.digest)
            state = (import_state.resumed if options.resume else import_state.again)(state_path, state)
            if options.resume:
                say(f"{len(state.files)} of {len(source.files)} files are imported already.")
            import_state.save(state_path, state)
        rejected = Rejects(options.rejects or beside / rejects.NAME, state.files if state else ())
        return cls(state, state_path, rejected)

    def is_done(self, file: SourceFile) -> bool:
        """Return whether all rows of a file are written or rejected."""
        return self.state is not None and file.name in self.state.files

    async def done(self, file: SourceFile) -> None:
        """Remember that all rows of a file are written or rejected."""
        if self.state is not None:
            self.state = replace(self.state, files=(*self.state.files, file.name))
            if time.monotonic() - self._saved_at > SAVE_SECONDS:
                await self.save()

    async def save(self) -> None:
        """Write the state. Raises OSError."""
        if self.state is not None:
            self._saved_at = time.monotonic()
            await to_thread.run_sync(import_state.save, self._path, self.state)


# --- the run


@dataclass(slots=True, eq=False)
class _File:
    """A file on its way into the table: how many of its batches are not written yet, and whether all were read."""

    source: SourceFile
    waiting: int = 0
    is_read: bool = False


@dataclass(frozen=True, slots=True)
class _Batch:
    file: _File
    rows: list[Row]


class _Import:
    """One run: a task reads and encodes the files one after another, and others write what it read."""

    def __init__(
        self,
        database: Database,
        table: Table,
        columns: Sequence[Column],
        source: Source,
        timestamp: int | None,
        options: ImportOptions,
        journal: _Journal,
        progress: Progress,
    ) -> None:
        self._database = database
        self._table = table
        self._columns = columns
        self._encoder = RowEncoder(table, columns, UNSET if options.nulls == "keep" else None)
        self._inserts = Inserts(table, columns, options.ttl, timestamp, options.consistency)
        self._source = source
        self._options = options
        self._journal = journal
        self._progress = progress
        self._failures: list[Exception] = []
        # Each run writes lists with a later timestamp than the run before, and so does each repetition within it.
        self._shift = 0 if journal.state is None else (journal.state.runs - 1) * 1000

    async def run(self) -> None:
        """Import everything that is not done. Raises the outcome, if it is not a good one."""
        progress = self._progress
        progress.total = self._source.bytes
        progress.rejected = self._journal.rejects.count
        todo = [file for file in self._source.files if not self._journal.is_done(file)]
        progress.done = progress.kept = progress.total - sum(file.bytes for file in todo)
        try:
            await self._all(todo)
        finally:
            with CancelScope(shield=True), suppress(OSError):
                await self._journal.save()
        if self._failures:
            raise self._outcome(self._failures[0]) from self._failures[0]

    async def _all(self, todo: Sequence[SourceFile]) -> None:
        """Read all files and write their rows, until the first failure."""
        send, receive = anyio.create_memory_object_stream[_Batch](self._options.parallel)
        async with anyio.create_task_group() as tasks:
            for _ in range(self._options.parallel):
                tasks.start_soon(self._guarded, tasks, self._write_batches, receive.clone())
            receive.close()
            async with send:
                await self._guarded(tasks, self._read_files, todo, send)

    async def _guarded(self, tasks: TaskGroup, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a task; its failure ends all."""
        try:
            await function(*args)
        except Exception as error:
            self._failures.append(error)
            tasks.cancel_scope.cancel()

    async def _read_files(self, todo: Sequence[SourceFile], send: MemoryObjectSendStream[_Batch]) -> None:
        for source in todo:
            file = _File(source)
            await to_thread.run_sync(source.check)
            with source.open() as opened:
                rows = rows_of(source, opened, self._encoder)
                await self._read(file, batches_of(rows, self._columns, self._options.batch), send)
            file.is_read = True
            self._progress.bytes += source.bytes
            await self._check_done(file)

    async def _read(
        self, file: _File, rows: Iterator[list[Row] | Rejected], send: MemoryObjectSendStream[_Batch]
    ) -> None:
        """Read the rows of a file and hand them to the writers."""
        while chunk := await to_thread.run_sync(_some, rows):
            for batch in chunk:
                if isinstance(batch, Rejected):
                    self._reject(file, batch)
                elif self._options.dry_run:
                    self._progress.rows += len(batch)
                else:
                    file.waiting += 1
                    await send.send(_Batch(file, batch))

    async def _write_batches(self, receive: MemoryObjectReceiveStream[_Batch]) -> None:
        async with receive:
            async for batch in receive:
                await self._write_or_reject(batch.file, batch.rows)
                batch.file.waiting -= 1
                await self._check_done(batch.file)

    async def _check_done(self, file: _File) -> None:
        if file.is_read and not file.waiting:
            self._progress.done += file.source.bytes
            await self._journal.done(file.source)

    async def _write_or_reject(self, file: _File, rows: Sequence[Row]) -> None:
        """Write rows together; if Cassandra refuses that, each by itself, and reject those that it refuses."""
        try:
            await self._write(rows)
            self._progress.rows += len(rows)
        except RejectedByCassandra as error:
            if len(rows) == 1:
                self._reject(file, _refused(rows[0], error))
                return
            for row in rows:
                await self._write_or_reject(file, [row])

    async def _write(self, rows: Sequence[Row]) -> None:
        """Write rows of one partition. Tries again for `PATIENCE` seconds while Cassandra does not take them."""
        began, pause = time.monotonic(), 0.1
        shift = self._shift
        while True:
            try:
                await self._send(rows, shift)
                return
            except (Unavailable, DeadlineExceeded) as error:
                if isinstance(error, SchemaMissing) or time.monotonic() - began > PATIENCE:
                    raise
            await anyio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            shift += 1

    async def _send(self, rows: Sequence[Row], shift: int) -> None:
        statement = self._inserts.of(rows[0])
        deadline = Deadline.after(self._database.settings.request_timeout)
        values = [self._inserts.values(row, shift) for row in rows]
        if len(values) == 1:
            await self._database.execute(statement, values[0], deadline=deadline)
        else:
            try:
                await self._database.execute_batch(statement, values, deadline=deadline, logged=False)
            except BatchTooLarge as error:
                raise RejectedByCassandra from error

    def _reject(self, file: _File, rejected: Rejected) -> None:
        """Count and keep a rejected row. Raises RowsRejected if they are too many."""
        self._journal.rejects.add(file.source.name, rejected)
        self._progress.rejected = self._journal.rejects.count
        if self._progress.rejected > self._options.max_rejects:
            raise RowsRejected(
                f"Stopped: more than {self._options.max_rejects} rows were rejected; see {self._journal.rejects.path}. "
                "--max-rejects sets how many may be."
            )

    def _outcome(self, error: Exception) -> Exception:
        """Return the error with which the run ends."""
        if isinstance(error, TransferError | OSError):
            return error
        if isinstance(error, SchemaMissing):
            return Failed(
                f"{self._table.keyspace}.{self._table.name} was dropped or altered while rows were written to it."
            )
        if isinstance(error, ServiceError):
            return Partial(error.detail)
        return error


def _some(batches: Iterator[list[Row] | Rejected]) -> list[list[Row] | Rejected]:
    """Return the next batches and rejected rows, none at the end. Blocks while it reads."""
    return list(islice(batches, CHUNK))


def _refused(row: Row, error: RejectedByCassandra) -> Rejected:
    """Return a row that Cassandra refuses, with its message."""
    return Rejected(row.line, (FieldError("", f"was refused by Cassandra: {_message(error)}"),), row.source)


def _message(error: RejectedByCassandra) -> str:
    """Return what Cassandra says of a value that it refuses."""
    cause = error.__cause__
    return str(cause) if cause is not None else error.detail
