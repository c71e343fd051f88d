"""What a point read and a row of a stream cost on one node, and on three with a quorum of three replicas."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace

import msgspec

from benchmarks.cluster_site import HEAP, HOSTS, cluster_site, obstacle
from benchmarks.contenders import SERVICE
from benchmarks.figures import Slice
from benchmarks.load import Load, run_load
from benchmarks.meter import measure
from benchmarks.plots import LinePlot
from benchmarks.report import Table, spread
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.rounds import rotated
from benchmarks.scenarios.scale_curve import Curve, grouped
from benchmarks.scenarios.scale_streams import Shape, Streamed, ready_to_stream, stream
from benchmarks.scenarios.stream_rates import FETCH_SIZE
from benchmarks.serving import Served, serving
from benchmarks.site import Site, seeded_site

ROWS = 50_000
CONNECTIONS = 8
"""Few, as three nodes share the machine."""

_MB = 1e6
_ONE = 1


class Clustered(msgspec.Struct, frozen=True):
    """A slice of point reads and a stream on so many nodes, one after the other."""

    nodes: int
    number: int
    read: Slice
    stream: Streamed


class Nodes(msgspec.Struct, frozen=True):
    """All raw figures, or why there are none: `left_out`. `resident` are bytes of each of the nodes, of such a heap."""

    left_out: str
    heap: str
    resident: list[int]
    rounds: list[Clustered]


def measure_nodes(site: Site, effort: Effort) -> Nodes:
    """The site's own node, and three that are booted for it, in rotated rounds.

    Raises ContenderFailed, or LocalNodeError where they do not boot.
    """
    if left_out := "a quick look" if effort.quick else obstacle():
        print(f"scale: three nodes are left out: {left_out}", file=sys.stderr)
        return Nodes(left_out, HEAP, [], [])
    rows = min(ROWS, effort.stream_rows[-1])
    with ExitStack() as stack:
        one = stack.enter_context(seeded_site(site, rows, keep=effort.keep))
        three = stack.enter_context(cluster_site(one, rows))
        sites = {_ONE: one, len(HOSTS): three.site}
        running = {count: stack.enter_context(_serving(count, at)) for count, at in sites.items()}
        rounds = _rounds(sites, running, Shape(1, rows, FETCH_SIZE), effort)
        return Nodes("", HEAP, three.resident(), rounds)


def _serving(count: int, site: Site) -> AbstractContextManager[Served]:
    return serving(replace(SERVICE, name=f"nodes {count}"), site)


def _rounds(sites: dict[int, Site], running: dict[int, Served], shape: Shape, effort: Effort) -> list[Clustered]:
    befores = {}
    for count, served in running.items():
        (befores[count],) = ready_to_stream([served], sites[count], effort)
        run_load(served, sites[count], Load(CONNECTIONS, effort.warm_up))
    found = []
    load = Load(CONNECTIONS, effort.few_seconds)
    for number in range(effort.few_rounds):
        for count, served in rotated(list(running.items()), number):
            read = measure(served, sites[count], load, number)
            found.append(Clustered(count, number, read, stream(served, shape, befores[count], number)))
            print(f"scale: {served.contender.name}: {read.cpu_us:.0f} µs CPU/request", file=sys.stderr)
    return found


def curve(found: Nodes) -> Curve:
    """What people read of it."""
    if found.left_out:
        return Curve("Nodes", [], [], [f"three nodes were left out: {found.left_out}"])
    groups = grouped(found.rounds, lambda each: each.nodes)
    heads = ("CPU µs/request", "requests/s", "p50 ms", "p99 ms", "stream CPU µs/row", "rows/s", "first byte ms")
    table = Table(("nodes", *heads), [(str(count), *_cells(items)) for count, items in groups.items()])
    ratios = {name: _ratios(groups, figure) for name, figure in _FIGURES.items()}
    findings = [f"{name}, {len(HOSTS)} nodes ÷ 1: **{spread(values, 2)}**" for name, values in ratios.items()]
    resident = spread([each / _MB for each in found.resident])
    findings.append(f"resident memory of each of the three nodes, with a heap of {found.heap}, MB: **{resident}**")
    findings.append("all nodes share the CPUs of one machine: the service's own CPU time is what compares")
    return Curve("Nodes", [table], [_plot(ratios)], findings)


_FIGURES: dict[str, Callable[[Clustered], float]] = {
    "CPU per point read": lambda each: each.read.cpu_us,
    "CPU per row of a stream": lambda each: each.stream.cpu_us,
    "point reads a second": lambda each: each.read.load.per_second,
    "rows a second": lambda each: each.stream.rate,
}


def _ratios(groups: dict[int, list[Clustered]], figure: Callable[[Clustered], float]) -> list[float]:
    """Of three nodes over one, round by round."""
    ones = {each.number: figure(each) for each in groups[_ONE]}
    return [figure(each) / ones[each.number] for each in groups[len(HOSTS)]]


def _cells(items: list[Clustered]) -> tuple[str, ...]:
    return (
        spread([each.read.cpu_us for each in items]),
        spread([each.read.load.per_second for each in items]),
        spread([each.read.load.p50_ms for each in items], 1),
        spread([each.read.load.p99_ms for each in items], 1),
        spread([each.stream.cpu_us for each in items], 2),
        spread([each.stream.rate for each in items]),
        spread([statistics.median(each.stream.first_bytes) * 1000 for each in items], 1),
    )


def _plot(ratios: dict[str, list[float]]) -> LinePlot:
    return LinePlot(
        "scale-nodes",
        "On three nodes with a quorum of three replicas, over one node",
        "nodes",
        "over that of one node",
        {name: [(_ONE, [1.0]), (len(HOSTS), values)] for name, values in ratios.items()},
        log_x=True,
    )
