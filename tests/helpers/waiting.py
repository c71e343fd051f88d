"""Waiting for what no event tells, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpx

Found = TypeVar("Found")

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


def wait_until(what: str, look: Callable[[], Found], seconds: float = 30) -> Found:
    """Return the first true value of `look()`. Blocks the thread; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return found


async def seconds_until_status(client: httpx.AsyncClient, paths: Sequence[str], status: int, at_most: float) -> float:
    """Request `paths` until all of them have `status`; return how many seconds that took. Fails after `at_most`."""
    began = anyio.current_time()
    while [(await client.get(path)).status_code for path in paths] != [status] * len(paths):
        assert anyio.current_time() < began + at_most, f"not {status} within {at_most} s"
        await anyio.sleep(0.02)
    return anyio.current_time() - began
