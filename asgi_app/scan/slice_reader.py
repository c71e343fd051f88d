"""Read one range of tokens page by page, in smaller pieces where a page cannot be had.

A page that Cassandra cannot give in time, because a range is full of deleted rows, is asked for again in smaller
pieces: with fewer rows, and with a nearer end of the range. So the reading gets through where one request would not,
with the same rows in the same order.
"""

from __future__ import annotations

from typing import ClassVar

from asgi_app.db import Database
from asgi_app.driver.paging_position import token_of
from asgi_app.driver.result import Result
from asgi_app.driver.row_sizes import RowSizes
from asgi_app.errors import ReadFailed, ReadTimeout
from asgi_app.paging import PageReader, PageTimes
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.scheduler import Lane
from asgi_app.tables.slices import WHOLE_RING, RingSelect, TokenRange

SHRINK = 16
"""By how much the rows of a page and the width of its range are divided after a failure.

A failure may take as long as Cassandra's timeout, a success takes some milliseconds: so the way down has few steps.
"""

MOST_STEPS = 6
"""How often in a row a page is made smaller before its failure is raised."""

_TOO_MUCH = (ReadTimeout, ReadFailed)
"""Failures that a smaller request may not have: replicas that took too long, and one that met too many deleted rows."""


class SliceReader(PageReader):
    """Reads the rows whose partitions have their token in a range, page by page, in the order of the tokens.

    Use it only where `has_murmur3`. It differs from `PageReader` in what it does about a page that the replicas do not
    give in time, or that one refuses because of too many deleted rows: it asks again from the same position, with fewer
    rows and for a nearer end of the range. The pages of such a part may have no rows. Each attempt after the first page
    has the time of a page; after `MOST_STEPS` failures in a row, the last one is raised.

    `tokens`: the range to read. The other parameters are those of `PageReader`.
    """

    lane: ClassVar = Lane.PAGES

    def __init__(
        self,
        database: Database,
        sizes: RowSizes,
        select: RingSelect,
        times: PageTimes,
        *,
        tokens: TokenRange = WHOLE_RING,
        fetch_size: int,
        limit: int | None = None,
    ) -> None:
        super().__init__(database, sizes, select.whole, select.values, times, fetch_size=fetch_size, limit=limit)
        self._select = select
        self._tokens = tokens
        self._after = tokens.after
        self._began = False
        self._steps = 0
        self._most_rows = _Amount(fetch_size)
        self._width = _Amount(tokens.until - tokens.after)
        """How many tokens after the position the next request may read."""

    async def next_page(self) -> Result:
        """Return the page after the last one, as `PageReader` does."""
        self._began = True
        return await super().next_page()

    async def _page(self, deadline: Deadline) -> Result:
        while True:
            until = self._until()
            try:
                result = await self._request(until, deadline)
                break
            except _TOO_MUCH:
                if self._began:  # but the first page must arrive within the deadline of the request
                    deadline = self.times.whole.at_most(self.times.each)
                if deadline.left() <= 0 or not self._shrink(until):
                    raise
        self._advance(result, until)
        return result

    async def _request(self, until: int, deadline: Deadline) -> Result:
        statement, values = self._select.within(TokenRange(self._after, until))
        result = await self.database.execute(
            statement,
            values,
            deadline=deadline,
            fetch_size=self.rows_of_page(),
            paging_state=self._paging_state,
            lane=self.lane,
            retry_read_timeouts=False,
        )
        self._sizes.learn(self.statement, result)
        return result

    def rows_of_range(self, result: Result) -> float | None:
        """Return how many rows the range has, judged by its first page; None if that does not tell."""
        position = self._tokens.until if self._ended else self._position()
        if position is None or position == self._tokens.after:
            return None
        return result.row_count * (self._tokens.until - self._tokens.after) / (position - self._tokens.after)

    def rows_of_page(self) -> int:
        """Return how many rows the next page should have."""
        return min(self._rows(), self._most_rows.value)

    def _until(self) -> int:
        """Return the last token that the next request reads."""
        position = self._position()
        return self._tokens.until if position is None else min(self._tokens.until, position + self._width.value)

    def _position(self) -> int | None:
        """Return the token behind which the next page begins, or that of the partition within which it does.

        None if the paging state does not tell. An end before the position would make Cassandra read around the ring.
        """
        if self._paging_state is None:
            return self._after
        token = token_of(self._paging_state)
        return token if token is not None and self._after <= token <= self._tokens.until else None

    def _shrink(self, until: int) -> bool:
        """Make the next request smaller than the one that failed, whose range ended at `until`.

        Return false if it was made smaller too often.
        """
        if self._steps == MOST_STEPS:
            return False
        self._steps += 1
        self.database.metrics.page_narrowed()
        self._most_rows.shrink(min(self._most_rows.value, self._rows()))
        position = self._position()
        if position is not None:
            self._width.shrink(until - position)
        return True

    def _advance(self, result: Result, until: int) -> None:
        """Move the position behind a page of a range that ended at `until`."""
        self._began, self._steps = True, 0
        self._most_rows.grow()
        self._width.grow()
        self._paging_state = result.paging_state
        if result.paging_state is None:
            self._after = until
            self._ended = until == self._tokens.until
        self._count(result)


class _Amount:
    """How much to ask for: divided after a failure, then doubled after each success up to half of what failed.

    Above that it grows by an eighth, so that where the same amount would fail again and again, few requests do.
    """

    def __init__(self, most: int) -> None:
        self._most = self._safe = self.value = most

    def shrink(self, failed: int) -> None:
        """Take less than the amount that failed."""
        self._safe, self.value = max(1, failed // 2), max(1, failed // SHRINK)

    def grow(self) -> None:
        """Take more after a success."""
        self.value = min(2 * self.value, self._safe)
        self._safe = min(self._most, self._safe + self._safe // 8 + 1)
