"""Whether two runs say the same: the service's CPU time over that of everyone else, as each of them has it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.contenders import SERVICE
from benchmarks.figures import Slice, chosen, cpu_ratios, names
from benchmarks.operations import OPERATIONS
from benchmarks.report import Table
from benchmarks.scenarios.point_read import PointRead
from benchmarks.scenarios.requests import Requests
from benchmarks.scenarios.stream import Streams, of_table
from benchmarks.scenarios.stream_rates import JSON, ratios

WITHIN = 0.10
"""By how much of the first run's ratio the second's may differ."""


def agreement(first: Mapping[str, Any], second: Mapping[str, Any]) -> Table:
    """Every ratio that both have, of raw figures by scenario: medians of the rounds, and how far they are apart."""
    ours, theirs = dict(_ratios(first)), dict(_ratios(second))
    rows = [
        _row(what, statistics.median(ours[what]), statistics.median(theirs[what])) for what in ours if what in theirs
    ]
    return Table((f"CPU, {SERVICE.name} ÷", "first run", "second run", "apart", ""), rows)


def _row(what: str, first: float, second: float) -> tuple[str, ...]:
    apart = second / first - 1
    return what, f"{first:.3f}", f"{second:.3f}", f"{apart:+.0%}", "agree" if abs(apart) <= WITHIN else "**differ**"


def _ratios(raws: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[float]]]:
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


def _of_slices(what: str, slices: list[Slice]) -> Iterator[tuple[str, Sequence[float]]]:
    for rival in names(slices):
        if rival != SERVICE.name:
            yield f"{rival}, {what}", cpu_ratios(slices, SERVICE.name, rival)


def _of_streams(streams: Streams) -> Iterator[tuple[str, Sequence[float]]]:
    for size in sorted({each.table for each in streams.readings}):
        readings = of_table(streams.readings, size)
        for way in dict.fromkeys(each.way for each in readings):
            if not way.startswith(SERVICE.name):
                yield f"{way}, a row of {size}", ratios(readings, JSON, way, "cpu_us")
