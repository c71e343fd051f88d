"""Prepared statements, kept by their CQL: bounded, and prepared once however many ask at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup
from cassandra.query import PreparedStatement as Prepared

from asgi_app.errors import DeadlineExceeded, ServiceError
from asgi_app.runtime.deadline import Deadline
from asgi_app.tables.cql import Statement

__all__ = ["Prepared", "PreparedStatements"]


class PreparedStatements:
    """Prepared statements by their CQL: at most `limit` kept, the least recently used dropped first.

    A statement asked for by many at once is prepared once; one of them leaving does not stop it for the others.
    A failure is told to all who waited, and the next to ask tries again.
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
        self._ready: OrderedDict[str, Prepared] = OrderedDict()
        self._pending: dict[str, _Preparation] = {}

    def __len__(self) -> int:
        return len(self._ready)

    def ready(self, statement: Statement) -> Prepared | None:
        """The prepared statement where it is here already."""
        prepared = self._ready.get(statement.cql)
        if prepared is not None:
            self._ready.move_to_end(statement.cql)
        return prepared

    async def get(self, statement: Statement, deadline: Deadline) -> Prepared:
        """The prepared statement; raises what preparing raised, or DeadlineExceeded."""
        prepared = self.ready(statement)
        if prepared is not None:
            return prepared
        pending = self._pending.get(statement.cql)
        if pending is None:
            pending = self._pending[statement.cql] = _Preparation()
            self._tasks.start_soon(self._fill, statement, pending)
        with anyio.move_on_after(deadline.remaining()):
            await pending.finished.wait()
        return pending.outcome()

    async def _fill(self, statement: Statement, pending: _Preparation) -> None:
        try:
            pending.prepared = await self._prepare(statement)
            self._keep(statement.cql, pending.prepared)
        except ServiceError as error:
            pending.error = error
        finally:
            del self._pending[statement.cql]
            pending.finished.set()

    def _keep(self, cql: str, prepared: Prepared) -> None:
        self._ready[cql] = prepared
        while len(self._ready) > self._limit:
            self._ready.popitem(last=False)


class _Preparation:
    """A prepare under way and what came of it."""

    def __init__(self) -> None:
        self.finished = anyio.Event()
        self.prepared: Prepared | None = None
        self.error: ServiceError | None = None

    def outcome(self) -> Prepared:
        if self.prepared is not None:
            return self.prepared
        if self.error is not None:
            raise type(self.error)() from self.error.__cause__  # of its own: a traceback is not shared by many waiters
        raise DeadlineExceeded
