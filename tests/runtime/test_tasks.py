"""Background tasks of a block, and context managers that run in a task of their own."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_app.errors import WrongEventLoop
from asgi_app.runtime.tasks import background_tasks, in_own_task, run_together

pytestmark = pytest.mark.anyio


async def test_background_tasks_raise_the_blocks_exception_unchanged() -> None:
    with pytest.raises(LookupError, match="of the block"):
        async with background_tasks() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            raise LookupError("of the block")


async def test_background_tasks_are_cancelled_when_the_block_ends() -> None:
    ended = anyio.Event()

    async def run_until_cancelled() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with background_tasks() as tasks:
        tasks.start_soon(run_until_cancelled)
        await anyio.lowlevel.checkpoint()
    assert ended.is_set()


async def test_background_tasks_raise_a_tasks_exception_in_a_group() -> None:
    async def fail() -> None:
        raise LookupError("of the task")

    with pytest.raises(ExceptionGroup) as caught:
        async with background_tasks() as tasks:
            tasks.start_soon(fail)
            await anyio.sleep_forever()
    assert caught.group_contains(LookupError, match="of the task")


variable: ContextVar[str] = ContextVar("variable", default="unset")


class Door:
    """Makes context managers that hold a task group, and records their `events`."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.on_open: Callable[[], Any] = lambda: None
        self.on_close: Callable[[], Any] = lambda: None
        self.opening: anyio.Event | None = None
        self.closing: anyio.Event | None = None
        self.fail = anyio.Event()

    @in_own_task
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[str]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._fail_when_asked)
            try:
                if self.opening is not None:
                    self.opening.set()
                    await anyio.sleep_forever()
                self.on_open()
                self.events.append("open")
                yield variable.get()
                self.on_close()
                if self.closing is not None:
                    self.closing.set()
                    await anyio.sleep_forever()
                self.events.append("left")
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.lowlevel.checkpoint()
                self.events.append("closed")
                tasks.cancel_scope.cancel()

    async def _fail_when_asked(self) -> None:
        await self.fail.wait()
        raise LookupError("of a background task")


async def in_another_task(function: Callable[..., Any], *args: Any) -> Any:
    """Await `function(*args)` in a separate task, and return its result."""
    results: list[Any] = []

    async def run() -> None:
        results.append(await function(*args))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
    return results[0]


async def leave(context: AbstractAsyncContextManager[Any], error: Exception | None = None) -> Any:
    return await context.__aexit__(type(error) if error else None, error, None)


def raises(error: BaseException) -> Callable[[], Any]:
    def function() -> None:
        raise error

    return function


async def test_first_failure_of_jobs_ends_the_others_and_is_raised_by_itself() -> None:
    cancelled: list[str] = []
    begun = anyio.Event()

    async def wait_forever() -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        except BaseException:
            cancelled.append("waiting")
            raise

    async def fail() -> None:
        await begun.wait()
        raise LookupError("of a job")

    with pytest.raises(LookupError, match="of a job"):
        await run_together([wait_forever, fail])
    assert cancelled == ["waiting"]


async def test_own_task_may_be_entered_in_one_task_and_left_in_another() -> None:
    door = Door()
    context = door.opened()
    await in_another_task(context.__aenter__)
    await anyio.lowlevel.checkpoint()
    assert door.events == ["open"]
    await in_another_task(leave, context)
    assert door.events == ["open", "left", "closed"]


async def test_own_task_sees_the_context_variables_of_its_entry() -> None:
    token = variable.set("of the entry")
    try:
        async with Door().opened() as seen:
            assert seen == "of the entry"
    finally:
        variable.reset(token)


async def test_own_task_raises_an_error_of_the_opening_at_the_entry() -> None:
    door, error = Door(), KeyError("of the opening")
    door.on_open = raises(error)
    with pytest.raises(ExceptionGroup) as caught:  # raised by the task group inside
        await door.opened().__aenter__()
    assert caught.value.exceptions == (error,)
    assert door.events == ["closed"]

    @in_own_task
    @asynccontextmanager
    async def fails() -> AsyncIterator[None]:
        raise error
        yield

    with pytest.raises(KeyError) as bare:
        await fails().__aenter__()
    assert bare.value is error


