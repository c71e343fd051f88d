"""How long to measure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """`rounds` of `seconds` for each contender, after a warm-up; `starts` of fresh processes; `checked` answers.

    `stream_rows` are the sizes of the tables that are streamed, `stream_rounds` how often each way to read them is
    taken, `tries` how often a first byte is awaited. `keep` leaves those tables for the next run, which takes them.
    """

    rounds: int
    seconds: int
    warm_up: int
    starts: int
    checked: int
    stream_rows: tuple[int, ...]
    stream_rounds: int
    tries: int
    keep: bool = False


DEFAULT = Effort(
    rounds=7, seconds=6, warm_up=3, starts=5, checked=200, stream_rows=(200_000, 1_000_000), stream_rounds=3, tries=30
)
QUICK = Effort(
    rounds=3, seconds=3, warm_up=1, starts=2, checked=50, stream_rows=(50_000, 200_000), stream_rounds=2, tries=20
)
