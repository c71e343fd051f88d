"""Whether two runs say the same: the service's CPU time over that of everyone else, as each of them has it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.contenders import SERVICE
from benchmarks.figures import Slice, chosen, names, quiet
from benchmarks.operations import OPERATIONS
from benchmarks.report import Table
from benchmarks.scenarios.point_read import PointRead
from benchmarks.scenarios.requests import Requests
from benchmarks.scenarios.stream import Streams, of_table
from benchmarks.scenarios.stream_rates import JSON

WITHIN = 0.10
"""By how much of the first run's ratio the second's may differ."""

QUIETER = (
    "A ratio here is of the mean of the quieter half of the rounds of each, since what else a shared machine does only "
    "adds to a CPU time; the last column compares the medians of all rounds."
)
"""What the table says of itself."""

Costs = tuple[Sequence[float], Sequence[float]]
"""CPU time in each round: the service's, and that of another."""


def agreement(first: Mapping[str, Any], second: Mapping[str, Any]) -> Table:
    """Every ratio that both have, of raw figures by scenario, and how far they are apart.

    A ratio is of the quieter half of the rounds of each contender (`quiet`). The last column tells how far apart the
    medians of the ratios of each round are.
    """
    ours, theirs = dict(_costs(first)), dict(_costs(second))
    rows = [_row(what, ours[what], theirs[what]) for what in ours if what in theirs]
    return Table((f"CPU, {SERVICE.name} ÷", "first run", "second run", "apart", "", "apart, medians"), rows)


def _row(what: str, first: Costs, second: Costs) -> tuple[str, ...]:
    before, after = _quiet_ratio(first), _quiet_ratio(second)
    apart = after / before - 1
    said = "agree" if abs(apart) <= WITHIN else "**differ**"
    medians = _median_ratio(second) / _median_ratio(first) - 1
    return what, f"{before:.3f}", f"{after:.3f}", f"{apart:+.0%}", said, f"{medians:+.0%}"


def _quiet_ratio(costs: Costs) -> float:
    ours, theirs = costs
    return quiet(ours) / quiet(theirs)


def _median_ratio(costs: Costs) -> float:
    return statistics.median(mine / other for mine, other in zip(*costs, strict=True))


def _costs(raws: Mapping[str, Any]) -> Iterator[tuple[str, Costs]]:
    point_read: PointRead | None = raws.get("point-read")
    if point_read is not None:
        yield from _of_slices("point read", point_read.main)
    requests: Requests | None = raws.get("requests")
    if requests is not None:
        for name in dict.fromkeys(each.operation for each in requests.slices):
            yield from _of_slices(OPERATIONS[name].title, chosen(requests.slices, operation=name))
    streams: Streams | None = raws.get("stream")
    if streams is not None:
        yield from _of_streams(streams)


def _of_slices(what: str, slices: list[Slice]) -> Iterator[tuple[str, Costs]]:
    costs = {name: [each.cpu_us for each in chosen(slices, contender=name)] for name in names(slices)}
    for rival, cost in costs.items():
        if rival != SERVICE.name:
            yield f"{rival}, {what}", (costs[SERVICE.name], cost)


def _of_streams(streams: Streams) -> Iterator[tuple[str, Costs]]:
    for size in sorted({each.table for each in streams.readings}):
        readings = of_table(streams.readings, size)
        ways = dict.fromkeys(each.way for each in readings)
        costs = {way: [each.cpu_us for each in readings if each.way == way] for way in ways}
        for way, cost in costs.items():
            if not way.startswith(SERVICE.name):
                yield f"{way}, a row of {size}", (costs[JSON], cost)
