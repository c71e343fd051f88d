"""Group the rows of a file into what is written at once: consecutive rows of one partition, or of a few."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import UNSET

from asgi_app.tables.table import Column
from asgi_app.transfer.row_encoding import Cell, Row
from asgi_app.transfer.row_readers import Rejected

MOST_BYTES = 5 * 1024
"""A batch of more than 5 KiB makes Cassandra log a warning (`batch_size_warn_threshold`)."""

MOST_PARTITIONS = 10
"""A batch of more partitions makes Cassandra log a warning (`unlogged_batch_across_partitions_warn_threshold`)."""


def batches_of(
    rows: Iterable[Row | Rejected], columns: Sequence[Column], most_rows: int, most_partitions: int = 1
) -> Iterator[list[Row] | Rejected]:
    """Yield rows that are written at once: in order, of few partitions, each with another key, and not too large.

    Rows of one batch have the same timestamp. Two with the same key would become a mix of both. Rejected rows are
    yielded as they are.
    """
    batch = _Batch()
    for row in _with_static_values_once(rows, columns):
        if isinstance(row, Rejected):
            yield row
            continue
        if batch.rows and not batch.has_room_for(row, most_rows, most_partitions):
            yield batch.rows
            batch = _Batch()
        batch.add(row)
    if batch.rows:
        yield batch.rows


class _Batch:
    """Rows to be written at once."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._keys: set[tuple[Cell, ...]] = set()
        self._partitions = 0
        self._size = 0

    def has_room_for(self, row: Row, most_rows: int, most_partitions: int) -> bool:
        """Return whether the row may be written with those of this batch, of which there is at least one."""
        last = self.rows[-1]
        if row.partition != last.partition and self._partitions == most_partitions:
            return False
        fits = len(self.rows) < most_rows and self._size + row.size <= MOST_BYTES
        return fits and row.is_static == last.is_static and row.partition + row.key not in self._keys

    def add(self, row: Row) -> None:
        """Add a row."""
        self._partitions += not self.rows or row.partition != self.rows[-1].partition
        self.rows.append(row)
        self._keys.add(row.partition + row.key)
        self._size += row.size


def _with_static_values_once(rows: Iterable[Row | Rejected], columns: Sequence[Column]) -> Iterator[Row | Rejected]:
    """Yield the rows without the static values that the row before them has too: one write of them is enough.

    Writing a list twice with one timestamp would leave every member twice.
    """
    places = [place for place, column in enumerate(columns) if column.kind == "static"]
    if not places:
        yield from rows
        return
    before: tuple[tuple[Cell, ...], list[Cell]] | None = None
    for row in rows:
        if isinstance(row, Row):
            shared = row.partition, [row.cells[place] for place in places]
            if shared == before and not row.is_static:
                for place in places:
                    row.cells[place] = UNSET
            before = shared
        yield row
