"""A whole table as a file, beside other ways to read all rows: `python -m benchmarks.export`.

Fills a keyspace with users and reads all of them, in rounds of all ways:

- the service's stream, one page after another, as NDJSON;
- its export with `parallel=1` and with `parallel=8`;
- the driver alone, which walks ranges of tokens in eight threads and makes tuples;
- cqlsh's COPY TO, from PyPI, into a CSV file; only in the first round, because it is slow.

Prints rows per second, CPU time per row of the process that reads from Cassandra, and its peak memory. Then it reads
single users over eight connections, alone and beside an export that is read again and again, and prints the 99th
percentile of their times. `--raw FILE` keeps every figure of every round as JSON.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.__main__ import at_least_one
from benchmarks.contenders import SERVICE, Contender
from benchmarks.driver_worker import FETCH_SIZE, walk
from benchmarks.environments import interpreter
from benchmarks.machine import describe
from benchmarks.measure import CPU_ROW, P99, PEAK_MB, ROW_RATE, Load, in_rounds, measure
from benchmarks.operations import READ, asks_file
from benchmarks.processes import ContenderFailed, end, finished
from benchmarks.report import bullets, table
from benchmarks.rows import Row
from benchmarks.serving import PeakMemory, Served, answer_of, module, python_path_added, serving
from benchmarks.site import FAILURES, Site, parse_node, prepared_ground
from benchmarks.stream_client import Drained

SCENARIO, WHOLE, READS = "export", "all rows", "point reads"
CQLSH = Contender("cqlsh COPY TO", "", "cqlsh from PyPI", requirements=("cqlsh>=6.2",))

STREAM = "one stream"
PATHS = {
    STREAM: f"/users/stream?format=ndjson&fetch_size={FETCH_SIZE}",
    "export, parallel=1": f"/users/export.ndjson?parallel=1&fetch_size={FETCH_SIZE}",
    "export, parallel=8": f"/users/export.ndjson?parallel=8&fetch_size={FETCH_SIZE}",
}
BUSIEST = "export, parallel=8"
DRIVER = "the driver, 128 ranges in 8 threads"
_SECONDS = 600.0
_CONNECTIONS = 8


def _streamed(served: Served, site: Site, name: str, sizes: set[int], rows: int, number: int) -> Row:
    """Measure one stream or export. Raises ContenderFailed if its body is not as long as the others'."""
    with PeakMemory(served) as peak:
        before = served.cpu_seconds()
        found = answer_of(module("stream_client", served.port, PATHS[name]), _SECONDS, Drained)
        cpu = served.cpu_seconds() - before
    sizes.add(found.bytes)
    if len(sizes) > 1:
        raise ContenderFailed(f"bodies of {sizes} bytes: some rows are missing")
    return _row(name, number, rows, found.seconds, cpu, peak.mb)


def _walked(site: Site, rows: int, number: int) -> Row:
    found = walk(site)
    if found.rows != rows:
        raise ContenderFailed(f"{DRIVER} gives {found.rows} rows, not {rows}")
    return _row(DRIVER, number, rows, found.seconds, found.cpu_seconds)


def _copied(site: Site, rows: int, number: int) -> Row:
    """Measure COPY TO, with the start of cqlsh and the time of all its processes."""
    program = Path(interpreter(CQLSH)).with_name("cqlsh")
    file = site.folder / "users.csv"
    copy = f"COPY \"{site.keyspace}\".users TO '{file}'"
    before, began = _children_seconds(), time.perf_counter()
    finished([str(program), site.node.host, str(site.node.port), "-e", copy], _SECONDS)
    seconds, cpu = time.perf_counter() - began, _children_seconds() - before
    with file.open("rb") as lines:
        count = sum(1 for _ in lines)
    if count != rows:
        raise ContenderFailed(f"COPY TO gives {count} rows, not {rows}")
    return _row(CQLSH.name, number, rows, seconds, cpu)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _row(name: str, number: int, rows: int, seconds: float, cpu: float, peak_mb: float | None = None) -> Row:
    figures = {ROW_RATE: rows / seconds, CPU_ROW: cpu / rows * 1e6}
    return Row(SCENARIO, WHOLE, name, number, figures if peak_mb is None else {**figures, PEAK_MB: peak_mb})


