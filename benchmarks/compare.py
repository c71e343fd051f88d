"""Two commits of the service beside each other: `python -m benchmarks.compare BASE [HEAD]`.

Says of the CPU time of a request and of a row, and of their instructions where the machine gives these, whether HEAD is
slower than BASE, faster, or no different as far as can be seen. Without HEAD it is the working tree. Both run in the
environment that runs this, so they must go with the same packages.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from asgi_app.local_node import LocalNodeError
from benchmarks.failure import ContenderFailed
from benchmarks.regression.checkouts import Checkout, checkout
from benchmarks.regression.counters import NotGiven
from benchmarks.regression.counting import compare_counts
from benchmarks.regression.rounds import Whole, compare
from benchmarks.regression.verdicts import CONFIDENCE, LEAST_ROUNDS, Comparison, Counts, fails
from benchmarks.report import MEDIANS, Table, bullets
from benchmarks.scenarios.rounds import CONNECTIONS
from benchmarks.site import Site, parse_node, prepared_site, seeded_site
from benchmarks.streams import driver

_USERS = 10  # of the site that the table stands on; what is asked for is in the table


def main(arguments: Sequence[str] | None = None) -> int:
    """0 whatever the figures are, unless `--fail-above` says otherwise; 1 too when something cannot run."""
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
    """In Markdown: a row for each figure, and what is to be known of them."""
    header = ("", f"base, {MEDIANS}", "head", "head ÷ base", "which is", "so head is")
    table = Table(header, [each.cells() for each in found]).markdown()
    return "\n".join([table, "", *bullets(notes)])


def _compare(options: argparse.Namespace) -> tuple[list[Comparison | Counts], list[str]]:
    """Figures, and notes on them. Raises ContenderFailed or LocalNodeError."""
    with (
        tempfile.TemporaryDirectory(prefix="asgi-cassandra-compare-") as scratch,
        checkout(options.base, "base", Path(scratch)) as base,
        checkout(options.head, "head", Path(scratch)) as head,
        prepared_site(options.node, _USERS) as ground,
        seeded_site(ground, options.rows, keep=False) as site,
    ):
        for each in (base, head):
            each.check(site)
        found: list[Comparison | Counts] = [*_measured(base, head, site, options)]
        counts, note = _counted(base, head, site, options.counts)
    return [*found, *counts], [f"{base.name}; {head.name}", _of_rounds(options.rounds, options.seconds), note]


def _measured(base: Checkout, head: Checkout, site: Site, options: argparse.Namespace) -> list[Comparison]:
    with driver(site) as plain:
        whole = Whole(options.rows, plain.expect(("json",))["json"])
    return compare(base, head, site, whole, options.rounds, options.seconds)


def _counted(base: Checkout, head: Checkout, site: Site, takes: int) -> tuple[list[Counts], str]:
    """The counts, if there are any, and what is to be known of them."""
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
    parser.add_argument("--rounds", type=_positive, default=12, metavar="N", help="paired rounds (12)")
    parser.add_argument("--seconds", type=_positive, default=3, metavar="N", help="of point reads in each (3)")
    parser.add_argument("--rows", type=_positive, default=100_000, metavar="N", help="in the streamed table (100000)")
    parser.add_argument("--counts", type=_not_negative, default=3, metavar="N", help="of instructions (3), or 0")
    parser.add_argument(
        "--fail-above",
        type=float,
        metavar="RATIO",
        help="end with 1 where a figure of HEAD is seen to be slower, and by more than this",
    )
    return parser


def _positive(text: str) -> int:
    """Raises ValueError."""
    if (number := int(text)) < 1:
        raise ValueError("at least one")
    return number


def _not_negative(text: str) -> int:
    """Raises ValueError."""
    if (number := int(text)) < 0:
        raise ValueError("at least none")
    return number


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends as on Ctrl-C, through every clean-up."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(main())
