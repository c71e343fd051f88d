"""The figures of slices, as programs keep them and people read them: medians, ratios round by round, tables."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from benchmarks.load import LoadReport
from benchmarks.report import Table, spread

_MB = 1e6


class Slice(msgspec.Struct, frozen=True, omit_defaults=True):
    """One contender under one load once: what it spent for each request, what it holds, and what the client saw.

    `switches` are context switches, of its own will or not, of all threads; -1 where the system does not tell them.
    """

    contender: str
    operation: str
    connections: int
    number: int
    cpu_us: float
    switches: float
    rss: int
    load: LoadReport
    fixed_rate: float | None = None


def chosen(
    slices: Iterable[Slice],
    *,
    contender: str | None = None,
    operation: str | None = None,
    connections: int | None = None,
) -> list[Slice]:
    """The slices of these; what is not named may be any."""
    wanted = {"contender": contender, "operation": operation, "connections": connections}
    asked = {name: value for name, value in wanted.items() if value is not None}
    return [each for each in slices if all(getattr(each, name) == value for name, value in asked.items())]


def paired(ours: Sequence[Slice], theirs: Sequence[Slice], figure: Callable[[Slice], float]) -> list[float]:
    """The ratio of a figure, round by round: a slow minute of the machine slows both."""
    values = {each.number: figure(each) for each in theirs}
    return [figure(each) / values[each.number] for each in ours if each.number in values]


def cpu_ratios(slices: Iterable[Slice], ours: str, theirs: str) -> list[float]:
    """CPU per request of one contender over another's, round by round, of slices of the same load."""
    slices = list(slices)
    return paired(chosen(slices, contender=ours), chosen(slices, contender=theirs), lambda each: each.cpu_us)


def rounds_of(numbers: Iterable[int]) -> int:
    """How many rounds there were, by their numbers."""
    return 1 + max(numbers)


def quiet(values: Sequence[float]) -> float:
    """The mean of the lower half: what else a machine does adds to a figure, and takes nothing from it."""
    return statistics.fmean(sorted(values)[: (len(values) + 1) // 2])


def names(slices: Iterable[Slice]) -> list[str]:
    """The contenders, the cheapest first."""
    by_name: dict[str, list[float]] = {}
    for each in slices:
        by_name.setdefault(each.contender, []).append(each.cpu_us)
    return sorted(by_name, key=lambda name: statistics.median(by_name[name]))


def table(first: str, rows: Mapping[str, Sequence[Slice]]) -> Table:
    """A row of figures for each name; `first` is the heading of the names."""
    heads = ("CPU µs/request", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "switches/request", "RSS MB")
    return Table((first, *heads), [(name, *_cells(slices)) for name, slices in rows.items() if slices])


def by_contender(slices: Sequence[Slice]) -> dict[str, list[Slice]]:
    """The slices of each contender, the cheapest contender first."""
    return {name: chosen(slices, contender=name) for name in names(slices)}


def _cells(slices: Sequence[Slice]) -> tuple[str, ...]:
    loads = [each.load for each in slices]
    told = [each.switches for each in slices if each.switches >= 0]
    return (
        spread([each.cpu_us for each in slices]),
        spread([load.per_second for load in loads]),
        *(spread([getattr(load, name) for load in loads], 1) for name in ("p50_ms", "p99_ms", "p999_ms")),
        spread(told, 2) if told else "",
        spread([each.rss / _MB for each in slices], 1),
    )
