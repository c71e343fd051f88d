"""Wait, with a deadline, for what has no event to wait for."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpx

LONG = 20.0
"""Seconds: longer than any step takes unless it hangs."""

Found = TypeVar("Found")


def wait_until(what: str, look: Callable[[], Found], seconds: float = 30) -> Found:
    """Block until `look` returns something true, and return that. Fails, naming `what`, after `seconds`."""
    give_up = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < give_up, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return found


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until `condition()` holds. Fails after `seconds`."""

    async def look() -> bool:
        return condition()

    await seconds_until("the condition holds", look, seconds, pause=0.005)


async def seconds_until(what: str, look: Callable[[], Awaitable[bool]], seconds: float, pause: float = 0.02) -> float:
    """Wait until `look` returns True, and return how long that took. Fails, naming `what`, after `seconds`."""
    began = anyio.current_time()
    while not await look():
        assert anyio.current_time() < began + seconds, f"not within {seconds} s: {what}"
        await anyio.sleep(pause)
    return anyio.current_time() - began


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run a blocking function in a worker thread and return its result. Fails after `LONG` seconds."""
    with anyio.fail_after(LONG):
        return await anyio.to_thread.run_sync(function, *args)


async def seconds_until_status(client: httpx.AsyncClient, paths: Sequence[str], status: int, at_most: float) -> float:
    """Request `paths` until all of them have `status`; return how many seconds that took. Fails after `at_most`."""
    began = anyio.current_time()
    while [(await client.get(path)).status_code for path in paths] != [status] * len(paths):
        assert anyio.current_time() < began + at_most, f"not {status} within {at_most} s"
        await anyio.sleep(0.02)
    return anyio.current_time() - began
