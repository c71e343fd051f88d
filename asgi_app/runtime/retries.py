"""Decide whether, when and how often a failed idempotent statement is sent again.

The driver retries on another node at once (`asgi_app.driver.cluster.IdempotentRetryPolicy`). That does not help while
every coordinator still counts on a node that has died: Cassandra writes the log of a batch to two nodes, and of three
nodes each coordinator chooses the dead one until gossip has marked it down, some 20 seconds later. So a statement that
failed is sent again after a pause, until its deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from asgi_app.errors import (
    CassandraUnavailable,
    ConsistencyUnavailable,
    DeadlineExceeded,
    Overloaded,
    ReadTimeout,
    ServiceError,
    ShuttingDown,
    WriteTimeout,
)
from asgi_app.runtime.deadline import Deadline

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0
"""Seconds before a retry: the first pause, and the limit at which pauses stop doubling."""

MAX_RETRIES = 30
"""Retries of one statement: a default deadline of 30 s with the longest pauses."""

MAX_REFUSALS = 4
"""Immediate failures that end the retries. A timeout takes Cassandra seconds and costs it little. A refusal comes at
once, from a cluster that is overloaded or has lost too many nodes, and more requests do not help that."""

REASONS: Mapping[type[ServiceError], str] = MappingProxyType(
    {
        ReadTimeout: "read_timeout",
        WriteTimeout: "write_timeout",
        ConsistencyUnavailable: "unavailable",
        CassandraUnavailable: "request_error",
    }
)
"""The transient failures, each with the label under which the metrics count a retry after it."""

_REFUSALS = (ConsistencyUnavailable, CassandraUnavailable)
_NO_ANSWER = (Overloaded, ShuttingDown, DeadlineExceeded)
"""Failures of a retry that was not sent, or not answered before the deadline."""


class Retries:
    """The retries of one idempotent statement whose first execution was sent to a node and failed.

    Without `after_read_timeouts`, a read timeout is final.
    """

    def __init__(self, deadline: Deadline, *, after_read_timeouts: bool = True) -> None:
        self._deadline = deadline
        self._after_read_timeouts = after_read_timeouts
        self._count = 0
        self._refusals = 0
        self._unknown = False
        self._last: ServiceError | None = None

    def reason(self, failure: ServiceError) -> str | None:
        """Return the metrics' label for a retry after `pause` seconds, or None if `failure` is final."""
        self._unknown = self._unknown or failure.outcome == "unknown"
        self._refusals += isinstance(failure, _REFUSALS)
        reason = REASONS.get(type(failure))
        if isinstance(failure, ReadTimeout) and not self._after_read_timeouts:
            return None
        exhausted = self._count == MAX_RETRIES or self._refusals == MAX_REFUSALS
        if reason is None or exhausted or self._deadline.left() <= self.pause:
            return None
        self._count += 1
        self._last = failure
        return reason

    @property
    def pause(self) -> float:
        """Seconds to wait before the next retry."""
        return min(FIRST_PAUSE * 2.0 ** max(0, self._count - 1), LONGEST_PAUSE)

    def final(self, failure: ServiceError) -> ServiceError:
        """Return the error to raise after the last failure.

        If the last retry was not sent, or not answered before the deadline, the failure before it says more, so that
        one is returned. A write that any node may have applied has an unknown outcome, whatever the last node answered.
        """
        if self._last is not None and type(failure) not in REASONS and isinstance(failure, _NO_ANSWER):
            failure = self._last
        if self._unknown:
            failure.outcome = "unknown"
        return failure
