"""Import rows of files into a table: read, encode, and write many at once, with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
from anyio import CancelScope, to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec import UNSET

from asgi_app.db import Database
from asgi_app.driver.connecting import server_message
from asgi_app.errors import FieldError, RejectedByCassandra, SchemaMissing, ServiceError
from asgi_app.runtime.tasks import run_together
from asgi_app.tables.encoding import Encoded
from asgi_app.transfer.batches import batches_of
from asgi_app.transfer.files import SoleFile, locked, only_writer
from asgi_app.transfer.import_plan import ImportOptions, columns_to_write, timestamp_of_writes
from asgi_app.transfer.import_state import ImportState
from asgi_app.transfer.inserts import Inserts
from asgi_app.transfer.journal import Journal, JournalPaths
from asgi_app.transfer.outcomes import Failed, Partial, Refused, RowsRejected, TransferError, reason_of
from asgi_app.transfer.progress import Progress, Say
from asgi_app.transfer.rejects import Rejects
from asgi_app.transfer.row_encoding import Row, RowEncoder
from asgi_app.transfer.row_readers import Rejected, rows_of
from asgi_app.transfer.row_sink import Budget, RowSink
from asgi_app.transfer.sources import Source, SourceFile, open_source
from asgi_app.transfer.table_identity import ChosenColumns
from asgi_app.transfer.table_lookup import find_table

T = TypeVar("T", bound=list[Row] | Rejected)

CHUNK = 256
CHUNK_BYTES = 512 * 1024
"""Batches, and about their bytes, that are read and encoded at once: some milliseconds in a worker thread."""

GROUP = 8
GROUP_BYTES = 16 * 1024
"""Batches, and about their bytes, that a task writes one after another."""

WAITING_BYTES = 32 * 1024 * 1024
"""About the bytes of rows that are read and not written yet; a row may be as large as 16 MiB."""


async def import_from(
    database: Database, name: str, path: Path, options: ImportOptions, progress: Progress, say: Say
) -> Rejects:
    """Import the files at `path` into the table of this name, and return its rejected rows: none, or a few.

    Raises Refused, and what `Database.execute` raises, before the first write, Partial if a run with `resume` can do
    the rest, also if more than `max_rejects` rows were rejected, and Failed otherwise. A dry run with so many raises
    RowsRejected.
    """
    table = await find_table(database, name)
    paths = JournalPaths.of(table, path, options)
    try:
        source = await to_thread.run_sync(open_source, path, options.format)
        columns = columns_to_write(table, source, options.select)
        timestamp = timestamp_of_writes(table, source, options)
        target = await ChosenColumns.now(database, table, columns)
        with _alone(source, paths) as rejected:
            journal = await to_thread.run_sync(Journal.begin, target, source, paths, options, say, rejected)
            if options.resume and journal.state is not None:
                await _check_same_table(database, target, journal.state)
            await _Import(database, target, source, timestamp, options, journal, progress).run()
        await _check_unchanged(database, target)
    except OSError as error:
        raise Failed(_cannot_be_used(error, paths)) from error
    return journal.rejects


@contextmanager
def _alone(source: Source, paths: JournalPaths) -> Iterator[SoleFile]:
    """Keep other runs away from the files that this one writes, for the duration of the block.

    Yield that of the rejected rows.
    """
    folders = {each.parent.resolve() for each in paths} if source.digest is not None else set()
    with ExitStack() as locks:
        for folder in folders:
            locks.enter_context(locked(folder))
        yield locks.enter_context(only_writer(paths.rejects))


def _cannot_be_used(error: OSError, paths: JournalPaths) -> str:
    file = error.filename or "A file"
    return f"{file} cannot be used: {error.strerror}.{paths.hint(file)}"


async def _check_same_table(database: Database, target: ChosenColumns, state: ImportState) -> None:
    """Raise Refused if the table lost what the runs before this one wrote."""
    change = await target._replace(identity=state.identity, began=state.began).change(database)
    if change is not None:
        raise Refused(
            f"{target.name} {change} since its import began, or is in another cluster. Begin again, without --resume."
        )


async def _check_unchanged(database: Database, target: ChosenColumns) -> None:
    """Raise Failed if the table lost what was written to it, and Partial if Cassandra does not tell."""
    try:
        change = await target.change(database)
    except ServiceError as error:
        raise Partial(f"All rows are written, and whether {target.name} has kept them is not known: {error}") from error
    if change is not None:
        raise Failed(f"{target.name} {change} while rows were written to it.")


@dataclass(slots=True, eq=False)
class _File:
    """A file on its way into the table.

    `position`: how much of it was read. `waiting`: how many groups of its rows are not written yet. `is_read`: whether
    all of it was read.
    """

    source: SourceFile
    position: int = 0
    waiting: int = 0
    is_read: bool = False


@dataclass(frozen=True, slots=True)
class _Batches:
    """Some batches of a file that one task writes, one after another, and their size in bytes."""

    file: _File
    batches: list[list[Row]]
    size: int


class _Import:
    """One run: a task reads and encodes the files one after another, and others write what it read."""

    def __init__(
        self,
        database: Database,
        target: ChosenColumns,
        source: Source,
        timestamp: int | None,
        options: ImportOptions,
        journal: Journal,
        progress: Progress,
    ) -> None:
        table, columns = target.table, target.columns
        self._name = target.name
        self._columns = columns
        self._static = [place for place, column in enumerate(columns) if column.kind == "static"]
        nulls = UNSET if options.nulls == "keep" else None
        self._encoder = RowEncoder(
            table, columns, nulls=nulls, strict=not options.select, of_export=source.digest is not None
        )
        inserts = Inserts(table, columns, options.ttl, timestamp, options.consistency)
        self._sink = RowSink(database, inserts, 1 if journal.state is None else journal.state.runs, progress)
        self._budget = Budget(WAITING_BYTES)
        self._source = source
        self._options = options
        self._journal = journal
        self._progress = progress

    async def run(self) -> None:
        """Import everything that is not done. Raises the outcome, if it is not a good one."""
        progress = self._progress
        progress.total = self._source.bytes
        progress.rejected = self._journal.rejects.count
        todo = [file for file in self._source.files if not self._journal.is_done(file)]
        progress.done = progress.kept = progress.total - sum(file.bytes for file in todo)
        try:
            await self._all(todo)
        except (OSError, ServiceError) as error:
            raise self._outcome(error) from error
        finally:
            with CancelScope(shield=True), suppress(OSError):
                await self._journal.save()

    async def _all(self, todo: Sequence[SourceFile]) -> None:
        """Read all files and write their rows, until the first failure."""
        send, receive = anyio.create_memory_object_stream[_Batches](self._options.parallel)
        with receive:
            writers = [partial(self._write_all, receive.clone()) for _ in range(self._options.parallel)]
        await run_together([partial(self._read_files, todo, send), *writers])

    async def _read_files(self, todo: Sequence[SourceFile], send: MemoryObjectSendStream[_Batches]) -> None:
        async with send:
            for source in todo:
                await self._read_file(_File(source), send)

    async def _read_file(self, file: _File, send: MemoryObjectSendStream[_Batches]) -> None:
        source = file.source
        await to_thread.run_sync(source.check)
        with source.open() as opened:
            rows = rows_of(source, opened.content, self._encoder)
            partitions = self._options.partitions if source.is_in_ring_order else 1
            batches = batches_of(rows, self._columns, self._options.batch, partitions)
            while some := await to_thread.run_sync(_some, batches):
                await self._hand_over(file, some, send)
                self._note_read(file, opened.position())
        self._note_read(file, max(source.bytes, file.position))
        file.is_read = True
        await self._check_done(file)

    async def _hand_over(
        self, file: _File, some: Sequence[list[Row] | Rejected], send: MemoryObjectSendStream[_Batches]
    ) -> None:
        """Give batches to the tasks that write, and rejected rows to their file."""
        for rejected in some:
            if isinstance(rejected, Rejected):
                self._reject(file, rejected)
        batches = [batch for batch in some if not isinstance(batch, Rejected)]
        if self._options.dry_run:
            self._progress.rows += sum(map(len, batches))
            return
        for group in _groups(batches):
            size = sum(map(_size, group))
            await self._budget.take(size)
            file.waiting += 1
            await send.send(_Batches(file, group, size))

    def _note_read(self, file: _File, position: int) -> None:
        """Count the bytes that were read since the last time."""
        read, file.position = position - file.position, position
        self._progress.bytes += read
        self._progress.done += read

    async def _write_all(self, receive: MemoryObjectReceiveStream[_Batches]) -> None:
        async with receive:
            async for some in receive:
                for batch in some.batches:
                    await self._write_or_reject(some.file, batch)
                self._budget.give_back(some.size)
                some.file.waiting -= 1
                await self._check_done(some.file)

    async def _check_done(self, file: _File) -> None:
        if file.is_read and not file.waiting:
            await self._journal.done(file.source)

    async def _write_or_reject(self, file: _File, rows: Sequence[Row]) -> None:
        """Write rows together; if Cassandra refuses that, each by itself, and reject those that it refuses."""
        try:
            await self._sink.write(rows)
            self._progress.rows += len(rows)
        except RejectedByCassandra as error:
            if len(rows) == 1:
                await self._write_static_values(rows[0])
                self._reject(file, _refused(rows[0], error))
                return
            for row in rows:
                await self._write_or_reject(file, [row])

    async def _write_static_values(self, refused: Row) -> None:
        """Write the static values of a refused row: the rows after it, of the same partition, came without them."""
        if not refused.is_static and any(type(refused.cells[place]) is Encoded for place in self._static):
            with suppress(RejectedByCassandra):
                await self._sink.write([replace(refused, is_static=True)])

    def _reject(self, file: _File, rejected: Rejected) -> None:
        """Count and keep a rejected row. Raises the end of the run if they are too many."""
        self._journal.rejects.add(file.source.name, rejected)
        self._progress.rejected = self._journal.rejects.count
        if self._progress.rejected > self._options.max_rejects:
            allowed, path = self._options.max_rejects, self._journal.rejects.path
            sentence = f"More rows were rejected than --max-rejects allows ({allowed}); see {path}."
            if self._options.dry_run:
                raise RowsRejected(f"{sentence} Rows after them were not checked.")
            raise Partial(f"{sentence} Rows after them were not imported; a larger number lets the import go on.")

    def _outcome(self, error: OSError | ServiceError) -> TransferError:
        """Return the error with which the run ends."""
        if isinstance(error, OSError):
            return Partial(_cannot_be_used(error, self._journal.paths))
        if isinstance(error, SchemaMissing):
            return Failed(f"{self._name} was dropped or altered while rows were written to it.")
        return Partial(reason_of(error))


def _groups(batches: Sequence[list[Row]]) -> Iterator[list[list[Row]]]:
    """Yield the batches, some at a time: handing them over one by one would cost as much as to encode them."""
    remaining = iter(batches)
    while group := _some(remaining, GROUP, GROUP_BYTES):
        yield group


def _some(batches: Iterator[T], most: int = CHUNK, most_bytes: int = CHUNK_BYTES) -> list[T]:
    """Return the next batches and rejected rows, none at the end: so many, or few if they are large. May block."""
    some: list[T] = []
    size = 0
    for batch in batches:
        some.append(batch)
        size += _size(batch)
        if len(some) == most or size > most_bytes:
            break
    return some


def _size(batch: list[Row] | Rejected) -> int:
    return 0 if isinstance(batch, Rejected) else sum([row.size for row in batch])


def _refused(row: Row, error: RejectedByCassandra) -> Rejected:
    """Return a row that Cassandra refuses, with its message."""
    return Rejected(row.line, (FieldError("", f"was refused by Cassandra: {_message(error)}"),), row.source)


def _message(error: RejectedByCassandra) -> str:
    """Return what Cassandra says of a value that it refuses."""
    cause = error.__cause__
    return server_message(cause) if isinstance(cause, Exception) else error.detail
