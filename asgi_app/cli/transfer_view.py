"""Show how far an export or import is: a bar on a terminal, plain lines without one, or JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, TextIO

import anyio
import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars

from asgi_app.cli.console import LINE_SECONDS, counted
from asgi_app.runtime.tasks import background_tasks
from asgi_app.transfer.progress import Progress, Wait

Mode = Literal["text", "json", "quiet"]

BAR_SECONDS = 0.2
JSON_SECONDS = 1.0


class View:
    """Shows a `Progress` on standard error while work is done, and tells its end on standard output.

    With `rows_on_stdout`, standard output has the rows, and everything is written to standard error. As JSON,
    everything is written to the same one.
    """

    def __init__(self, progress: Progress, mode: Mode, verb: str, *, rows_on_stdout: bool = False) -> None:
        self.progress = progress
        self._mode = mode
        self._verb = verb
        self._results: TextIO = sys.stderr if rows_on_stdout else sys.stdout

    @asynccontextmanager
    async def refreshed(self) -> AsyncIterator[None]:
        """Show the progress again and again for the duration of the block."""
        console = Console(stderr=True)
        if self._mode == "text" and console.is_terminal:
            with _bar(console, self._verb) as bars:
                async with _repeated(lambda: self._draw(bars), BAR_SECONDS):
                    yield
        elif self._mode == "text":
            async with _repeated(lambda: click.echo(self._line(), err=True), LINE_SECONDS):
                yield
        elif self._mode == "json":
            async with _repeated(lambda: self._event("progress", self._figures()), JSON_SECONDS):
                yield
        else:
            yield

    def say(self, sentence: str) -> None:
        """Tell something about the work."""
        with suppress(OSError):  # nobody reads it any more
            if self._mode == "json":
                self._event("note", {"text": sentence})
            elif self._mode == "text":
                click.echo(sentence, err=True)

    def end(self, outcome: str, sentence: str) -> None:
        """Tell how the work has ended. Failures are told by the error too, so that text has only a good end."""
        if self._mode == "json":
            self._event("end", {"outcome": outcome, **self._figures(), "text": sentence})
        elif self._mode == "text" and outcome == "whole":
            click.echo(sentence, file=self._results)

    def _figures(self) -> dict[str, Any]:
        progress = self.progress
        left = progress.seconds_left
        return {
            "share": round(progress.share, 4) if progress.total else None,
            "rows": progress.rows,
            "rejected": progress.rejected,
            "bytes": progress.bytes,
            "rows_per_second": round(progress.rows_per_second),
            "seconds": round(progress.seconds, 1),
            "seconds_left": None if left is None else round(left, 1),
            "waiting": list(map(_wait, progress.long_waits)),
        }

    def _event(self, kind: str, members: dict[str, Any]) -> None:
        click.echo(msgspec.json.encode({"event": kind, **members}).decode(), file=self._results)

    def _line(self) -> str:
        share = f"{self.progress.share:.0%}, " if self.progress.total else ""
        return f"{share}{figures(self.progress)}"

    def _draw(self, bars: Bars) -> None:
        total = 1.0 if self.progress.total else None
        bars.update(bars.task_ids[0], total=total, completed=self.progress.share, figures=figures(self.progress))
        bars.refresh()


def figures(progress: Progress) -> str:
    """Return the rows, the speed, the bytes, the time left and what is waited for as a text."""
    left = progress.seconds_left
    parts = [
        counted(progress.rows, "row"),
        f"{progress.rows_per_second:,.0f} rows/s",
        size_text(progress.bytes),
        f"{progress.rejected:,} rejected" if progress.rejected else "",
        f"{left // 60:.0f}:{left % 60:02.0f} left" if left is not None else "",
        _waits(progress.long_waits),
    ]
    return ", ".join(filter(None, parts))


def _waits(waits: Sequence[Wait]) -> str:
    """Return what is waited for, and why if it failed: `waits 12 s for slice 3/64 and 2 more (failed 4 times: …)`."""
    if not waits:
        return ""
    longest, *others = waits
    failed = f" (failed {counted(longest.failures, 'time')}: {longest.reason})" if longest.failures else ""
    return f"waits {longest.seconds:.0f} s for {longest.name}{f' and {len(others)} more' if others else ''}{failed}"


def _wait(wait: Wait) -> dict[str, Any]:
    return {
        "for": wait.name,
        "seconds": round(wait.seconds, 1),
        "failures": wait.failures,
        "reason": wait.reason,
    }


def size_text(count: int) -> str:
    """Return a number of bytes as people read it: `1.5 MB`."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _bar(console: Console, verb: str) -> Bars:
    columns = (
        TextColumn(verb),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TextColumn("{task.fields[figures]}"),
    )
    bars = Bars(*columns, console=console, transient=True, auto_refresh=False)
    bars.add_task(verb, total=1.0, figures="")
    return bars


@asynccontextmanager
async def _repeated(show: Callable[[], None], seconds: float) -> AsyncIterator[None]:
    """Call `show` every so many seconds for the duration of the block, or until nobody reads what it writes."""

    async def repeat() -> None:
        with suppress(OSError):
            while True:
                await anyio.sleep(seconds)
                show()

    async with background_tasks() as tasks:
        tasks.start_soon(repeat)
        yield
