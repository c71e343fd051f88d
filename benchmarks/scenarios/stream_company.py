"""What four streams do to the event loop they run on, and to point reads beside them."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from benchmarks.contenders import LAG_PATH, WATCHED
from benchmarks.load import Load, LoadReport, run_load
from benchmarks.report import Outcome, Table, spread, verdict
from benchmarks.scenarios.effort import Effort
from benchmarks.serving import ContenderFailed, Served, check_answers, serving
from benchmarks.site import Site, seeded_site
from benchmarks.streams import streaming

STREAMS = 4
P99_TARGET = 2.0
CONNECTIONS = (1, 32)

_PATH = "/users/stream?fetch_size=2000"
_RUN_UP_SECONDS = 1.0
_MARGIN_SECONDS = 30.0  # after which streams end by themselves, should nobody end them


class Lag(msgspec.Struct, frozen=True):
    """How late the event loop was, in milliseconds."""

    streams: int
    samples: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Read(msgspec.Struct, frozen=True):
    """Point reads over so many connections, beside so many streams."""

    connections: int
    streams: int
    number: int
    load: LoadReport


class Company(msgspec.Struct, frozen=True):
    """All raw figures."""

    lags: list[Lag]
    reads: list[Read]


def run(site: Site, effort: Effort) -> Outcome:
    """By itself, on the smallest table. Raises ContenderFailed."""
    rows = effort.stream_rows[0]
    with seeded_site(site, rows, keep=effort.keep) as seeded:
        found = measure(seeded, effort)
    title = f"Beside {STREAMS} streams of {rows} rows: {effort.stream_rounds} rounds of {effort.seconds} s"
    return Outcome(title, tables(found), findings(found), found)


def measure(site: Site, effort: Effort) -> Company:
    """Rounds with and without streams, every other one the other way round. Raises ContenderFailed."""
    lags: list[Lag] = []
    reads: list[Read] = []
    with serving(WATCHED, site) as served:
        check_answers([served], site, effort.checked)
        run_load(served, site, Load(max(CONNECTIONS), effort.warm_up))
        for number in range(effort.stream_rounds):
            for streams in (0, STREAMS)[:: -1 if number % 2 else 1]:
                with _beside(served, streams, effort):
                    lags.append(_lag(served, streams, effort.seconds))
                    reads += [_read(served, site, count, streams, number, effort) for count in CONNECTIONS]
            print(f"stream: company, round {number + 1} of {effort.stream_rounds}, {_brief(reads)}", file=sys.stderr)
    return Company(lags, reads)


def tables(found: Company) -> list[Table]:
    """Of the loop, and of the reads."""
    return [
        Table(
            ("event-loop lag, ms", "p50", "p99", "max"),
            [_lag_row(streams, [lag for lag in found.lags if lag.streams == streams]) for streams in (0, STREAMS)],
        ),
        Table(
            ("point reads", "p50 ms", "p99 ms", "requests/s"),
            [_read_row(found, count, streams) for count in CONNECTIONS for streams in (0, STREAMS)],
        ),
    ]


def findings(found: Company) -> list[str]:
    """The ratio for each number of connections."""
    return [_finding(found, count) for count in CONNECTIONS]


def _finding(found: Company, count: int) -> str:
    beside, alone = (
        [read.load.p99_ms for read in found.reads if (read.connections, read.streams) == (count, streams)]
        for streams in (STREAMS, 0)
    )
    ratios = [with_streams / without for with_streams, without in zip(beside, alone, strict=True)]
    told = verdict(statistics.median(ratios), P99_TARGET)
    return (
        f"point-read p99 over {count} connections, beside {STREAMS} streams ÷ alone: **{spread(ratios, 2)}** ({told})"
    )


@contextmanager
def _beside(served: Served, streams: int, effort: Effort) -> Iterator[None]:
    if not streams:
        yield
        return
    seconds = _RUN_UP_SECONDS + (1 + len(CONNECTIONS)) * effort.seconds + _MARGIN_SECONDS
    with streaming(served, _PATH, streams, seconds):
        time.sleep(_RUN_UP_SECONDS)
        yield


def _lag(served: Served, streams: int, seconds: int) -> Lag:
    _samples(served)
    time.sleep(seconds)
    samples = sorted(_samples(served))
    p50, p99 = (samples[int(len(samples) * share)] * 1000 for share in (0.5, 0.99))
    return Lag(streams, len(samples), p50, p99, samples[-1] * 1000)


def _samples(served: Served) -> list[float]:
    status, body = served.get(LAG_PATH)
    if status != 200:
        raise ContenderFailed(f"{served.contender.name} answers {LAG_PATH} with {status}")
    return msgspec.json.decode(body, type=list[float])


def _read(served: Served, site: Site, count: int, streams: int, number: int, effort: Effort) -> Read:
    return Read(count, streams, number, run_load(served, site, Load(count, effort.seconds)))


def _lag_row(streams: int, lags: list[Lag]) -> tuple[str, ...]:
    return (
        f"{streams} streams",
        spread([lag.p50_ms for lag in lags], 1),
        spread([lag.p99_ms for lag in lags], 1),
        spread([lag.max_ms for lag in lags], 1),
    )


def _read_row(found: Company, count: int, streams: int) -> tuple[str, ...]:
    loads = [read.load for read in found.reads if (read.connections, read.streams) == (count, streams)]
    return (
        f"{count} connections, {streams} streams",
        spread([load.p50_ms for load in loads], 1),
        spread([load.p99_ms for load in loads], 1),
        spread([load.requests / load.seconds for load in loads]),
    )


def _brief(reads: list[Read]) -> str:
    last = reads[-2 * len(CONNECTIONS) :]
    return ", ".join(f"{read.connections}/{read.streams}: p99 {read.load.p99_ms:.1f} ms" for read in last)
