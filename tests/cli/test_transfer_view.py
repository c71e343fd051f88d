"""How the commands `export` and `import` show their progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import get_args

import anyio
import anyio.lowlevel
import pytest

from asgi_app.cli import transfer_view
from asgi_app.cli.transfer_view import Mode, View
from asgi_app.transfer.progress import Progress

pytestmark = pytest.mark.anyio


@contextmanager
def without_readers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let standard output and standard error be pipes whose readers have left."""
    reader, writer = os.pipe()
    os.close(reader)
    pipe = os.fdopen(writer, "w")
    try:
        with monkeypatch.context() as patched:
            for name in ("stdout", "stderr"):
                patched.setattr(sys, name, pipe)
            yield
    finally:
        with suppress(BrokenPipeError):
            pipe.close()


@pytest.mark.parametrize("mode", get_args(Mode))
async def test_work_goes_on_when_nobody_reads_the_progress(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = anyio.Event()

    class Watched(Progress):
        @property
        def long_waits(self) -> list[transfer_view.Wait]:
            shown.set()
            return []

    monkeypatch.setattr(transfer_view, "LINE_SECONDS", 0.01)
    monkeypatch.setattr(transfer_view, "JSON_SECONDS", 0.01)
    with without_readers(monkeypatch):
        view = View(Watched(), mode, "importing")
        view.say("A note.")
        async with view.refreshed():
            if mode != "quiet":
                with anyio.fail_after(10):
                    await shown.wait()
            await anyio.lowlevel.checkpoint()
