"""The lines of a file, with a bound on their length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from asgi_app.transfer.outcomes import Failed

LONGEST_LINE = 256 * 1024 * 1024
"""A longer line is no row: Cassandra takes none of 16 MiB, and in text a row is a few times as large."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield each line with its end. A mark of the byte order, which Windows programs write first, is left out.

    Raises Failed for a line of more than `LONGEST_LINE` bytes, and what `file` raises.
    """
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise Failed(f"Line {number} is longer than {LONGEST_LINE} bytes: this is not a file of rows.")
        yield line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
