"""Say how many rows are read, and how, and choose the reader of them."""

from __future__ import annotations

from dataclasses import dataclass

from asgi_app.db import Database
from asgi_app.driver.row_sizes import RowSizes
from asgi_app.paging import PageReader, PageTimes, RowReader
from asgi_app.scan.parallel_reader import ParallelReader
from asgi_app.scan.partitioner import check_partitioner, has_murmur3
from asgi_app.scan.slice_reader import SliceReader
from asgi_app.tables.slices import WHOLE_RING, RingSelect, Slice


@dataclass(frozen=True, slots=True)
class Extent:
    """How many rows are read, and how.

    `fetch_size`: the maximum number of rows per page. `limit`: that of all rows, None for all. `slice`: the part of all
    partitions to read, None for all. `parallel`: how many ranges of tokens may be read at once; with a limit it is one.
    """

    fetch_size: int
    limit: int | None = None
    slice: Slice | None = None
    parallel: int = 1

    def asked(self, fetch_size: int | None, limit: int | None, part: Slice | None, parallel: int | None) -> Extent:
        """Return the extent that a client asks for: where `fetch_size` or `parallel` is None, that of this one."""
        return Extent(fetch_size or self.fetch_size, limit, part, parallel or self.parallel)


def reader_of(database: Database, sizes: RowSizes, select: RingSelect, times: PageTimes, extent: Extent) -> RowReader:
    """Return the reader of some rows of `select`.

    Raises PartitionerUnsupported for a slice if the cluster's tokens are not those of Murmur3. All rows of such a
    cluster are read page by page, as are those of a statement that cannot be restricted to a range of tokens.
    """
    size, limit = extent.fetch_size, extent.limit
    if extent.slice is not None:
        check_partitioner(database)
    elif select.part is None or not has_murmur3(database):
        return PageReader(database, sizes, select.whole, select.values, times, fetch_size=size, limit=limit)
    tokens = WHOLE_RING if extent.slice is None else extent.slice.bounds
    if extent.parallel > 1 and limit is None:
        return ParallelReader(database, sizes, select, times, tokens=tokens, fetch_size=size, parallel=extent.parallel)
    return SliceReader(database, sizes, select, times, tokens=tokens, fetch_size=size, limit=limit)
