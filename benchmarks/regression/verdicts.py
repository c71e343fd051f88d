"""Whether two commits differ: ratios round by round, and an interval that holds their median in 95 of 100 cases."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report import spread

SLOWER, FASTER, SAME = "slower", "faster", "no difference seen"

CONFIDENCE = 0.95
LEAST_ROUNDS = 6
"""Fewer give no interval: even the least and the greatest of five hold the median in 94 of 100 cases only."""
COUNT_NOISE = 0.01
"""Counts of the same code were seen to differ by less, on a node that nobody else changes."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure of both, in the same order of rounds; what grows is slower."""

    figure: str
    base: Sequence[float]
    head: Sequence[float]
    digits: int = 1

    @property
    def ratio(self) -> float:
        """Head over base: the median of `ratios`."""
        return statistics.median(self.ratios())

    def ratios(self) -> list[float]:
        """Round by round, so that a slow minute of the machine slows both."""
        return [head / base for base, head in zip(self.base, self.head, strict=True)]

    def interval(self) -> tuple[float, float] | None:
        """Where the true ratio is, with so much confidence; None when there are too few rounds to tell."""
        return median_interval(self.ratios())

    def verdict(self) -> str:
        """Slower or faster where the whole interval is."""
        interval = self.interval()
        return SAME if interval is None else _side(*interval)

    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        interval = self.interval()
        reach = "too few rounds" if interval is None else "{:.3f}–{:.3f}".format(*interval)  # noqa: RUF001
        return (self.figure, *_both(self), f"{self.ratio:.3f}", reach, self.verdict())


@dataclass(frozen=True, slots=True)
class Counts:
    """Instructions of both, each counted several times: what is not of the code itself only adds to a count."""

    figure: str
    base: Sequence[float]
    head: Sequence[float]
    digits: int = 0

    @property
    def ratio(self) -> float:
        """Head over base: of the least counts."""
        return min(self.head) / min(self.base)

    def noise(self) -> float:
        """By what share counts of one commit differ, but at least by what is usual."""
        return max(COUNT_NOISE, *(max(counts) / min(counts) - 1 for counts in (self.base, self.head)))

    def verdict(self) -> str:
        """Slower or faster where the ratio is farther from 1 than counts of one commit are from each other."""
        noise = self.noise()
        return _side(self.ratio / (1 + noise), self.ratio * (1 + noise))

    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        return (self.figure, *_both(self), f"{self.ratio:.3f}", f"± {100 * self.noise():.1f} %", self.verdict())


def fails(found: Comparison | Counts, limit: float) -> bool:
    """Whether head is seen to be slower, and by more than this ratio."""
    return found.verdict() == SLOWER and found.ratio > limit


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Between which of the values their median is, with so much confidence, whatever their distribution: a sign test.

    None when there are too few. The n-th least and the n-th greatest do not hold it when fewer than n of all values are
    on one side of it; as often, fewer than n of so many coins show heads.
    """
    ordered = sorted(values)
    nth = 0
    while 2 * _at_most(nth, len(ordered)) <= 1 - CONFIDENCE:
        nth += 1
    return (ordered[nth - 1], ordered[-nth]) if nth else None


def _at_most(heads: int, coins: int) -> float:
    """How probable it is that at most so many of the coins show heads."""
    return sum(math.comb(coins, count) for count in range(heads + 1)) / (1 << coins)


def _side(low: float, high: float) -> str:
    if low > 1:
        return SLOWER
    return FASTER if high < 1 else SAME


def _both(found: Comparison | Counts) -> tuple[str, str]:
    return spread(found.base, found.digits), spread(found.head, found.digits)
