"""What a row costs, and what is held, by streams at once, by the length of a stream, and by the rows of a page."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import msgspec

from benchmarks.checks import check, check_stream
from benchmarks.contenders import SERVICE, Contender
from benchmarks.operations import READ
from benchmarks.plots import LinePlot
from benchmarks.report import Table, spread
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.rounds import rotated, side_by_side
from benchmarks.scenarios.scale_curve import Curve, grouped, middle, points, slope
from benchmarks.scenarios.stream_rates import FETCH_SIZE
from benchmarks.serving import ContenderFailed, Served
from benchmarks.site import Site
from benchmarks.stream_client import Drain, NotWhole
from benchmarks.streams import PeakMemory, driver, first_byte

AT_ONCE = (1, 2, 4)
LENGTHS = (10_000, 50_000, 200_000, 1_000_000)
FETCH_SIZES = (100, 500, 1000, 2000, 5000)
USUAL_LENGTH = 200_000

_LEAST_ROWS = 100_000  # so that a short stream is read, and its memory looked at, often enough
_FIRST_ROWS = 10_000  # that a process streams before it is measured
_FIRST_BYTES = 5
_MB = 1e6


class Shape(NamedTuple):
    """So many streams at once, so many rows in each, so many on a page."""

    streams: int
    rows: int
    fetch_size: int


class Streamed(msgspec.Struct, frozen=True):
    """Streams of one shape, read once, by a process that streams nothing else; `rows` are those of each stream.

    `read` are the rows of all of them, `before` the resident bytes of the process when it was fresh, `peak` the most
    meanwhile, `first_bytes` the seconds of some tries without company.
    """

    streams: int
    rows: int
    fetch_size: int
    number: int
    read: int
    seconds: float
    cpu_seconds: float
    before: int
    peak: int
    first_bytes: list[float]

    @property
    def rate(self) -> float:
        """Rows a second, of all streams together."""
        return self.read / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time of a row, in microseconds."""
        return self.cpu_seconds / self.read * 1e6


class StreamCurves(msgspec.Struct, frozen=True):
    """All raw figures: by streams at once, by their length, by the rows of a page."""

    at_once: list[Streamed]
    lengths: list[Streamed]
    fetch_sizes: list[Streamed]


def measure_streams(site: Site, rows: int, effort: Effort) -> StreamCurves:
    """On a table of so many rows. Raises ContenderFailed."""
    usual = min(rows, USUAL_LENGTH)
    lengths = sorted({min(rows, length) for length in LENGTHS})
    return StreamCurves(
        measure_shapes(site, [Shape(streams, usual, FETCH_SIZE) for streams in AT_ONCE], effort),
        measure_shapes(site, [Shape(1, length, FETCH_SIZE) for length in lengths], effort),
        measure_shapes(site, [Shape(1, usual, size) for size in FETCH_SIZES], effort),
    )


def measure_shapes(site: Site, shapes: Sequence[Shape], effort: Effort) -> list[Streamed]:
    """Each shape by a process of its own, in rotated rounds. Raises ContenderFailed."""
    found = []
    with side_by_side([contender(shape) for shape in shapes], site) as running:
        befores = ready_to_stream(running, site, effort)
        ready = list(zip(shapes, running, befores, strict=True))
        for number in range(effort.few_rounds):
            for shape, served, before in rotated(ready, number):
                found.append(stream(served, shape, before, number))
    return found


def contender(shape: Shape) -> Contender:
    """The service, by a name that tells what it is to stream."""
    return replace(SERVICE, name=f"{shape.streams} of {shape.rows} rows by {shape.fetch_size}")


def ready_to_stream(running: Sequence[Served], site: Site, effort: Effort) -> list[int]:
    """Check what each answers, and tell what it held before its first stream. Raises ContenderFailed."""
    befores = []
    with driver(site) as plain:
        expected = plain.expect(("json",), _FIRST_ROWS)["json"]
    for served in running:
        check(served, site, READ, effort.checked)
        befores.append(served.resident())
        check_stream(served, _FIRST_ROWS, expected)
    return befores


