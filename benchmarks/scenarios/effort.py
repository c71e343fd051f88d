"""How long to measure."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Effort:
    """`rounds` of `seconds` for each contender, after a warm-up; `starts` of fresh processes; `checked` answers.

    What is measured beside the main figures is taken in `few_rounds` of `few_seconds`, after `few_warm_up`.
    `stream_rows` are the sizes of the tables that are streamed, `stream_rounds` how often each way to read the smallest
    is taken, and a third as often the others. `tries` is how often a first byte is awaited, `idle` the seconds in which
    a contender that does nothing is looked at. `keep` leaves those tables for the next run, which takes them. `quick`
    is for a first look: not all loads, no figure to rely on.
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

    def sittings(self) -> tuple[Effort, Effort | None]:
        """The rounds in two halves, for what is measured twice in a run, far apart; all at once in a quick look."""
        rounds, stream_rounds = self.rounds // 2, self.stream_rounds // 2
        if self.quick or not (rounds and stream_rounds):
            return self, None
        first = replace(self, rounds=self.rounds - rounds, stream_rounds=self.stream_rounds - stream_rounds)
        return first, replace(self, rounds=rounds, stream_rounds=stream_rounds)

    @property
    def long_stream_rounds(self) -> int:
        """How often a table larger than the smallest is read in each way."""
        return max(1, self.stream_rounds // 3)


# What else runs on a shared machine comes in bursts of a second or two, in which a request costs up to twice the CPU
# time: of many short slices most are spared, of few long ones hardly any is. Ratios of two runs of 7 slices of 2 s were
# over 10 % apart in a quarter of the cases, of 28 of 1 s in one of a hundred (`quiet`, resampled).
DEFAULT = Effort(
    rounds=28,
    seconds=1,
    few_rounds=3,
    few_seconds=2,
    warm_up=3,
    few_warm_up=1,
    starts=5,
    checked=50,
    stream_rows=(200_000, 1_000_000),
    stream_rounds=28,
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
