"""What the project promises of its speed and memory, figure by figure, judged by the raw figures of a run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import (
    ACSYLLA,
    CHUNK_A_ROW,
    FASTAPI_ASYNC,
    FASTAPI_ASYNC_EXAMPLE,
    SERVICE,
    THREAD_HOP,
    Contender,
)
from benchmarks.figures import cpu_ratios
from benchmarks.report import MEDIANS, Table, spread
from benchmarks.scenarios.overload import (
    CROWD,
    FLOOD,
    GOODPUT_TARGET,
    NARROW,
    PEAK,
    REFUSAL_TARGET_MS,
    Overload,
    goodput_ratios,
    refusals_ms,
)
from benchmarks.scenarios.point_read import PointRead
from benchmarks.scenarios.stream import Streams, first_byte_ratios, growth_mb, of_table
from benchmarks.scenarios.stream_company import Company, p99_ratios
from benchmarks.scenarios.stream_rates import JSON, LOOP, TUPLES, ratios
from benchmarks.scenarios.workers import Workers
from benchmarks.scenarios.workers import ratios as worker_ratios

NOT_MEASURED = "not measured in this run"

Measured = Mapping[str, Sequence[float]]
"""Of a figure the values of all rounds, by what they are of, such as the size of a table."""


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that `measured` takes from the raw figures of a scenario, and what it is to keep to.

    That is at most the first of `limits`, then the next; with `at_least`, at least.
    """

    figure: str
    scenario: str
    measured: Callable[[Any], Measured]
    limits: tuple[float, ...]
    at_least: bool = False
    digits: int = 2

    def rows(self, raws: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """The lines of the table that judge it."""
        measured = self.measured(raws[self.scenario]) if self.scenario in raws else {}
        found = {of: values for of, values in measured.items() if values}
        if not found:
            return [(self.figure, self._aim(), NOT_MEASURED, "")]
        return [
            (f"{self.figure}{of}", self._aim(), spread(values, self.digits), self._verdict(statistics.median(values)))
            for of, values in found.items()
        ]

    def _aim(self) -> str:
        return ", then ".join(f"{'≥' if self.at_least else '≤'} {limit:g}" for limit in self.limits)

    def _verdict(self, value: float) -> str:
        kept = [value >= limit if self.at_least else value <= limit for limit in self.limits]
        return ", then ".join("met" if each else "**missed**" for each in kept)


def judgements(raws: Mapping[str, Any]) -> Table:
    """Every target with what was measured: medians, the least and the greatest."""
    header = ("figure", "target", MEDIANS, "")
    return Table(header, [row for target in TARGETS for row in target.rows(raws)])


def _cpu_over(rival: Contender) -> Callable[[PointRead], Measured]:
    return lambda found: {"": cpu_ratios(found.main, SERVICE.name, rival.name)}


def _stream_over(way: str, figure: str) -> Callable[[Streams], Measured]:
    """For each size of table."""

    def measured(found: Streams) -> Measured:
        sizes = sorted({each.table for each in found.readings})
        return {f", {size} rows": ratios(of_table(found.readings, size), JSON, way, figure) for size in sizes}

    return measured


def _growth(found: Streams) -> Measured:
    whole = (found.peaks[0].rows, found.peaks[-1].rows) == (10_000, 1_000_000)
    return {"": [growth_mb(found.peaks)] if whole else []}


def _beside_streams(found: Company) -> Measured:
    return {f", {count} connections": p99_ratios(found, count) for count in (32, 1)}


def _workers(found: Workers) -> Measured:
    return {f", {what}": values for what, values in worker_ratios(found).items()}


def _goodput(found: Overload) -> Measured:
    return {
        f", {load}{_named(contender)}": goodput_ratios(found, contender.name, load)
        for contender in (SERVICE, NARROW)
        for load in (CROWD, FLOOD)
    }


def _refusals(found: Overload) -> Measured:
    return {_named(contender): refusals_ms(found, contender.name) for contender in (SERVICE, NARROW)}


def _named(contender: Contender) -> str:
    return f", {contender.name}" if contender != SERVICE else ""


TARGETS = (
    Target(
        "point read, CPU/request ÷ FastAPI + async-cassandra, as its example",
        "point-read",
        _cpu_over(FASTAPI_ASYNC_EXAMPLE),
        (0.2,),
    ),
    Target(
        "point read, CPU/request ÷ FastAPI + async-cassandra, prepared once",
        "point-read",
        _cpu_over(FASTAPI_ASYNC),
        (0.2,),
    ),
    Target("point read, CPU/request ÷ Starlette + acsylla", "point-read", _cpu_over(ACSYLLA), (1.25, 1.0)),
    Target("point read, CPU/request ÷ one thread hop a request", "point-read", _cpu_over(THREAD_HOP), (0.45,)),
    Target(
        "stream, rows/s ÷ plain driver loop without HTTP", "stream", _stream_over(LOOP, "rate"), (1.25,), at_least=True
    ),
    Target("stream, CPU/row ÷ the driver's own tuple decode", "stream", _stream_over(TUPLES, "cpu_us"), (1.0, 0.5)),
    Target("stream, CPU/row ÷ one chunk a row", "stream", _stream_over(CHUNK_A_ROW.name, "cpu_us"), (0.03,), digits=3),
    Target("growth of resident memory from a 10 k to a 1 M row stream, MB", "stream", _growth, (8,), digits=1),
    Target(
        "time to first byte of a stream ÷ time of one page by the driver",
        "stream",
        lambda found: {"": first_byte_ratios(found.first_bytes)},
        (1.3,),
    ),
    Target("point-read p99 while 4 streams run ÷ without them", "company", _beside_streams, (2,)),
    Target("point read, CPU/request, 2 workers ÷ 1 worker", "workers", _workers, (1.05,)),
    Target(f"overload, goodput ÷ that of {PEAK}", "overload", _goodput, (GOODPUT_TARGET,), at_least=True),
    Target(f"overload, median time of a refusal at {FLOOD}, ms", "overload", _refusals, (REFUSAL_TARGET_MS,), digits=0),
)
