"""How far an export or import is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Say = Callable[[str], None]
"""Tells the person at the command line a sentence."""


WAIT_SECONDS = 3.0
"""Seconds after which the progress shows a wait. A page or a write usually takes some milliseconds."""


@dataclass(slots=True, eq=False)
class Wait:
    """A page or a write that is asked for, again after each of the `failures`; `reason` says what the last one was."""

    name: str
    failures: int = 0
    reason: str | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """The seconds since the beginning."""
        return time.monotonic() - self.began

    def failed(self, reason: str) -> None:
        """Count a failure, after which it is asked for again."""
        self.failures += 1
        self.reason = reason


@dataclass(slots=True)
class Progress:
    """Counts that one event loop writes and that others may look at, at any time.

    `done` of `total` are slices of the ring, or bytes of the files. `kept` of them were done by an earlier run. `rows`
    and `bytes` are those of this run. `waits` are the pages or writes that are asked for now.
    """

    total: int = 0
    done: int = 0
    kept: int = 0
    rows: int = 0
    bytes: int = 0
    rejected: int = 0
    waits: set[Wait] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)

    @property
    def share(self) -> float:
        """The part of the work that is done, from 0 to 1."""
        return self.done / self.total if self.total else 0.0

    @property
    def seconds(self) -> float:
        """The seconds since the beginning."""
        return time.monotonic() - self.began

    @property
    def rows_per_second(self) -> float:
        """The average of this run."""
        return self.rows / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """The seconds until the end, if the rest takes as long as what this run did; None if that is not known."""
        own = self.done - self.kept
        return None if own <= 0 else self.seconds / own * (self.total - self.done)

    @contextmanager
    def waiting(self, name: str) -> Iterator[Wait]:
        """Have a wait for something among `waits`, for the duration of the block."""
        wait = Wait(name)
        self.waits.add(wait)
        try:
            yield wait
        finally:
            self.waits.discard(wait)

    @property
    def long_waits(self) -> list[Wait]:
        """The waits of more than `WAIT_SECONDS`, the longest first, one of each name."""
        found = sorted((wait for wait in self.waits if wait.seconds > WAIT_SECONDS), key=lambda wait: wait.began)
        return list({wait.name: wait for wait in reversed(found)}.values())[::-1]