@contextmanager
def _exporting(served: Served) -> Iterator[None]:
    """Read an export again and again during the block. Raises ContenderFailed if one breaks off."""
    process = subprocess.Popen(
        module("stream_client", served.port, PATHS[BUSIEST], 1),
        env=python_path_added(dict(os.environ)),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        time.sleep(1)
        yield
        if process.poll() is not None:
            raise ContenderFailed("an export beside reads breaks off")
    finally:
        end(process)


def _reads(served: Served, load: Load, beside: bool, number: int) -> Row:
    if not beside:
        return measure(served, load, number)
    with _exporting(served):
        return msgspec.structs.replace(measure(served, load, number), load=f"{READS} beside an export")


def measured(site: Site, rows: int, rounds: int, seconds: int, *, cqlsh: bool) -> Iterator[Row]:
    """Measure all ways in turn. Raises ContenderFailed."""
    if cqlsh:
        yield _copied(site, rows, 0)
    with serving(SERVICE, site) as served:
        sizes: set[int] = set()
        ways = [partial(_streamed, served, site, name, sizes, rows) for name in PATHS]
        for way in ways:
            way(0)  # warms up
        yield from in_rounds([*ways, partial(_walked, site, rows)], rounds)
        load = Load(SCENARIO, READS, _CONNECTIONS, seconds, asks_file(site, READ.name, READ.asks(site)))
        yield from in_rounds([partial(_reads, served, load, beside) for beside in (False, True)], rounds)


def report(rows: Sequence[Row]) -> str:
    """Return the medians of all rounds as two tables."""
    ways = dict.fromkeys(row.contender for row in rows if row.load == WHOLE)
    one = _median(rows, WHOLE, STREAM, ROW_RATE)
    lines = [
        (
            name,
            f"{_median(rows, WHOLE, name, ROW_RATE):.0f}",
            f"{_median(rows, WHOLE, name, ROW_RATE) / one:.2f}",
            f"{_median(rows, WHOLE, name, CPU_ROW):.2f}",
            f"{_median(rows, WHOLE, name, PEAK_MB):.0f}" if name in PATHS else "",
        )
        for name in ways
    ]
    loads = dict.fromkeys(row.load for row in rows if row.load != WHOLE)
    reads = [(load, f"{_median(rows, load, SERVICE.name, P99):.2f}") for load in loads]
    header = ("medians", "rows/s", f"beside {STREAM}", CPU_ROW, PEAK_MB)
    return f"{table(header, lines)}\n\n{table(('over 8 connections', P99), reads)}"


def _median(rows: Sequence[Row], load: str, name: str, figure: str) -> float:
    return statistics.median(row.figures[figure] for row in rows if (row.load, row.contender) == (load, name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 1 if something cannot run, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--node", type=parse_node, metavar="HOST:PORT", help="a running Cassandra; else one is booted")
    parser.add_argument("--rows", type=at_least_one, default=200_000, metavar="N", help="in the table (200000)")
    parser.add_argument("--rounds", type=at_least_one, default=5, metavar="N", help="of all ways (5)")
    parser.add_argument("--seconds", type=at_least_one, default=5, metavar="N", help="of single reads in a round (5)")
    parser.add_argument("--no-cqlsh", action="store_true", help="leave out COPY TO, which PyPI has to be reached for")
    parser.add_argument("--raw", type=Path, metavar="FILE", help="write every figure of every round as JSON")
    options = parser.parse_args(arguments)
    try:
        with prepared_ground(options.node) as ground, ground.site(options.rows) as site:
            about = describe(ground)
            rows = list(measured(site, options.rows, options.rounds, options.seconds, cqlsh=not options.no_cqlsh))
    except FAILURES as error:
        print(f"benchmarks.export: {error}", file=sys.stderr)
        return 1
    if options.raw is not None:
        options.raw.write_bytes(msgspec.json.encode({"about": about, "rows": rows}))
    print(f"{bullets(about.items())}\n\n{options.rows} users, {options.rounds} rounds\n\n{report(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
