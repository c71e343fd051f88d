"""GET /users/{id}: over 32 connections in all rounds, over others in some, and at the same rate for everyone."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

import msgspec

from benchmarks.contenders import CONTENDERS, FASTAPI_ASYNC_EXAMPLE, FLOOR, SERVICE, THREAD_HOP
from benchmarks.figures import Slice, by_contender, chosen, cpu_ratios, rounds_of, table
from benchmarks.load import Load
from benchmarks.operations import READ
from benchmarks.plots import BarPlot, LinePlot, Plot
from benchmarks.report import MEDIANS, Outcome, Table, spread
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.rounds import CONNECTIONS, ready_for, side_by_side, take
from benchmarks.site import Site

OTHER_CONNECTIONS = (1, 8, 128)
RATE_CONNECTIONS = 64
"""At a fixed rate: more than are ever busy, unless answers take long."""
SHARE_OF_HOP = 0.5
SHARE_OF_SLOWEST = 0.7
"""Fixed rates, of what the thread hop can do at most, and of what the slowest contender can."""


class PointRead(msgspec.Struct, frozen=True):
    """All raw figures: of the closed loop, and at a fixed rate."""

    seconds: int
    closed: list[Slice]
    fixed: list[Slice]

    @property
    def main(self) -> list[Slice]:
        """Those over 32 connections."""
        return chosen(self.closed, connections=CONNECTIONS)


def run(site: Site, effort: Effort) -> Outcome:
    """All contenders in rotated rounds. Raises ContenderFailed."""
    with side_by_side((*CONTENDERS, FASTAPI_ASYNC_EXAMPLE), site) as running:
        ready_for(running, site, READ, effort.checked, effort.warm_up)
        closed = take(running, site, [Load(CONNECTIONS, effort.seconds)], effort.rounds)
        fixed = [Load(RATE_CONNECTIONS, effort.few_seconds, rate) for rate in _rates(closed)]
        others = [Load(connections, effort.few_seconds) for connections in OTHER_CONNECTIONS]
        if effort.quick:
            fixed, others = fixed[:1], []
        closed += take(running, site, others, effort.few_rounds)
        at_rates = take(running, site, fixed, effort.few_rounds)
    return outcome(PointRead(effort.seconds, closed, at_rates))


def more(site: Site, effort: Effort, found: PointRead) -> Outcome:
    """As many rounds of the closed loop over 32 connections again, by fresh processes. Raises ContenderFailed."""
    with side_by_side((*CONTENDERS, FASTAPI_ASYNC_EXAMPLE), site) as running:
        ready_for(running, site, READ, effort.checked, effort.warm_up)
        load = Load(CONNECTIONS, effort.seconds)
        first = rounds_of(each.number for each in found.main)
        closed = found.closed + take(running, site, [load], effort.rounds, first=first)
    return outcome(msgspec.structs.replace(found, closed=closed))


def outcome(found: PointRead) -> Outcome:
    """What people read of it."""
    rounds = rounds_of(each.number for each in found.main)
    title = f"Point read: {rounds} rotated rounds of {found.seconds} s, {MEDIANS}"
    tables = [
        table(f"closed loop, {CONNECTIONS} connections", by_contender(found.main)),
        *_over_connections(found),
        *_fixed_tables(found.fixed),
    ]
    return Outcome(title, tables, _findings(found), found, plots(found))


def plots(found: PointRead) -> list[Plot]:
    """CPU and requests a second of each contender, and what more connections do to its latency."""
    groups = by_contender(found.main)
    cpu = {name: [each.cpu_us for each in slices] for name, slices in groups.items()}
    rates = {name: [each.load.per_second for each in slices] for name, slices in groups.items()}
    label = f"GET /users/{{id}}, {CONNECTIONS} connections"
    drawn: list[Plot] = [
        BarPlot("point-read-cpu", f"CPU time of a point read: {label}", "CPU µs per request", cpu, SERVICE.name),
        BarPlot("point-read-rate", f"Point reads a second: {label}", "requests/s", rates, SERVICE.name),
    ]
    ours_first = sorted(groups, key=lambda name: name != SERVICE.name)
    series = {name: _points(chosen(found.closed, contender=name)) for name in ours_first}
    if all(len(points) > 1 for points in series.values()):
        drawn.append(
            LinePlot(
                "point-read-p99",
                "Latency of point reads, closed loop",
                "connections",
                "p99 ms",
                series,
                log_x=True,
                log_y=True,
                highlight=SERVICE.name,
            )
        )
    return drawn


def _rates(closed: list[Slice]) -> list[float]:
    """Requests a second that every contender can answer, and those that the thread hop has time for."""
    peaks = {
        name: statistics.median(each.load.per_second for each in of_it) for name, of_it in by_contender(closed).items()
    }
    return [round(SHARE_OF_SLOWEST * min(peaks.values())), round(SHARE_OF_HOP * peaks[THREAD_HOP.name])]


def _points(slices: list[Slice]) -> list[tuple[float, list[float]]]:
    counts = sorted({each.connections for each in slices})
    return [(count, [each.load.p99_ms for each in chosen(slices, connections=count)]) for count in counts]


def _over_connections(found: PointRead) -> list[Table]:
    """What more and fewer connections do to each contender."""
    counts = sorted({each.connections for each in found.closed})
    if len(counts) == 1:
        return []
    figures: tuple[tuple[str, Callable[[Slice], float], int], ...] = (
        ("CPU µs/request", lambda each: each.cpu_us, 0),
        ("requests/s", lambda each: each.load.per_second, 0),
        ("p99 ms", lambda each: each.load.p99_ms, 1),
    )
    tables = []
    for told, figure, digits in figures:
        rows = []
        for name in by_contender(found.main):
            groups = [chosen(found.closed, contender=name, connections=count) for count in counts]
            rows.append((name, *(spread([figure(each) for each in group], digits) for group in groups)))
        tables.append(Table((f"{told}, by connections", *map(str, counts)), rows))
    return tables


def _fixed_tables(fixed: list[Slice]) -> Iterator[Table]:
    """The figures at each rate, and whether the client kept to it."""
    for rate in sorted({each.fixed_rate for each in fixed if each.fixed_rate}):
        groups = by_contender([each for each in fixed if each.fixed_rate == rate])
        yield table(f"{rate:.0f} requests/s for everyone", groups)
        header = (f"the client at {rate:.0f} requests/s", "share of a CPU", "late, p99 ms", "late, worst ms")
        yield Table(header, [(name, *_client_cells(slices)) for name, slices in groups.items()])


def _client_cells(slices: list[Slice]) -> tuple[str, ...]:
    loads = [each.load for each in slices]
    return (
        spread([load.client_share for load in loads], 2),
        spread([load.late_p99_ms for load in loads], 1),
        spread([load.late_max_ms for load in loads], 1),
    )


def _findings(found: PointRead) -> list[str]:
    rivals = [name for name in by_contender(found.main) if name != SERVICE.name]
    told = [
        f"CPU per request, {SERVICE.name} ÷ {rival}: **{spread(cpu_ratios(found.main, SERVICE.name, rival), 2)}**"
        for rival in rivals
    ]
    shares = [each.load.client_share for each in found.main if each.contender != FLOOR.name]
    told.append(
        f"share of one CPU that the client of the closed loop took, {CONNECTIONS} connections, contenders with a "
        f"database: {spread(shares, 2)}"
    )
    return [
        *told,
        "at the fixed rate times count from when a request fell due, so they hold what kept it from being asked",
    ]
