"""GET /users/{id} by one process of the service and by two that share its port: what a request costs in all of them."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from benchmarks.contenders import SERVICE
from benchmarks.figures import Slice, chosen, paired, table
from benchmarks.load import Load
from benchmarks.operations import READ
from benchmarks.report import MEDIANS, Outcome, judged
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.rounds import CONNECTIONS, ready_for, side_by_side, take
from benchmarks.site import Site

TARGET = 1.05

ONE = replace(SERVICE, name="1 worker")
TWO = replace(SERVICE, name="2 workers", workers=2)


class Workers(msgspec.Struct, frozen=True):
    """All raw figures; those of two workers are of both and their parent."""

    seconds: int
    slices: list[Slice]


def run(site: Site, effort: Effort) -> Outcome:
    """Both in rotated rounds, over the same connections and over twice as many. Raises ContenderFailed."""
    loads = [Load(connections, effort.few_seconds) for connections in (CONNECTIONS, 2 * CONNECTIONS)]
    with side_by_side((ONE, TWO), site) as running:
        ready_for(running, site, READ, effort.checked, effort.warm_up)
        slices = take(running, site, loads, effort.rounds)
    return outcome(Workers(effort.few_seconds, slices))


def ratios(found: Workers) -> dict[str, list[float]]:
    """CPU per request with two workers over that with one, round by round, by what is the same of their load."""
    one = chosen(found.slices, contender=ONE.name, connections=CONNECTIONS)
    told = {f"{CONNECTIONS} connections in all": CONNECTIONS, f"{CONNECTIONS} connections a worker": 2 * CONNECTIONS}
    return {
        what: paired(chosen(found.slices, contender=TWO.name, connections=connections), one, lambda each: each.cpu_us)
        for what, connections in told.items()
    }


def outcome(found: Workers) -> Outcome:
    """What people read of it."""
    rows = {
        f"{contender.name}, {connections} connections": chosen(
            found.slices, contender=contender.name, connections=connections
        )
        for contender in (ONE, TWO)
        for connections in (CONNECTIONS, 2 * CONNECTIONS)
    }
    findings = [
        judged(f"CPU per request, {TWO.name} ÷ {ONE.name}, {what}", values, TARGET)
        for what, values in ratios(found).items()
    ]
    title = f"Workers of uvicorn: point reads, rounds of {found.seconds} s, {MEDIANS}"
    return Outcome(title, [table("asgi-cassandra", rows)], findings, found)
