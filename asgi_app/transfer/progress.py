"""How far an export or import is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Say = Callable[[str], None]
"""Tells the person at the command line a sentence."""


@dataclass(slots=True)
class Progress:
    """Counts that one event loop writes and that others may look at, at any time.

    `done` of `total` are slices of the ring, or bytes of the files. `kept` of them were done by an earlier run. `rows`
    and `bytes` are those of this run.
    """

    total: int = 0
    done: int = 0
    kept: int = 0
    rows: int = 0
    bytes: int = 0
    rejected: int = 0
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
