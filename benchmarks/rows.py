"""The raw figures of a run: one `Row` for each measurement, stored as JSON in the folder of the run."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

ROWS = "rows.json"

Kept = TypeVar("Kept")


class UnusableRun(Exception):
    """A folder has no run, or one that cannot be read or published."""


class Row(msgspec.Struct, frozen=True):
    """The figures of one contender under one load in one round, by their titles in tables."""

    scenario: str
    load: str
    contender: str
    round: int
    figures: dict[str, float]


class Run(msgspec.Struct, frozen=True):
    """All rows of a run, the machine, and each contender's description with its versions."""

    at: datetime
    quick: bool
    machine: dict[str, str]
    contenders: dict[str, str]
    seconds: dict[str, float]
    rows: list[Row]


class Spread(msgspec.Struct, frozen=True, array_like=True):
    """The median, the least and the greatest of some values."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of one value or more, with five significant digits."""
        return cls(*(float(f"{value:.5g}") for value in (statistics.median(values), min(values), max(values))))

    def text(self) -> str:
        """Return the median, and the least and the greatest in brackets if they differ."""
        median, least, greatest = (
            number(value, like=self.median) for value in (self.median, self.least, self.greatest)
        )
        return median if self.least == self.greatest else f"{median} [{least}–{greatest}]"  # noqa: RUF001


def number(value: float, like: float) -> str:
    """Return a number with the decimals that a number as large as `like` needs for three digits."""
    digits = 0 if abs(like) >= 100 else 1 if abs(like) >= 10 else 2
    return f"{value:.{digits}f}"


def values_of(rows: Iterable[Row], scenario: str, load: str, contender: str, figure: str) -> dict[int, float]:
    """Return one figure of a contender under a load, by round."""
    wanted = (scenario, load, contender)
    return {row.round: row.figures[figure] for row in rows if (row.scenario, row.load, row.contender) == wanted}


def paired(ours: dict[int, float], theirs: dict[int, float]) -> list[float]:
    """Return the ratio in each round that both have: a slow minute of the machine then slows both."""
    return [value / theirs[at] for at, value in ours.items() if at in theirs]


def save(run: Run, folder: Path) -> None:
    """Write the run into a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ROWS).write_bytes(msgspec.json.encode(run))


def load(path: Path, kind: type[Kept]) -> Kept:
    """Read a run or a summary from a JSON file. Raises UnusableRun."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise UnusableRun(f"{path} cannot be read: {error}") from error
