"""Signals and interruptible contexts for each call and request, by asyncio itself where that is cheaper than anyio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

import anyio
import anyio.lowlevel


class Signal(Protocol):
    """An event that is set once and has one waiter. Use it only on the event loop that created it."""

    def set(self) -> None:
        """Wake the waiter. Setting it again does nothing."""

    def __await__(self) -> Generator[Any, Any, None]:
        """Wait until the signal is set."""

    async def wait(self, seconds: float) -> None:
        """Wait until the signal is set or `seconds` have passed, whichever comes first."""


class Interruptible(Protocol):
    """A context that another task can interrupt. Use it only on the event loop that created it."""

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` ended the context. Valid after the context was left."""

    def interrupt(self) -> None:
        """Cancel what runs in the context. The task continues after the context."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool: ...


def signal_factory() -> Callable[[], Signal]:
    """Return a function that creates signals for the running event loop."""
    token = anyio.lowlevel.current_token().native_token
    if isinstance(token, asyncio.AbstractEventLoop):
        return partial(_FutureSignal, token)
    return _EventSignal


def interruptible_factory() -> Callable[[], Interruptible]:
    """Return a function that creates interruptible contexts for the running event loop."""
    token = anyio.lowlevel.current_token().native_token
    return _InterruptibleTask if isinstance(token, asyncio.AbstractEventLoop) else _InterruptibleScope


def threadsafe_scheduler() -> Callable[[Callable[[], None]], object]:
    """Return a function by which any thread schedules a callback on the running event loop, without waiting for it."""
    token: Any = anyio.lowlevel.current_token().native_token
    if isinstance(token, asyncio.AbstractEventLoop):
        return token.call_soon_threadsafe
    return token.run_sync_soon  # type: ignore[no-any-return]  # trio's


class _FutureSignal:
    """A signal on asyncio and uvloop: a future and a timer cost an eighth of anyio's event and cancel scope."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] = loop.create_future()

    def set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def __await__(self) -> Generator[Any, Any, None]:
        return self._future.__await__()

    async def wait(self, seconds: float) -> None:
        timer = self._loop.call_later(seconds, self.set)
        try:
            await self._future
        finally:
            timer.cancel()


class _EventSignal:
    """A signal on every other event loop."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        self._event.set()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._event.wait().__await__()

    async def wait(self, seconds: float) -> None:
        with anyio.move_on_after(max(seconds, 0)):
            await self._event.wait()


class _InterruptibleTask:
    """An interruptible context on asyncio and uvloop: `current_task` costs a tenth of anyio's cancel scope."""

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
    """An interruptible context on every other event loop."""

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
