"""How many rows to ask for in a page: Cassandra counts a page in rows, and memory counts bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from asgi_app.driver.result import Result
from asgi_app.tables.cql import Statement

FIRST_GUESS = 100
"""Rows of a statement's first page, while the size of its rows is unknown."""


class RowSizes:
    """Remembers how large the rows of each statement are, and so decides how many rows a page has.

    Cassandra counts a page in rows, whatever their size. `page_bytes`: the size a page should not exceed;
    `page_bytes_beside`: that size while requests are active, because they wait behind the page in Cassandra; `limit`:
    the number of statements to remember, least recently used dropped first.
    """

    def __init__(self, page_bytes: int, limit: int, *, page_bytes_beside: int | None = None) -> None:
        self._page_bytes = page_bytes
        self._page_bytes_beside = page_bytes if page_bytes_beside is None else min(page_bytes, page_bytes_beside)
        self._limit = limit
        self._row_bytes: OrderedDict[str, float] = OrderedDict()

    def page_rows(self, statement: Statement, at_most: int, *, beside: bool = False) -> int:
        """Return how many rows to request, from 1 to `at_most`. `beside`: whether requests are active."""
        row_bytes = self._row_bytes.get(statement.cql)
        if row_bytes is None:
            return min(at_most, FIRST_GUESS)
        page_bytes = self._page_bytes_beside if beside else self._page_bytes
        return max(1, min(at_most, int(page_bytes / row_bytes)))

    def is_full(self, results: Sequence[Result]) -> bool:
        """Return whether these pages together are at least half as large as a page may be."""
        return sum(result.page.size for result in results if result.page is not None) >= self._page_bytes // 2

    def learn(self, statement: Statement, result: Result) -> None:
        """Update the estimate from a page: raise it at once to larger rows, lower it halfway to smaller ones."""
        if not result.row_count or result.page is None:
            return
        row_bytes = max(1.0, result.page.size / result.row_count)
        before = self._row_bytes.pop(statement.cql, row_bytes)
        self._row_bytes[statement.cql] = max(row_bytes, (before + row_bytes) / 2)
        while len(self._row_bytes) > self._limit:
            self._row_bytes.popitem(last=False)
