"""Read standard input in a worker thread, and stop when the task that waits for it is cancelled."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any, BinaryIO, cast

from anyio import from_thread

CHECK_SECONDS = 0.2
"""Seconds between two looks whether the task was cancelled, while nothing arrives."""


class StandardInput(io.RawIOBase):
    """Standard input as a file. Read it only in a thread of `anyio.to_thread`: a cancellation ends the read."""

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno()
        self._position = 0

    def readable(self) -> bool:
        """Return true."""
        return True

    def tell(self) -> int:
        """Return the number of bytes that were read."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a part of the buffer, and return how many bytes; 0 at the end."""
        while sys.platform != "win32" and not select.select([self._descriptor], [], [], CHECK_SECONDS)[0]:
            from_thread.check_cancelled()
        view = memoryview(buffer)
        data = os.read(self._descriptor, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def buffered(self) -> BinaryIO:
        """Return it with a buffer, for reading lines."""
        return cast(BinaryIO, io.BufferedReader(self, buffer_size=1024 * 1024))
