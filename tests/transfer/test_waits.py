"""An export or import that waits for Cassandra says so, and for what."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from helpers.faulty_node import EXECUTE, FaultyNode, faulty_node, read_timeout, unavailable
from helpers.service import settings_for

from asgi_app.cli.transfer_view import View, figures
from asgi_app.db import Database
from asgi_app.tables.slices import Slice
from asgi_app.transfer import progress as progresses
from asgi_app.transfer.export_plan import ExportOptions
from asgi_app.transfer.exporting import export_to_folder
from asgi_app.transfer.import_plan import ImportOptions
from asgi_app.transfer.importing import import_from
from asgi_app.transfer.progress import Progress, Wait

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def node(node_address: tuple[str, int]) -> Iterator[FaultyNode]:
    with faulty_node(node_address) as proxy:
        yield proxy


@pytest.fixture(scope="module")
async def failing(anyio_backend: Any, node: FaultyNode, keyspace: str) -> AsyncIterator[Database]:
    """A database whose node fails when it is told to."""
    async with Database.open(settings_for(("127.0.0.1", node.port), keyspace)) as database:
        yield database


async def seen(progress: Progress) -> Wait:
    """Return the first wait that has failed."""
    while True:
        for wait in progress.waits:
            if wait.failures:
                return wait
        await anyio.sleep(0.01)


async def test_a_slice_that_is_asked_for_again(
    failing: Database,
    node: FaultyNode,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(progresses, "WAIT_SECONDS", 0.0)
    progress = Progress()
    node.fail(EXECUTE, unavailable(), always=True, about=Slice(3, 3).bounds.cells()[1])
    async with anyio.create_task_group() as tasks:
        options = ExportOptions(slices=3, parallel=1)
        tasks.start_soon(export_to_folder, failing, "users", tmp_path, options, progress, [].append)
        await seen(progress)
        text = r"waits \d+ s for slice 3/3 \(failed \d+ times?: Too few replicas are alive for the consistency level"
        assert re.search(text, figures(progress))
        View(progress, "json", "exporting").end("whole", "")
        (told,) = json.loads(capsys.readouterr().out)["waiting"]
        assert (told["for"], told["failures"] > 0, told["seconds"] >= 0) == ("slice 3/3", True, True)
        assert told["reason"].startswith("Too few replicas are alive")
        node.fail(EXECUTE)
    assert progress.waits == set()
    assert (tmp_path / "manifest.json").exists()


async def test_pages_that_are_narrowed_are_counted(
    failing: Database, node: FaultyNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(Wait, "failed", lambda wait, reason: told.append((wait.name, reason)))
    node.fail(EXECUTE, *[read_timeout()] * 3, about=Slice(1, 3).bounds.cells()[0])
    options = ExportOptions(slices=3, parallel=1)
    await export_to_folder(failing, "users", tmp_path, options, Progress(), [].append)
    assert [name for name, _ in told] == ["slice 1/3"] * 3
    assert "in time" in told[0][1]


async def test_a_write_that_is_tried_again(
    failing: Database, node: FaultyNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progresses, "WAIT_SECONDS", 0.0)
    rows = tmp_path / "rows.ndjson"
    rows.write_text('{"id": "00000000-0000-4000-8000-00000000abcd", "name": "x"}\n')
    progress = Progress()
    node.fail(EXECUTE, unavailable(), always=True, about=bytes.fromhex("0000000000004000800000000000abcd"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(import_from, failing, "users", rows, ImportOptions(), progress, [].append)
        await seen(progress)
        assert re.search(r"waits \d+ s for a write \(failed \d+ times?: Too few replicas are alive", figures(progress))
        node.fail(EXECUTE)
    assert (progress.rows, progress.waits) == (1, set())
