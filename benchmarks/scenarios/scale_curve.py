"""One curve of the scenario `scale`: how a cost grows with one thing, as people read it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from benchmarks.plots import LinePlot
from benchmarks.report import Table

Item = TypeVar("Item")


class Curve(NamedTuple):
    """What was measured along one thing, made of its raw figures."""

    title: str
    tables: Sequence[Table]
    plots: Sequence[LinePlot]
    findings: Sequence[str]


def grouped(items: Iterable[Item], x: Callable[[Item], int]) -> dict[int, list[Item]]:
    """The items of each x, the least x first."""
    groups: dict[int, list[Item]] = {}
    for item in items:
        groups.setdefault(x(item), []).append(item)
    return dict(sorted(groups.items()))


def points(groups: Mapping[int, Sequence[Item]], figure: Callable[[Item], float]) -> list[tuple[float, list[float]]]:
    """A line of a plot: of each x the figure of every round."""
    return [(x, [figure(item) for item in items]) for x, items in groups.items()]


def middle(items: Iterable[Item], figure: Callable[[Item], float]) -> float:
    """The median of a figure."""
    return statistics.median(figure(item) for item in items)


def slope(groups: Mapping[int, Sequence[Item]], figure: Callable[[Item], float]) -> float:
    """What a figure grows by for one more, from the least x to the greatest: of medians."""
    first, last = min(groups), max(groups)
    return (middle(groups[last], figure) - middle(groups[first], figure)) / (last - first)