def stream(served: Served, shape: Shape, before: int, number: int) -> Streamed:
    """One reading. Raises ContenderFailed."""
    path = f"/users/stream?fetch_size={shape.fetch_size}&limit={shape.rows}"
    times = max(1, _LEAST_ROWS // (shape.streams * shape.rows))
    drains = [Drain(served.port, path, checked=False) for _ in range(shape.streams)]
    with PeakMemory(served) as peak:
        used, began = served.cpu_seconds(), time.perf_counter()
        _read(drains, times, served)
        seconds, cpu = time.perf_counter() - began, served.cpu_seconds() - used
    tries = [first_byte(served, path) for _ in range(_FIRST_BYTES)]
    read = shape.streams * shape.rows * times
    found = Streamed(*shape, number, read, seconds, cpu, before, peak.bytes, tries)
    print(f"scale: {served.contender.name}: {found.rate:.0f} rows/s, {found.cpu_us:.2f} µs CPU/row", file=sys.stderr)
    return found


def _read(drains: Sequence[Drain], times: int, served: Served) -> None:
    """All of them at once, each so many times, in threads of this process. Raises ContenderFailed."""

    def again(drain: Drain) -> int:
        for _ in range(times):
            drain.once()
        return drain.found.bytes

    try:
        with ThreadPoolExecutor(len(drains)) as pool:
            sizes = set(pool.map(again, drains))
    except (OSError, NotWhole) as error:
        raise ContenderFailed(f"{served.contender.name} does not stream: {error!r}") from error
    if len(sizes) > 1:
        raise ContenderFailed(f"{served.contender.name} streams bodies of different sizes: {sorted(sizes)}")


def stream_memory(found: StreamCurves) -> float:
    """Bytes that one more stream at once holds."""
    return slope(grouped(found.at_once, lambda each: each.streams), lambda each: each.peak)


def curves(found: StreamCurves) -> list[Curve]:
    """What people read of it."""
    return [_at_once(found), _lengths(found.lengths), _fetch_sizes(found.fetch_sizes)]


def _at_once(found: StreamCurves) -> Curve:
    groups = grouped(found.at_once, lambda each: each.streams)
    plot = LinePlot(
        "scale-streams",
        "Rows a second, by streams at once",
        "streams at once",
        "rows/s, all streams together",
        {"rows/s": points(groups, lambda each: each.rate)},
        log_x=True,
    )
    (length,) = {each.rows for each in found.at_once}
    held = f"{stream_memory(found) / _MB:.1f}"
    finding = f"each stream of {length} rows, {FETCH_SIZE} a page; one more at once holds, MB: **{held}**"
    return Curve("Streams at once", [_table("streams at once", groups)], [plot], [finding])


def _lengths(found: list[Streamed]) -> Curve:
    groups = grouped(found, lambda each: each.rows)
    plot = LinePlot(
        "scale-rows",
        "Most resident memory, by the length of a stream",
        "rows of a stream",
        "MB",
        {"peak RSS": points(groups, lambda each: each.peak / _MB)},
        log_x=True,
    )
    growth = (middle(groups[max(groups)], _peak) - middle(groups[min(groups)], _peak)) / _MB
    finding = f"growth of peak resident memory, streams of {min(groups)} to {max(groups)} rows, MB: **{growth:.1f}**"
    return Curve("Length of a stream", [_table("rows of a stream", groups)], [plot], [finding])


def _fetch_sizes(found: list[Streamed]) -> Curve:
    groups = grouped(found, lambda each: each.fetch_size)
    plot = LinePlot(
        "scale-fetch-size",
        "CPU time of a row, by the rows of a page",
        "fetch_size",
        "CPU µs per row",
        {"CPU": points(groups, lambda each: each.cpu_us)},
        log_x=True,
    )
    costs = {size: middle(items, lambda each: each.cpu_us) for size, items in groups.items()}
    cheapest = min(costs, key=lambda size: costs[size])
    first = min(costs)
    finding = f"CPU per row, {first} rows a page ÷ {cheapest}, the cheapest: **{costs[first] / costs[cheapest]:.2f}**"
    return Curve("Rows of a page", [_table("fetch_size", groups)], [plot], [finding])


def _peak(each: Streamed) -> float:
    return each.peak


def _table(first: str, groups: dict[int, list[Streamed]]) -> Table:
    figures: tuple[tuple[str, Callable[[Streamed], float], int], ...] = (
        ("rows/s", lambda each: each.rate, 0),
        ("CPU µs/row", lambda each: each.cpu_us, 2),
        ("RSS before MB", lambda each: each.before / _MB, 1),
        ("peak RSS MB", lambda each: each.peak / _MB, 1),
    )
    header = (first, *(name for name, *_ in figures), "first byte ms")
    rows = [
        (
            str(x),
            *(spread([figure(each) for each in items], digits) for _, figure, digits in figures),
            spread([seconds * 1000 for each in items for seconds in each.first_bytes], 1),
        )
        for x, items in groups.items()
    ]
    return Table(header, rows)
