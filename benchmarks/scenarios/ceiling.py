"""What there is to reach: Cassandra's own ceiling by a native driver's load, and the Python driver without HTTP.

The service stands beside them. All share the machine with Cassandra, so of each way to ask it is told how many CPUs it
took, how many Cassandra took meanwhile, and how many were busy at all.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

import msgspec

from benchmarks.ceiling.native import Native
from benchmarks.ceiling.node import node_process
from benchmarks.ceiling.program import NotBuilt, program
from benchmarks.contenders import SERVICE
from benchmarks.operations import READ
from benchmarks.plots import BarPlot, LinePlot, Plot
from benchmarks.report import MEDIANS, Outcome, Table, spread
from benchmarks.scenarios.ceiling_ways import (
    CONCURRENT,
    IN_FLIGHT,
    INSERTS,
    NATIVE,
    READS,
    ROWS,
    SCANS,
    TUPLES,
    Asked,
    Taking,
    Way,
    driver_ways,
    native_ways,
    service_way,
    take,
)
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.rounds import CONNECTIONS, ready_for
from benchmarks.serving import serving
from benchmarks.site import Site, scratch_site, seeded_site
from benchmarks.streams import driver

_SECONDS = 1  # of each turn: there are many ways, and rounds differ by more than seconds do
_MOST_ROWS = 50_000
_TIMES: dict[str, Callable[[Asked], float | None]] = {
    "p50 ms": lambda asked: asked.p50_ms,
    "p99 ms": lambda asked: asked.p99_ms,
    "p99.9 ms": lambda asked: asked.p999_ms,
}


class Ceiling(msgspec.Struct, frozen=True):
    """All raw figures; `not_measured` says why there are none of the native driver, where there are none."""

    seconds: int
    rows: int
    cpus: int
    takings: list[Taking]
    not_measured: str = ""


def run(site: Site, effort: Effort) -> Outcome:
    """All ways in rotated rounds; for more than a quick look each runs warm first. Raises ContenderFailed."""
    rows = min(*effort.stream_rows, _MOST_ROWS)
    native, not_measured = _native(site)
    with ExitStack() as stack:
        table = stack.enter_context(seeded_site(site, rows, keep=effort.keep))
        served = stack.enter_context(serving(SERVICE, site))
        ready_for([served], site, READ, effort.checked, 0)
        plain, of_table = (stack.enter_context(driver(each)) for each in (site, table))
        ways = [*driver_ways(plain, site, of_table, rows), service_way(served, site)]
        if native:
            scratch = stack.enter_context(scratch_site(site))
            ways += native_ways(native, site, scratch, table, *_counts(effort))
        for way in () if effort.quick else _first_of_each(ways):
            way.ask(_SECONDS)
        takings = take(ways, node_process(site.node), effort.few_rounds, _SECONDS)
    return outcome(Ceiling(_SECONDS, rows, os.cpu_count() or 1, takings, not_measured))


def _counts(effort: Effort) -> tuple[Sequence[int], Sequence[int]]:
    """How many reads, and how many scans, the native driver has in flight."""
    return ((1, CONNECTIONS), (1,)) if effort.quick else (IN_FLIGHT, SCANS)


def _first_of_each(ways: Sequence[Way]) -> Iterable[Way]:
    """One for each of those who ask, and each kind: what is to run warm is who asks, and Cassandra."""
    return {(way.kind, way.name): way for way in reversed(ways)}.values()


def _native(site: Site) -> tuple[Native | None, str]:
    """The native driver's load, or why there is none."""
    try:
        return Native(program(), site.node), ""
    except NotBuilt as error:
        return None, str(error)


def outcome(found: Ceiling) -> Outcome:
    """What people read of it."""
    kinds = {kind: [each for each in found.takings if each.kind == kind] for kind in (READS, INSERTS, ROWS)}
    tables = [_table(kind, takings) for kind, takings in kinds.items() if takings]
    title = f"The driver alone, and Cassandra's ceiling: turns of {found.seconds} s, {MEDIANS}"
    return Outcome(title, tables, _findings(found), found, _plots(kinds[READS]))


