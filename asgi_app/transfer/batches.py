"""Group the rows of a file into what is written at once: consecutive rows of one partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import UNSET

from asgi_app.tables.table import Column
from asgi_app.transfer.row_encoding import Cell, Row
from asgi_app.transfer.row_readers import Rejected

MOST_ROWS = 32
MOST_BYTES = 5 * 1024
"""A batch of more than 5 KiB makes Cassandra log a warning (`batch_size_warn_threshold`)."""


def batches_of(
    rows: Iterable[Row | Rejected], columns: Sequence[Column], most_rows: int
) -> Iterator[list[Row] | Rejected]:
    """Yield rows that are written at once: in order, of one partition, each with another key, and not too large.

    Rows of one batch have the same timestamp. Two with the same key would become a mix of both. Rejected rows are
    yielded as they are.
    """
    batch: list[Row] = []
    keys: set[tuple[Cell, ...]] = set()
    size = 0
    for row in _with_static_values_once(rows, columns):
        if isinstance(row, Rejected):
            yield row
            continue
        full = len(batch) == most_rows or size + row.size > MOST_BYTES
        if batch and (full or row.key in keys or not _belong_together(batch[0], row)):
            yield batch
            batch, keys, size = [], set(), 0
        batch.append(row)
        keys.add(row.key)
        size += row.size
    if batch:
        yield batch


def _belong_together(first: Row, row: Row) -> bool:
    return row.partition == first.partition and row.is_static == first.is_static


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
