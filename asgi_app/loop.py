"""What a call to the driver needs of the event loop, in the loop's own terms where those are cheaper than anyio's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import anyio
import anyio.lowlevel


class Signal(Protocol):
    """Set once, waited for once. Only for the event loop it was made on."""

    def set(self) -> None:
        """Wake the waiter; setting it again does nothing."""

    async def wait(self, seconds: float) -> None:
        """Return when the signal is set or after `seconds`, whichever comes first."""


def signal_factory() -> Callable[[], Signal]:
    """How to make a signal on the running event loop."""
    token = anyio.lowlevel.current_token().native_token
    if isinstance(token, asyncio.AbstractEventLoop):
        return lambda: _FutureSignal(token)
    return _EventSignal


def threadsafe_scheduler() -> Callable[[Callable[[], None]], object]:
    """How any thread asks the running event loop to call a function soon, without waiting for it."""
    token: Any = anyio.lowlevel.current_token().native_token
    if isinstance(token, asyncio.AbstractEventLoop):
        return token.call_soon_threadsafe
    return token.run_sync_soon  # type: ignore[no-any-return]  # trio's


class _FutureSignal:
    """On asyncio and uvloop: an event and a cancel scope of anyio's cost eight times a future and a timer."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] = loop.create_future()

    def set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self, seconds: float) -> None:
        timer = self._loop.call_later(seconds, self.set)
        try:
            await self._future
        finally:
            timer.cancel()


class _EventSignal:
    """On every other event loop."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> None:
        with anyio.move_on_after(max(seconds, 0)):
            await self._event.wait()
