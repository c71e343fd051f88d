"""What a point read costs over 1 to 128 connections, and what a connection that is kept open holds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPException

import msgspec

from benchmarks import HOST
from benchmarks.checks import check
from benchmarks.contenders import SERVICE
from benchmarks.figures import Slice, paired, table
from benchmarks.load import Load
from benchmarks.operations import READ
from benchmarks.plots import LinePlot
from benchmarks.report import spread
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.rounds import ready_for, take
from benchmarks.scenarios.scale_curve import Curve, grouped, points
from benchmarks.serving import ContenderFailed, Served, serving
from benchmarks.site import Site

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)
OPEN = 200
"""Connections that are kept open at once, while their memory is looked at."""

_KB = 1e3


class Held(msgspec.Struct, frozen=True):
    """Resident bytes of a fresh process before so many connections were answered once each, and while all are open."""

    connections: int
    before: int
    after: int

    @property
    def each(self) -> float:
        """Bytes of one."""
        return (self.after - self.before) / self.connections


class Connections(msgspec.Struct, frozen=True):
    """All raw figures."""

    slices: list[Slice]
    held: list[Held]


def measure_connections(site: Site, effort: Effort) -> Connections:
    """Each count once a round, by one process; then the memory of open ones, by fresh processes.

    Raises ContenderFailed.
    """
    loads = [Load(count, effort.few_seconds) for count in COUNTS]
    with serving(SERVICE, site) as served:
        ready_for([served], site, READ, effort.checked, effort.warm_up)
        slices = take([served], site, loads, effort.few_rounds)
    return Connections(slices, [_held(site, effort) for _ in range(effort.few_rounds)])


def _held(site: Site, effort: Effort) -> Held:
    with serving(SERVICE, site) as served, ExitStack() as stack:
        check(served, site, READ, effort.checked)
        paths = [site.users[number % len(site.users)].path for number in range(OPEN)]
        try:
            _read_over([stack.enter_context(_connection(served))], paths)
            before = served.resident()
            _read_over([stack.enter_context(_connection(served)) for _ in paths], paths)
        except (OSError, HTTPException) as error:
            raise ContenderFailed(f"{served.contender.name} over {OPEN} connections: {error!r}") from error
        found = Held(OPEN, before, served.resident())
    print(f"scale: {found.each / _KB:.1f} kB for a connection that is open", file=sys.stderr)
    return found


def _connection(served: Served) -> closing[HTTPConnection]:
    return closing(HTTPConnection(HOST, served.port, timeout=10))


def _read_over(connections: list[HTTPConnection], paths: Iterable[str]) -> None:
    """One read after another, over the connections in turn. Raises OSError or HTTPException."""
    for number, path in enumerate(paths):
        connection = connections[number % len(connections)]
        connection.request("GET", path)
        connection.getresponse().read()


def curve(found: Connections) -> Curve:
    """What people read of it."""
    groups = grouped(found.slices, lambda each: each.connections)
    held = spread([each.each / _KB for each in found.held], 1)
    ratios = paired(groups[max(groups)], groups[min(groups)], lambda each: each.cpu_us)
    findings = [
        f"CPU per point read, {max(groups)} connections ÷ {min(groups)}: **{spread(ratios, 2)}**",
        f"a connection that is kept open, kB of resident memory: **{held}**",
    ]
    rows = {str(count): slices for count, slices in groups.items()}
    return Curve("Connections", [table("connections", rows)], _plots(groups), findings)


def _plots(groups: dict[int, list[Slice]]) -> list[LinePlot]:
    times: dict[str, Callable[[Slice], float]] = {
        "p50": lambda each: each.load.p50_ms,
        "p99": lambda each: each.load.p99_ms,
    }
    return [
        LinePlot(
            "scale-connections",
            "CPU time of a point read, by connections",
            "connections, each with one request at a time",
            "CPU µs per request",
            {"CPU": points(groups, lambda each: each.cpu_us)},
            log_x=True,
        ),
        LinePlot(
            "scale-connections-latency",
            "Time of a point read, by connections",
            "connections, each with one request at a time",
            "ms",
            {name: points(groups, figure) for name, figure in times.items()},
            log_x=True,
            log_y=True,
        ),
    ]
