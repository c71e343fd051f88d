"""GET /users/stream: rows a second, CPU a row, time to the first byte, memory; of the service and of its rivals."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import msgspec

from benchmarks.contenders import CHUNK_A_ROW, CONTENDERS, PURE, SERVICE, Contender
from benchmarks.figures import rounds_of
from benchmarks.report import MEDIANS, Outcome, Table, judged, spread
from benchmarks.scenarios import stream_rates
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.rounds import side_by_side
from benchmarks.scenarios.stream_rates import FETCH_SIZE, FORMATS, LOOP, PURE_JSON, TUPLES, Reading
from benchmarks.serving import serving
from benchmarks.site import Site, seeded_site
from benchmarks.streams import PeakMemory, drain, driver, first_byte

GROWTH_TARGET_MB = 8
FIRST_BYTE_TARGET = 1.3

_MB = 1e6
_LEAST_ROWS = 100_000  # streamed while memory is watched, so that a short stream is looked at often enough
_MEMORY_ROWS = (10_000, 100_000, 1_000_000)


def rivals() -> list[Contender]:
    """Whose streams are measured beside those of the service."""
    databases = [each for each in CONTENDERS if each.database and each != SERVICE]
    return list({each.name: each for each in (*databases, CHUNK_A_ROW)}.values())


class Peak(msgspec.Struct, frozen=True):
    """The most resident memory while streams of so many rows were read, by a process that streamed before."""

    rows: int
    bytes: int


class FirstByte(msgspec.Struct, frozen=True):
    """One try: seconds to a stream's first byte, and to one page by the driver."""

    stream: float
    page: float


class Streams(msgspec.Struct, frozen=True):
    """All raw figures."""

    readings: list[Reading]
    first_bytes: list[FirstByte]
    peaks: list[Peak]


def run(site: Site, effort: Effort) -> Outcome:
    """All of it, on tables of each size. Raises ContenderFailed."""
    with _seeded(site, effort) as sites:
        readings = _beside_rivals(sites[0], effort.stream_rows[0], effort, 0)
        readings += _larger(sites, effort, [])
        first_bytes = _first_bytes(sites[0], effort)
        peaks = _peaks(sites[-1], effort)
    return outcome(Streams(readings, first_bytes, peaks))


def more(site: Site, effort: Effort, found: Streams) -> Outcome:
    """As many rounds of the rates again, by fresh processes. Raises ContenderFailed."""
    rows = effort.stream_rows[0]
    with _seeded(site, effort) as sites:
        readings = found.readings + _beside_rivals(sites[0], rows, effort, _rounds_in(found.readings, rows))
        readings += _larger(sites, effort, found.readings)
    return outcome(msgspec.structs.replace(found, readings=readings))


@contextmanager
def _seeded(site: Site, effort: Effort) -> Iterator[list[Site]]:
    with ExitStack() as stack:
        yield [stack.enter_context(seeded_site(site, rows, keep=effort.keep)) for rows in effort.stream_rows]


def _larger(sites: Sequence[Site], effort: Effort, before: Sequence[Reading]) -> list[Reading]:
    readings = []
    for rows, seeded in zip(effort.stream_rows[1:], sites[1:], strict=True):
        readings += _alone(seeded, rows, effort, _rounds_in(before, rows))
    return readings


def _rounds_in(readings: Sequence[Reading], rows: int) -> int:
    found = of_table(readings, rows)
    return rounds_of(each.number for each in found) if found else 0


def _beside_rivals(site: Site, rows: int, effort: Effort, first: int) -> list[Reading]:
    """On the smallest table every way to read it; in the first few rounds those that are compared with nobody."""
    with side_by_side((SERVICE, PURE, *rivals()), site) as (service, pure, *others), driver(site) as plain:
        own = stream_rates.own_ways(service, plain, rows, FORMATS)
        forms, compared = own[1 : len(FORMATS)], [own[0], *own[len(FORMATS) :]]
        compared.append(stream_rates.pure_way(pure, plain, rows))
        ways = compared + stream_rates.rival_ways(others, plain, rows)
        readings = stream_rates.measure(ways, rows, effort.stream_rounds, first)
        if first:
            return readings
        return readings + stream_rates.measure(forms, rows, min(effort.few_rounds, effort.stream_rounds))


