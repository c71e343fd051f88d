"""Write rows of an import to Cassandra, and bound how many wait for that."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from asgi_app.db import Database
from asgi_app.errors import (
    BatchTooLarge,
    DeadlineExceeded,
    NotPermitted,
    RejectedByCassandra,
    SchemaMissing,
    Unavailable,
)
from asgi_app.runtime.deadline import Deadline
from asgi_app.transfer.inserts import Inserts
from asgi_app.transfer.progress import Progress
from asgi_app.transfer.row_encoding import Row

PATIENCE = 120.0
"""Seconds for which a write is tried again while Cassandra does not take it; longer than a node takes to restart."""

LONGEST_PAUSE = 2.0
"""Seconds at which the pauses between tries stop doubling."""

SHIFTS_OF_A_RUN = 1000
"""More than the repetitions of one write within a run: see `Inserts`."""


_FINAL = (NotPermitted, SchemaMissing)
"""Failures that no wait ends."""


class RowSink:
    """Writes rows by `inserts`. `run` counts the runs of this import, from 1.

    Each run writes lists with a later timestamp than the run before, and so does each repetition within it. `progress`
    shows the writes that Cassandra has not confirmed for some seconds.
    """

    def __init__(self, database: Database, inserts: Inserts, run: int, progress: Progress) -> None:
        self._database = database
        self._progress = progress
        self._inserts = inserts
        self._shift = (run - 1) * SHIFTS_OF_A_RUN

    async def write(self, rows: Sequence[Row]) -> None:
        """Write rows of one batch. Try again for `PATIENCE` seconds while Cassandra does not take them.

        Raises RejectedByCassandra if it refuses one of them, and what `Database.execute` raises. After a cancellation
        it is unknown whether they were written.
        """
        pause, shift = 0.1, self._shift
        with self._progress.waiting("a write") as wait:
            while True:
                try:
                    await self._send(rows, shift)
                    return
                except (Unavailable, DeadlineExceeded) as error:
                    if isinstance(error, _FINAL) or wait.seconds > PATIENCE:
                        raise
                    wait.failed(error.detail)
                await anyio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                shift += 1

    async def _send(self, rows: Sequence[Row], shift: int) -> None:
        statement = self._inserts.of(rows[0])
        deadline = Deadline.after(self._database.settings.request_timeout)
        values = [self._inserts.values(row, shift) for row in rows]
        if len(values) == 1:
            await self._database.execute(statement, values[0], deadline=deadline)
            return
        try:
            await self._database.execute_batch(statement, values, deadline=deadline, logged=False)
        except BatchTooLarge as error:  # the refusal of any row of it
            raise RejectedByCassandra from error


class Budget:
    """A bound on bytes that are in use at once. Use it on one event loop, with one task that takes."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._size = size
        self._given_back = anyio.Event()

    async def take(self, size: int) -> None:
        """Take so many bytes as soon as they are there; more than all as soon as nothing is in use."""
        size = min(size, self._size)
        while self._left < size:
            self._given_back = anyio.Event()
            await self._given_back.wait()
        self._left -= size

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        self._left += min(size, self._size)
        self._given_back.set()
