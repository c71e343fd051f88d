"""Figures → Markdown: tables, sentences, plots, all made of the raw figures of a run."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from benchmarks.plots import Plot

MEDIANS = "medians [least–greatest]"  # noqa: RUF001
"""How `spread` is to be read."""


class Table(msgspec.Struct, frozen=True):
    """A table of the report; cells are text already."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        """The table, its first column to the left and the others to the right."""
        rule = ("---", *("---:" for _ in self.header[1:]))
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (self.header, rule, *self.rows))


class Outcome(msgspec.Struct, frozen=True):
    """What a scenario found: tables, plots and sentences for people, all made of `raw`, which is for programs."""

    title: str
    tables: list[Table]
    findings: list[str]
    raw: Any
    plots: list[Plot] = []


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median, and in brackets the least and the greatest where there are several."""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} [{min(values):.{digits}f}–{max(values):.{digits}f}]"  # noqa: RUF001


def verdict(value: float, target: float, *, below: bool = False) -> str:
    """Whether `value` keeps to its target: at most, or below."""
    met = value < target if below else value <= target
    return f"target {'<' if below else '≤'} {target:g}: {'met' if met else 'missed'}"


def verdict_at_least(value: float, target: float) -> str:
    """Whether `value` keeps to its target: at least."""
    return f"target ≥ {target:g}: {'met' if value >= target else 'missed'}"


def judged(what: str, values: Sequence[float], target: float, digits: int = 2) -> str:
    """A figure with its target: at most."""
    return f"{what}: **{spread(values, digits)}** ({verdict(statistics.median(values), target)})"


def judged_at_least(what: str, values: Sequence[float], target: float) -> str:
    """A figure with its target: at least."""
    return f"{what}: **{spread(values, 2)}** ({verdict_at_least(statistics.median(values), target)})"


def bullets(lines: Iterable[str]) -> list[str]:
    """A list, as one part of a page; none of nothing."""
    joined = "\n".join(f"- {line}" for line in lines)
    return [joined] if joined else []


def section(outcome: Outcome) -> list[str]:
    """The part of the report that tells of one scenario."""
    tables = (table.markdown() for table in outcome.tables)
    plots = (f"![{plot.title}]({plot.name}.png)" for plot in outcome.plots)
    return [f"## {outcome.title}", *tables, *plots, *bullets(outcome.findings)]


def named(values: Mapping[str, str]) -> list[str]:
    """A list of names with their values."""
    return bullets(f"{name}: {value}" for name, value in values.items())
