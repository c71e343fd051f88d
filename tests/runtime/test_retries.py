"""Retries: how many, after which pauses, and which error is raised in the end."""

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


def test_every_reason_is_a_label_of_the_metrics() -> None:
    assert set(REASONS.values()) == set(RETRY_REASONS)


def test_timeouts_are_retried_after_pauses_that_double() -> None:
    retries = Retries(Deadline.after(LONG))
    pauses = []
    while retries.reason(WriteTimeout()):
        pauses.append(retries.pause)
    assert pauses[:5] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE, LONGEST_PAUSE]
    assert pauses[5:] == [LONGEST_PAUSE] * (MAX_RETRIES - 5)


@pytest.mark.parametrize("failure", [CassandraUnavailable, ConsistencyUnavailable])
def test_refusals_end_the_retries_early(failure: type[ServiceError]) -> None:
    retries = Retries(Deadline.after(LONG))
    reasons = [retries.reason(failure()) for _ in range(MAX_REFUSALS)]
    assert reasons == [REASONS[failure]] * (MAX_REFUSALS - 1) + [None]


@pytest.mark.parametrize("failure", [InternalError, ReadFailed, DeadlineExceeded, QueueFull, ShuttingDown])
def test_other_failures_are_final(failure: type[ServiceError]) -> None:
    assert Retries(Deadline.after(LONG)).reason(failure()) is None


def test_no_retry_without_time_for_its_pause() -> None:
    assert Retries(Deadline.after(FIRST_PAUSE / 2)).reason(ReadTimeout()) is None


@pytest.mark.parametrize("last", [QueueFull, ShuttingDown, DeadlineExceeded])
def test_an_unsent_retry_does_not_hide_the_failure_before_it(last: type[ServiceError]) -> None:
    retries, first = Retries(Deadline.after(LONG)), unknown(WriteTimeout())
    assert retries.reason(first)
    assert retries.reason(last()) is None
    assert retries.final(last()) is first


def test_the_last_failure_is_raised_and_an_unknown_outcome_stays_unknown() -> None:
    retries, last = Retries(Deadline.after(LONG)), ConsistencyUnavailable()
    assert retries.reason(unknown(WriteTimeout()))
    assert retries.reason(last)
    assert retries.final(last) is last
    assert last.outcome == "unknown"
