"""GET /users/{id} by one process of the service and by two that share its port: what a request costs in all of them.

As fast as they can, two workers need a third processor for the client and Cassandra, and more than that on a machine
where both are beside them. So they are looked at where all have time, too: at a rate that a worker has alone as beside
another.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from benchmarks.contenders import SERVICE, Contender
from benchmarks.figures import Slice, chosen, paired, table
from benchmarks.load import Load
from benchmarks.operations import READ
from benchmarks.report import MEDIANS, Outcome, judged
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.rounds import CONNECTIONS, at_rate, ready_for, side_by_side, take
from benchmarks.site import Site

TARGET = 1.05
RATE = 750.0
"""Reads a second for each worker: some eighth of what one can do, so that processors are left over."""

TWICE = 2 * CONNECTIONS
LOADS = ((CONNECTIONS, None), (TWICE, None), (CONNECTIONS, RATE), (TWICE, 2 * RATE))

ONE = replace(SERVICE, name="1 worker")
TWO = replace(SERVICE, name="2 workers", workers=2)


class Workers(msgspec.Struct, frozen=True):
    """All raw figures; those of two workers are of both and their parent."""

    seconds: int
    slices: list[Slice]


def run(site: Site, effort: Effort) -> Outcome:
    """Both in rotated rounds, over the same connections and over twice as many. Raises ContenderFailed."""
    loads = [Load(connections, effort.seconds, rate) for connections, rate in LOADS]
    with side_by_side((ONE, TWO), site) as running:
        ready_for(running, site, READ, effort.checked, effort.warm_up)
        slices = take(running, site, loads, effort.rounds)
    return outcome(Workers(effort.seconds, slices))


def ratios(found: Workers) -> dict[str, list[float]]:
    """CPU per request with two workers over that with one, round by round, by what is the same of their load."""
    one, one_at_rate = _of(found, ONE, CONNECTIONS, None), _of(found, ONE, CONNECTIONS, RATE)
    pairs = {
        f"{RATE:.0f} reads/s a worker": (_of(found, TWO, TWICE, 2 * RATE), one_at_rate),
        f"{CONNECTIONS} connections a worker, as fast as they can": (_of(found, TWO, TWICE, None), one),
        f"{CONNECTIONS} connections in all, as fast as they can": (_of(found, TWO, CONNECTIONS, None), one),
    }
    return {what: paired(two, alone, lambda each: each.cpu_us) for what, (two, alone) in pairs.items()}


def outcome(found: Workers) -> Outcome:
    """What people read of it."""
    rows = {
        f"{contender.name}, {connections} connections{at_rate(rate)}": _of(found, contender, connections, rate)
        for connections, rate in LOADS
        for contender in (ONE, TWO)
    }
    findings = [
        judged(f"CPU per request, {TWO.name} ÷ {ONE.name}, {what}", values, TARGET)
        for what, values in ratios(found).items()
    ]
    title = f"Workers of uvicorn: point reads, rounds of {found.seconds} s, {MEDIANS}"
    return Outcome(title, [table("asgi-cassandra", rows)], findings, found)


def _of(found: Workers, contender: Contender, connections: int, rate: float | None) -> list[Slice]:
    slices = chosen(found.slices, contender=contender.name, connections=connections)
    return [each for each in slices if each.fixed_rate == rate]
