"""Read the page of a range of tokens that one answer has."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from asgi_app.db import Database
from asgi_app.driver.result import Result
from asgi_app.driver.row_sizes import RowSizes
from asgi_app.paging import Gathered, PageTimes, gather
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.scheduler import Lane
from asgi_app.scan.partitioner import has_murmur3
from asgi_app.scan.slice_reader import SliceReader
from asgi_app.tables.slices import RingSelect, TokenRange


@dataclass(frozen=True, slots=True)
class ScannedPage:
    """Some rows of a range of tokens. The next ones are behind the token `after`, from the paging state of `rows` on.

    `after` is None at the end of the range. A paging state of None stands for the beginning of the rest.
    """

    rows: Gathered
    after: int | None


async def scan_page(
    database: Database,
    sizes: RowSizes,
    select: RingSelect,
    *,
    tokens: TokenRange,
    paging_state: bytes | None,
    rows: int,
    deadline: Deadline,
) -> ScannedPage:
    """Read up to `rows` rows of a range of tokens within a request, and less where a `SliceReader` has to read less.

    It returns fewer rows as well if they are large, or if Cassandra gives an empty page. `paging_state` and
    `tokens.after` are those of the page before; of the first page they are None and the beginning of the range. Where
    there can be no slices, `tokens` must be those of the whole ring. Raises what `Database.execute` raises.
    """
    if select.part is None or not has_murmur3(database):
        page = await gather(
            database,
            sizes,
            select.whole,
            select.values,
            rows=rows,
            paging_state=paging_state,
            deadline=deadline,
            exactly=False,
        )
        return ScannedPage(page, None if page.paging_state is None else tokens.after)
    reader = _RequestReader(database, sizes, select, deadline, tokens, rows, paging_state)
    return await reader.page()


class _RequestReader(SliceReader):
    """Reads the rows of one answer. It has the slots and the page sizes of requests, not those of streams."""

    lane = Lane.REQUESTS

    def __init__(
        self,
        database: Database,
        sizes: RowSizes,
        select: RingSelect,
        deadline: Deadline,
        tokens: TokenRange,
        rows: int,
        paging_state: bytes | None,
    ) -> None:
        times = PageTimes(deadline, inf, deadline)
        super().__init__(database, sizes, select, times, tokens=tokens, fetch_size=rows, limit=rows)
        self._paging_state = paging_state
        self._is_narrowed = False

    async def page(self) -> ScannedPage:
        """Return the page. Raises what `Database.execute` raises."""
        results: list[Result] = []
        while True:
            result = await self.first_page()
            results.append(result)
            if not self.has_more() or not result.row_count or self._is_narrowed or self._sizes.is_full(results):
                break
        return ScannedPage(Gathered(tuple(results), self._paging_state), None if self._ended else self._after)

    def _rows(self) -> int:
        return self._sizes.page_rows(self.statement, self._fetch_size if self._left is None else self._left)

    def _shrink(self, until: int) -> bool:
        self._is_narrowed = True
        return super()._shrink(until)
