"""Write rows to standard output without blocking the event loop, whatever reads them and however slowly."""

from __future__ import annotations

import os
import select
import stat
import sys

from anyio import to_thread, wait_writable

_PIPE_PIECE = 4096
"""A pipe that can be written to takes at least this many bytes at once (POSIX: PIPE_BUF)."""


class StandardOutput:
    """Standard output as an asynchronous sink. A cancelled `send` has written a part of its bytes."""

    def __init__(self) -> None:
        self._descriptor = sys.stdout.fileno()
        mode = os.fstat(self._descriptor).st_mode
        self._may_block = sys.platform != "win32" and not stat.S_ISREG(mode)

    async def send(self, data: bytes) -> None:
        """Write all of `data`. Raises OSError: BrokenPipeError if the reader has gone."""
        if self._may_block:
            await self._send_pieces(data)
        else:
            await to_thread.run_sync(self._write, data)

    async def _send_pieces(self, data: bytes) -> None:
        """Write to a pipe or terminal: never more than it takes, so that a signal can end the wait."""
        view = memoryview(data)
        while view:
            if not select.select([], [self._descriptor], [], 0)[1]:
                await wait_writable(self._descriptor)
            view = view[os.write(self._descriptor, view[:_PIPE_PIECE]) :]

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
