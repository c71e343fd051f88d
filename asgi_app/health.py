"""Whether Cassandra answers and the schema is there: asked once for all who want to know, bounded, kept briefly."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from asgi_app.db import Database
from asgi_app.errors import ServiceError
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.scheduler import Lane
from asgi_app.tables.table import Table


@dataclass(frozen=True, slots=True)
class HealthReport:
    """`connected`: a node answered. `missing_tables`: served tables that lack a column, known only when connected."""

    connected: bool
    missing_tables: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether requests can be served."""
        return self.connected and not self.missing_tables


class Health:
    """Looks at Cassandra on demand, never more than one look at a time, and keeps a report for `ttl` seconds.

    A look takes at most `timeout` seconds; one that takes longer reports not connected.
    """

    def __init__(self, database: Database, tables: Sequence[Table], *, timeout: float, ttl: float) -> None:
        self._database = database
        self._tables = tables
        self._timeout = timeout
        self._ttl = ttl
        self._report = HealthReport(connected=False, missing_tables=())
        self._fresh_until = 0.0
        self._looking = anyio.Lock()

    async def report(self) -> HealthReport:
        """How Cassandra is; never raises for what Cassandra does."""
        if time.monotonic() < self._fresh_until:
            return self._report
        async with self._looking:
            if time.monotonic() >= self._fresh_until:
                self._report = await self._look()
                self._fresh_until = time.monotonic() + self._ttl
            return self._report

    async def _look(self) -> HealthReport:
        deadline = Deadline.after(self._timeout)
        try:
            await self._database.ping(deadline)
            missing = [t.name for t in self._tables if await self._database.missing_columns(t, deadline, Lane.PROBES)]
        except ServiceError:
            return HealthReport(connected=False, missing_tables=())
        return HealthReport(connected=True, missing_tables=tuple(missing))
