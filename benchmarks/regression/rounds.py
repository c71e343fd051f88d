"""Both commits in paired rounds: point reads over 32 connections, and a stream, each in fresh processes every round.

Processes of the same code differ by some percent (hashes, where things lie in memory) as long as they live; so those of
one round say nothing of that, and those of several do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec

from benchmarks.driver_worker import Body
from benchmarks.failure import ContenderFailed
from benchmarks.load import Load
from benchmarks.meter import measure
from benchmarks.operations import READ
from benchmarks.regression.checkouts import Checkout
from benchmarks.regression.verdicts import Comparison
from benchmarks.scenarios.rounds import CONNECTIONS, ready_for, rotated, side_by_side
from benchmarks.serving import Served
from benchmarks.site import Site
from benchmarks.streams import drain

_CHECKED = 10
_WARM_UP = 1
_PATH = "/users/stream?fetch_size=2000"


class Whole(msgspec.Struct, frozen=True):
    """A stream of the whole table: how many rows, and the body that they must make."""

    rows: int
    body: Body


class Cost(msgspec.Struct, frozen=True):
    """CPU time of the serving process in microseconds: for each request, and for each row of a stream."""

    request_us: float
    row_us: float


def compare(base: Checkout, head: Checkout, site: Site, expected: Whole, rounds: int, seconds: int) -> list[Comparison]:
    """Both in turn, the first of a round being the second of the round before. Raises ContenderFailed."""
    found: list[tuple[Cost, Cost]] = []
    for number in range(rounds):
        costs = _round(rotated((base, head), number), site, expected, seconds, number)
        found.append((costs[base.name], costs[head.name]))
        print(f"round {number + 1} of {rounds}: {_brief(*found[-1])}", file=sys.stderr)
    bases, heads = zip(*found, strict=True)
    return [
        Comparison("CPU µs/request", [each.request_us for each in bases], [each.request_us for each in heads]),
        Comparison("CPU µs/row", [each.row_us for each in bases], [each.row_us for each in heads], digits=2),
    ]


def _round(order: Sequence[Checkout], site: Site, expected: Whole, seconds: int, number: int) -> dict[str, Cost]:
    with side_by_side([each.contender() for each in order], site) as running:
        ready_for(running, site, READ, _CHECKED, _WARM_UP)
        requests = [measure(served, site, Load(CONNECTIONS, seconds), number).cpu_us for served in running]
        for served in running:
            _check(served, expected)
        rows = [_row_us(served, expected) for served in running]
    costs = map(Cost, requests, rows)
    return dict(zip((each.name for each in order), costs, strict=True))


def _check(served: Served, expected: Whole) -> None:
    """Raise ContenderFailed unless the whole table is streamed byte by byte as it must be."""
    found = drain(served, _PATH, "--checked")
    if (found.bytes, found.crc) != (expected.body.bytes, expected.body.crc):
        raise ContenderFailed(f"{served.contender.name} streams {_PATH} as {found}, not {expected.body}")


def _row_us(served: Served, expected: Whole) -> float:
    before = served.cpu_seconds()
    found = drain(served, _PATH)
    used = served.cpu_seconds() - before
    if found.bytes != expected.body.bytes:
        raise ContenderFailed(f"{served.contender.name} streams {found.bytes} bytes, not {expected.body.bytes}")
    return used / expected.rows * 1e6


def _brief(base: Cost, head: Cost) -> str:
    return (
        f"{base.request_us:.0f} and {head.request_us:.0f} µs CPU/request, "
        f"{base.row_us:.2f} and {head.row_us:.2f} µs CPU/row"
    )
