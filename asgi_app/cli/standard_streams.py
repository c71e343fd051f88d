"""Programs may be started with their standard streams closed, as `>&-` in a shell does."""

from __future__ import annotations

import os
import sys


def hold_closed_streams() -> None:
    """Open what goes nowhere in place of each standard stream that is closed.

    A file or connection that is opened later would get its number, and what is meant for the stream. `sys.stdin` and
    `sys.stdout` stay None, so that commands which need them can say so.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.dup(2), "w")
