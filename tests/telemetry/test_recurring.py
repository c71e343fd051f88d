"""Warnings of a trouble that recurs are few, and none is lost that says something new."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import pytest

from asgi_app.telemetry.recurring import LONGEST_PAUSE, MOST_REASONS, RecurringWarning

LOGGER = logging.getLogger("asgi_app.recurring_test")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def times_of_lines(
    caplog: pytest.LogCaptureFixture,
    clock: Clock,
    warning: RecurringWarning,
    seconds: Iterable[int],
    reason: str = "no",
) -> list[int]:
    """Warn at each of these seconds, and return those at which a line was logged."""
    logged = []
    for second in seconds:
        clock.now = 1000.0 + second
        caplog.clear()
        warning.warn("not reached", reason)
        if caplog.messages:
            assert caplog.messages == [f"not reached: {reason}"]
            logged.append(second)
    return logged


def test_same_reason_is_logged_after_longer_and_longer(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    warning = RecurringWarning(LOGGER, clock)
    assert times_of_lines(caplog, clock, warning, range(130)) == [0, 2, 6, 14, 30, 60, 90, 120]
    assert LONGEST_PAUSE == 30


def test_new_reason_is_logged_at_once_and_an_old_one_is_not(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    warning = RecurringWarning(LOGGER, clock)
    assert times_of_lines(caplog, clock, warning, [0], "refused") == [0]
    assert times_of_lines(caplog, clock, warning, [1], "password") == [1]
    assert times_of_lines(caplog, clock, warning, [2], "refused") == []
    assert times_of_lines(caplog, clock, warning, [3, 4, 5, 6], "password") == [5]


def test_trouble_that_returns_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    warning = RecurringWarning(LOGGER, clock)
    assert times_of_lines(caplog, clock, warning, [0, 1]) == [0]
    warning.over()
    assert times_of_lines(caplog, clock, warning, [1, 2, 3]) == [1, 3]


def test_reasons_without_end_are_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    warning = RecurringWarning(LOGGER, clock)
    for number in range(3 * MOST_REASONS):
        assert times_of_lines(caplog, clock, warning, [0], f"reason {number}") == [0]
    assert times_of_lines(caplog, clock, warning, [0], "reason 0") == [0]
