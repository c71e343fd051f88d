"""The files of exports and imports: whole or not there, and one writer at a time."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, BrokenBarrierError

import anyio
import pytest

from asgi_app.transfer import import_state
from asgi_app.transfer.files import SoleFile, only_writer, replace_file
from asgi_app.transfer.import_state import ImportState
from asgi_app.transfer.journal import Journal, JournalPaths
from asgi_app.transfer.outcomes import Refused
from asgi_app.transfer.rejects import Rejects
from asgi_app.transfer.table_identity import Identity


def test_sole_file_stays_locked_when_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "rejected.ndjson"
    with only_writer(path) as file:
        file.replace(b"kept\n")
        with pytest.raises(Refused, match=r"Another process writes to \S+rejected\.ndjson;"), only_writer(path):
            pass
    with only_writer(path):
        assert path.read_bytes() == b"kept\n"


def test_what_is_no_regular_file_is_neither_removed_nor_replaced(tmp_path: Path) -> None:
    """Root could remove /dev/null."""
    path = tmp_path / "device"
    os.mkfifo(path)
    with only_writer(path) as file:
        Rejects(file)
    with pytest.raises(OSError, match="it is not a regular file"):
        replace_file(path, b"state")
    assert path.is_fifo()


@pytest.mark.anyio
async def test_state_is_saved_by_one_thread_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk must not let two threads write the same temporary file."""
    paths = JournalPaths(tmp_path / "state.json", tmp_path / "rejected.ndjson")
    identity, began = Identity(None, {}, ()), datetime.now(UTC)
    state = ImportState(keyspace="k", table="t", columns=(), identity=identity, began=began, digest="d")
    both = Barrier(2, timeout=0.2)
    save = import_state.save

    def meet_and_save(path: Path, state: ImportState) -> None:
        with pytest.raises(BrokenBarrierError):
            both.wait()
        save(path, state)

    monkeypatch.setattr(import_state, "save", meet_and_save)
    journal = Journal(state, paths, Rejects(SoleFile(paths.rejects, None)))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(journal.save)
        tasks.start_soon(journal.save)
    assert import_state.resumed(paths.state, state).files == ()
