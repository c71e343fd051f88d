"""The ways to read a whole table, and what an export costs the reads beside it: each measurement gives one `Row`.

A row's load is what was read, and its contender the way. The service is measured with a client that keeps nothing.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.contenders import SERVICE, Contender
from benchmarks.driver_worker import FETCH_SIZE, Looped
from benchmarks.environments import interpreter
from benchmarks.measure import CPU_ROW, PEAK_MB, ROW_RATE, Load, Measurement, measure
from benchmarks.operations import READ, asks_file
from benchmarks.processes import ContenderFailed, end, finished
from benchmarks.rows import Row
from benchmarks.serving import PeakMemory, Served, answer_of, child_environment, module, python_path_added, serving
from benchmarks.site import Site
from benchmarks.stream_client import Drained
from benchmarks.whole_tables import NARROW, WholeTable

SCENARIO = "export"
STREAM, IN_ORDER, EXPORT = "one stream", "export, parallel=1", "export, parallel=8"
DRIVER = "the driver, 128 ranges in 8 threads"
MEMORY, TENTH, WHOLE = "memory", "a tenth of the table", "the whole table"
ALONE, BESIDE = "alone", "beside an export"

EXPORTER = replace(SERVICE, app="benchmarks.contenders.with_sightings:app")
COPY = Contender("cqlsh COPY TO", "", "cqlsh from PyPI", requirements=("cqlsh>=6.2",))
ASYNC_CASSANDRA = Contender(
    "async-cassandra, 128 ranges, 8 at once",
    "",
    "in the way of that project's example of bulk operations",
    requirements=("async-cassandra>=0.0.1", "cassandra-driver>=3.29.3"),
    python_at_least=(3, 12),
)
OTHERS = {"cqlsh": COPY, "async-cassandra": ASYNC_CASSANDRA}
"""The ways that need packages from PyPI, by the names of the command line."""

_PATHS = {
    STREAM: f"stream?format=ndjson&fetch_size={FETCH_SIZE}",
    IN_ORDER: f"export.ndjson?parallel=1&fetch_size={FETCH_SIZE}",
    EXPORT: f"export.ndjson?parallel=8&fetch_size={FETCH_SIZE}",
}
_RANGES, _AT_ONCE = 128, 8
_SMALL_PAGES = "fetch_size=100"
_SECONDS = 600.0
_RUN_UP_SECONDS = 1.0
_COPIED = re.compile(r"in (\d+) day, (\d+) hour, (\d+) minute, and ([\d.]+) seconds")
_SECONDS_OF = (86400, 3600, 60, 1)


@dataclass(frozen=True, slots=True)
class Readable:
    """A table with so many rows on a site."""

    site: Site
    table: WholeTable
    rows: int

    def row(self, way: str, number: int, seconds: float, cpu: float, more: dict[str, float] | None = None) -> Row:
        """Return the figures of one reading of all rows."""
        figures = {ROW_RATE: self.rows / seconds, CPU_ROW: cpu / self.rows * 1e6}
        return Row(SCENARIO, self.table.load, way, number, figures | (more or {}))

    def check(self, way: str, found: int) -> None:
        """Raise ContenderFailed unless all rows were found."""
        if found != self.rows:
            raise ContenderFailed(f"{way} gives {found} rows of {self.table.name}, not {self.rows}")


def ways(readable: Readable, served: Served, others: Sequence[Contender]) -> list[Measurement]:
    """Return the measurements of all ways. Each raises ContenderFailed if rows are missing."""
    ours = [partial(_through_service, readable, served, name) for name in _PATHS]
    more = {COPY.name: _copied, ASYNC_CASSANDRA.name: _through_async_cassandra}
    return [*ours, partial(_walked, readable), *(partial(more[each.name], readable) for each in others)]


def warm_up(served: Served, tables: Sequence[WholeTable], seconds: float) -> None:
    """Read the tables again and again, so that Java has compiled what reading them takes."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for table in tables:
            _drained(served, table, _PATHS[EXPORT])


def reads_load(connections: int) -> str:
    """Return the name of the load of single reads over so many connections."""
    return f"reads over {connections} connection{'s' * (connections > 1)}"


def reads(site: Site, served: Served, connections: Sequence[int], seconds: int) -> list[Measurement]:
    """Return the measurements of single reads over each number of connections, alone and beside an export."""
    asks = asks_file(site, READ.name, READ.asks(site))
    loads = [Load(SCENARIO, reads_load(each), each, seconds, asks) for each in connections]
    return [partial(how, served, load) for load in loads for how in (_reads_alone, _reads_beside)]


