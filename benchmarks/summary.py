"""The summary of a run: the spread of each figure over the rounds. Report and page section need nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path

import msgspec

from benchmarks.contenders import SERVICE
from benchmarks.measure import CPU_REQUEST, CPU_ROW
from benchmarks.rows import ROWS, Row, Run, Spread, load
from benchmarks.targets import TARGETS, over

SUMMARY = "summary.json"


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """All figures of one contender under one load, and the service's CPU time over the contender's.

    `over_it` is the ratio of each round; it is None for the service itself and for loads without CPU time.
    """

    scenario: str
    load: str
    contender: str
    rounds: int
    figures: dict[str, Spread]
    over_it: Spread | None = None


class Summary(msgspec.Struct, frozen=True):
    """A run in a few hundred figures; `targets` has the measured ones by their titles."""

    at: datetime
    quick: bool
    notes: list[str]
    machine: dict[str, str]
    contenders: dict[str, str]
    seconds: dict[str, float]
    targets: dict[str, Spread]
    lines: list[Line]


def summarize(run: Run) -> Summary:
    """Return the summary of a run."""
    found = {target.title: target.read(run.rows) for target in TARGETS}
    targets = {title: Spread.of(values) for title, values in found.items() if values}
    seconds = {name: round(value, 0) for name, value in run.seconds.items()}
    return Summary(run.at, run.quick, [], run.machine, run.contenders, seconds, targets, list(_lines(run.rows)))


def load_summary(folder: Path) -> Summary:
    """Return the summary of the rows in a folder, or the stored summary without rows. Raises UnusableRun."""
    if (folder / ROWS).exists():
        return summarize(load(folder / ROWS, Run))
    return load(folder / SUMMARY, Summary)


def to_json(summary: Summary) -> str:
    """Return the summary as JSON, with each contender under a load on a line of its own, and each other entry."""
    parts = []
    for name, value in msgspec.to_builtins(summary).items():
        brackets = "[]" if isinstance(value, list) else "{}"
        if isinstance(value, list):
            entries = [_json(each) for each in value]
        elif isinstance(value, dict):
            entries = [f"{_json(key)}: {_json(each)}" for key, each in value.items()]
        else:
            parts.append(f" {_json(name)}: {_json(value)}")
            continue
        inside = ",\n".join(f"  {entry}" for entry in entries)
        parts.append(f" {_json(name)}: {brackets[0]}\n{inside}\n {brackets[1]}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _lines(rows: Sequence[Row]) -> Iterator[Line]:
    order = {key: position for position, key in enumerate(dict.fromkeys(map(_key, rows)))}
    for key, group in groupby(sorted(rows, key=lambda row: order[_key(row)]), _key):
        found = list(group)
        figures = {name: Spread.of([row.figures[name] for row in found]) for name in found[0].figures}
        yield Line(*key, len(found), figures, _over(key, figures, rows))


def _key(row: Row) -> tuple[str, str, str]:
    return row.scenario, row.load, row.contender


def _over(key: tuple[str, str, str], figures: dict[str, Spread], rows: Sequence[Row]) -> Spread | None:
    """Return the service's CPU time over that of a contender under the same load."""
    cpu = next((figure for figure in (CPU_REQUEST, CPU_ROW) if figure in figures), None)
    if cpu is None or key[2] == SERVICE.name:
        return None
    ratios = over(*key, cpu, rows)
    return Spread.of(ratios) if ratios else None
