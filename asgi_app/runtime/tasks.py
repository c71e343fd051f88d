"""Tasks that live as long as a block: background tasks, jobs that run together, a context manager in its own task."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, cast

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from asgi_app.errors import WrongEventLoop
from asgi_app.runtime.ownership import Owner

T = TypeVar("T")
P = ParamSpec("P")

logger = logging.getLogger("asgi_app.own_task")


@asynccontextmanager
async def background_tasks() -> AsyncIterator[TaskGroup]:
    """Open a task group and cancel its tasks when the block ends.

    An exception of the block is raised unchanged, not in the exception group that a plain task group makes of it. An
    exception of a task cancels the block and is raised in an exception group.
    """
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        except Exception as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def run_together(jobs: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Run jobs at the same time, each in a task, and return when all have ended.

    The first exception of a job cancels the others. It is raised when they have ended, by itself and not in an
    exception group. A cancellation of the call cancels them all.
    """
    failures: list[Exception] = []
    async with anyio.create_task_group() as tasks:

        async def run(job: Callable[[], Awaitable[None]]) -> None:
            try:
                await job()
            except Exception as error:
                failures.append(error)
                tasks.cancel_scope.cancel()

        for job in jobs:
            tasks.start_soon(run, job)
    if failures:
        raise failures[0]


def in_own_task(
    function: Callable[P, AbstractAsyncContextManager[T]],
) -> Callable[P, AbstractAsyncContextManager[T]]:
    """Decorate a function that returns an async context manager, so that callers may leave it in another task.

    The task groups and cancel scopes of anyio and trio must be left in the task that entered them. Callers do not
    always do that: pytest-asyncio runs the two halves of a fixture in two tasks, and so do some frameworks with a
    lifespan. So the decorated context manager runs in a separate task from entry to exit.

    Errors are raised where they would be without the decorator: errors of the opening at the entry, errors of the
    closing at the exit. An exception that ends the block is thrown into the context manager. Cancelling the entry, the
    block or the exit cancels the context manager and waits until it has closed what it opened. It sees the context
    variables of the entry. An error that happens while it is open is logged at once and raised at the exit.

    Entering it a second time raises RuntimeError, and the first entry goes on.
    Leaving it on another event loop raises WrongEventLoop, and in a forked process OpenedBeforeFork; the context
    manager then stays open.
    """

    @wraps(function)
    def opened(*args: P.args, **kwargs: P.kwargs) -> AbstractAsyncContextManager[T]:
        return _InOwnTask(function(*args, **kwargs))

    return opened


class _InOwnTask(AbstractAsyncContextManager[T]):
    """The caller's side of `in_own_task`."""

    def __init__(self, context: AbstractAsyncContextManager[T]) -> None:
        self._context = context
        self._run: _Run[T]

    async def __aenter__(self) -> T:
        if hasattr(self, "_run"):  # a second run would replace the first one, which could then never be closed
            raise RuntimeError("This context manager was entered before. Make a new one for each entry.")
        self._run = _Run(self._context)
        return await self._run.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._run.check_caller()
        if error is not None and not isinstance(error, Exception):  # a cancellation, KeyboardInterrupt or SystemExit
            await self._run.cancel()
            return False
        failure = await self._run.close(error)
        if failure is not None and failure is not error:
            raise failure
        return failure is None


class _Run(Generic[T]):
    """One run of a context manager in its task."""

    def __init__(self, context: AbstractAsyncContextManager[T]) -> None:
        self._context = context
        self._owner = Owner()
        self._scope = anyio.CancelScope()
        self._opened_or_ended = anyio.Event()
        self._leave = anyio.Event()
        self._ended = anyio.Event()
        self._is_open = False
        self._value: T
        self._thrown: Exception | None = None
        self._failure: BaseException | None = None
        self._task = _start_task(self._hold)  # kept: asyncio itself holds tasks by weak references only

    def check_caller(self) -> None:
        """Raise WrongEventLoop or OpenedBeforeFork unless the caller runs on the event loop of the entry."""
        try:
            self._owner.check()
        except WrongEventLoop as error:
            raise WrongEventLoop("This was entered on another event loop. Leave it on that one.") from error

    async def open(self) -> T:
        """Wait until the context manager is open, and return its value."""
        try:
            await self._opened_or_ended.wait()
        except BaseException:
            await self.cancel()
            raise
        if not self._is_open:
            raise self._take_failure() or RuntimeError("The event loop ended while this was opened.")
        return self._value

    async def close(self, thrown: Exception | None) -> BaseException | None:
        """End the block, with the exception `thrown` or without one, and return what the context manager raised."""
        self._thrown = thrown
        self._leave.set()
        try:
            await self._ended.wait()
        except BaseException:
            await self.cancel()
            raise
        return self._take_failure()

    async def cancel(self) -> None:
        """Cancel the context manager and wait for its end."""
        self._scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._ended.wait()

    async def _hold(self) -> None:
        """Open the context manager, wait, and close it. Runs in the task."""
        try:
            with self._scope:
                async with self._context as self._value:
                    self._is_open = True
                    self._opened_or_ended.set()
                    await self._leave.wait()
                    if self._thrown is not None:
                        raise self._thrown
        except anyio.get_cancelled_exc_class():
            raise  # the event loop ends
        except BaseException as error:  # the caller must raise it: this task has no parent
            self._keep(error)
        finally:
            self._thrown = None
            self._ended.set()
            self._opened_or_ended.set()

    def _keep(self, error: BaseException) -> None:
        self._failure = error
        if self._is_open and not self._leave.is_set() and not self._scope.cancel_called:
            logger.error("a context manager failed while it was open", exc_info=error)

    def _take_failure(self) -> BaseException | None:
        failure, self._failure = self._failure, None  # its traceback holds this object
        return failure


def _start_task(function: Callable[[], Coroutine[Any, Any, None]]) -> object:
    """Start a task without a parent, with a copy of the caller's context variables, and return it."""
    token = anyio.lowlevel.current_token().native_token
    if isinstance(token, asyncio.AbstractEventLoop):
        return token.create_task(function())
    from trio.lowlevel import spawn_system_task  # imported late: trio is installed only where it runs

    return cast(object, spawn_system_task(function, context=contextvars.copy_context()))
