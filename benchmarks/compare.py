"""Compare two commits of the service: `python -m benchmarks.compare BASE [HEAD]`.

Prints whether HEAD, by default the working tree, is slower or faster than BASE, or whether no difference is seen: in
the CPU time and in the instructions of a request and of a row. Both run in the environment of this process, so they
must work with the same packages.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.__main__ import at_least_one, leave
from benchmarks.regression.checkouts import Checkout, checkout
from benchmarks.regression.counting import NotGiven, compare_counts
from benchmarks.regression.rounds import compare
from benchmarks.regression.verdicts import CONFIDENCE, LEAST_ROUNDS, Comparison, Counts
from benchmarks.report import MEDIANS, table
from benchmarks.scenarios import CONNECTIONS
from benchmarks.site import FAILURES, Site, parse_node, prepared_ground


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return 1 if something cannot run or a figure is above `--fail-above`, otherwise 0."""
    options = _parser().parse_args(arguments)
    try:
        found, notes = _compare(options)
    except FAILURES as error:
        print(f"benchmarks.compare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(report(found, notes))
    return int(options.fail_above is not None and any(each.fails(options.fail_above) for each in found))


def report(found: Sequence[Comparison], notes: Sequence[str]) -> str:
    """Return a table with a row for each figure, and the notes."""
    header = ("", f"base, {MEDIANS}", "head", "head ÷ base", "interval", "so head is")
    return "\n".join([table(header, [each.cells() for each in found]), "", *(f"- {note}" for note in notes)])


def _compare(options: argparse.Namespace) -> tuple[list[Comparison], list[str]]:
    """Return figures and notes on them. Raises `FAILURES`."""
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
        return [], "instruction counts: not requested"
    try:
        counts = compare_counts(base, head, site, takes)
    except NotGiven as error:
        return [], f"instruction counts: not available: {error}"
    return counts, f"instructions: of the service without a server, {takes} counts each; the smallest are compared"


def _of_rounds(rounds: int, seconds: int) -> str:
    return (
        f"CPU time: {rounds} rounds with fresh processes, each with point reads over {CONNECTIONS} connections for "
        f"{seconds} s and a stream; the ratio is the median of the rounds, and the interval holds it with "
        f"{CONFIDENCE:.0%} confidence by a sign test, which needs {LEAST_ROUNDS} rounds"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description="Say whether a commit of the service is slower than another."
    )
    parser.add_argument("base", metavar="BASE", help="a commit, by any name that git knows")
    parser.add_argument("head", metavar="HEAD", nargs="?", help="another commit; without it the working tree")
    parser.add_argument("--node", type=parse_node, metavar="HOST:PORT", help="a running Cassandra; else one is started")
    parser.add_argument("--rounds", type=at_least_one, default=12, metavar="N", help="paired rounds (12)")
    parser.add_argument("--seconds", type=at_least_one, default=3, metavar="N", help="seconds of reads in each (3)")
    parser.add_argument("--rows", type=at_least_one, default=100_000, metavar="N", help="rows of the stream (100000)")
    parser.add_argument("--counts", type=_not_negative, default=3, metavar="N", help="counts of instructions (3), or 0")
    parser.add_argument(
        "--fail-above",
        type=float,
        metavar="RATIO",
        help="end with 1 if HEAD is slower in a figure by more than this ratio",
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
