"""The figures that an operator sizes a service by, made of those of the scenario `scale`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from benchmarks.figures import chosen
from benchmarks.report import Table, bullets
from benchmarks.scenarios import scale_in_flight, scale_streams
from benchmarks.scenarios.rounds import CONNECTIONS
from benchmarks.scenarios.scale_connections import Connections
from benchmarks.scenarios.scale_curve import Curve, grouped, middle, slope
from benchmarks.scenarios.scale_in_flight import Bounded
from benchmarks.scenarios.scale_nodes import Nodes
from benchmarks.scenarios.scale_streams import StreamCurves, Streamed
from benchmarks.scenarios.scale_workers import Worked

_MB, _KB = 1e6, 1e3

Row = tuple[str, str]


def figures(
    connections: Connections, workers: list[Worked], in_flight: list[Bounded], streams: StreamCurves, nodes: Nodes
) -> Table:
    """By name, medians."""
    rows = chain(
        _processor(connections, streams), _bounds(in_flight), _memory(connections, workers, streams), _cassandra(nodes)
    )
    return Table(("to size by", "measured"), list(rows))


def part(curve: Curve) -> Iterator[str]:
    """A curve, as part of a page in `docs/`."""
    yield f"### {curve.title}"
    yield from (table.markdown() for table in curve.tables)
    yield from (f"![{plot.title}](benchmarks/{plot.name}.png)" for plot in curve.plots)
    yield from bullets(curve.findings)


def _processor(connections: Connections, streams: StreamCurves) -> Iterator[Row]:
    read = middle(chosen(connections.slices, connections=CONNECTIONS), lambda each: each.cpu_us)
    yield f"CPU time of a point read, {CONNECTIONS} connections", f"{read:.0f} µs"
    yield "point reads a second that take one CPU", f"{1e6 / read:,.0f}"
    row = middle(_least(streams.at_once), lambda each: each.cpu_us)
    yield f"CPU time of a streamed row, {scale_streams.FETCH_SIZE} rows a page", f"{row:.2f} µs"
    yield "streamed rows a second that take one CPU", f"{1e6 / row:,.0f}"


def _bounds(in_flight: list[Bounded]) -> Iterator[Row]:
    enough = scale_in_flight.least_enough(in_flight)
    items = [each for each in in_flight if each.bound == enough]
    rate = middle(items, lambda each: each.seen.goodput)
    yield "least bound in flight that was enough", str(enough)
    yield "requests/s with it", f"{rate:,.0f}"
    yield "a statement at Cassandra with it, mean", f"{middle(items, lambda each: each.answered_ms):.1f} ms"
    yield "statements at Cassandra with it, mean (Little's law)", f"{middle(items, lambda each: each.in_flight):.0f}"
    yield "a hundred statements that wait are, at that rate", f"{100_000 / rate:.0f} ms"


def _memory(connections: Connections, workers: list[Worked], streams: StreamCurves) -> Iterator[Row]:
    base = middle(_least(streams.at_once), lambda each: each.before)
    yield "resident memory of a fresh process", f"{base / _MB:.0f} MB"
    worker = slope(grouped(workers, lambda each: each.workers), lambda each: each.memory.uss)
    yield "one more worker, memory of its own (USS)", f"{worker / _MB:.0f} MB"
    yield "one more connection that is kept open", f"{middle(connections.held, lambda each: each.each) / _KB:.1f} kB"
    name = f"one more stream at once, {scale_streams.FETCH_SIZE} rows a page"
    yield name, f"{scale_streams.stream_memory(streams) / _MB:.1f} MB"


def _cassandra(nodes: Nodes) -> Iterator[Row]:
    if nodes.resident:
        largest = max(nodes.resident)
        yield (
            f"resident memory of a local node with a heap of {nodes.heap}, the largest of three",
            f"{largest / _MB:.0f} MB",
        )


def _least(found: Iterable[Streamed]) -> list[Streamed]:
    """Those with the fewest streams at once."""
    groups = grouped(found, lambda each: each.streams)
    return groups[min(groups)]
