"""Run the calls of a callback-style driver for coroutines, within bounds and without a thread per call.

A call goes through three steps. *Admission*: `SlotScheduler` grants it a slot, lets it wait, or refuses it. *Start*:
where starting a call cannot block, it is started at once on the event loop; elsewhere a worker thread starts calls in
batches: while it starts one batch, the next one gathers. *Answer*: a report on the event loop settles the call
directly; reports from other threads go into a queue and wake the loop once for all that are ready.

Knows nothing of Cassandra: a call is anything that can be started with a timeout and reports through a callback.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, TypeVarTuple

import anyio
from anyio import CapacityLimiter, to_thread

from asgi_app.errors import AnswerOverdue, DeadlineExceeded, QueueTimeout, ShuttingDown
from asgi_app.runtime.concurrency import Signal, signal_factory, threadsafe_scheduler
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.scheduler import Lane, SlotLimits, SlotScheduler, is_patient
from asgi_app.runtime.tasks import background_tasks

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
Args = TypeVarTuple("Args")

THROTTLE_RECHECK_SECONDS = 0.1
"""How often throttled pages are checked again, because perhaps no call starts or ends that would trigger the check."""


class OnDone(Protocol[T_contra]):
    """Reports the end of a call, from any thread: a result, or an error. Only the first report counts."""

    def __call__(self, result: T_contra | None, error: BaseException | None) -> None: ...


class Call(Generic[T]):
    """One call to the driver. Use it for one `Dispatcher.run` only.

    `start(timeout, done)` starts the call and returns without waiting for its end. The call must report to `done`
    within `timeout` seconds. If `start` raises, the exception is reported. It runs on the event loop, or in a worker
    thread where starting may block. Its result is kept as `handle`; the waiter does not learn of the end before that.

    Times are those of `time.perf_counter`; `started_at` and `answered_at` are None until that happens.
    """

    __slots__ = (
        "_ticket",
        "answered_at",
        "deadline",
        "error",
        "handle",
        "held",
        "lane",
        "result",
        "settled",
        "signal",
        "start",
        "started_at",
    )

    deadline: Deadline
    lane: Lane
    signal: Signal

    def __init__(self, start: Callable[[float, OnDone[T]], Any]) -> None:
        self.start = start
        self.handle: Any = None
        self.held: list[tuple[Any, BaseException | None]] | None = None
        """Reports that came while a worker thread starts the call: without `handle` a waiter could not judge them."""
        self.started_at: float | None = None
        self.answered_at: float | None = None
        self.settled = False
        self.result: T | None = None
        self.error: BaseException | None = None
        self._ticket = [None]

    def claim(self) -> bool:
        """Return true to the first caller only: the thread that starts the call, or the waiter that gives it up."""
        try:
            self._ticket.pop()  # atomic, and cheaper than a lock
        except IndexError:
            return False
        return True


class Dispatcher:
    """Runs driver calls for coroutines; open it by `Dispatcher.open` and use it only on the event loop that opened it.

    Cancellation. A call that waits for a slot leaves the queue and is never started. A started call is not recalled:
    its waiter leaves at once, and its slot stays taken until the driver reports, which the driver does by its timeout.
    So never more than `max_in_flight` calls run, however many waiters leave. `run_blocking` differs: the function holds
    its thread, and a cancellation takes effect when it returns. No thread is ever abandoned.
    """

    def __init__(self, limits: SlotLimits, *, threads: int = 4) -> None:
        self._throttled = anyio.Event()
        self.slots = SlotScheduler(limits, self._note_throttled)
        self._max_wait = limits.max_wait
        self._admitted: list[Call[Any]] = []
        self._work = anyio.Event()
        self._answers: deque[tuple[Call[Any], Any, BaseException | None]] = deque()
        self._drain_scheduled = False
        self._closing = False
        self._submitter = CapacityLimiter(1)
        self._blocking = CapacityLimiter(threads)
        self._in_turn = CapacityLimiter(1)
        self._call_on_loop = threadsafe_scheduler()
        self._new_signal = signal_factory()
        self._thread = threading.get_ident()
        self.starts_block = True
        """Whether starting a call may block, so that a worker thread must do it. Set when the driver is known.

        If it may not block, the driver's timeouts are timers of this loop, and the call needs no second timer.
        """

    @classmethod
    @asynccontextmanager
    async def open(cls, limits: SlotLimits, *, threads: int = 4) -> AsyncIterator[Dispatcher]:
        """Open a running dispatcher. On exit it refuses new calls, and calls that still wait get ShuttingDown.

        `threads`: worker threads for `run_blocking`, beside the one that starts calls and the one of `run_in_turn`.
        """
        dispatcher = cls(limits, threads=threads)
        async with background_tasks() as tasks:
            tasks.start_soon(dispatcher._submit_batches)
            tasks.start_soon(dispatcher._recheck_throttled_pages)
            try:
                yield dispatcher
            finally:
                dispatcher._close()

    @property
    def threads_in_use(self) -> int:
        """Worker threads at work now, including the one that starts calls."""
        return self._blocking.borrowed_tokens + self._submitter.borrowed_tokens + self._in_turn.borrowed_tokens

    async def run(self, call: Call[T], deadline: Deadline, lane: Lane = Lane.REQUESTS) -> T:
        """Run a call, and return or raise what it reports.

        Raises QueueFull or QueueTimeout when a bound is passed, DeadlineExceeded when the deadline passes before the
        call was started, AnswerOverdue when it passes after, ShuttingDown when the dispatcher closes.
        """
        if self._closing:
            raise ShuttingDown
        left = deadline.remaining()
        if not self.slots.try_acquire(lane):
            left = await self._wait_for_slot(lane, deadline, left)
        call.deadline, call.lane = deadline, lane
        signal = call.signal = self._new_signal()
        if self.starts_block:
            self._admitted.append(call)
            self._work.set()
            await signal.wait(deadline.left())
        else:
            self._start(call, left)
            await signal
        if not call.settled:
            raise DeadlineExceeded if call.claim() else AnswerOverdue
        if call.error is not None:
            try:
                raise call.error
            finally:
                call.error = None  # the traceback refers to this frame: avoid the reference cycle
        return call.result  # type: ignore[return-value]  # settled without an error: there is a result

    async def run_blocking(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """Run `function(*args)` in a worker thread: for calls that block and cannot be started with a callback."""
        return await to_thread.run_sync(function, *args, limiter=self._blocking)

    async def run_in_turn(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """Run `function(*args)` in a worker thread, never two at once: for long work on pages.

        Several such threads would only compete for the interpreter lock with the event loop. Compiled code handles a
        page in less time than the next page takes to arrive.
        """
        return await to_thread.run_sync(function, *args, limiter=self._in_turn)

    async def _wait_for_slot(self, lane: Lane, deadline: Deadline, left: float) -> float:
        """Take a slot and return the seconds left. If this raises, no slot is held."""
        turn = anyio.Event()
        waiter = self.slots.enqueue(lane, turn.set)
        try:
            with anyio.move_on_after(left if is_patient(lane) else min(left, self._max_wait)):
                await turn.wait()
        except BaseException:
            self.slots.cancel(waiter)
            raise
        if not waiter.granted:
            self.slots.cancel(waiter)
            raise QueueTimeout
        if self._closing:
            self.slots.release(lane)
            raise ShuttingDown
        left = deadline.left()
        if left <= 0:
            self.slots.release(lane)
            raise DeadlineExceeded
        return left

    def _note_throttled(self) -> None:
        self._throttled.set()

    async def _recheck_throttled_pages(self) -> None:
        """Check throttled pages again after a while, as long as there are any. Runs until cancelled."""
        while True:
            await self._throttled.wait()
            self._throttled = anyio.Event()
            await anyio.sleep(THROTTLE_RECHECK_SECONDS)
            self.slots.grant_free_slots()

    async def _submit_batches(self) -> None:
        """Start the admitted calls in a worker thread, batch by batch. Runs until cancelled."""
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            while self._admitted:
                batch, self._admitted = self._admitted, []
                try:
                    await to_thread.run_sync(self._start_all, batch, limiter=self._submitter)
                except BaseException:  # on closing, perhaps before the thread began
                    self._refuse(batch)
                    raise

    def _start_all(self, batch: list[Call[Any]]) -> None:
        """Start each call, in the submitting thread."""
        for call in batch:
            held = call.held = []
            self._start(call, call.deadline.left())
            call.held = None
            self._hand_over(call, held)

    def _start(self, call: Call[Any], left: float) -> None:
        """Start a call that has `left` seconds; if that fails, report why."""
        done: OnDone[Any] = partial(self._report, call)
        if not call.claim() or left <= 0:
            done(None, DeadlineExceeded())  # its waiter may have left, but the slot must be released
            return
        call.started_at = time.perf_counter()
        try:
            call.handle = call.start(left, done)
        except BaseException as error:  # for the waiter, not for this thread
            done(None, error)

    def _report(self, call: Call[Any], result: Any, error: BaseException | None) -> None:
        """Record the end of a call. Callable from any thread."""
        if call.answered_at is None:
            call.answered_at = time.perf_counter()
        if threading.get_ident() == self._thread:
            if not call.settled:  # a speculative execution may report twice
                self._settle(call, result, error)
            return
        reports = [(result, error)]
        held = call.held
        if held is not None:
            held += reports
            if call.held is not None:
                return
            reports = held  # the start ended in this moment
        self._hand_over(call, reports)

    def _hand_over(self, call: Call[Any], reports: list[tuple[Any, BaseException | None]]) -> None:
        """Let the event loop settle a call by its reports. Takes them out of the list, also if two threads do so."""
        while reports:
            with suppress(IndexError):
                self._answers.append((call, *reports.pop(0)))
        if self._answers and not self._drain_scheduled:
            self._drain_scheduled = True
            # The loop may have ended when a driver thread reports after shutdown: no caller waits for that answer.
            with suppress(RuntimeError):
                self._call_on_loop(self._drain)

    def _drain(self) -> None:
        """Settle every call that other threads have reported, on the event loop."""
        self._drain_scheduled = False  # before looking, so that a report from now on schedules again
        while self._answers:
            call, result, error = self._answers.popleft()
            if not call.settled:
                self._settle(call, result, error)

    def _settle(self, call: Call[Any], result: Any, error: BaseException | None) -> None:
        """End a call: wake its waiter and release its slot. Runs on the event loop, once per call."""
        call.settled = True
        call.result, call.error = result, error
        call.signal.set()
        self.slots.release(call.lane)

    def _close(self) -> None:
        """Refuse new calls, and the calls that wait for a slot or for the submitting thread."""
        self._closing = True
        self.slots.wake_all()  # each waiter gets a slot, sees that the dispatcher closes, and releases the slot
        self._refuse(self._admitted)
        self._admitted.clear()

    def _refuse(self, calls: list[Call[Any]]) -> None:
        """Settle calls that were not started, and never will be, with ShuttingDown."""
        for call in calls:
            if call.claim():
                self._settle(call, None, ShuttingDown())
