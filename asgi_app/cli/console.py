"""Show progress on standard error: a bar on a terminal, otherwise a plain line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from asgi_app.local_node import Progress as NodeProgress
from asgi_app.local_node import ProgressCallback

LINE_SECONDS = 5.0
"""Seconds between two lines of progress without a terminal."""


def say(line: str) -> None:
    """Print a line on standard error, because standard output is for results."""
    click.echo(line, err=True)


@contextmanager
def node_progress() -> Iterator[ProgressCallback]:
    """Yield a callback that shows the progress of a node's start; any thread may call it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _NodeLines()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting Cassandra", total=None)

        def show(event: NodeProgress) -> None:
            bar.update(task, description=event.message, completed=event.done, total=event.total or None)

        yield show


@contextmanager
def row_progress(total: int) -> Iterator[Callable[[int], None]]:
    """Yield a callback that shows how many of `total` rows are written, and how fast."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _RowLines(total)
        return
    columns = (TextColumn("writing rows"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]} rows/s"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("rows", total=total, speed="-")

        def show(rows: int) -> None:
            speed = bar.tasks[task].speed
            bar.update(task, completed=rows, speed=f"{speed:,.0f}" if speed else "-")

        yield show


class _NodeLines:
    """Prints a line for each stage of the start, and at most one per `LINE_SECONDS` within a stage."""

    def __init__(self) -> None:
        self._stage = ""
        self._next = 0.0

    def __call__(self, event: NodeProgress) -> None:
        now = time.monotonic()
        if event.stage == self._stage and now < self._next:
            return
        self._stage, self._next = event.stage, now + LINE_SECONDS
        say(event.message + _amount(event))


def _amount(event: NodeProgress) -> str:
    if event.total:
        return f" ({event.done} of {event.total})"
    return f" ({event.seconds:.0f} s)" if event.seconds >= 1 else ""


class _RowLines:
    """Prints how many rows are written, every `LINE_SECONDS`."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = time.monotonic()
        self._next = self._began + LINE_SECONDS

    def __call__(self, rows: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + LINE_SECONDS
            say(f"{rows} of {self._total} rows, {rows / (now - self._began):.0f} rows/s")
