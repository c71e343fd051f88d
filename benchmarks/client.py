"""A load client: `python -m benchmarks.client PORT ASKS CONNECTIONS SECONDS [--rate N] [--header 'NAME: VALUE' …]`.

ASKS is a file of lines `METHOD PATH BODY`, which are asked for in turn. Without a rate each connection sends one
request, waits for its whole answer, and sends the next: so it stands in for wrk on machines without it. With one,
requests fall due at that rate whatever the answers are, and their times count from when they were due, so that a slow
answer does not keep others from being timed. Prints one line of JSON, a LoadReport.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import selectors
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.connections import Ran, closed_loop, open_loop, requests_of


@dataclass(slots=True)
class Tally:
    """What all connections saw: seconds of each answer, and answers that were no success."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def add(self, answer: bytes, seconds: float) -> None:
        """Count a whole answer."""
        self.seconds.append(seconds)
        self.failed += answer[9:10] != b"2"


def percentiles(values: Sequence[float], *shares: float) -> list[float]:
    """The values below which so much of all of them lies; zeros when there are none."""
    ordered = sorted(values) or [0.0]
    return [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in shares]


def report(tally: Tally, ran: Ran, client_seconds: float) -> dict[str, object]:
    """A LoadReport; the CPU that this process took is told as a share of the time."""
    p50, p99, p999 = (value * 1000 for value in percentiles(tally.seconds, 0.5, 0.99, 0.999))
    return {
        "requests": len(tally.seconds),
        "seconds": ran.seconds,
        "p50_ms": p50,
        "p99_ms": p99,
        "p999_ms": p999,
        "failures": {"status": tally.failed, "lost": ran.lost, "unanswered": ran.unanswered},
        "client_share": client_seconds / ran.seconds,
        "late_p99_ms": percentiles(ran.late, 0.99)[0] * 1000,
        "late_max_ms": max(ran.late, default=0.0) * 1000,
    }


def _precise() -> asyncio.AbstractEventLoop:
    """A loop whose timers are not rounded to milliseconds, as those of uvloop and of epoll are."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main() -> None:
    """Run as the command line says."""
    options = _parser().parse_args()
    requests = requests_of(options.asks, options.port, options.header)
    tally = Tally()
    how = (options.port, requests, options.connections, options.seconds)
    used = time.process_time()
    if options.rate is None:
        ran = uvloop.run(closed_loop(*how, tally.add))
    else:
        with asyncio.Runner(loop_factory=_precise) as runner:
            ran = runner.run(open_loop(*how, options.rate, tally.add))
    print(json.dumps(report(tally, ran, time.process_time() - used)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client")
    parser.add_argument("port", type=int)
    parser.add_argument("asks", type=Path)
    parser.add_argument("connections", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--header", action="append", default=[])
    return parser


if __name__ == "__main__":
    main()
