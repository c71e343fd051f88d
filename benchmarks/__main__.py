"""The command: `python -m benchmarks [SCENARIO …] [--quick] [--node HOST:PORT] [--rounds N] [--seconds N]`.

`python -m benchmarks report FOLDER` writes summary, report and plot of an earlier run again. `publish FOLDER` puts them
into docs/benchmarks and docs/performance.md.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, MappingProxyType

from asgi_app.settings import ContactPoint
from benchmarks.contenders import CONTENDERS
from benchmarks.environments import description
from benchmarks.machine import describe
from benchmarks.report import REPORT, draw_environment, publish, render
from benchmarks.rows import Run, UnusableRun, save
from benchmarks.scenarios import QUICK, SCENARIOS, Effort
from benchmarks.site import FAILURES, parse_node, prepared_ground

RESULTS = Path(__file__).resolve().parent / "results"

_WITH_A_FOLDER: Mapping[str, Callable[[Path], None]] = MappingProxyType({"report": render, "publish": publish})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return 0 whatever the figures are, and 1 if something cannot run or answers wrongly."""
    signal.signal(signal.SIGTERM, leave)
    try:
        _run_command(list(sys.argv[1:] if arguments is None else arguments))
    except (*FAILURES, UnusableRun) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _run_command(arguments: list[str]) -> None:
    parser = _parser()
    if arguments[:1] and arguments[0] in _WITH_A_FOLDER:
        if len(arguments) != 2:
            parser.error(f"{arguments[0]} takes the folder of a run")
        _WITH_A_FOLDER[arguments[0]](Path(arguments[1]))
        return
    options = parser.parse_args(arguments)
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    folder = run(options.node, options.scenarios or list(SCENARIOS), effort_of(options))
    print((folder / REPORT).read_text())
    print(f"benchmarks: rows, summary, report and plot are in {folder}", file=sys.stderr)


def run(node: ContactPoint | None, names: Sequence[str], effort: Effort) -> Path:
    """Measure the scenarios, and return the folder with the results.

    Raises `FAILURES`; the rows of the scenarios before the failure are kept.
    """
    draw_environment()
    contenders = {each.name: description(each) for each in CONTENDERS}
    at = datetime.now(UTC)
    folder = RESULTS / f"{at:%Y%m%dT%H%M%SZ}"
    with prepared_ground(node) as ground:
        found = Run(at, effort.quick, describe(ground), contenders, {}, [])
        for name in names:
            began = time.monotonic()
            found.rows.extend(SCENARIOS[name](ground, effort))
            found.seconds[name] = time.monotonic() - began
            save(found, folder)
            print(f"benchmarks: {name} took {found.seconds[name]:.0f} s", file=sys.stderr)
    render(folder)
    return folder


def effort_of(options: argparse.Namespace) -> Effort:
    """Return the effort that the command line asks for."""
    effort = QUICK if options.quick else Effort()
    if rounds := options.rounds:
        effort = replace(effort, rounds=rounds, few_rounds=min(rounds, effort.few_rounds))
    if seconds := options.seconds:
        effort = replace(effort, seconds=seconds, few_seconds=seconds, warm_up=min(effort.warm_up, seconds))
    return effort


def at_least_one(text: str) -> int:
    """Parse a number of the command line. Raises ValueError."""
    if (number := int(text)) < 1:
        raise ValueError("at least one")
    return number


def leave(number: int, frame: FrameType | None) -> None:
    """Exit on SIGTERM as on Ctrl-C, so that every clean-up runs."""
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the service and its alternatives.",
        epilog="`report FOLDER` writes the report of an earlier run again, `publish FOLDER` puts it into the docs.",
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"only these, of {', '.join(SCENARIOS)}")
    parser.add_argument("--quick", action="store_true", help="under three minutes, for a first look")
    parser.add_argument("--node", type=parse_node, metavar="HOST:PORT", help="a running Cassandra; else one is started")
    parser.add_argument("--rounds", type=at_least_one, metavar="N", help="how often each figure is measured")
    parser.add_argument("--seconds", type=at_least_one, metavar="N", help="how long each load runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
