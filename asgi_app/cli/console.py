"""Show progress on standard error: a bar on a terminal, otherwise a plain line every few seconds, or nothing.

rich decides what a terminal is, and leaves out colours if NO_COLOR is set.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from asgi_app.local_node import Progress as NodeProgress
from asgi_app.local_node import ProgressCallback

LINE_SECONDS = 5.0
"""Seconds between two lines of progress without a terminal."""


def say(line: str) -> None:
    """Print a line on standard error, because standard output is for results."""
    click.echo(line, err=True)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 row`, `1,000 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


@contextmanager
def node_progress(*, quiet: bool = False) -> Iterator[ProgressCallback]:
    """Yield a callback that shows the progress of a node's start; any thread may call it."""
    console = _console(quiet)
    if not console.is_interactive:
        yield _ignore if quiet else _NodeLines()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), _amount_column, TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting Cassandra", total=None, amount="")

        def show(event: NodeProgress) -> None:
            amount = pace(event.done, event.total, event.seconds) if event.total else ""
            bar.update(task, description=event.message, completed=event.done, total=event.total or None, amount=amount)

        yield show


@contextmanager
def row_progress(total: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Yield a callback that shows how many of `total` rows are written, how fast, and the time left."""
    console = _console(quiet)
    if not console.is_interactive:
        yield _ignore if quiet else _RowLines(total)
        return
    began = time.monotonic()
    with Progress(TextColumn("writing rows"), BarColumn(), _amount_column, console=console, transient=True) as bar:
        task = bar.add_task("rows", total=total, amount="")

        def show(rows: int) -> None:
            bar.update(task, completed=rows, amount=pace(rows, total, time.monotonic() - began, "rows"))

        yield show


def pace(done: int, total: int, seconds: float, unit: str = "") -> str:
    """Return how much is done after `seconds`, the rate if there is a unit, and the time left.

    An example is `500 of 900 rows, 250 rows/s, 2 s left`.
    """
    parts = [f"{done:,} of {total:,}{unit and ' ' + unit}"]
    if done and seconds:
        parts += [f"{done / seconds:,.0f} {unit}/s"] if unit else []
        parts += [f"{_duration(seconds * (total - done) / done)} left"] if done < total else []
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    """Return a time as people write it: `8 s`, `2 min 05 s`, `1 h 10 min`."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


_amount_column = TextColumn("{task.fields[amount]}")


def _console(quiet: bool) -> Console:
    # FORCE_COLOR makes rich treat a file as a terminal; bars would fill it.
    shows_bars = sys.stderr.isatty() and not quiet
    return Console(stderr=True, force_interactive=None if shows_bars else False)


def _ignore(_: object) -> None:
    """Show nothing."""


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
        return f" ({pace(event.done, event.total, event.seconds)})"
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
            say(pace(rows, self._total, now - self._began, "rows"))
