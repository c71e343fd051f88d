"""The report of `benchmarks.export`: tables of medians, and the targets, from the rows of a run.

A run is published as two files in `docs/benchmarks`: the report, and every figure of every round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.export_ways import (
    ALONE,
    BESIDE,
    COPY,
    EXPORT,
    MEMORY,
    SCENARIO,
    STREAM,
    TENTH,
    WHOLE,
    reads_load,
)
from benchmarks.measure import CPU_ROW, P99, PEAK_MB, RATE, ROW_RATE
from benchmarks.report import MEDIANS, NOT_MEASURED, bullets, table
from benchmarks.rows import Row, Spread, paired, values_of
from benchmarks.targets import Target
from benchmarks.whole_tables import WHOLE_TABLES

CONNECTIONS = (32, 1)
"""Over how many connections single users are read."""


_TITLE = "# A whole table"
_FIGURES = f"Figures are {MEDIANS} over the rounds, and ratios are taken round by round."


class ExportRun(msgspec.Struct, frozen=True):
    """The rows of a run, and what there is to know of it by name: the machine, versions, how much was measured."""

    about: dict[str, str]
    rows: list[Row]


def report(run: ExportRun) -> str:
    """Return the report of a run: the same text for the same run."""
    parts = [_TITLE, bullets(run.about.items()), _FIGURES]
    return "\n\n".join([*parts, _targets(run.rows), _whole_tables(run.rows), _reads(run.rows)]) + "\n"


def publish(run: ExportRun, name: str, folder: Path) -> None:
    """Write a run into a folder: `NAME.md` is its report, and `NAME.json` the run itself."""
    (folder / f"{name}.json").write_bytes(msgspec.json.encode(run) + b"\n")
    (folder / f"{name}.md").write_text(report(run))


def _whole_tables(rows: Sequence[Row]) -> str:
    header = ("rows of a table", "way", ROW_RATE, f"÷ {STREAM}", f"÷ {COPY.name}", CPU_ROW, PEAK_MB)
    return table(header, [line for each in WHOLE_TABLES for line in _ways(rows, each.load)])


def _ways(rows: Sequence[Row], load: str) -> Iterator[Sequence[str]]:
    for way in dict.fromkeys(row.contender for row in rows if row.load == load):
        ratios = (_spread(_over(load, way, other, ROW_RATE, rows)) for other in (STREAM, COPY.name))
        yield (load, way, _values(rows, load, way, ROW_RATE), *ratios, *_costs(rows, load, way))


def _costs(rows: Sequence[Row], load: str, way: str) -> tuple[str, str]:
    return _values(rows, load, way, CPU_ROW), _values(rows, load, way, PEAK_MB)


def _reads(rows: Sequence[Row]) -> str:
    header = ("reads of single users", "", RATE, "p50 ms", P99, "p99 ÷ alone")
    return table(header, [line for each in CONNECTIONS for line in _beside(rows, reads_load(each))])


def _beside(rows: Sequence[Row], load: str) -> Iterator[Sequence[str]]:
    for way in dict.fromkeys(row.contender for row in rows if row.load == load):
        figures = (_values(rows, load, way, figure) for figure in (RATE, "p50 ms", P99))
        yield (load, way, *figures, _spread(_over(load, way, ALONE, P99, rows)))


def _over(load: str, way: str, other: str, figure: str, rows: Sequence[Row]) -> list[float]:
    """Return a figure of one way over that of another, round by round."""
    return paired(*(_by_round(rows, load, name, figure) for name in (way, other)))


def _by_round(rows: Sequence[Row], load: str, way: str, figure: str) -> dict[int, float]:
    measured = [row for row in rows if figure in row.figures]
    return values_of(measured, SCENARIO, load, way, figure)


def _values(rows: Sequence[Row], load: str, way: str, figure: str) -> str:
    return _spread(list(_by_round(rows, load, way, figure).values()))


def _spread(values: Sequence[float]) -> str:
    return Spread.of(values).text() if values else ""


def _growth(rows: Sequence[Row]) -> list[float]:
    tenth, whole = (_by_round(rows, MEMORY, name, PEAK_MB) for name in (TENTH, WHOLE))
    return [whole[at] - value for at, value in tenth.items() if at in whole]


def _rate_target(load: str, other: str, limit: float) -> Target:
    read = partial(_over, load, EXPORT, other, ROW_RATE)
    return Target(f"{load}: rows/s of the {EXPORT} ÷ {other}", limit, read, at_least=True)


TARGETS = (
    *(_rate_target(each.load, *goal) for each in WHOLE_TABLES for goal in ((STREAM, 1.4), (COPY.name, 20))),
    Target("growth of peak resident memory from an export of a tenth of the users to one of all, MB", 8, _growth),
    *(
        Target(f"{load}: p99 {BESIDE} ÷ {ALONE}", 2, partial(_over, load, BESIDE, ALONE, P99))
        for load in map(reads_load, CONNECTIONS)
    ),
)


def _targets(rows: Sequence[Row]) -> str:
    return table(("figure", "target", MEDIANS, ""), [_judged(each, each.read(rows)) for each in TARGETS])


def _judged(target: Target, values: Sequence[float]) -> tuple[str, ...]:
    if not values:
        return (target.title, target.aim(), NOT_MEASURED, "")
    found = Spread.of(values)
    return (target.title, target.aim(), found.text(), "met" if target.is_met(found.median) else "**missed**")
