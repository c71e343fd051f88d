"""Waiting for what no event tells, with a deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread

LONG = 20.0
"""Seconds: longer than any step takes unless it hangs."""


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Return once `condition()` holds. Fails after `seconds`."""
    give_up = anyio.current_time() + seconds
    while not condition():
        assert anyio.current_time() < give_up, f"not so within {seconds} s"
        await anyio.sleep(0.005)


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """What a function that blocks gives, run in a worker thread. Fails where it takes for ever."""
    with anyio.fail_after(LONG):
        return await anyio.to_thread.run_sync(function, *args)
