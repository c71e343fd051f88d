"""What a run of an import remembers in files: which files are done, and which rows were rejected."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import anyio
from anyio import to_thread
from msgspec.structs import replace

from asgi_app.tables.table import Table
from asgi_app.transfer import import_state, rejects
from asgi_app.transfer.files import SoleFile
from asgi_app.transfer.import_plan import ImportOptions
from asgi_app.transfer.import_state import ImportState
from asgi_app.transfer.progress import Say
from asgi_app.transfer.rejects import Rejects
from asgi_app.transfer.sources import STDIN, Source, SourceFile
from asgi_app.transfer.table_identity import ChosenColumns

SAVE_SECONDS = 1.0
"""Seconds between two writes of the state: a run that is killed repeats at most what it did in that time."""


class JournalPaths(NamedTuple):
    """The files of an import's state and of its rejected rows."""

    state: Path
    rejects: Path

    @classmethod
    def of(cls, table: Table, path: Path, options: ImportOptions) -> JournalPaths:
        """Return the paths for an import from `path`."""
        beside = path if path.is_dir() else path.parent
        state = options.state or beside / f"import-{table.keyspace}.{table.name}.json"
        rejected = options.rejects or beside / _name_of_rejects(path)
        if options.dry_run and path.is_dir():  # a run that resumes needs the rejected rows of the runs before
            rejected = rejected.with_name(f"dry-run-{rejected.name}")
        return cls(state, rejected)

    def hint(self, file: object) -> str:
        """Return how to have another file in place of one of these, if an error names one; else nothing."""
        options = {"--state": self.state, "--rejects": self.rejects}
        return next(
            (f" {name} names another." for name, path in options.items() if str(file).startswith(str(path))), ""
        )


def _name_of_rejects(path: Path) -> str:
    """Return a name that no other import of another source has: it would remove the rows of the first one."""
    if path == STDIN:
        return f"rejected-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.ndjson"
    return rejects.NAME if path.is_dir() else f"{path.name}.{rejects.NAME}"


class Journal:
    """What is done and what was rejected, in the files beside the export. `state` is None without a manifest."""

    def __init__(self, state: ImportState | None, paths: JournalPaths, rejected: Rejects) -> None:
        self.state = state
        self.rejects = rejected
        self.paths = paths
        self._saved_at = time.monotonic()
        self._saving = anyio.Lock()

    @classmethod
    def begin(
        cls,
        target: ChosenColumns,
        source: Source,
        paths: JournalPaths,
        options: ImportOptions,
        say: Say,
        rejected: SoleFile,
    ) -> Journal:
        """Return the journal of a new import into the target, or of the one that is resumed, after it was written."""
        state = None
        if source.digest is not None and not options.dry_run:
            state = ImportState(
                keyspace=target.table.keyspace or "",
                table=target.table.name,
                columns=tuple(column.name for column in target.columns),
                identity=target.identity,
                began=target.began,
                digest=source.digest,
            )
            state = (import_state.resumed if options.resume else import_state.again)(paths.state, state)
            if options.resume:
                say(f"{len(state.files)} of {len(source.files)} files are imported already.")
            import_state.save(paths.state, state)
        return cls(state, paths, Rejects(rejected, state.files if state else ()))

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
        self._saved_at = time.monotonic()  # before the wait: what ends during a slow save begins no further one at once
        async with self._saving:  # each writes the same temporary file
            if self.state is not None:
                await to_thread.run_sync(import_state.save, self.paths.state, self.state)
