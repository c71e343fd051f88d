"""What a point read costs with 1, 2 and 4 workers of uvicorn on one port, and what they hold together."""

from __future__ import annotations

import sys
from dataclasses import replace

import msgspec

from benchmarks.contenders import SERVICE, Contender
from benchmarks.figures import Slice
from benchmarks.load import Load
from benchmarks.meter import measure
from benchmarks.operations import READ
from benchmarks.plots import LinePlot
from benchmarks.report import Table, spread
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.rounds import ready_for, rotated, side_by_side
from benchmarks.scenarios.scale_curve import Curve, grouped, points
from benchmarks.serving import Memory
from benchmarks.site import Site

COUNTS = (1, 2, 4)
CONNECTIONS = 64
"""In all, whatever the number of workers."""

_MB = 1e6


class Worked(msgspec.Struct, frozen=True):
    """One slice: its figures and the memory are those of the workers and their parent together."""

    workers: int
    slice: Slice
    memory: Memory


def measure_workers(site: Site, effort: Effort) -> list[Worked]:
    """All numbers of workers side by side, in rotated rounds. Raises ContenderFailed."""
    load = Load(CONNECTIONS, effort.few_seconds)
    found = []
    with side_by_side([_contender(count) for count in COUNTS], site) as running:
        ready_for(running, site, READ, effort.checked, effort.warm_up)
        for number in range(effort.few_rounds):
            for served in rotated(running, number):
                taken = measure(served, site, load, number)
                found.append(Worked(served.contender.workers, taken, served.memory()))
                print(f"scale: {taken.contender}: {taken.cpu_us:.0f} µs CPU/request", file=sys.stderr)
    return found


def _contender(count: int) -> Contender:
    return replace(SERVICE, name=f"workers {count}", workers=count)


def curve(found: list[Worked]) -> Curve:
    """What people read of it."""
    groups = grouped(found, lambda each: each.workers)
    header = ("workers", "CPU µs/request", "requests/s", "p50 ms", "p99 ms", "switches/request", "PSS MB", "USS MB")
    plot = LinePlot(
        "scale-workers",
        "CPU time of a point read, by workers",
        "workers, their parent included",
        "CPU µs per request",
        {"CPU": points(groups, lambda each: each.slice.cpu_us)},
        log_x=True,
    )
    rows = [(str(count), *_cells(items)) for count, items in groups.items()]
    finding = (
        f"workers: {CONNECTIONS} connections in all, workers, client and Cassandra on the same CPUs; memory is that of "
        "all workers and their parent, PSS with what is shared divided among its users, USS without it"
    )
    return Curve("Workers", [Table(header, rows)], [plot], [finding])


def _cells(items: list[Worked]) -> tuple[str, ...]:
    slices = [each.slice for each in items]
    return (
        spread([each.cpu_us for each in slices]),
        spread([each.load.per_second for each in slices]),
        spread([each.load.p50_ms for each in slices], 1),
        spread([each.load.p99_ms for each in slices], 1),
        spread([each.switches for each in slices], 2) if slices[0].switches >= 0 else "",
        spread([each.memory.pss / _MB for each in items], 1),
        spread([each.memory.uss / _MB for each in items], 1),
    )
