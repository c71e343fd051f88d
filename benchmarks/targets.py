"""The targets of the project for its speed and memory, and how to read each from the rows of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.contenders import ACSYLLA, FASTAPI, SERVICE, THREAD_HOP, Contender
from benchmarks.measure import CPU_REQUEST, CPU_ROW, GOODPUT, P99, PEAK_MB, ROW_RATE
from benchmarks.rows import Row, paired, values_of
from benchmarks.scenarios import (
    CONNECTIONS,
    FLOOD,
    LONG_ROWS,
    MAIN,
    NAMED_LOOP,
    READS,
    READS_BESIDE,
    SHORT_ROWS,
    STREAM,
    TUPLE_LOOP,
    rows_name,
)

Read = Callable[[Sequence[Row]], list[float]]
"""Read a figure from the rows of a run, one value per round; an empty list if it was not measured."""


@dataclass(frozen=True, slots=True)
class Target:
    """A limit for a figure: the most that it may be, or with `at_least` the least."""

    title: str
    limit: float
    read: Read
    at_least: bool = False

    def aim(self) -> str:
        """Return the limit as text."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"

    def is_met(self, value: float) -> bool:
        """Return whether a value keeps the limit."""
        return value >= self.limit if self.at_least else value <= self.limit


def over(scenario: str, load: str, contender: str, figure: str, rows: Sequence[Row]) -> list[float]:
    """Return a figure of the service over that of another contender under the same load, round by round."""
    ours, theirs = (values_of(rows, scenario, load, name, figure) for name in (SERVICE.name, contender))
    return paired(ours, theirs)


def _read_over(contender: Contender) -> Read:
    return partial(over, "point-read", MAIN, contender.name, CPU_REQUEST)


def _under(scenario: str, load: str, base: str, figure: str, rows: Sequence[Row]) -> list[float]:
    """Return a figure of the service under a load over that under a base load, round by round."""
    ours, bases = (values_of(rows, scenario, name, SERVICE.name, figure) for name in (load, base))
    return paired(ours, bases)


def _growth(rows: Sequence[Row]) -> list[float]:
    """Return how much more memory a long stream took than short ones, round by round."""
    short, long = (
        values_of(rows, "stream", rows_name(count), SERVICE.name, PEAK_MB) for count in (SHORT_ROWS, LONG_ROWS)
    )
    return [long[at] - value for at, value in short.items() if at in long]


TARGETS = (
    Target(f"point read, CPU/request ÷ {FASTAPI.name}", 0.2, _read_over(FASTAPI)),
    Target(f"point read, CPU/request ÷ {ACSYLLA.name}", 1.0, _read_over(ACSYLLA)),
    Target("point read, CPU/request ÷ one thread hop a request", 0.45, _read_over(THREAD_HOP)),
    Target(
        "stream, rows/s ÷ plain driver loop without HTTP",
        1.25,
        partial(over, "stream", STREAM, NAMED_LOOP, ROW_RATE),
        at_least=True,
    ),
    Target(
        "stream, CPU/row ÷ the driver's own tuple decode", 0.15, partial(over, "stream", STREAM, TUPLE_LOOP, CPU_ROW)
    ),
    Target("growth of peak resident memory from a stream of 10,000 rows to one of 1,000,000, MB", 8, _growth),
    Target(
        f"point-read p99 beside 4 streams ÷ alone, {CONNECTIONS} connections",
        2,
        partial(_under, "mixed", READS_BESIDE, READS, P99),
    ),
    Target(
        "overload, answers of 200 a second at twice the rate ÷ at the peak",
        0.8,
        partial(_under, "overload", FLOOD, MAIN, GOODPUT),
        at_least=True,
    ),
)
