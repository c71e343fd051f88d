"""The runner: `python -m benchmarks [--quick] [--node HOST:PORT] [--scenario NAME …]`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from asgi_app.local_node import LocalNodeError
from asgi_app.settings import ContactPoint
from benchmarks.machine import describe
from benchmarks.report import keep, markdown
from benchmarks.scenarios import DEFAULT, QUICK, SCENARIOS, Effort
from benchmarks.serving import ContenderFailed
from benchmarks.site import parse_node, prepared_site

RESULTS = Path(__file__).resolve().parent / "results"
ROWS = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for: 0 whatever the figures are, 1 when something cannot run or answers wrongly."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)
    try:
        _run(options.node, options.scenario or list(SCENARIOS), QUICK if options.quick else DEFAULT)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures the service and its rivals.")
    parser.add_argument("--quick", action="store_true", help="under a minute, for a first look")
    parser.add_argument(
        "--node", type=parse_node, metavar="HOST:PORT", help="a running Cassandra; without it one is booted"
    )
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS), help="only this one; may be repeated")
    return parser


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends as on Ctrl-C, through every clean-up."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
