"""Twenty clients that read a stream slowly: what the contender holds for them, and point reads meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from benchmarks.checks import check
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.load import Load, LoadReport, client_environment, run_load
from benchmarks.operations import READ
from benchmarks.report import Outcome, Table
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.rounds import CONNECTIONS
from benchmarks.serving import ContenderFailed, Served, end, serving
from benchmarks.site import Site, seeded_site
from benchmarks.streams import PeakMemory

CLIENTS = 20
BYTES_PER_SECOND = 100_000

_PATH = "/users/stream?fetch_size=2000"
_LOOK_SECONDS, _MOST_SECONDS = 1.0, 20.0
_SETTLED = 0.3  # of a CPU: what the contender takes for the slow clients alone
_MB = 1e6


class Slow(msgspec.Struct, frozen=True):
    """One contender once: resident memory before, and at most meanwhile; point reads before and meanwhile."""

    contender: str
    before_bytes: int
    peak_bytes: int
    alone: LoadReport
    beside: LoadReport


class SlowClients(msgspec.Struct, frozen=True):
    """All raw figures; `rows` are those of the table that is streamed."""

    rows: int
    tries: list[Slow]


def run(site: Site, effort: Effort) -> Outcome:
    """One contender after another. Raises ContenderFailed."""
    rows = effort.stream_rows[0]
    databases = [contender for contender in CONTENDERS if contender.database]
    with seeded_site(site, rows, keep=effort.keep) as seeded:
        return outcome(SlowClients(rows, [_slow(contender, seeded, effort) for contender in databases]))


def _slow(contender: Contender, site: Site, effort: Effort) -> Slow:
    load = Load(CONNECTIONS, effort.few_seconds)
    with serving(contender, site) as served:
        check(served, site, READ, effort.checked)
        run_load(served, site, Load(CONNECTIONS, effort.warm_up))
        alone, before = run_load(served, site, load), served.resident()
        with PeakMemory(served) as peak, _trickling(served):
            beside = run_load(served, site, load)
    found = Slow(contender.name, before, peak.bytes, alone, beside)
    print(
        f"slow clients: {found.contender}: {(found.peak_bytes - before) / _MB:.1f} MB more, point-read p99 "
        f"{alone.p99_ms:.1f} ms alone, {beside.p99_ms:.1f} ms meanwhile",
        file=sys.stderr,
    )
    return found


@contextmanager
def _trickling(served: Served) -> Iterator[None]:
    """The slow clients while the block runs. Raises ContenderFailed where they end before it does.

    It begins when the contender rests, as it first fills the buffers of the kernel, or after some seconds.
    """
    numbers = [str(CLIENTS), str(BYTES_PER_SECOND), "600"]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.slow_client", str(served.port), _PATH, *numbers],
        env=client_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _settle(served)
        yield
        if process.poll() is not None:
            raise ContenderFailed(f"{served.contender.name} does not keep up {CLIENTS} slow streams of {_PATH}")
    finally:
        end(process)


def _settle(served: Served) -> None:
    limit = time.monotonic() + _MOST_SECONDS
    spent = served.cpu_seconds()
    while time.monotonic() < limit:
        time.sleep(_LOOK_SECONDS)
        before, spent = spent, served.cpu_seconds()
        if spent - before < _SETTLED * _LOOK_SECONDS:
            return


def outcome(found: SlowClients) -> Outcome:
    """What people read of it."""
    header = ("contender", "RSS before, MB", "more at most, MB", "p99 alone, ms", "p99 meanwhile, ms", "ratio")
    rows = [_row(each) for each in found.tries]
    title = (
        f"Slow clients: {CLIENTS} that read {BYTES_PER_SECOND // 1000} kB/s each of a stream of {found.rows} rows, "
        f"point reads over {CONNECTIONS} connections meanwhile"
    )
    return Outcome(title, [Table(header, rows)], [], found)


def _row(each: Slow) -> tuple[str, ...]:
    return (
        each.contender,
        f"{each.before_bytes / _MB:.1f}",
        f"{(each.peak_bytes - each.before_bytes) / _MB:.1f}",
        f"{each.alone.p99_ms:.1f}",
        f"{each.beside.p99_ms:.1f}",
        f"{each.beside.p99_ms / each.alone.p99_ms:.2f}",
    )
