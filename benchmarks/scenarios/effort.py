"""How long to measure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """`rounds` of `seconds` for each contender, after a warm-up; `starts` of fresh processes; `checked` answers."""

    rounds: int
    seconds: int
    warm_up: int
    starts: int
    checked: int


DEFAULT = Effort(rounds=7, seconds=6, warm_up=3, starts=5, checked=200)
QUICK = Effort(rounds=3, seconds=3, warm_up=1, starts=2, checked=50)
