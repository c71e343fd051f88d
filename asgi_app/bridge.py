"""From the event loop to a callback-style driver and back, bounded, without a thread per call.

A call passes three stations. *Admission*: at most `max_in_flight` calls run, at most `max_waiting` wait for a slot,
for at most `max_wait` seconds each; past a bound the call is refused at once. *Submission*: admitted calls are
collected and one worker-thread hop starts all that have gathered while the hop before was under way. *Answer*: the
driver's callbacks append to a queue and wake the loop once for all answers that are ready.

Knows nothing of Cassandra: a call is anything that can be started with a timeout and reports back through a callback.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, TypeVarTuple

import anyio
from anyio import CapacityLimiter, to_thread

from asgi_app.deadline import Deadline
from asgi_app.errors import DeadlineExceeded, QueueFull, QueueTimeout, ShuttingDown
from asgi_app.loop import Signal, signal_factory, threadsafe_scheduler
from asgi_app.tasks import background_tasks

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)
Args = TypeVarTuple("Args")


class Done(Protocol[T_contra]):
    """Reports the end of a call, from any thread: a result, or an error. Only the first report counts."""

    def __call__(self, result: T_contra | None, error: BaseException | None) -> None: ...


class Start(Protocol[T_co]):
    """Starts a call, in a worker thread, without waiting for its end.

    `timeout` is what is left of the deadline, in seconds: the call must report to `done` by then.
    Raising is the same as reporting the exception.
    """

    def __call__(self, timeout: float, done: Done[T_co]) -> None: ...


@dataclass(frozen=True, slots=True)
class BridgeLimits:
    """The bounds of one bridge.

    `max_in_flight`: calls started and not yet reported done. `max_waiting`: calls waiting for a slot. `max_wait`:
    seconds one of them waits. `threads`: worker threads for blocking calls such as connect and prepare, beside the
    one that submits.
    """

    max_in_flight: int = 256
    max_waiting: int = 1024
    max_wait: float = 1.0
    threads: int = 4


class AnswerOverdue(DeadlineExceeded):
    """The deadline passed after the call was handed to the driver: whether it took effect is not known."""


class _Call(Generic[T]):
    """One admitted call, owned by the loop; only `answers` is touched by other threads."""

    __slots__ = ("answered", "deadline", "error", "result", "settled", "start")

    def __init__(self, start: Start[T], deadline: Deadline, answered: Signal) -> None:
        self.start = start
        self.deadline = deadline
        self.answered = answered
        self.settled = False
        self.result: T | None = None
        self.error: BaseException | None = None


class Bridge:
    """Runs driver calls for coroutines; made by `Bridge.open`, used only from the event loop it was opened on.

    Cancellation. A call that waits for a slot leaves the queue and is never started. A call that was started is not
    recalled: its waiter leaves at once and its slot stays taken until the driver reports, which the driver does by its
    timeout. So no more than `max_in_flight` calls ever run, however many waiters leave. `run` is different: a blocking
    call holds its thread, and cancelling its waiter takes effect when the call returns. No thread is ever abandoned.
    """

    def __init__(self, limits: BridgeLimits) -> None:
        self._limits = limits
        self._in_flight = 0
        self._waiting: dict[anyio.Event, None] = {}
        self._admitted: list[_Call[Any]] = []
        self._work = anyio.Event()
        self._answers: deque[tuple[_Call[Any], Any, BaseException | None]] = deque()
        self._drain_scheduled = False
        self._closing = False
        self._submitter = CapacityLimiter(1)
        self._blocking = CapacityLimiter(limits.threads)
        self._call_on_loop = threadsafe_scheduler()
        self._new_signal = signal_factory()

    @classmethod
    @asynccontextmanager
    async def open(cls, limits: BridgeLimits) -> AsyncIterator[Bridge]:
        """A running bridge. On exit it takes no new calls; waiters still there get ShuttingDown."""
        bridge = cls(limits)
        async with background_tasks() as tasks:
            tasks.start_soon(bridge._submit_forever)
            try:
                yield bridge
            finally:
                bridge._close()

    @property
    def in_flight(self) -> int:
        """Calls that hold a slot: admitted, and not yet reported done by the driver."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return len(self._waiting)

    @property
    def threads_in_use(self) -> int:
        """Worker threads at work now, the submitting one included."""
        return self._blocking.borrowed_tokens + self._submitter.borrowed_tokens

    async def call(self, start: Start[T], deadline: Deadline) -> T:
        """What the call reports: its result returned or its error raised.

        Raises QueueFull or QueueTimeout where a bound is passed, DeadlineExceeded when the deadline passes before the
        call was handed over, AnswerOverdue when it passes after, ShuttingDown when the bridge closes.
        """
        await self._admit(deadline)
        call = _Call(start, deadline, self._new_signal())
        self._admitted.append(call)
        self._work.set()
        await call.answered.wait(deadline.left())
        if not call.settled:
            raise AnswerOverdue
        if call.error is not None:
            try:
                raise call.error
            finally:
                call.error = None  # the traceback holds this frame: without this the cycle waits for the collector
        return call.result  # type: ignore[return-value]  # settled without an error: a result is there

    async def run(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """`function(*args)` in one of the bridge's worker threads, for calls that block and cannot be started."""
        return await to_thread.run_sync(function, *args, limiter=self._blocking)

    async def _admit(self, deadline: Deadline) -> None:
        if self._closing:
            raise ShuttingDown
        patience = min(self._limits.max_wait, deadline.remaining())
        if self._in_flight < self._limits.max_in_flight:
            self._in_flight += 1
            return
        if len(self._waiting) >= self._limits.max_waiting:
            raise QueueFull
        await self._wait_for_slot(patience)
        if deadline.left() <= 0:
            self._release()
            raise DeadlineExceeded

    async def _wait_for_slot(self, patience: float) -> None:
        """Return holding a slot, or raise holding none."""
        turn = anyio.Event()
        self._waiting[turn] = None
        try:
            with anyio.move_on_after(patience):
                await turn.wait()
        except BaseException:
            self._give_up(turn)
            raise
        if not turn.is_set():
            self._give_up(turn)
            raise QueueTimeout
        if self._closing:
            self._release()
            raise ShuttingDown

    def _give_up(self, turn: anyio.Event) -> None:
        if turn.is_set():  # a slot was handed over in the same moment: pass it on
            self._release()
        else:
            del self._waiting[turn]

    def _release(self) -> None:
        """Hand a freed slot to the one who has waited longest, or count it free."""
        for turn in self._waiting:
            del self._waiting[turn]
            turn.set()
            return
        self._in_flight -= 1

    async def _submit_forever(self) -> None:
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            while self._admitted:
                batch, self._admitted = self._admitted, []
                await to_thread.run_sync(self._start_all, batch, limiter=self._submitter)

    def _start_all(self, batch: list[_Call[Any]]) -> None:
        """In the submitting thread: start each call; one that cannot be started reports why."""
        for call in batch:
            done = self._reporter(call)
            try:
                call.start(call.deadline.remaining(), done)
            except BaseException as error:  # it is the waiter's, not this thread's
                done(None, error)

    def _reporter(self, call: _Call[T]) -> Done[T]:
        def done(result: T | None, error: BaseException | None) -> None:
            self._answers.append((call, result, error))
            if not self._drain_scheduled:
                self._drain_scheduled = True
                # The loop can be gone when a driver thread reports after shutdown: nobody waits for that answer.
                with suppress(RuntimeError):
                    self._call_on_loop(self._drain)

        return done

    def _drain(self) -> None:
        """On the loop: settle every call that has reported since the last time."""
        self._drain_scheduled = False  # before looking, so that a report from now on schedules again
        while self._answers:
            call, result, error = self._answers.popleft()
            if not call.settled:  # a speculative execution may report twice
                self._settle(call, result, error)

    def _settle(self, call: _Call[Any], result: Any, error: BaseException | None) -> None:
        call.settled = True
        call.result, call.error = result, error
        call.answered.set()
        self._release()

    def _close(self) -> None:
        self._closing = True
        for turn in list(self._waiting):
            del self._waiting[turn]
            self._in_flight += 1  # the waiter wakes holding a slot, sees the closing and releases it
            turn.set()
        for call in self._admitted:
            self._settle(call, None, ShuttingDown())
        self._admitted.clear()