@pytest.mark.parametrize("error", [RuntimeError("of the closing"), SystemExit(3)])
async def test_own_task_raises_an_error_of_the_closing_at_the_exit(error: BaseException) -> None:
    @in_own_task
    @asynccontextmanager
    async def fails() -> AsyncIterator[None]:
        yield
        raise error

    context = fails()
    await context.__aenter__()
    with pytest.raises(type(error)) as caught:
        await leave(context)
    assert caught.value is error


@pytest.mark.parametrize("error", [ValueError("of the block"), StopAsyncIteration("of the block")])
async def test_own_task_throws_the_blocks_exception_into_the_context_manager(error: Exception) -> None:
    seen: list[BaseException] = []

    @in_own_task
    @asynccontextmanager
    async def watches() -> AsyncIterator[None]:
        try:
            yield
        except Exception as thrown:
            seen.append(thrown)
            raise

    with pytest.raises(type(error)) as caught:
        async with watches():
            raise error
    assert caught.value is error
    assert seen == [error]


async def test_own_task_may_swallow_or_replace_the_blocks_exception() -> None:
    @in_own_task
    @asynccontextmanager
    async def handles(replacement: Exception | None) -> AsyncIterator[None]:
        try:
            yield
        except ValueError as error:
            if replacement is not None:
                raise replacement from error

    async with handles(None):
        raise ValueError("swallowed")
    with pytest.raises(LookupError, match="replaced"):
        async with handles(LookupError("replaced")):
            raise ValueError("of the block")


async def test_own_task_is_cancelled_with_its_block() -> None:
    door = Door()
    with anyio.CancelScope() as scope:
        async with door.opened():
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert door.events == ["open", "closed"]


async def test_own_task_closes_before_a_cancelled_exit_returns() -> None:
    door = Door()
    door.closing = anyio.Event()
    context = door.opened()
    await context.__aenter__()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leave, context)
        await door.closing.wait()
        tasks.cancel_scope.cancel()
    assert door.events == ["open", "closed"]


async def test_own_task_closes_before_a_cancelled_entry_returns() -> None:
    door = Door()
    door.opening = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(door.opened().__aenter__)
        await door.opening.wait()
        tasks.cancel_scope.cancel()
    assert door.events == ["closed"]


class Noticed(logging.Handler):
    """Sets an event at the first record."""

    def __init__(self) -> None:
        super().__init__()
        self.noticed = anyio.Event()
        self.level_seen = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.level_seen = record.levelno
        self.noticed.set()


@pytest.fixture
def log() -> Iterator[Noticed]:
    handler, logger = Noticed(), logging.getLogger("asgi_app.own_task")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


async def test_own_task_logs_an_error_at_once_and_raises_it_at_the_exit(log: Noticed) -> None:
    door = Door()
    context = door.opened()
    await context.__aenter__()
    door.fail.set()
    with anyio.fail_after(10):
        await log.noticed.wait()
    assert log.level_seen == logging.ERROR
    with pytest.raises(ExceptionGroup) as caught:
        await leave(context)
    assert caught.group_contains(LookupError, match="of a background task")


async def test_own_task_survives_the_garbage_collector() -> None:
    door = Door()
    context = door.opened()
    await context.__aenter__()
    for _ in range(3):
        gc.collect()
        await anyio.lowlevel.checkpoint()
    await leave(context)
    assert door.events == ["open", "left", "closed"]


async def test_second_entry_leaves_the_exit_to_the_first() -> None:
    door = Door()
    context = door.opened()
    await context.__aenter__()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="entered before"):
            await context.__aenter__()
    assert door.events == ["open"]
    await leave(context)
    assert door.events == ["open", "left", "closed"]


async def test_own_task_cannot_be_left_on_another_event_loop() -> None:
    door = Door()
    context = door.opened()
    await context.__aenter__()
    with pytest.raises(WrongEventLoop, match="Leave it on that one"):
        await anyio.to_thread.run_sync(asyncio.run, leave(context))
    assert door.events == ["open"]
    await leave(context)
    assert door.events == ["open", "left", "closed"]
