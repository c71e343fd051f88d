"""Measurements: one contender under one load once, which gives one `Row`.

CPU time is user and system time of the serving process, all its threads, over the answers that the client counted. The
clients run in processes of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks import HOST
from benchmarks.client import Seen
from benchmarks.driver_worker import FETCH_SIZE, Body, expected_body, loop
from benchmarks.processes import ContenderFailed, end
from benchmarks.rows import Row
from benchmarks.serving import PeakMemory, Served, answer_of, module, python_path_added
from benchmarks.site import Site
from benchmarks.stream_client import Drained

CPU_REQUEST, CPU_ROW = "CPU µs/request", "CPU µs/row"
RATE, P99, ROW_RATE, PEAK_MB, GOODPUT = "requests/s", "p99 ms", "rows/s", "peak RSS MB", "200/s"
"""Titles of the figures that targets, plot and README are read from."""

_SCRIPT = Path(__file__).with_name("wrk_report.lua")
_GRACE_SECONDS = 40.0
_STREAM_SECONDS = 180.0
_RUN_UP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """Requests of the file `asks`, over so many connections for so long, as fast as answers come."""

    scenario: str
    name: str
    connections: int
    seconds: int
    asks: Path


@dataclass(frozen=True, slots=True)
class StreamLoad:
    """A stream of the first `rows` users, read so many times in a row, with the body that it must have."""

    scenario: str
    name: str
    rows: int
    body: Body
    times: int = 1

    @property
    def path(self) -> str:
        """Return the path of the request, with its query."""
        return f"/users/stream?fetch_size={FETCH_SIZE}&limit={self.rows}"


def stream_load(site: Site, scenario: str, name: str, rows: int) -> StreamLoad:
    """Return the load of a stream of so many rows, with its body as the plain driver reads it."""
    return StreamLoad(scenario, name, rows, expected_body(site, rows))


Item = TypeVar("Item")
Measurement = Callable[[int], Row]
"""Measures one contender in the round of this number. Raises ContenderFailed."""


def in_rounds(measurements: Sequence[Measurement], rounds: int, step: int = 1) -> Iterator[Row]:
    """Take every measurement once a round; each round begins `step` further on. Raises ContenderFailed."""
    for number in range(rounds):
        for measurement in rotated(measurements, number * step):
            row = measurement(number)
            figures = ", ".join(f"{value:.4g} {figure}" for figure, value in list(row.figures.items())[:3])
            print(f"{row.scenario}, {row.load}, round {number + 1}: {row.contender}: {figures}", file=sys.stderr)
            yield row


def rotated(items: Sequence[Item], number: int) -> list[Item]:
    """Return the items from the one at this number, counted in a circle."""
    turn = number % len(items)
    return [*items[turn:], *items[:turn]]


def measure(served: Served, load: Load, number: int) -> Row:
    """Measure requests. Raises ContenderFailed on any answer but a success."""
    before = served.cpu_seconds()
    seen = run_load(served, load)
    cpu = served.cpu_seconds() - before
    starved = load.seconds * 1000.0  # no answer at all is slow, not wrong: it took as long as the load, at least
    figures = {
        CPU_REQUEST: cpu / max(1, seen.accepted) * 1e6,
        RATE: seen.accepted / seen.seconds,
        "p50 ms": seen.p50_ms if seen.accepted else starved,
        P99: seen.p99_ms if seen.accepted else starved,
        "RSS MB": served.resident_mb(),
    }
    return Row(load.scenario, load.name, served.name, number, figures)


def measure_beside(served: Served, load: Load, streams: int, number: int) -> Row:
    """Measure requests beside so many streams of the same contender; the CPU time is that of the streams too."""
    with _streaming(served, streams):
        time.sleep(_RUN_UP_SECONDS)
        return measure(served, load, number)


def measure_stream(served: Served, load: StreamLoad, number: int) -> Row:
    """Measure streams in a row. Raises ContenderFailed where one breaks off or has another body."""
    with PeakMemory(served) as peak:
        before = served.cpu_seconds()
        found = [drain(served, load) for _ in range(load.times)]
        cpu = served.cpu_seconds() - before
    rows = load.rows * load.times
    figures = {
        CPU_ROW: cpu / rows * 1e6,
        ROW_RATE: rows / sum(each.seconds for each in found),
        "rows": load.rows,
        "first byte ms": min(each.first_byte for each in found) * 1000,
        PEAK_MB: peak.mb,
    }
    return Row(load.scenario, load.name, served.name, number, figures)


def measure_loop(site: Site, load: StreamLoad, factory: str, name: str, number: int) -> Row:
    """Measure the driver's own loop over the same rows. Raises ContenderFailed."""
    found = loop(site, factory, load.rows)
    if found.rows != load.rows:
        raise ContenderFailed(f"the driver gives {found.rows} rows, not {load.rows}")
    figures = {CPU_ROW: found.cpu_seconds / found.rows * 1e6, ROW_RATE: found.rows / found.seconds, "rows": found.rows}
    return Row(load.scenario, load.name, name, number, figures)