def memory(site: Site) -> list[Measurement]:
    """Return the measurements of the peak memory of an export, of a tenth of the users and of all.

    Each runs in a fresh process. Pages are so small that all of them are full: only rows could make a difference.
    """
    parts = {TENTH: f"slice=1/10&{_SMALL_PAGES}", WHOLE: _SMALL_PAGES}
    return [partial(_peak, site, name, f"export.ndjson?{query}") for name, query in parts.items()]


def _drained(served: Served, table: WholeTable, path: str) -> Drained:
    return answer_of(module("stream_client", served.port, f"{table.address}/{path}"), _SECONDS, Drained)


def _through_service(readable: Readable, served: Served, way: str, number: int) -> Row:
    with PeakMemory(served) as peak:
        before = served.cpu_seconds()
        found = _drained(served, readable.table, _PATHS[way])
        cpu = served.cpu_seconds() - before
    readable.check(way, found.lines)
    return readable.row(way, number, found.seconds, cpu, {PEAK_MB: peak.mb})


def _walked(readable: Readable, number: int) -> Row:
    command = module("range_walk", readable.table.name, readable.table.key, _RANGES, _AT_ONCE)
    return _looped(readable, DRIVER, number, command, SERVICE)


def _through_async_cassandra(readable: Readable, number: int) -> Row:
    table, file = readable.table, readable.site.folder / "rows.ndjson"
    worker = ["-m", "benchmarks.contenders.async_cassandra_ranges", table.name, table.key]
    command = [interpreter(ASYNC_CASSANDRA), *worker, str(_RANGES), str(_AT_ONCE), str(file)]
    row = _looped(readable, ASYNC_CASSANDRA.name, number, command, ASYNC_CASSANDRA)
    readable.check(ASYNC_CASSANDRA.name, _lines(file))
    return row


def _looped(readable: Readable, way: str, number: int, command: Sequence[str], contender: Contender) -> Row:
    """Run a process that reads the table and prints a `Looped`."""
    found = answer_of(command, _SECONDS, Looped, child_environment(readable.site, contender))
    readable.check(way, found.rows)
    return readable.row(way, number, found.seconds, found.cpu_seconds)


def _copied(readable: Readable, number: int) -> Row:
    """Measure COPY TO: the time that it prints, and the CPU time of all its processes, including their start."""
    site, file = readable.site, readable.site.folder / "rows.csv"
    copy = f"CONSISTENCY LOCAL_QUORUM; COPY \"{site.keyspace}\".{readable.table.name} TO '{file}'"
    program = Path(interpreter(COPY)).with_name("cqlsh")
    before = _children_seconds()
    done = finished([str(program), site.node.host, str(site.node.port), "-e", copy], _SECONDS)
    cpu = _children_seconds() - before
    times = _COPIED.search(done.stdout)
    if times is None:
        raise ContenderFailed(f"{COPY.name} ends without the time that it took:\n{done.stdout[-1000:]}")
    readable.check(COPY.name, _lines(file))
    seconds = sum(float(each) * unit for each, unit in zip(times.groups(), _SECONDS_OF, strict=True))
    return readable.row(COPY.name, number, seconds, cpu)


def _lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _reads_alone(served: Served, load: Load, number: int) -> Row:
    return _as(ALONE, measure(served, load, number))


def _reads_beside(served: Served, load: Load, number: int) -> Row:
    with _exporting(served):
        return _as(BESIDE, measure(served, load, number))


def _as(way: str, row: Row) -> Row:
    return Row(row.scenario, row.load, way, row.round, row.figures)


@contextmanager
def _exporting(served: Served) -> Iterator[None]:
    """Export the users again and again during the block. Raises ContenderFailed if an export breaks off."""
    process = subprocess.Popen(
        module("stream_client", served.port, f"{NARROW.address}/{_PATHS[EXPORT]}", 1),
        env=python_path_added(dict(os.environ)),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        time.sleep(_RUN_UP_SECONDS)
        yield
        if process.poll() is not None:
            raise ContenderFailed("an export beside reads breaks off")
    finally:
        end(process)


def _peak(site: Site, what: str, path: str, number: int) -> Row:
    with serving(EXPORTER, site) as served, PeakMemory(served) as peak:
        _drained(served, NARROW, path)
    return Row(SCENARIO, MEMORY, what, number, {PEAK_MB: peak.mb})
