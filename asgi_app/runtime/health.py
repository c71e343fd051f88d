"""Health checks of Cassandra: one at a time, bounded, shared by all concurrent requests, and cached briefly."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from asgi_app.errors import ServiceError
from asgi_app.runtime.deadline import Deadline

CassandraCheck = Callable[[Deadline], Awaitable[tuple[str, ...]]]
"""Asks Cassandra, within a deadline, and returns the names of the missing tables. Raises ServiceError if Cassandra does
not answer."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The result of a check.

    `connected`: whether a node answered. `missing_tables`: served tables that do not exist or lack a column; empty
    unless connected.
    """

    connected: bool
    missing_tables: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether requests can be served."""
        return self.connected and not self.missing_tables


class Health:
    """Checks Cassandra by `check_cassandra` on demand, never twice at once, and keeps the report for `ttl` seconds.

    A check takes at most `timeout` seconds; if it takes longer, the report says not connected.
    """

    def __init__(self, check_cassandra: CassandraCheck, *, timeout: float, ttl: float) -> None:
        self._check_cassandra = check_cassandra
        self._timeout = timeout
        self._ttl = ttl
        self._report = HealthReport(connected=False, missing_tables=())
        self._fresh_until = 0.0
        self._checking = anyio.Lock()

    async def report(self) -> HealthReport:
        """Return the current report, from a new check if the last one is too old. Raises no ServiceError."""
        if time.monotonic() < self._fresh_until:
            return self._report
        async with self._checking:
            if time.monotonic() >= self._fresh_until:
                self._report = await self._check()
                self._fresh_until = time.monotonic() + self._ttl
            return self._report

    async def _check(self) -> HealthReport:
        try:
            missing = await self._check_cassandra(Deadline.after(self._timeout))
        except ServiceError:
            return HealthReport(connected=False, missing_tables=())
        return HealthReport(connected=True, missing_tables=missing)
