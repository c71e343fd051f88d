"""Write pages of rows as a Parquet file. Needs the extra `parquet`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from asgi_app.driver.page import RowPage
from asgi_app.tables.table import Column
from asgi_app.transfer.files import WholeFile
from asgi_app.transfer.outcomes import Failed
from asgi_app.transfer.parquet_types import arrow_array, arrow_field

GROUP_BYTES = 4 * 1024 * 1024
"""Pages are gathered into row groups of about this size, as Cassandra sends it: readers are slow with small ones."""


class ParquetWriter:
    """A `RowWriter` of Parquet, compressed with zstd. Keeps one row group in memory."""

    def __init__(self, file: WholeFile, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._schema = pa.schema([arrow_field(column.name, column.type) for column in columns])
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._group: list[Any] = []
        self._size = 0

    def write(self, page: RowPage) -> None:
        """See `RowWriter`. Raises Failed for a value that is not of its type."""
        values = list(zip(*page.tuples(), strict=True))
        arrays = [_array(column, each) for column, each in zip(self._columns, values, strict=True)]
        self._group.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._size += page.size
        if self._size >= GROUP_BYTES:
            self._write_group()

    def finish(self) -> None:
        """See `RowWriter`."""
        if self._group:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._group, self._schema)
        self._group, self._size = [], 0
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))


def _array(column: Column, values: Sequence[Any]) -> Any:
    try:
        return arrow_array(column.type, values)
    except (ValueError, TypeError, LookupError, pa.ArrowException) as error:
        raise Failed(
            f"The column {column.name} has a value that is no {column.type}, as Cassandra lets clients store. Parquet "
            "cannot have it; NDJSON and CSV can."
        ) from error
