"""The runner: `python -m benchmarks [SCENARIO …] [--quick] [--node HOST:PORT]`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from asgi_app.local_node import LocalNodeError
from asgi_app.settings import ContactPoint
from benchmarks.machine import describe
from benchmarks.report import keep, markdown
from benchmarks.scenarios import DEFAULT, QUICK, SCENARIOS, USUAL, Effort
from benchmarks.serving import ContenderFailed
from benchmarks.site import parse_node, prepared_site

RESULTS = Path(__file__).resolve().parent / "results"
ROWS = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for: 0 whatever the figures are, 1 when something cannot run or answers wrongly."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, _leave)
    try:
        _run(options.node, _names(options), _effort(options))
    except (ContenderFailed, LocalNodeError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _run(node: ContactPoint | None, names: list[str], effort: Effort) -> None:
    with prepared_site(node, ROWS) as site:
        machine = describe(site)
        outcomes = {name: SCENARIOS[name].run(site, effort) for name in names}
    kept = keep(RESULTS, machine, outcomes)
    print(markdown(machine, outcomes.values()))
    print(f"benchmarks: raw figures in {kept}", file=sys.stderr)


def _names(options: argparse.Namespace) -> list[str]:
    return list(dict.fromkeys([*options.scenarios, *(options.scenario or [])])) or list(USUAL)


def _effort(options: argparse.Namespace) -> Effort:
    effort = replace(QUICK if options.quick else DEFAULT, keep=options.keep)
    if options.rounds:
        effort = replace(effort, rounds=options.rounds, stream_rounds=options.rounds)
    return replace(effort, stream_rows=options.rows) if options.rows else effort


def _sizes(text: str) -> tuple[int, ...]:
    """`200000,1000000` as given on the command line, the least first. Raises ValueError."""
    sizes = tuple(sorted({int(part) for part in text.split(",")}))
    if sizes[0] < 1:
        raise ValueError("a table has rows")
    return sizes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures the service and its rivals.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}: only these")
    parser.add_argument("--quick", action="store_true", help="under a minute, for a first look")
    parser.add_argument(
        "--node", type=parse_node, metavar="HOST:PORT", help="a running Cassandra; without it one is booted"
    )
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS), help="only this one; may be repeated")
    parser.add_argument(
        "--rows", type=_sizes, metavar="N[,N…]", help="sizes of the tables that are streamed (200000,1000000)"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each figure is taken")
    parser.add_argument(
        "--keep", action="store_true", help="leave the streamed tables on --node, take those that were left"
    )
    return parser


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends as on Ctrl-C, through every clean-up."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
