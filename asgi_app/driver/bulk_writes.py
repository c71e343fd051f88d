"""Writes of many rows by one statement, for commands: batched, several at once, and with bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from cassandra.query import BatchStatement, BatchType

ROWS_PER_BATCH = 10
"""Unlogged batches save most of the driver's work per row. Above ten partitions in a batch Cassandra logs a warning."""

BATCHES_IN_FLIGHT = 20


def write_rows(
    session: Any,
    cql: str,
    rows: Iterable[Sequence[Any]],
    on_progress: Callable[[int], None],
    *,
    in_flight: int = BATCHES_IN_FLIGHT,
) -> int:
    """Run an idempotent statement once for each of `rows`, the values of its parameters, and return their number.

    Blocks. At most `in_flight` batches are under way at once. Calls `on_progress` with the number of rows sent so far.
    Memory does not grow with the number of rows.
    Raises the driver's errors after the first failed write; the rows written before it stay.
    """
    # Keep the statement until all is written: if a node has forgotten it, the driver prepares it again, and the driver
    # itself holds only a weak reference.
    prepared = session.prepare(cql)
    window = _WriteWindow(session, in_flight)
    count, remaining = 0, iter(rows)
    while chunk := list(islice(remaining, ROWS_PER_BATCH)):
        window.write(_batch(prepared, chunk))
        count += len(chunk)
        on_progress(count)
    window.finish()
    return count


def _batch(prepared: Any, rows: Iterable[Sequence[Any]]) -> BatchStatement:
    batch = BatchStatement(BatchType.UNLOGGED)
    batch.is_idempotent = True
    for row in rows:
        batch.add(prepared, row)
    return batch


class _WriteWindow:
    """Runs at most `size` writes at once. The next `write`, or `finish`, raises the first failure."""

    def __init__(self, session: Any, size: int) -> None:
        self._session = session
        self._size = size
        self._free = threading.Semaphore(size)
        self._error: Exception | None = None

    def write(self, statement: BatchStatement) -> None:
        """Send a write as soon as fewer than `size` are running."""
        self._take_place()
        self._session.execute_async(statement).add_callbacks(self._succeeded, self._failed)

    def finish(self) -> None:
        """Return when every write has succeeded."""
        for _ in range(self._size):
            self._take_place()

    def _take_place(self) -> None:
        self._free.acquire()  # the driver ends each write, at the latest with its timeout
        if self._error is not None:
            raise self._error

    def _succeeded(self, _: Any) -> None:
        self._free.release()

    def _failed(self, error: Exception) -> None:
        self._error = self._error or error
        self._free.release()
