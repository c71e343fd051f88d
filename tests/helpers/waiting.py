"""Waiting for what no event tells, with a deadline."""

from __future__ import annotations

from collections.abc import Callable

import anyio


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Return once `condition()` holds. Fails after `seconds`."""
    give_up = anyio.current_time() + seconds
    while not condition():
        assert anyio.current_time() < give_up, f"not so within {seconds} s"
        await anyio.sleep(0.005)