def _alone(site: Site, rows: int, effort: Effort, first: int) -> list[Reading]:
    """On a larger one the service in JSON and the driver's loops."""
    with serving(SERVICE, site) as service, driver(site) as plain:
        ways = stream_rates.own_ways(service, plain, rows, FORMATS[:1])
        return stream_rates.measure(ways, rows, effort.long_stream_rounds, first)


def _first_bytes(site: Site, effort: Effort) -> list[FirstByte]:
    path = f"/users/stream?fetch_size={FETCH_SIZE}"
    with serving(SERVICE, site) as served, driver(site) as plain:
        for _ in range(3):
            drain(served, f"{path}&limit=10000")
            plain.page(FETCH_SIZE)
        found = [FirstByte(first_byte(served, path), plain.page(FETCH_SIZE).seconds) for _ in range(effort.tries)]
    print(f"stream: first byte after {statistics.median(each.stream for each in found) * 1000:.0f} ms", file=sys.stderr)
    return found


def _peaks(site: Site, effort: Effort) -> list[Peak]:
    most = effort.stream_rows[-1]
    found = []
    with serving(SERVICE, site) as served:
        drain(served, f"/users/stream?fetch_size={FETCH_SIZE}&limit={min(most, _MEMORY_ROWS[0])}")
        for rows in sorted({min(most, rows) for rows in _MEMORY_ROWS}):
            path = f"/users/stream?fetch_size={FETCH_SIZE}&limit={rows}"
            with PeakMemory(served) as peak:
                for _ in range(max(1, _LEAST_ROWS // rows)):
                    drain(served, path)
            found.append(Peak(rows, peak.bytes))
            print(f"stream: {rows} rows, at most {peak.bytes / _MB:.1f} MB resident", file=sys.stderr)
    return found


def outcome(found: Streams) -> Outcome:
    """What people read of it."""
    sizes = sorted({each.table for each in found.readings})
    rounds = rounds_of(each.number for each in found.readings)
    title = f"Streams of `users`: up to {rounds} rotated rounds, page size {FETCH_SIZE}, {MEDIANS}"
    smallest = of_table(found.readings, sizes[0])
    tables = [*(stream_rates.table(rows, of_table(found.readings, rows)) for rows in sizes), _memory_table(found.peaks)]
    findings = [
        *(line for rows in sizes for line in stream_rates.findings(rows, of_table(found.readings, rows))),
        *stream_rates.rival_findings(smallest, _rivals_in(smallest)),
        *_first_byte_findings(found.first_bytes),
        *_memory_findings(found.peaks),
        f"{CHUNK_A_ROW.name}: {CHUNK_A_ROW.description}",
    ]
    return Outcome(title, tables, findings, found, stream_rates.plots(smallest))


def of_table(readings: Sequence[Reading], rows: int) -> list[Reading]:
    """Those of the table of so many rows."""
    return [each for each in readings if each.table == rows]


def first_byte_ratios(tries: Sequence[FirstByte]) -> list[float]:
    """Time to the first byte of a stream over that of one page by the driver, try by try."""
    return [each.stream / each.page for each in tries]


def growth_mb(peaks: Sequence[Peak]) -> float:
    """Growth of the most resident memory from the shortest streams to the longest."""
    return (peaks[-1].bytes - peaks[0].bytes) / _MB


def _rivals_in(readings: list[Reading]) -> list[str]:
    own = {stream_rates.own_way(form) for form in FORMATS} | {LOOP, TUPLES, PURE_JSON}
    return [way for way in dict.fromkeys(each.way for each in readings) if way not in own]


def _first_byte_findings(tries: list[FirstByte]) -> list[str]:
    streams, pages = [each.stream * 1000 for each in tries], [each.page * 1000 for each in tries]
    return [
        f"time to first byte, ms: {spread(streams, 1)}; one page by the driver, ms: {spread(pages, 1)}",
        judged("time to first byte ÷ one page by the driver, try by try", first_byte_ratios(tries), FIRST_BYTE_TARGET),
    ]


def _memory_table(peaks: list[Peak]) -> Table:
    return Table(("rows of a stream", "peak RSS MB"), [(f"{peak.rows}", f"{peak.bytes / _MB:.1f}") for peak in peaks])


def _memory_findings(peaks: list[Peak]) -> list[str]:
    what = f"growth of peak resident memory, {peaks[0].rows} to {peaks[-1].rows} rows, MB"
    return [judged(what, [growth_mb(peaks)], GROWTH_TARGET_MB, digits=1)]
