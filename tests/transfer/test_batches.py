"""Which rows are written at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from asgi_app.tables.table import Column, Table
from asgi_app.tables.types import Native
from asgi_app.transfer.batches import MOST_BYTES, batches_of
from asgi_app.transfer.row_encoding import Row, RowEncoder
from asgi_app.transfer.row_readers import Rejected

TABLE = Table(
    "t",
    (
        Column("p", Native("int"), "partition_key"),
        Column("c", Native("int"), "clustering"),
        Column("s", Native("text"), "static"),
        Column("v", Native("text"), "regular"),
    ),
    ("p",),
    ("c",),
)
ENCODER = RowEncoder(TABLE, TABLE.columns)


def row(p: int, c: int | None, v: str | None = None, s: str | None = None) -> Row:
    return ENCODER.of_members(1, {"p": p, "c": c, "v": v, "s": s}, b"")


def batches(rows: Sequence[Any], most_rows: int = 100, most_partitions: int = 1) -> list[Any]:
    """Return the keys of the rows of each batch; None for a rejected row."""
    found = batches_of(rows, TABLE.columns, most_rows, most_partitions)
    return [None if isinstance(batch, Rejected) else [number(each) for each in batch] for batch in found]


def number(row: Row) -> tuple[int, ...]:
    return tuple(int.from_bytes(cell, "big") for cell in (*row.partition, *row.key) if isinstance(cell, bytes))


def test_rows_of_one_partition_up_to_a_number() -> None:
    rows = [row(1, 1), row(1, 2), row(1, 3), row(2, 1), row(1, 4)]
    assert batches(rows, 2) == [[(1, 1), (1, 2)], [(1, 3)], [(2, 1)], [(1, 4)]]


def test_rows_of_a_few_neighbours() -> None:
    rows = [row(p, c) for p in range(4) for c in (1, 2)]
    assert [len(batch) for batch in batches(rows, most_partitions=3)] == [6, 2]


def test_no_more_than_some_bytes() -> None:
    rows = [row(1, 1, "x" * 2000), row(1, 2, "x" * 2000), row(1, 3, "x" * 2000), row(1, 4, "x" * 2 * MOST_BYTES)]
    assert batches([*rows, row(1, 5)]) == [[(1, 1), (1, 2)], [(1, 3)], [(1, 4)], [(1, 5)]]


def test_a_key_is_once_in_a_batch() -> None:
    assert batches([row(1, 1), row(2, 1), row(1, 1)], most_partitions=9) == [[(1, 1), (2, 1)], [(1, 1)]]


def test_static_values_alone_are_apart_and_rejected_rows_stay() -> None:
    rows = [row(1, None, s="shared"), row(1, 1), Rejected(3, (), b""), row(1, 2)]
    assert batches(rows) == [[(1,)], None, [(1, 1), (1, 2)]]


def test_static_values_are_written_with_the_first_row_that_has_them() -> None:
    rows = [row(1, 1, s="a"), row(1, 2, s="a"), row(1, 3, s="b"), row(2, 1, s="b")]
    (batch,) = batches_of(rows, TABLE.columns, 100, 9)
    assert not isinstance(batch, Rejected)
    assert [each.cells[2] for each in batch] == [b"a", UNSET, b"b", b"b"]
