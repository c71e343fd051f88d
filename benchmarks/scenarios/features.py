"""GET /users/{id}: what the service does around its routes, in CPU, with its defaults and with everything on."""

from __future__ import annotations

import msgspec

from benchmarks.contenders import GUARDED, ROUTES_ALONE, SERVICE
from benchmarks.figures import Slice, by_contender, cpu_ratios, rounds_of, table
from benchmarks.load import Load
from benchmarks.operations import READ
from benchmarks.report import MEDIANS, Outcome, judged
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.rounds import CONNECTIONS, ready_for, side_by_side, take
from benchmarks.site import Site

TARGET = 1.15
"""Of the CPU of the routes alone."""

CONTENDERS = (ROUTES_ALONE, SERVICE, GUARDED)


class Features(msgspec.Struct, frozen=True):
    """All raw figures."""

    seconds: int
    slices: list[Slice]


def run(site: Site, effort: Effort) -> Outcome:
    """The three in rotated rounds. Raises ContenderFailed."""
    with side_by_side(CONTENDERS, site) as running:
        ready_for(running, site, READ, effort.checked, effort.warm_up)
        slices = take(running, site, [Load(CONNECTIONS, effort.seconds)], effort.rounds)
    return outcome(Features(effort.seconds, slices))


def outcome(found: Features) -> Outcome:
    """What people read of it."""
    findings = [
        judged(
            f"CPU per request, {name} ÷ {ROUTES_ALONE.name}", cpu_ratios(found.slices, name, ROUTES_ALONE.name), TARGET
        )
        for name in (SERVICE.name, GUARDED.name)
    ]
    findings += [f"{contender.name}: {contender.description}" for contender in CONTENDERS]
    rounds = rounds_of(each.number for each in found.slices)
    title = (
        f"What is around a point read: {CONNECTIONS} connections, {rounds} rotated rounds of {found.seconds} s, "
        f"{MEDIANS}"
    )
    return Outcome(title, [table("contender", by_contender(found.slices))], findings, found)
