"""A run of the benchmarks as it is kept: a folder with `raw.json`, and with a report and plots that are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.agreement import QUIETER, agreement
from benchmarks.drawing import draw
from benchmarks.report import Outcome, named, section
from benchmarks.scenarios import SCENARIOS
from benchmarks.targets import judgements

RAW = "raw.json"
AGAIN = "again.json"
"""In a folder that is published: another run, to see whether both say the same."""
REPORT = "report.md"


class UnusableRun(Exception):
    """A folder holds no run, or one that cannot be read or quoted."""


class Ground(msgspec.Struct, frozen=True):
    """A contender as it was: what it is, and the versions that its interpreter had."""

    description: str
    versions: dict[str, str]


class Run(msgspec.Struct, frozen=True):
    """All that was found: raw figures by scenario, as JSON, and what they were measured on."""

    at: datetime
    quick: bool
    machine: dict[str, str]
    contenders: dict[str, Ground]
    seconds: dict[str, float]
    scenarios: dict[str, msgspec.Raw]

    def outcomes(self) -> dict[str, Outcome]:
        """What people read of each scenario. Raises UnusableRun."""
        try:
            return {name: SCENARIOS[name].again(raw) for name, raw in self.scenarios.items()}
        except (KeyError, msgspec.DecodeError) as error:
            raise UnusableRun(f"its figures are not of this version: {error}") from error


def load(folder: Path, name: str = RAW) -> Run:
    """The run that a folder holds. Raises UnusableRun."""
    try:
        return msgspec.json.decode((folder / name).read_bytes(), type=Run)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnusableRun(f"{folder} holds no {name}") from error
    except msgspec.DecodeError as error:
        raise UnusableRun(f"{folder / name}: {error}") from error


def load_again(folder: Path) -> Run | None:
    """The other run that a folder holds, None where there is none. Raises UnusableRun."""
    return load(folder, AGAIN) if (folder / AGAIN).exists() else None


def save(run: Run, folder: Path, name: str = RAW) -> None:
    """Write the figures into a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")


def render(folder: Path) -> None:
    """Make report and plots of the figures that a folder holds. Raises UnusableRun and ContenderFailed."""
    run = load(folder)
    outcomes = run.outcomes()
    (folder / REPORT).write_text(report(run, outcomes, load_again(folder)))
    draw([plot for outcome in outcomes.values() for plot in outcome.plots], folder)


def report(run: Run, outcomes: Mapping[str, Outcome], again: Run | None = None) -> str:
    """The whole report, in Markdown: the same text for the same runs. Raises UnusableRun."""
    quick = ["A quick look: it shows that everything runs, its figures are not to be relied on."] if run.quick else []
    raws = _raws(outcomes)
    parts = [
        "# Benchmarks",
        *quick,
        *named({"at": f"{run.at:%Y-%m-%d %H:%M} UTC", **run.machine}),
        "## Targets",
        judgements(raws).markdown(),
        "## Contenders",
        *named({name: _ground(ground) for name, ground in run.contenders.items()}),
        *(part for outcome in outcomes.values() for part in section(outcome)),
        *(_compared(raws, again) if again is not None else []),
        "## How long it took",
        *named({name: f"{seconds:.0f} s" for name, seconds in run.seconds.items()}),
    ]
    return "\n\n".join(parts) + "\n"


def _compared(raws: Mapping[str, Any], again: Run) -> list[str]:
    when = f"The same on the same machine at {again.at:%Y-%m-%d %H:%M} UTC. {QUIETER}"
    return ["## Two runs", when, agreement(raws, _raws(again.outcomes())).markdown()]


def _raws(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    return {name: outcome.raw for name, outcome in outcomes.items()}


def _ground(ground: Ground) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in ground.versions.items())
    return f"{ground.description} ({versions})" if versions else ground.description
