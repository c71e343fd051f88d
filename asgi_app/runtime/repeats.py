"""When an idempotent statement that failed is sent again, and how often.

The driver asks another node at once (`asgi_app.driver.cluster.IdempotentRetryPolicy`). That does not help where every
coordinator still counts on the node that died: Cassandra writes the log of a batch to two nodes, and of three nodes
each coordinator chooses the dead one until gossip has found it dead, some 20 seconds later. So what failed is sent
again after a pause, until its deadline.
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
"""Seconds before a statement is sent again: the first pause, and where doubling ends."""

MOST_REPEATS = 30
"""How often at most a statement is sent again: a default deadline of 30 s with the longest pauses."""

MOST_REFUSALS = 4
"""How many failures that came at once end it. A timeout takes Cassandra seconds and costs it little; a refusal comes in
a moment from a cluster that is overloaded or has lost too many nodes, which more requests do not help."""

REASONS: Mapping[type[ServiceError], str] = MappingProxyType(
    {
        ReadTimeout: "read_timeout",
        WriteTimeout: "write_timeout",
        ConsistencyUnavailable: "unavailable",
        CassandraUnavailable: "request_error",
    }
)
"""The failures that may pass, and the label under which a repeat after each is counted."""

_REFUSALS = (ConsistencyUnavailable, CassandraUnavailable)
_SAYS_LESS = (Overloaded, ShuttingDown, DeadlineExceeded)
"""That a repeat was not sent, or not answered in what was left of the time."""


class Repeats:
    """The repeats of one idempotent statement, of which a node had been handed the first."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._count = 0
        self._refusals = 0
        self._unknown = False
        self._last: ServiceError | None = None

    def reason(self, failure: ServiceError) -> str | None:
        """Return why the statement is to be sent again after `pause` seconds, or None where the failure is final."""
        self._unknown = self._unknown or failure.outcome == "unknown"
        self._refusals += isinstance(failure, _REFUSALS)
        reason = REASONS.get(type(failure))
        exhausted = self._count == MOST_REPEATS or self._refusals == MOST_REFUSALS
        if reason is None or exhausted or self._deadline.left() <= self.pause:
            return None
        self._count += 1
        self._last = failure
        return reason

    @property
    def pause(self) -> float:
        """Seconds to wait before the next repeat."""
        return min(FIRST_PAUSE * 2.0 ** max(0, self._count - 1), LONGEST_PAUSE)

    def final(self, failure: ServiceError) -> ServiceError:
        """Return the error that the caller sees.

        A repeat that was not sent, or not answered before the deadline, says less than the failure before it, so that
        one counts. A write that one node may have applied stays unknown, whatever the last node said.
        """
        if self._last is not None and type(failure) not in REASONS and isinstance(failure, _SAYS_LESS):
            failure = self._last
        if self._unknown:
            failure.outcome = "unknown"
        return failure
