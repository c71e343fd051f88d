"""What the bound of statements in flight does to point reads over 128 connections.

By Little's law so many statements are at Cassandra on average as it answers in a second, times the seconds that an
answer takes. The service's own figures tell how long that was, and how long statements waited for their turn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPConnection, HTTPException

import msgspec

from benchmarks import HOST
from benchmarks.checks import check
from benchmarks.contenders import SERVICE, Contender
from benchmarks.meter import Meter
from benchmarks.operations import READ
from benchmarks.plots import LinePlot
from benchmarks.report import Table, spread
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.overload import Seen, seen_under
from benchmarks.scenarios.rounds import rotated, side_by_side
from benchmarks.scenarios.scale_curve import Curve, grouped, middle, points
from benchmarks.serving import ContenderFailed, Served
from benchmarks.site import Site

BOUNDS = (8, 32, 128, 256)
CONNECTIONS = 128
ENOUGH = 0.95
"""Of the most answers a second: a bound that gives so many is large enough."""

_COUNT, _WAITED, _DRIVER = (
    "cassandra_driver_seconds_count",
    "cassandra_queue_wait_seconds_sum",
    "cassandra_driver_seconds_sum",
)


class Bounded(msgspec.Struct, frozen=True):
    """One bound once. Of a statement, on average: how long it waited for its turn, and how long for its answer then."""

    bound: int
    number: int
    cpu_us: float
    waited_ms: float
    answered_ms: float
    seen: Seen

    @property
    def in_flight(self) -> float:
        """How many statements were at Cassandra, on average, by Little's law; a point read is one statement."""
        return self.seen.goodput * self.answered_ms / 1000


def measure_in_flight(site: Site, effort: Effort) -> list[Bounded]:
    """All bounds side by side, in rotated rounds. Raises ContenderFailed."""
    found = []
    with side_by_side([_contender(bound) for bound in BOUNDS], site) as running:
        pairs = list(zip(BOUNDS, running, strict=True))
        for _, served in pairs:
            check(served, site, READ, effort.checked)
            seen_under(served, site, CONNECTIONS, effort.warm_up)
        for number in range(effort.few_rounds):
            for bound, served in rotated(pairs, number):
                found.append(_bounded(served, site, bound, number, effort.few_seconds))
                print(f"scale: at most {bound} in flight: {found[-1].seen.goodput:.0f} requests/s", file=sys.stderr)
    return found


def _contender(bound: int) -> Contender:
    name = f"at most {bound} in flight"
    return replace(SERVICE, name=name, environment={"ASGI_CASSANDRA_MAX_IN_FLIGHT": str(bound)})


def _bounded(served: Served, site: Site, bound: int, number: int, seconds: int) -> Bounded:
    before, meter = _totals(served), Meter(served)
    seen = seen_under(served, site, CONNECTIONS, seconds)
    cpu, after = meter.cpu_seconds(), _totals(served)
    count, waited, answered = (after[name] - before[name] for name in (_COUNT, _WAITED, _DRIVER))
    if not count:
        raise ContenderFailed(f"{served.contender.name} counts no statements")
    answers = seen.accepted + seen.refused
    return Bounded(bound, number, cpu / answers * 1e6, waited / count * 1000, answered / count * 1000, seen)


def _totals(served: Served) -> dict[str, float]:
    """The figures of `/metrics` that have no labels, as a scraper reads them. Raises ContenderFailed."""
    lines = (line.split() for line in _metrics(served).splitlines() if not line.startswith("#") and "{" not in line)
    return {name: float(value) for name, value, *_ in lines}


def _metrics(served: Served) -> str:
    connection = HTTPConnection(HOST, served.port, timeout=10)
    try:
        connection.request("GET", "/metrics", headers={"Accept": "text/plain"})
        return connection.getresponse().read().decode()
    except (OSError, HTTPException) as error:
        raise ContenderFailed(f"{served.contender.name} does not tell its metrics: {error!r}") from error
    finally:
        connection.close()


def least_enough(found: list[Bounded]) -> int:
    """The least bound with nearly as many answers a second as any."""
    rates = {bound: middle(items, _goodput) for bound, items in _groups(found).items()}
    return next(bound for bound, rate in rates.items() if rate >= ENOUGH * max(rates.values()))


def _groups(found: list[Bounded]) -> dict[int, list[Bounded]]:
    return grouped(found, lambda each: each.bound)


def _goodput(each: Bounded) -> float:
    return each.seen.goodput


def curve(found: list[Bounded]) -> Curve:
    """What people read of it."""
    groups = _groups(found)
    heads = ("requests/s", "p50 ms", "p99 ms", "refused/s", "CPU µs/request", "waited ms", "answered ms", "in flight")
    rows = [(str(bound), *_cells(items)) for bound, items in groups.items()]
    finding = (
        f"the least bound with {ENOUGH:.0%} of the most requests a second, {CONNECTIONS} connections: "
        f"**{least_enough(found)}**; *waited* and *answered* are of a statement, on average, *in flight* is "
        "requests/s × *answered*"  # noqa: RUF001
    )
    return Curve("Statements in flight", [Table(("bound in flight", *heads), rows)], [_plot(groups)], [finding])


def _cells(items: list[Bounded]) -> tuple[str, ...]:
    return (
        spread([_goodput(each) for each in items]),
        spread([each.seen.accepted_p50_ms for each in items], 1),
        spread([each.seen.accepted_p99_ms for each in items], 1),
        spread([each.seen.refused / each.seen.seconds for each in items]),
        spread([each.cpu_us for each in items]),
        spread([each.waited_ms for each in items], 1),
        spread([each.answered_ms for each in items], 1),
        spread([each.in_flight for each in items]),
    )


def _plot(groups: dict[int, list[Bounded]]) -> LinePlot:
    figures: dict[str, Callable[[Bounded], float]] = {
        "p50 at the client": lambda each: each.seen.accepted_p50_ms,
        "p99 at the client": lambda each: each.seen.accepted_p99_ms,
        "mean, waiting": lambda each: each.waited_ms,
        "mean, at Cassandra": lambda each: each.answered_ms,
    }
    return LinePlot(
        "scale-in-flight",
        f"Time of a point read, by the bound in flight, {CONNECTIONS} connections",
        "ASGI_CASSANDRA_MAX_IN_FLIGHT",
        "ms",
        {name: points(groups, figure) for name, figure in figures.items()},
        log_x=True,
    )
