"""What four streams do to the event loop they run on, and to point reads beside them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from benchmarks.checks import check
from benchmarks.contenders import LAG_PATH, WATCHED
from benchmarks.load import Load, LoadReport, run_load
from benchmarks.operations import READ
from benchmarks.report import MEDIANS, Outcome, Table, judged, spread
from benchmarks.scenarios.effort import Effort
from benchmarks.serving import ContenderFailed, Served, serving
from benchmarks.site import Site, seeded_site
from benchmarks.streams import streaming

STREAMS = 4
P99_TARGET = 2.0
CONNECTIONS = (1, 32)
_TIMES = 3
"""As many rounds as others' few: p99 beside streams changes more from round to round than anything else."""

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
    """All raw figures; `rows` are those of the table that is streamed."""

    rows: int
    seconds: int
    lags: list[Lag]
    reads: list[Read]


def run(site: Site, effort: Effort) -> Outcome:
    """On the smallest table, in rounds with and without streams. Raises ContenderFailed."""
    rows = effort.stream_rows[0]
    with seeded_site(site, rows, keep=effort.keep) as seeded, serving(WATCHED, seeded) as served:
        check(served, seeded, READ, effort.checked)
        run_load(served, seeded, Load(max(CONNECTIONS), effort.warm_up))
        return outcome(_measure(served, seeded, rows, effort))


def _measure(served: Served, site: Site, rows: int, effort: Effort) -> Company:
    """Every other round is the other way round."""
    found = Company(rows, effort.few_seconds, [], [])
    rounds = effort.few_rounds if effort.quick else _TIMES * effort.few_rounds
    for number in range(rounds):
        for streams in (0, STREAMS)[:: -1 if number % 2 else 1]:
            with beside(served, streams, (1 + len(CONNECTIONS)) * effort.few_seconds):
                found.lags.append(_lag(served, streams, effort.few_seconds))
                for count in CONNECTIONS:
                    report = run_load(served, site, Load(count, effort.few_seconds))
                    found.reads.append(Read(count, streams, number, report))
        print(f"company: round {number + 1} of {rounds}, {_brief(found.reads)}", file=sys.stderr)
    return found


def outcome(found: Company) -> Outcome:
    """What people read of it."""
    title = f"Point reads beside {STREAMS} streams of {found.rows} rows: rounds of {found.seconds} s, {MEDIANS}"
    findings = [
        judged(
            f"point-read p99 over {count} connections, beside {STREAMS} streams ÷ alone",
            p99_ratios(found, count),
            P99_TARGET,
        )
        for count in CONNECTIONS
    ]
    findings.append(f"{WATCHED.name}: {WATCHED.description}")
    return Outcome(title, _tables(found), findings, found)


def p99_ratios(found: Company, count: int) -> list[float]:
    """Beside streams over alone, over so many connections, round by round."""
    beside_streams, alone = (
        [read.load.p99_ms for read in found.reads if (read.connections, read.streams) == (count, streams)]
        for streams in (STREAMS, 0)
    )
    return [with_streams / without for with_streams, without in zip(beside_streams, alone, strict=True)]


def _tables(found: Company) -> list[Table]:
    return [
        Table(
            ("event-loop lag, ms", "p50", "p99", "max"),
            [_lag_row(streams, [lag for lag in found.lags if lag.streams == streams]) for streams in (0, STREAMS)],
        ),
        Table(
            ("point reads", "p50 ms", "p99 ms", "p99.9 ms", "requests/s"),
            [_read_row(found, count, streams) for count in CONNECTIONS for streams in (0, STREAMS)],
        ),
    ]


@contextmanager
def beside(served: Served, streams: int, seconds: float) -> Iterator[None]:
    """So many streams while the block runs, which takes so many seconds. Raises ContenderFailed."""
    if not streams:
        yield
        return
    with streaming(served, _PATH, streams, _RUN_UP_SECONDS + seconds + _MARGIN_SECONDS):
        time.sleep(_RUN_UP_SECONDS)
        yield


def _lag(served: Served, streams: int, seconds: int) -> Lag:
    _samples(served)
    time.sleep(seconds)
    samples = sorted(_samples(served)) or [float(seconds)]  # a loop that never came back was late all the time
    p50, p99 = (samples[int(len(samples) * share)] * 1000 for share in (0.5, 0.99))
    return Lag(streams, len(samples), p50, p99, samples[-1] * 1000)


def _samples(served: Served) -> list[float]:
    status, body = served.get(LAG_PATH)
    if status != 200:
        raise ContenderFailed(f"{served.contender.name} answers {LAG_PATH} with {status}")
    return msgspec.json.decode(body, type=list[float])


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
        spread([load.p999_ms for load in loads], 1),
        spread([load.per_second for load in loads]),
    )


def _brief(reads: list[Read]) -> str:
    last = reads[-2 * len(CONNECTIONS) :]
    return ", ".join(f"{read.connections}/{read.streams}: p99 {read.load.p99_ms:.1f} ms" for read in last)
