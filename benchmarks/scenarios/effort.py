"""How long to measure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """`rounds` of `seconds` for each contender, after a warm-up; `starts` of fresh processes; `checked` answers.

    What is measured beside the main figures is taken in `few_rounds` of `few_seconds`, after `few_warm_up`.
    `stream_rows` are the sizes of the tables that are streamed, `stream_rounds` how often each way to read them is
    taken, `tries` how often a first byte is awaited, `idle` the seconds in which a contender that does nothing is
    looked at. `keep` leaves those tables for the next run, which takes them. `quick` is for a first look: not all
    loads, no figure to rely on.
    """

    rounds: int
    seconds: int
    few_rounds: int
    few_seconds: int
    warm_up: int
    few_warm_up: int
    starts: int
    checked: int
    stream_rows: tuple[int, ...]
    stream_rounds: int
    tries: int
    idle: int
    keep: bool = False
    quick: bool = False


DEFAULT = Effort(
    rounds=7,
    seconds=3,
    few_rounds=3,
    few_seconds=2,
    warm_up=3,
    few_warm_up=1,
    starts=5,
    checked=50,
    stream_rows=(200_000, 1_000_000),
    stream_rounds=7,
    tries=30,
    idle=10,
)
QUICK = Effort(
    rounds=2,
    seconds=1,
    few_rounds=1,
    few_seconds=1,
    warm_up=1,
    few_warm_up=0,
    starts=1,
    checked=10,
    stream_rows=(10_000,),
    stream_rounds=1,
    tries=5,
    idle=1,
    quick=True,
)
