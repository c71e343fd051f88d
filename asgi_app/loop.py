"""What a call to the driver needs of the event loop, in the loop's own terms where those are cheaper than anyio's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

import anyio
import anyio.lowlevel


class Signal(Protocol):
    """Set once, waited for once. Only for the event loop it was made on."""

    def set(self) -> None:
        """Wake the waiter; setting it again does nothing."""

    async def wait(self, seconds: float) -> None:
        """Return when the signal is set or after `seconds`, whichever comes first."""


class Interruptible(Protocol):
    """A context that runs in one task and that another task can end. Only for the event loop it was made on."""

    @property
    def interrupted(self) -> bool:
        """Whether it was ended before its time; known when it has been left."""

    def interrupt(self) -> None:
        """Cancel what runs in it; the task goes on behind the context."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool: ...


def signal_factory() -> Callable[[], Signal]:
    """How to make a signal on the running event loop."""
    token = anyio.lowlevel.current_token().native_token
    if isinstance(token, asyncio.AbstractEventLoop):
        return lambda: _FutureSignal(token)
    return _EventSignal


def interruptible_factory() -> Callable[[], Interruptible]:
    """How to make an interruptible context on the running event loop."""
    token = anyio.lowlevel.current_token().native_token
    return _InterruptibleTask if isinstance(token, asyncio.AbstractEventLoop) else _InterruptibleScope


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


class _InterruptibleTask:
    """On asyncio and uvloop: a cancel scope of anyio's costs ten times a look at the current task."""

    __slots__ = ("_task", "interrupted")

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self.interrupted = False

    def interrupt(self) -> None:
        if self._task is not None and not self.interrupted:
            self.interrupted = True
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        if task is None or not self.interrupted:
            return False
        others = task.uncancel()
        return isinstance(error, asyncio.CancelledError) and not others


class _InterruptibleScope:
    """On every other event loop."""

    __slots__ = ("_scope",)

    def __init__(self) -> None:
        self._scope = anyio.CancelScope()

    @property
    def interrupted(self) -> bool:
        return self._scope.cancelled_caught

    def interrupt(self) -> None:
        self._scope.cancel()

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return bool(self._scope.__exit__(kind, error, traceback))
