"""Figures → Markdown on the terminal, and JSON in a file."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec


class Table(msgspec.Struct, frozen=True):
    """A table of the report; cells are text already."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def markdown(self) -> str:
        """The table, its first column to the left and the others to the right."""
        rule = ("---", *("---:" for _ in self.header[1:]))
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (self.header, rule, *self.rows))


class Outcome(msgspec.Struct, frozen=True):
    """What a scenario found: tables and sentences for people, `raw` for programs."""

    title: str
    tables: list[Table]
    findings: list[str]
    raw: Any


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median, and in brackets the least and the greatest."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} [{low:.{digits}f}–{high:.{digits}f}]"  # noqa: RUF001


def verdict(value: float, target: float, *, below: bool = False) -> str:
    """Whether `value` keeps to its target: at most, or below."""
    met = value < target if below else value <= target
    return f"target {'<' if below else '≤'} {target:g}: {'met' if met else 'missed'}"


def verdict_at_least(value: float, target: float) -> str:
    """Whether `value` keeps to its target: at least."""
    return f"target ≥ {target:g}: {'met' if value >= target else 'missed'}"


def markdown(machine: dict[str, str], outcomes: Iterable[Outcome]) -> str:
    """The whole report."""
    parts = ["# Benchmarks", *_bullets(f"{name}: {value}" for name, value in machine.items())]
    for outcome in outcomes:
        tables = (table.markdown() for table in outcome.tables)
        parts += [f"## {outcome.title}", *tables, *_bullets(outcome.findings)]
    return "\n\n".join(parts)


def keep(folder: Path, machine: dict[str, str], outcomes: dict[str, Outcome]) -> Path:
    """Write the raw figures to a new file in `folder`, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    contents = {"at": now, "machine": machine, "scenarios": {name: found.raw for name, found in outcomes.items()}}
    path = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(contents)))
    return path


def _bullets(lines: Iterable[str]) -> list[str]:
    joined = "\n".join(f"- {line}" for line in lines)
    return [joined] if joined else []
