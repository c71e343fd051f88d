"""What a run of an import remembers in files: which files are done, and which rows were rejected."""

from __future__ import annotations

import time
from pathlib import Path

from anyio import to_thread
from msgspec.structs import replace

from asgi_app.tables.table import Table
from asgi_app.transfer import import_state, rejects
from asgi_app.transfer.import_plan import ImportOptions
from asgi_app.transfer.import_state import ImportState
from asgi_app.transfer.progress import Say
from asgi_app.transfer.rejects import Rejects
from asgi_app.transfer.sources import STDIN, Source, SourceFile
from asgi_app.transfer.table_identity import ChosenColumns

SAVE_SECONDS = 1.0
"""Seconds between two writes of the state: a run that is killed repeats at most what it did in that time."""


def paths_of(table: Table, path: Path, options: ImportOptions) -> tuple[Path, Path]:
    """Return the paths of the state and of the rejected rows of an import from `path`.

    Each file has its own rejected rows, so that the import of one never removes those of another beside it.
    """
    beside = path if path.is_dir() else path.parent
    name = rejects.NAME if path.is_dir() or path == STDIN else f"{path.name}.{rejects.NAME}"
    return options.state or beside / f"import-{table.keyspace}.{table.name}.json", options.rejects or beside / name


class Journal:
    """What is done and what was rejected, in the files beside the export. `state` is None without a manifest."""

    def __init__(self, state: ImportState | None, path: Path, rejected: Rejects) -> None:
        self.state = state
        self.rejects = rejected
        self._path = path
        self._saved_at = time.monotonic()

    @classmethod
    def begin(cls, target: ChosenColumns, source: Source, path: Path, options: ImportOptions, say: Say) -> Journal:
        """Return the journal of a new import into the target, or of the one that is resumed, after it was written."""
        state_path, rejects_path = paths_of(target.table, path, options)
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
            state = (import_state.resumed if options.resume else import_state.again)(state_path, state)
            if options.resume:
                say(f"{len(state.files)} of {len(source.files)} files are imported already.")
            import_state.save(state_path, state)
        rejected = Rejects(rejects_path, state.files if state else ())
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
