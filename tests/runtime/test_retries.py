"""How often what failed is sent again, after which pauses, and which error counts in the end."""

from __future__ import annotations

import pytest

from asgi_app.errors import (
    CassandraUnavailable,
    ConsistencyUnavailable,
    DeadlineExceeded,
    InternalError,
    QueueFull,
    ReadFailed,
    ReadTimeout,
    ServiceError,
    ShuttingDown,
    WriteTimeout,
)
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.retries import FIRST_PAUSE, LONGEST_PAUSE, MAX_REFUSALS, MAX_RETRIES, REASONS, Retries
from asgi_app.telemetry.metrics import RETRY_REASONS

LONG = 3600.0


def unknown(error: ServiceError) -> ServiceError:
    error.outcome = "unknown"
    return error


def test_every_reason_is_one_that_the_metrics_know() -> None:
    assert set(REASONS.values()) == set(RETRY_REASONS)


def test_timeouts_are_repeated_so_often_and_after_pauses_that_double() -> None:
    repeats = Retries(Deadline.after(LONG))
    pauses = []
    while repeats.reason(WriteTimeout()):
        pauses.append(repeats.pause)
    assert pauses[:5] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE, LONGEST_PAUSE]
    assert pauses[5:] == [LONGEST_PAUSE] * (MAX_RETRIES - 5)


@pytest.mark.parametrize("failure", [CassandraUnavailable, ConsistencyUnavailable])
def test_refusals_end_it_sooner(failure: type[ServiceError]) -> None:
    repeats = Retries(Deadline.after(LONG))
    reasons = [repeats.reason(failure()) for _ in range(MAX_REFUSALS)]
    assert reasons == [REASONS[failure]] * (MAX_REFUSALS - 1) + [None]


@pytest.mark.parametrize("failure", [InternalError, ReadFailed, DeadlineExceeded, QueueFull, ShuttingDown])
def test_other_failures_are_final(failure: type[ServiceError]) -> None:
    assert Retries(Deadline.after(LONG)).reason(failure()) is None


def test_nothing_is_sent_again_for_which_no_time_is_left() -> None:
    assert Retries(Deadline.after(FIRST_PAUSE / 2)).reason(ReadTimeout()) is None


@pytest.mark.parametrize("last", [QueueFull, ShuttingDown, DeadlineExceeded])
def test_a_repeat_that_was_not_sent_does_not_hide_why_it_was_needed(last: type[ServiceError]) -> None:
    repeats, first = Retries(Deadline.after(LONG)), unknown(WriteTimeout())
    assert repeats.reason(first)
    assert repeats.reason(last()) is None
    assert repeats.final(last()) is first


def test_the_last_answer_of_a_node_counts_and_what_was_unknown_stays_so() -> None:
    repeats, last = Retries(Deadline.after(LONG)), ConsistencyUnavailable()
    assert repeats.reason(unknown(WriteTimeout()))
    assert repeats.reason(last)
    assert repeats.final(last) is last
    assert last.outcome == "unknown"
