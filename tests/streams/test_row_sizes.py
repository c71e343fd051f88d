"""How many rows a page has, by the size of the rows seen before."""

from __future__ import annotations

import pytest
from cassandra.cqltypes import Int32Type

from asgi_app.driver.page import Description, RowPage
from asgi_app.driver.result import Result
from asgi_app.driver.row_sizes import RowSizes
from asgi_app.tables.cql import Statement

SELECT = Statement("SELECT n FROM numbers", idempotent=True, writes=False)


def page_of(rows: int, row_bytes: int) -> Result:
    """Return a page of `rows` rows of `row_bytes` bytes each."""
    return Result(RowPage(Description(("n",), (Int32Type,)), rows, b"x" * rows * row_bytes), None)


def test_larger_rows_make_smaller_pages() -> None:
    sizes = RowSizes(1_000_000, 10)
    assert sizes.page_rows(SELECT, 5000) == 100  # the first page of this statement
    sizes.learn(SELECT, page_of(10, 100))
    assert sizes.page_rows(SELECT, 5000) == 5000
    sizes.learn(SELECT, page_of(10, 100_000))
    assert sizes.page_rows(SELECT, 5000) == 10
    sizes.learn(SELECT, page_of(1, 5_000_000))
    assert sizes.page_rows(SELECT, 5000) == 1
    for _ in range(30):
        sizes.learn(SELECT, page_of(1, 100))
    assert sizes.page_rows(SELECT, 5000) == 5000
    sizes.learn(SELECT, page_of(0, 0))
    assert sizes.page_rows(SELECT, 7) == 7


@pytest.mark.parametrize(
    ("bytes_beside", "alone", "beside"), [(10_000, 1000, 100), (None, 1000, 1000), (1 << 20, 1000, 1000)]
)
def test_pages_are_smaller_beside_requests(bytes_beside: int | None, alone: int, beside: int) -> None:
    sizes = RowSizes(100_000, 10, page_bytes_beside=bytes_beside)
    sizes.learn(SELECT, page_of(10, 100))
    assert sizes.page_rows(SELECT, 5000) == alone
    assert sizes.page_rows(SELECT, 5000, beside=True) == beside


def test_the_least_recent_statement_is_forgotten() -> None:
    sizes = RowSizes(1000, 2)
    for name in ("a", "b", "c"):
        sizes.learn(Statement(name, idempotent=True, writes=False), page_of(1, 1000))
    known = [sizes.page_rows(Statement(name, idempotent=True, writes=False), 50) for name in ("a", "b", "c")]
    assert known == [50, 1, 1]
