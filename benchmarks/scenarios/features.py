"""GET /users/{id}: what the service does around its routes, in CPU, with its defaults and with everything on."""

from __future__ import annotations

import statistics

from benchmarks.contenders import GUARDED, ROUTES_ALONE, SERVICE
from benchmarks.report import Outcome, spread, verdict
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.point_read import CONNECTIONS, measure, paired_ratios, table
from benchmarks.site import Site

TARGET = 1.15
"""Of the CPU of the routes alone."""


def run(site: Site, effort: Effort) -> Outcome:
    """The three in rotated rounds. Raises ContenderFailed."""
    contenders = (ROUTES_ALONE, SERVICE, GUARDED)
    rounds = measure(contenders, site, effort)
    findings = []
    for contender in (SERVICE, GUARDED):
        ratios = paired_ratios(rounds, contender.name, ROUTES_ALONE.name)
        judged = verdict(statistics.median(ratios), TARGET)
        findings.append(f"CPU per request, {contender.name} / {ROUTES_ALONE.name}: **{spread(ratios, 2)}** ({judged})")
    findings += [f"{contender.name}: {contender.description}" for contender in contenders]
    title = (
        f"What is around a point read: {CONNECTIONS} connections, {effort.rounds} rotated rounds of "
        f"{effort.seconds} s, medians [least–greatest]"  # noqa: RUF001
    )
    return Outcome(title, [table(rounds)], findings, rounds)
