"""Two commits of the service beside each other: `python -m benchmarks.compare BASE [HEAD]`.

Says of the CPU time and the instructions of a request and of a row whether HEAD, by default the working tree, is slower
than BASE, faster, or no different as far as can be seen. Both run in the environment of this process, so they must work
with the same packages.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from asgi_app.local_node import LocalNodeError
from benchmarks.__main__ import at_least_one, leave
from benchmarks.processes import ContenderFailed
from benchmarks.regression.checkouts import Checkout, checkout
from benchmarks.regression.counting import NotGiven, compare_counts
from benchmarks.regression.rounds import compare
from benchmarks.regression.verdicts import CONFIDENCE, LEAST_ROUNDS, Comparison, Counts, fails
from benchmarks.report import MEDIANS, table
from benchmarks.scenarios import CONNECTIONS
from benchmarks.site import Site, parse_node, prepared_ground


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 1 where something cannot run or a figure is above `--fail-above`, else 0."""
    options = _parser().parse_args(arguments)
    try:
        found, notes = _compare(options)
    except (ContenderFailed, LocalNodeError) as error:
        print(f"benchmarks.compare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(report(found, notes))
    return int(options.fail_above is not None and any(fails(each, options.fail_above) for each in found))


def report(found: Sequence[Comparison | Counts], notes: Sequence[str]) -> str:
    """Return a table with a row for each figure, and the notes."""
    header = ("", f"base, {MEDIANS}", "head", "head ÷ base", "interval", "so head is")
    return "\n".join([table(header, [each.cells() for each in found]), "", *(f"- {note}" for note in notes)])


def _compare(options: argparse.Namespace) -> tuple[list[Comparison | Counts], list[str]]:
    """Return figures and notes on them. Raises ContenderFailed or LocalNodeError."""
    with (
        tempfile.TemporaryDirectory(prefix="asgi-cassandra-compare-") as scratch,
        checkout(options.base, "base", Path(scratch)) as base,
        checkout(options.head, "head", Path(scratch)) as head,
        prepared_ground(options.node) as ground,
        ground.site(options.rows) as site,
    ):
        for each in (base, head):
            each.check(site)
        found = compare(base, head, site, options.rows, options.rounds, options.seconds)
        counts, note = _counted(base, head, site, options.counts)
    return [*found, *counts], [f"{base.name}; {head.name}", _of_rounds(options.rounds, options.seconds), note]


def _counted(base: Checkout, head: Checkout, site: Site, takes: int) -> tuple[list[Counts], str]:
    """Return the counts, if there are any, and a note on them."""
    if not takes:
        return [], "instruction counts: not asked for"
    try:
        counts = compare_counts(base, head, site, takes)
    except NotGiven as error:
        return [], f"instruction counts: not given by this machine: {error}"
    return counts, f"instructions: of the service without a server, {takes} counts each; the ratio is that of the least"


def _of_rounds(rounds: int, seconds: int) -> str:
    return (
        f"CPU time: of fresh processes in each of {rounds} rounds, point reads over {CONNECTIONS} connections for "
        f"{seconds} s and a stream; the ratio is the median of the rounds, within its {CONFIDENCE:.0%} interval by a "
        f"sign test, which takes {LEAST_ROUNDS} rounds"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description="Says whether a commit of the service is slower than another."
    )
    parser.add_argument("base", metavar="BASE", help="a commit, as git names it")
    parser.add_argument("head", metavar="HEAD", nargs="?", help="another; without it the working tree")
    parser.add_argument(
        "--node", type=parse_node, metavar="HOST:PORT", help="a running Cassandra; without it one is booted"
    )
    parser.add_argument("--rounds", type=at_least_one, default=12, metavar="N", help="paired rounds (12)")
    parser.add_argument("--seconds", type=at_least_one, default=3, metavar="N", help="of point reads in each (3)")
    parser.add_argument(
        "--rows", type=at_least_one, default=100_000, metavar="N", help="in the streamed table (100000)"
    )
    parser.add_argument("--counts", type=_not_negative, default=3, metavar="N", help="of instructions (3), or 0")
    parser.add_argument(
        "--fail-above",
        type=float,
        metavar="RATIO",
        help="end with 1 where HEAD is slower in a figure, and by more than this",
    )
    return parser


def _not_negative(text: str) -> int:
    """Parse a number of the command line. Raises ValueError."""
    if (number := int(text)) < 0:
        raise ValueError("at least none")
    return number


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, leave)
    sys.exit(main())
