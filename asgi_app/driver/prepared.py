"""A bounded cache of prepared statements."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
from anyio.abc import TaskGroup
from cassandra.query import PreparedStatement as Prepared

from asgi_app.errors import DeadlineExceeded, ServiceError
from asgi_app.runtime.deadline import Deadline
from asgi_app.tables.cql import Statement

__all__ = ["Prepared", "PreparedStatements"]

_Key: TypeAlias = tuple[str, bool]


class PreparedStatements:
    """Keeps at most `limit` prepared statements, and drops the least recently used first.

    Their keys are the CQL and whether it is idempotent, which the driver reads from the prepared statement.

    Concurrent requests for a statement share one prepare. It continues if one of them is cancelled. A failure is raised
    to all that wait for it and is not kept: the next request prepares again.
    """

    def __init__(
        self,
        prepare: Callable[[Statement], Awaitable[Prepared]],
        tasks: TaskGroup,
        limit: int,
    ) -> None:
        self._prepare = prepare
        self._tasks = tasks
        self._limit = limit
        self._ready: OrderedDict[_Key, Prepared] = OrderedDict()
        self._pending: dict[_Key, _Preparation] = {}

    def __len__(self) -> int:
        return len(self._ready)

    def ready(self, statement: Statement) -> Prepared | None:
        """Return the prepared statement if the cache has it, else None."""
        key = statement.cql, statement.idempotent
        prepared = self._ready.get(key)
        if prepared is not None:
            self._ready.move_to_end(key)
        return prepared

    def forget(self, statement: Statement) -> None:
        """Prepare the statement anew when it is next asked for."""
        self._ready.pop((statement.cql, statement.idempotent), None)

    async def get(self, statement: Statement, deadline: Deadline) -> Prepared:
        """Return the prepared statement; prepare it if the cache does not have it.

        Raises the error of preparing, or DeadlineExceeded. Cancellation leaves the prepare running.
        """
        prepared = self.ready(statement)
        if prepared is not None:
            return prepared
        key = statement.cql, statement.idempotent
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = _Preparation()
            self._tasks.start_soon(self._fill, key, statement, pending)
        with anyio.move_on_after(deadline.remaining()):
            await pending.finished.wait()
        return pending.outcome()

    async def _fill(self, key: _Key, statement: Statement, pending: _Preparation) -> None:
        try:
            pending.prepared = await self._prepare(statement)
            self._keep(key, pending.prepared)
        except ServiceError as error:
            pending.error = error
        finally:
            del self._pending[key]
            pending.finished.set()

    def _keep(self, key: _Key, prepared: Prepared) -> None:
        self._ready[key] = prepared
        while len(self._ready) > self._limit:
            self._ready.popitem(last=False)


class _Preparation:
    """A running prepare, and its outcome."""

    def __init__(self) -> None:
        self.finished = anyio.Event()
        self.prepared: Prepared | None = None
        self.error: ServiceError | None = None

    def outcome(self) -> Prepared:
        if self.prepared is not None:
            return self.prepared
        if self.error is not None:
            raise type(
                self.error
            )() from self.error.__cause__  # a new error for each waiter: they must not share a traceback
        raise DeadlineExceeded
