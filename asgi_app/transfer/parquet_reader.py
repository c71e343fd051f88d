"""Read the rows of a Parquet file. Needs the extra `parquet`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from asgi_app.tables.table import Column
from asgi_app.transfer.outcomes import Failed
from asgi_app.transfer.parquet_types import json_values

ROWS = 1024
"""Rows that are decoded at once."""


def columns_in(file: BinaryIO) -> tuple[str, ...]:
    """Return the names of the columns. Raises Failed if the file is not whole, or not Parquet."""
    with _explained():
        return tuple(parquet.ParquetFile(file).schema_arrow.names)


def members_of(
    file: BinaryIO, columns: Sequence[Column], if_there: Sequence[Column] = ()
) -> Iterator[Mapping[str, Any]]:
    """Yield each row's values in their JSON form, by column. Raises Failed if the file is damaged.

    `if_there` are more columns, which the file need not have.
    """
    with _explained():
        opened = parquet.ParquetFile(file)
        found = [*columns, *(column for column in if_there if column.name in opened.schema_arrow.names)]
        names = [column.name for column in found]
        for batch in opened.iter_batches(batch_size=ROWS, columns=names):
            values = [json_values(column.type, batch.column(column.name)) for column in found]
            for row in zip(*values, strict=True):
                yield dict(zip(names, row, strict=True))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise Failed(f"not a whole Parquet file ({error}).") from error
    except ValueError as error:  # Python has no value for it, as for nanoseconds within a list
        raise Failed(f"it has a value that cannot be read ({error}).") from error
