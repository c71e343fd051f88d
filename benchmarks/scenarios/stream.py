"""GET /users/stream: rows a second, CPU a row, time to the first byte, memory, and what it does to other requests."""

from __future__ import annotations

import statistics
import sys
from contextlib import ExitStack

import msgspec

from benchmarks.contenders import CHUNK_A_ROW, SERVICE, WATCHED
from benchmarks.report import Outcome, Table, spread
from benchmarks.scenarios import stream_company, stream_rates
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.stream_company import Company
from benchmarks.scenarios.stream_rates import FETCH_SIZE, Reading
from benchmarks.serving import serving
from benchmarks.site import Site, seeded_site
from benchmarks.streams import PeakMemory, drain, driver, first_byte

GROWTH_TARGET_MB = 8
FIRST_BYTE_TARGET = 1.3

_MB = 1e6
_LEAST_ROWS = 100_000  # streamed while memory is watched, so that a short stream is looked at often enough
_MEMORY_ROWS = (10_000, 100_000, 1_000_000)


class Peak(msgspec.Struct, frozen=True):
    """The most resident memory while streams of so many rows were read, by a process that streamed before."""

    rows: int
    bytes: int


class FirstByte(msgspec.Struct, frozen=True):
    """One try: seconds to a stream's first byte, and to one page by the driver."""

    stream: float
    page: float


class Findings(msgspec.Struct, frozen=True):
    """All raw figures."""

    readings: list[Reading]
    first_bytes: list[FirstByte]
    peaks: list[Peak]
    company: Company


def run(site: Site, effort: Effort) -> Outcome:
    """All of it, on tables of each size. Raises ContenderFailed."""
    with ExitStack() as stack:
        sites = [stack.enter_context(seeded_site(site, rows, keep=effort.keep)) for rows in effort.stream_rows]
        readings = []
        for rows, seeded in zip(effort.stream_rows, sites, strict=True):
            readings += _rates(seeded, rows, effort, every=rows == effort.stream_rows[0])
        first_bytes = _first_bytes(sites[0], effort)
        peaks = _peaks(sites[-1], effort)
        company = stream_company.measure(sites[0], effort)
    return _outcome(Findings(readings, first_bytes, peaks, company), effort)


def _rates(site: Site, rows: int, effort: Effort, *, every: bool) -> list[Reading]:
    """On the smallest table every way to read it, on the others those that are compared by rows a second."""
    with serving(SERVICE, site) as service, serving(CHUNK_A_ROW, site) as rival, driver(site) as plain:
        ways = stream_rates.ways(service, rival, plain, rows, every=every)
        return stream_rates.measure(ways, rows, effort.stream_rounds)


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


def _outcome(found: Findings, effort: Effort) -> Outcome:
    title = (
        f"Streams of `users`: {effort.stream_rounds} rotated rounds, page size {FETCH_SIZE}, "
        "medians [least–greatest]"  # noqa: RUF001
    )
    tables = [
        *(stream_rates.table(rows, _of(found.readings, rows)) for rows in effort.stream_rows),
        _memory_table(found.peaks),
        *stream_company.tables(found.company),
    ]
    findings = [
        *(line for rows in effort.stream_rows for line in stream_rates.findings(rows, _of(found.readings, rows))),
        *_first_byte_findings(found.first_bytes),
        *_memory_findings(found.peaks),
        *stream_company.findings(found.company),
        *(f"{each.name}: {each.description}" for each in (SERVICE, CHUNK_A_ROW, WATCHED)),
    ]
    return Outcome(title, tables, findings, found)


def _of(readings: list[Reading], rows: int) -> list[Reading]:
    return [each for each in readings if each.table == rows]


def _first_byte_findings(tries: list[FirstByte]) -> list[str]:
    streams, pages = [each.stream * 1000 for each in tries], [each.page * 1000 for each in tries]
    ratio = statistics.median(streams) / statistics.median(pages)
    return [
        f"Time to first byte, ms: {spread(streams, 1)}; one page by the driver, ms: {spread(pages, 1)}",
        stream_rates.judged("time to first byte ÷ one page by the driver", [ratio], FIRST_BYTE_TARGET),
    ]


def _memory_table(peaks: list[Peak]) -> Table:
    return Table(("rows of a stream", "peak RSS MB"), [(f"{peak.rows}", f"{peak.bytes / _MB:.1f}") for peak in peaks])


def _memory_findings(peaks: list[Peak]) -> list[str]:
    growth = (peaks[-1].bytes - peaks[0].bytes) / _MB
    what = f"growth of peak resident memory, {peaks[0].rows} to {peaks[-1].rows} rows, MB"
    return [stream_rates.judged(what, [growth], GROWTH_TARGET_MB, digits=1)]
