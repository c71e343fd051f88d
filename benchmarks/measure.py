"""Measure one contender under one load once, which gives one `Row`.

CPU time is the user and system time of all threads of the serving process, divided by the answers that the client
counted. Clients run in processes of their own.
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
"""Titles of the figures that targets, plot and page use."""

_SCRIPT = Path(__file__).with_name("wrk_report.lua")
_GRACE_SECONDS = 40.0
_STREAM_SECONDS = 180.0
_RUN_UP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """The requests of the file `asks` in a closed loop, over some connections for some seconds."""

    scenario: str
    name: str
    connections: int
    seconds: int
    asks: Path


@dataclass(frozen=True, slots=True)
class StreamLoad:
    """A stream of the first `rows` users, read `times` times one after another, with the body that it must have."""

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
    """Return the load of a stream of this many rows, with the body that the plain driver reads."""
    return StreamLoad(scenario, name, rows, expected_body(site, rows))


Item = TypeVar("Item")
Measurement = Callable[[int], Row]
"""Measure one contender in the round with this number. Raises ContenderFailed."""


def in_rounds(measurements: Sequence[Measurement], rounds: int, step: int = 1) -> Iterator[Row]:
    """Take every measurement once per round; each round begins `step` measurements later. Raises ContenderFailed."""
    for number in range(rounds):
        for measurement in rotated(measurements, number * step):
            row = measurement(number)
            figures = ", ".join(f"{value:.4g} {figure}" for figure, value in list(row.figures.items())[:3])
            print(f"{row.scenario}, {row.load}, round {number + 1}: {row.contender}: {figures}", file=sys.stderr)
            yield row


def rotated(items: Sequence[Item], number: int) -> list[Item]:
    """Return all items, beginning with the one at this number; after the last comes the first."""
    turn = number % len(items)
    return [*items[turn:], *items[:turn]]


def measure(served: Served, load: Load, number: int) -> Row:
    """Measure requests. Raises ContenderFailed if one is not answered with success."""
    before = served.cpu_seconds()
    seen = run_load(served, load)
    cpu = served.cpu_seconds() - before
    starved = load.seconds * 1000.0  # without any answer: each took at least as long as the load
    figures = {
        CPU_REQUEST: cpu / max(1, seen.accepted) * 1e6,
        RATE: seen.accepted / seen.seconds,
        "p50 ms": seen.p50_ms if seen.accepted else starved,
        P99: seen.p99_ms if seen.accepted else starved,
        "RSS MB": served.resident_mb(),
    }
    return Row(load.scenario, load.name, served.name, number, figures)


def measure_beside(served: Served, load: Load, streams: int, number: int) -> Row:
    """Measure requests beside streams of the same contender. The CPU time includes that of the streams."""
    with _streaming(served, streams):
        time.sleep(_RUN_UP_SECONDS)
        return measure(served, load, number)


def measure_stream(served: Served, load: StreamLoad, number: int) -> Row:
    """Measure streams, one after another. Raises ContenderFailed if one breaks off or has a wrong body."""
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
    """Measure an overload. Raises ContenderFailed unless each request gets a 200 or a 503 with Retry-After."""
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
    """Return which client makes the closed loop: wrk if it is installed, because it takes little CPU."""
    return "wrk" if shutil.which("wrk") else "benchmarks.client (asyncio)"


def run_load(served: Served, load: Load) -> Seen:
    """Send requests. Raises ContenderFailed if one is not answered with success."""
    seen = _seen(_wrk(served, load) if shutil.which("wrk") else _client(served, load), load.seconds)
    if seen.failures or seen.refused:
        raise ContenderFailed(f"{served.name} under {load.name}: {seen}")
    return seen


def drain(served: Served, load: StreamLoad) -> Drained:
    """Read one stream. Raises ContenderFailed if it breaks off or has a wrong body."""
    found = answer_of(module("stream_client", served.port, load.path), _STREAM_SECONDS, Drained)
    if (found.bytes, found.crc) != (load.body.bytes, load.body.crc):
        raise ContenderFailed(f"{served.name} streams {load.path} as {found}, not {load.body}")
    return found


@contextmanager
def _streaming(served: Served, count: int) -> Iterator[None]:
    """Read some streams of all rows at once, again and again, during the block. Raises ContenderFailed."""
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
            raise ContenderFailed(f"{served.name} fails to send {count} streams of {path} at once")
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
