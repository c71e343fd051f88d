"""Decide whether two commits differ: by the ratio of each round and a 95 % confidence interval of its median."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.rows import Spread

SLOWER, FASTER, SAME = "slower", "faster", "no difference seen"

CONFIDENCE = 0.95
LEAST_ROUNDS = 6
"""Fewer rounds give no interval: the least and the greatest of five values enclose the median in 94 % of cases only."""
COUNT_NOISE = 0.01
"""Counts of the same code differed by less if no other program used the node."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure of both commits, in the same order of rounds. The commit with the greater figure is slower."""

    figure: str
    base: Sequence[float]
    head: Sequence[float]

    @property
    def ratio(self) -> float:
        """Return the median of `ratios`."""
        return statistics.median(self.ratios())

    def ratios(self) -> list[float]:
        """Return head over base in each round: a slow minute of the machine then slows both."""
        return [head / base for base, head in zip(self.base, self.head, strict=True)]

    def interval(self) -> tuple[float, float] | None:
        """Return the interval in which the true ratio lies, or None if there are too few rounds."""
        return median_interval(self.ratios())

    def reach(self) -> str:
        """Return the interval as text."""
        interval = self.interval()
        return "too few rounds" if interval is None else "{:.3f}–{:.3f}".format(*interval)  # noqa: RUF001

    def verdict(self) -> str:
        """Return slower or faster if the whole interval is on that side of 1."""
        low, high = self.interval() or (0.0, 2.0)
        if low > 1:
            return SLOWER
        return FASTER if high < 1 else SAME

    def fails(self, limit: float) -> bool:
        """Return whether head is slower by its verdict, and its ratio is above the limit."""
        return self.verdict() == SLOWER and self.ratio > limit

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        base, head = (Spread.of(values).text() for values in (self.base, self.head))
        return (self.figure, base, head, f"{self.ratio:.3f}", self.reach(), self.verdict())


class Counts(Comparison):
    """Instructions of both commits, each counted several times. Noise only adds, so the smallest ones compare."""

    __slots__ = ()

    @property
    def ratio(self) -> float:
        """Return the smallest count of head over that of base."""
        return min(self.head) / min(self.base)

    def noise(self) -> float:
        """Return the largest relative difference between counts of one commit, at least `COUNT_NOISE`."""
        return max(COUNT_NOISE, *(max(counts) / min(counts) - 1 for counts in (self.base, self.head)))

    def interval(self) -> tuple[float, float]:
        """Return the ratio with the noise on both sides."""
        return self.ratio / (1 + self.noise()), self.ratio * (1 + self.noise())

    def reach(self) -> str:
        """Return the noise as text."""
        return f"± {100 * self.noise():.1f} %"


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the two values that enclose the true median with `CONFIDENCE`, by a sign test; None of too few values.

    The n-th least and the n-th greatest value fail to enclose it if fewer than n values lie on one side of it. That is
    as probable as fewer than n heads of as many coins.
    """
    ordered = sorted(values)
    nth = 0
    while 2 * _at_most(nth, len(ordered)) <= 1 - CONFIDENCE:
        nth += 1
    return (ordered[nth - 1], ordered[-nth]) if nth else None


def _at_most(heads: int, coins: int) -> float:
    """Return the probability of at most this many heads among the coins."""
    return sum(math.comb(coins, count) for count in range(heads + 1)) / (1 << coins)