def _findings(found: Ceiling) -> list[str]:
    told = [f"the ceiling was not measured: {found.not_measured}"] if found.not_measured else []
    pairs = (
        (f"point reads, CPU per request, {SERVICE.name} ÷ the driver alone", CONCURRENT, _cpu_us),
        (f"point reads a second, {SERVICE.name} ÷ the driver alone", CONCURRENT, _rate),
        (f"point reads a second, {SERVICE.name} ÷ the ceiling", NATIVE, _rate),
    )
    for what, rival, figure in pairs:
        if values := _ratios(found.takings, READS, (SERVICE.name, CONNECTIONS), (rival, CONNECTIONS), figure):
            told.append(f"{what}, {CONNECTIONS} in flight: **{spread(values, 2)}**")
    if values := _ratios(found.takings, ROWS, (TUPLES, 1), (NATIVE, 1), _rate):
        what = f"rows a second of {found.rows}, the driver's loop over tuples ÷ the ceiling"
        told.append(f"{what}: **{spread(values, 2)}**")
    return [
        *told,
        f"of {found.cpus} CPUs: *asking* is the process that asks Cassandra (of {SERVICE.name} without its client), "
        "*machine* all that were busy with anything",
        "the native driver (Apache's for Go) decodes no rows: what it costs Cassandra to give them, and no more",
    ]


def _ratios(
    takings: Iterable[Taking],
    kind: str,
    ours: tuple[str, int],
    theirs: tuple[str, int],
    figure: Callable[[Asked], float],
) -> list[float]:
    """A figure of one way, with so many in flight, over that of another, round by round."""
    values = {(each.way, each.in_flight, each.number): figure(each.asked) for each in takings if each.kind == kind}
    rounds = sorted({number for _, _, number in values})
    both = ((values.get((*ours, number)), values.get((*theirs, number))) for number in rounds)
    return [one / other for one, other in both if one is not None and other is not None]


def _cpu_us(asked: Asked) -> float:
    return asked.cpu_us


def _rate(asked: Asked) -> float:
    return asked.rate


def _table(kind: str, takings: list[Taking]) -> Table:
    """Of rows nobody looks at the times of single requests."""
    one, times = ("row", ()) if kind == ROWS else ("request", tuple(_TIMES))
    header = (kind, "in flight", f"{one}s/s", f"CPU µs/{one}", *times, "CPUs: asking", "Cassandra", "machine")
    return Table(header, [(*map(str, group), *_cells(of, times)) for group, of in _groups(takings).items()])


def _groups(takings: Iterable[Taking]) -> dict[tuple[str, int], list[Taking]]:
    """By way and by how many are in flight, as they come in the first round."""
    groups: dict[tuple[str, int], list[Taking]] = {}
    for each in takings:
        groups.setdefault((each.way, each.in_flight), []).append(each)
    return groups


def _cells(takings: list[Taking], times: Iterable[str]) -> tuple[str, ...]:
    asked = [each.asked for each in takings]
    return (
        spread([each.rate for each in asked]),
        spread([each.cpu_us for each in asked], 1),
        *(_known(map(_TIMES[name], asked), 1) for name in times),
        spread([each.cpus for each in asked], 2),
        _known([each.shares.cassandra for each in takings], 2),
        spread([each.shares.machine for each in takings], 2),
    )


def _known(values: Iterable[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    return spread(known, digits) if known else ""


def _plots(reads: list[Taking]) -> list[Plot]:
    groups = _groups(reads)
    series: dict[str, list[tuple[float, list[float]]]] = {}
    for (way, in_flight), of in sorted(groups.items()):
        series.setdefault(way, []).append((in_flight, [each.asked.rate for each in of]))
    cpu = {way: [each.asked.cpu_us for each in of] for (way, count), of in groups.items() if count == CONNECTIONS}
    cpu = dict(sorted(cpu.items(), key=lambda bar: statistics.median(bar[1])))
    label = f"{CONNECTIONS} in flight"
    return [
        LinePlot("ceiling-rate", "Point reads a second", "in flight", "requests/s", series, log_x=True),
        BarPlot("ceiling-cpu", f"CPU time of a point read: {label}", "CPU µs per request", cpu, SERVICE.name),
    ]
