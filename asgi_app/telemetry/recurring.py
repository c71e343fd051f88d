"""Log what happens again and again: at once, and then after longer and longer pauses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 30.0
"""Seconds without a line about the same trouble: the first pause, and the limit at which pauses stop doubling."""

MOST_REASONS = 20
"""The most reasons that are remembered for one trouble. Then all are forgotten, and logged again when they recur."""


class RecurringWarning:
    """Warns of a trouble that is found again at each attempt.

    A reason that was not given before is logged at once, since somebody may be working on the last one. One that was is
    logged when the pause has passed, which doubles with each line up to `LONGEST_PAUSE`.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self.over()

    def over(self) -> None:
        """Forget the trouble: the next one is logged at once."""
        self._told: set[str] = set()
        self._pause = FIRST_PAUSE
        self._silent_until = 0.0

    def warn(self, trouble: str, reason: object) -> None:
        """Log `trouble: reason` as a warning, unless that was done not long ago."""
        sentence, now = f"{trouble}: {reason}", self._clock()
        if sentence in self._told and now < self._silent_until:
            return
        if len(self._told) == MOST_REASONS:
            self._told.clear()
        self._told.add(sentence)
        self._silent_until = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._logger.warning("%s", sentence)