def measure_overload(served: Served, load: Load, rate: float | None, number: int) -> Row:
    """Measure more requests than may be answered. Raises ContenderFailed unless each gets a 200 or a proper 503."""
    with PeakMemory(served) as peak:
        seen = _seen(_client(served, load, *([] if rate is None else [rate])), load.seconds)
    if seen.failures or not seen.accepted:
        raise ContenderFailed(f"{served.name} under overload, {load.name}: {seen}")
    figures = {
        GOODPUT: seen.accepted / seen.seconds,
        "503/s": seen.refused / seen.seconds,
        "200: p50 ms": seen.p50_ms,
        "200: p99 ms": seen.p99_ms,
        "503: p50 ms": seen.refused_p50_ms,
        PEAK_MB: peak.mb,
    }
    return Row(load.scenario, load.name, served.name, number, figures)


def client_name() -> str:
    """Return which client makes the closed loop: wrk where it is installed, since it takes little of the machine."""
    return "wrk" if shutil.which("wrk") else "benchmarks.client (asyncio)"


def run_load(served: Served, load: Load) -> Seen:
    """Send requests. Raises ContenderFailed on any answer but a success."""
    seen = _seen(_wrk(served, load) if shutil.which("wrk") else _client(served, load), load.seconds)
    if seen.failures or seen.refused:
        raise ContenderFailed(f"{served.name} under {load.name}: {seen}")
    return seen


def drain(served: Served, load: StreamLoad) -> Drained:
    """Read one stream. Raises ContenderFailed where it breaks off or has another body."""
    found = answer_of(module("stream_client", served.port, load.path), _STREAM_SECONDS, Drained)
    if (found.bytes, found.crc) != (load.body.bytes, load.body.crc):
        raise ContenderFailed(f"{served.name} streams {load.path} as {found}, not {load.body}")
    return found


@contextmanager
def _streaming(served: Served, count: int) -> Iterator[None]:
    """Read so many streams of all rows at once, again and again, while the block runs. Raises ContenderFailed."""
    path = f"/users/stream?fetch_size={FETCH_SIZE}"
    process = subprocess.Popen(
        module("stream_client", served.port, path, count),
        env=python_path_added(dict(os.environ)),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
        if process.poll() is not None:
            raise ContenderFailed(f"{served.name} does not keep up {count} streams of {path}")
    finally:
        end(process)


def _seen(command: list[str], seconds: int) -> Seen:
    return answer_of(command, seconds + _GRACE_SECONDS, Seen)


def _wrk(served: Served, load: Load) -> list[str]:
    how = ["--threads", "1", "--connections", str(load.connections), "--duration", f"{load.seconds}s"]
    target = f"http://{HOST}:{served.port}"
    return ["wrk", *how, "--timeout", "10s", "--script", str(_SCRIPT), target, "--", str(load.asks)]


def _client(served: Served, load: Load, *rate: float) -> list[str]:
    return module("client", served.port, load.asks, load.connections, load.seconds, *rate)
