"""How the cost of the service grows: with connections, workers, statements in flight, streams, pages, and nodes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from benchmarks.report import MEDIANS, Outcome
from benchmarks.scenarios import (
    scale_connections,
    scale_in_flight,
    scale_nodes,
    scale_sizing,
    scale_streams,
    scale_workers,
)
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.scale_connections import Connections
from benchmarks.scenarios.scale_curve import Curve
from benchmarks.scenarios.scale_in_flight import Bounded
from benchmarks.scenarios.scale_nodes import Nodes
from benchmarks.scenarios.scale_streams import StreamCurves
from benchmarks.scenarios.scale_workers import Worked
from benchmarks.site import Site, seeded_site


class Scale(msgspec.Struct, frozen=True):
    """All raw figures, curve by curve; slices of point reads took `seconds`."""

    seconds: int
    connections: Connections
    workers: list[Worked]
    in_flight: list[Bounded]
    streams: StreamCurves
    nodes: Nodes


def run(site: Site, effort: Effort) -> Outcome:
    """One curve after another. Raises ContenderFailed, or LocalNodeError where three nodes do not boot."""
    rows = effort.stream_rows[-1]
    connections = scale_connections.measure_connections(site, effort)
    workers = scale_workers.measure_workers(site, effort)
    in_flight = scale_in_flight.measure_in_flight(site, effort)
    with seeded_site(site, rows, keep=effort.keep) as seeded:
        streams = scale_streams.measure_streams(seeded, rows, effort)
    nodes = scale_nodes.measure_nodes(site, effort)
    return outcome(Scale(effort.few_seconds, connections, workers, in_flight, streams, nodes))


def outcome(found: Scale) -> Outcome:
    """What people read of it."""
    curves = list(_curves(found))
    return Outcome(
        f"Scale: how the cost of the service grows; point reads in rounds of {found.seconds} s, {MEDIANS}",
        [table for curve in curves for table in curve.tables],
        [finding for curve in curves for finding in curve.findings],
        found,
        [plot for curve in curves for plot in curve.plots],
    )


def sizing_section(found: Scale) -> str:
    """What `docs/sizing.md` quotes: the figures to size by, and the curves."""
    figures = scale_sizing.figures(found.connections, found.workers, found.in_flight, found.streams, found.nodes)
    return "\n\n".join([figures.markdown(), *(part for curve in _curves(found) for part in scale_sizing.part(curve))])


def _curves(found: Scale) -> Iterator[Curve]:
    yield scale_connections.curve(found.connections)
    yield scale_workers.curve(found.workers)
    yield scale_in_flight.curve(found.in_flight)
    yield from scale_streams.curves(found.streams)
    yield scale_nodes.curve(found.nodes)
