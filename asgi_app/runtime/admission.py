"""From the event loop to a callback-style driver and back, bounded, without a thread per call.

A call passes three stations. *Admission*: at most `max_in_flight` calls run, at most `max_waiting` wait for a slot,
for at most `max_wait` seconds each; past a bound the call is refused at once. The slots are divided among kinds of
calls: see `Share`. *Submission*: admitted calls are collected and one worker-thread hop starts all that have gathered
while the hop before was under way; where starting a call cannot block (`starts_block`), it is started where it is.
*Answer*: a driver that reports on the event loop settles the call there; reports from other threads go into a queue and
wake the loop once for all that are ready.

Knows nothing of Cassandra: a call is anything that can be started with a timeout and reports back through a callback.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, TypeVarTuple

import anyio
from anyio import CapacityLimiter, to_thread

from asgi_app.errors import DeadlineExceeded, QueueFull, QueueTimeout, ShuttingDown
from asgi_app.runtime.concurrency import Signal, signal_factory, threadsafe_scheduler
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.tasks import background_tasks

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


class Share(Enum):
    """A kind of call. Each has a share of the slots that the others cannot take.

    `CALLS` may take every slot that is free. `PAGES` of streams and `TRIALS` (demonstrations) take at most their share
    of the slots, so that there are always some for `CALLS`, and they are patient: they wait until their deadline, not
    `max_wait`, because a stream that has begun cannot be refused any more. A slot that becomes free goes to the kind
    that uses the smallest part of its share, so no kind keeps another waiting for longer than one call takes.
    While there are `CALLS`, fewer pages are under way at once, so that these do not wait behind them at Cassandra.
    `PROBES` have slots of their own beside all others: load never stops them.
    """

    CALLS = "calls"
    PAGES = "pages"
    TRIALS = "trials"
    PROBES = "probes"


RECENT = 0.5
"""Seconds for which pages still make room after the last of `CALLS`: whoever reads one row after another pauses too."""

BETWEEN_LOOKS = 0.1
"""Seconds after which pages that are held back are looked at again: no call need come or end for their time to come."""

LONGEST_HELD_BACK = 1.0
"""Seconds after which a page that waits is held back by `CALLS` no longer: it has a deadline."""

PROBE_SLOTS = 2
"""One for the look that is under way, one for a look before it whose answer never came."""


@dataclass(frozen=True, slots=True)
class BridgeLimits:
    """The bounds of one bridge.

    `max_in_flight`: calls started and not yet reported done, probes not counted. `max_pages`: how many of them are
    pages of streams, half of `max_in_flight` at most; `max_pages_beside`: how many while there are `CALLS`.
    `max_waiting`: calls of one kind waiting for a slot, and `max_patient` of a patient kind. `max_wait`: seconds one
    waits that is not patient. `threads`: worker threads for blocking calls such as connect and prepare, beside the one
    that submits and the one for work in turn.
    """

    max_in_flight: int = 256
    max_waiting: int = 256
    max_wait: float = 1.0
    max_pages: int = 8
    max_pages_beside: int = 8
    max_patient: int = 1024
    threads: int = 4

    def slots(self, share: Share) -> int:
        """How many slots calls of this kind may hold at once."""
        match share:
            case Share.CALLS:
                return self.max_in_flight
            case Share.PAGES:
                return max(1, min(self.max_pages, self.max_in_flight // 2))
            case Share.TRIALS:
                return max(1, self.max_in_flight // 4)
            case Share.PROBES:
                return PROBE_SLOTS


class _Lane:
    """The calls of one kind: how many hold a slot, who waits for one, and how many may."""

    __slots__ = ("in_flight", "max_waiting", "patient", "slots", "slots_beside", "waiting")

    def __init__(self, share: Share, limits: BridgeLimits) -> None:
        self.slots = limits.slots(share)
        self.slots_beside = min(self.slots, limits.max_pages_beside) if share is Share.PAGES else self.slots
        """How many while there are `CALLS`."""
        self.patient = share in (Share.PAGES, Share.TRIALS)
        self.max_waiting = limits.max_patient if self.patient else limits.max_waiting
        self.in_flight = 0
        self.waiting: dict[anyio.Event, float] = {}
        """Who waits, in order, and since when."""


class AnswerOverdue(DeadlineExceeded):
    """The deadline passed after the call was handed to the driver: whether it took effect is not known."""


class _Call(Generic[T]):
    """One admitted call, owned by the loop; other threads touch only the ticket."""

    __slots__ = ("_ticket", "answered", "deadline", "error", "lane", "result", "settled")

    def __init__(self, start: Start[T], lane: _Lane, deadline: Deadline, answered: Signal) -> None:
        """`start` is called by whoever claims the call."""
        self.lane = lane
        self.deadline = deadline
        self.answered = answered
        self.settled = False
        self.result: T | None = None
        self.error: BaseException | None = None
        self._ticket = [start]

    def claim(self) -> Start[T] | None:
        """What starts it, for the first who asks: the thread that does, or the waiter that gives it up before.

        From then on it is not held here: what was started holds what reports its end, and by that this call. Such a
        cycle, made for each statement, would keep the garbage collector at work.
        """
        try:
            return self._ticket.pop()  # atomic, and cheaper than a lock
        except IndexError:
            return None


def _used(lane: _Lane) -> float:
    """Which part of its share a kind uses."""
    return lane.in_flight / lane.slots


class Bridge:
    """Runs driver calls for coroutines; made by `Bridge.open`, used only from the event loop it was opened on.

    Cancellation. A call that waits for a slot leaves the queue and is never started. A call that was started is not
    recalled: its waiter leaves at once and its slot stays taken until the driver reports, which the driver does by its
    timeout. So no more than `max_in_flight` calls ever run, however many waiters leave. `run` is different: a blocking
    call holds its thread, and cancelling its waiter takes effect when the call returns. No thread is ever abandoned.
    """

    def __init__(self, limits: BridgeLimits) -> None:
        self._limits = limits
        self._lanes = {share: _Lane(share, limits) for share in Share}
        self._probes = self._lanes[Share.PROBES]
        self._calls = self._lanes[Share.CALLS]
        self._pages = self._lanes[Share.PAGES]
        self._last_call = -math.inf
        self._held_back = anyio.Event()
        self._sharing = [lane for lane in self._lanes.values() if lane is not self._probes]
        self._in_flight = 0
        self._admitted: list[_Call[Any]] = []
        self._work = anyio.Event()
        self._answers: deque[tuple[_Call[Any], Any, BaseException | None]] = deque()
        self._drain_scheduled = False
        self._closing = False
        self._submitter = CapacityLimiter(1)
        self._blocking = CapacityLimiter(limits.threads)
        self._in_turn = CapacityLimiter(1)
        self._call_on_loop = threadsafe_scheduler()
        self._new_signal = signal_factory()
        self._thread = threading.get_ident()
        self.starts_block = True
        """Whether starting a call may block, so that a worker thread must do it. Set by who knows the driver.

        Where it may not, the driver's time-outs are this loop's timers too, and nobody waits beside them.
        """

    @classmethod
    @asynccontextmanager
    async def open(cls, limits: BridgeLimits) -> AsyncIterator[Bridge]:
        """A running bridge. On exit it takes no new calls; waiters still there get ShuttingDown."""
        bridge = cls(limits)
        async with background_tasks() as tasks:
            tasks.start_soon(bridge._submit_forever)
            tasks.start_soon(bridge._look_at_those_held_back)
            try:
                yield bridge
            finally:
                bridge._close()

    @property
    def in_flight(self) -> int:
        """Calls that hold a slot: admitted, and not yet reported done by the driver. Probes are not counted."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return sum(len(lane.waiting) for lane in self._lanes.values())

    @property
    def is_full(self) -> bool:
        """Whether the next of `CALLS` would be refused with QueueFull."""
        full = self._in_flight >= self._limits.max_in_flight
        return full and len(self._lanes[Share.CALLS].waiting) >= self._limits.max_waiting

    @property
    def pages_make_room(self) -> bool:
        """Whether there are `CALLS`, or were a moment ago."""
        return self._calls.in_flight > 0 or time.monotonic() - self._last_call <= RECENT

    def in_flight_of(self, share: Share) -> int:
        """Calls of one kind that hold a slot."""
        return self._lanes[share].in_flight

    def waiting_of(self, share: Share) -> int:
        """Calls of one kind that wait for a slot."""
        return len(self._lanes[share].waiting)

    @property
    def threads_in_use(self) -> int:
        """Worker threads at work now, the submitting one included."""
        return self._blocking.borrowed_tokens + self._submitter.borrowed_tokens + self._in_turn.borrowed_tokens

    async def call(self, start: Start[T], deadline: Deadline, share: Share = Share.CALLS) -> T:
        """What the call reports: its result returned or its error raised.

        Raises QueueFull or QueueTimeout where a bound is passed, DeadlineExceeded when the deadline passes before the
        call was handed over, AnswerOverdue when it passes after, ShuttingDown when the bridge closes.
        """
        if self._closing:
            raise ShuttingDown
        left = deadline.remaining()
        lane = self._lanes[share]
        if not lane.waiting and self._has_room(lane):
            self._take(lane)
        else:
            await self._queue(lane, deadline, left)
        call = _Call(start, lane, deadline, self._new_signal())
        if self.starts_block:
            self._admitted.append(call)
            self._work.set()
            await call.answered.wait(deadline.left())
        else:
            self._start(call)
            await call.answered.wait(None)
        if not call.settled:
            raise AnswerOverdue if call.claim() is None else DeadlineExceeded
        if call.error is not None:
            try:
                raise call.error
            finally:
                call.error = None  # the traceback holds this frame: without this the cycle waits for the collector
        return call.result  # type: ignore[return-value]  # settled without an error: a result is there

    async def run(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """`function(*args)` in one of the bridge's worker threads, for calls that block and cannot be started."""
        return await to_thread.run_sync(function, *args, limiter=self._blocking)

    async def run_in_turn(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """As `run`, but never two at once: for long work on pages.

        In Python such threads gain nothing from each other, since one of them has the interpreter; all that several do
        is to stand before the event loop and the driver's reader whenever these want it. In compiled code a page takes
        less time than the next one takes to come.
        """
        return await to_thread.run_sync(function, *args, limiter=self._in_turn)

    async def _queue(self, lane: _Lane, deadline: Deadline, left: float) -> None:
        """Return holding a slot, or raise holding none."""
        if len(lane.waiting) >= lane.max_waiting:
            raise QueueFull
        await self._wait_for_slot(lane, left if lane.patient else min(left, self._limits.max_wait))
        if deadline.left() <= 0:
            self._release(lane)
            raise DeadlineExceeded

    def _has_room(self, lane: _Lane) -> bool:
        """Whether one more call of this kind may begin."""
        if lane is not self._probes and self._in_flight >= self._limits.max_in_flight:
            return False
        return lane.in_flight < lane.slots_beside or (lane.in_flight < lane.slots and not self._is_held_back(lane))

    def _is_held_back(self, lane: _Lane) -> bool:
        """Whether pages make room now, and nobody of this kind has waited for long."""
        if not self.pages_make_room:
            return False
        now = time.monotonic()
        return now - next(iter(lane.waiting.values()), now) <= LONGEST_HELD_BACK

    def _take(self, lane: _Lane) -> None:
        lane.in_flight += 1
        if lane is not self._probes:
            self._in_flight += 1

    async def _wait_for_slot(self, lane: _Lane, patience: float) -> None:
        """Return holding a slot, or raise holding none."""
        turn = anyio.Event()
        lane.waiting[turn] = time.monotonic()
        self._hand_on()
        try:
            with anyio.move_on_after(patience):
                await turn.wait()
        except BaseException:
            self._give_up(lane, turn)
            raise
        if not turn.is_set():
            self._give_up(lane, turn)
            raise QueueTimeout
        if self._closing:
            self._release(lane)
            raise ShuttingDown

    def _give_up(self, lane: _Lane, turn: anyio.Event) -> None:
        if turn.is_set():  # a slot was handed over in the same moment: pass it on
            self._release(lane)
        else:
            del lane.waiting[turn]

    def _release(self, lane: _Lane) -> None:
        """Count a slot free, and hand it to the one who has waited longest of the kind whose turn it is."""
        lane.in_flight -= 1
        if lane is self._probes:
            self._hand_over(lane)
            return
        self._in_flight -= 1
        if lane is self._calls:
            self._last_call = time.monotonic()
        self._hand_on()

    def _hand_on(self) -> None:
        """Hand free slots to those who wait."""
        while waiting := [other for other in self._sharing if other.waiting and self._has_room(other)]:
            chosen = min(waiting, key=_used)
            self._sharing.remove(chosen)
            self._sharing.append(chosen)  # so that of those who use equally much each has its turn
            self._hand_over(chosen)
        if self._pages.waiting and self._pages.in_flight < self._pages.slots:
            self._held_back.set()

    async def _look_at_those_held_back(self) -> None:
        while True:
            await self._held_back.wait()
            self._held_back = anyio.Event()
            await anyio.sleep(BETWEEN_LOOKS)
            self._hand_on()

    def _hand_over(self, lane: _Lane) -> None:
        for turn in lane.waiting:
            del lane.waiting[turn]
            self._take(lane)
            turn.set()
            return

    async def _submit_forever(self) -> None:
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            while self._admitted:
                batch, self._admitted = self._admitted, []
                try:
                    await to_thread.run_sync(self._start_all, batch, limiter=self._submitter)
                except BaseException:  # closing, perhaps before the thread began
                    self._refuse(batch)
                    raise

    def _start_all(self, batch: list[_Call[Any]]) -> None:
        """In the submitting thread: start each call."""
        for call in batch:
            self._start(call)

    def _start(self, call: _Call[Any]) -> None:
        """Start a call; one that cannot be started reports why."""
        done: Done[Any] = partial(self._report, call)
        start = call.claim()
        if start is None:
            done(None, DeadlineExceeded())  # nobody waits any more, but the slot must come free
            return
        try:
            start(call.deadline.remaining(), done)
        except BaseException as error:  # it is the waiter's, not this thread's
            done(None, error)

    def _report(self, call: _Call[Any], result: Any, error: BaseException | None) -> None:
        """A call's end, in any thread."""
        if threading.get_ident() == self._thread:
            if not call.settled:  # a speculative execution may report twice
                self._settle(call, result, error)
            return
        self._answers.append((call, result, error))
        if not self._drain_scheduled:
            self._drain_scheduled = True
            # The loop can be gone when a driver thread reports after shutdown: nobody waits for that answer.
            with suppress(RuntimeError):
                self._call_on_loop(self._drain)

    def _drain(self) -> None:
        """On the loop: settle every call that has reported since the last time."""
        self._drain_scheduled = False  # before looking, so that a report from now on schedules again
        while self._answers:
            call, result, error = self._answers.popleft()
            if not call.settled:
                self._settle(call, result, error)

    def _settle(self, call: _Call[Any], result: Any, error: BaseException | None) -> None:
        call.settled = True
        call.result, call.error = result, error
        call.answered.set()
        self._release(call.lane)

    def _close(self) -> None:
        self._closing = True
        for lane in self._lanes.values():
            while lane.waiting:
                self._hand_over(lane)  # the waiter wakes holding a slot, sees the closing and releases it
        self._refuse(self._admitted)
        self._admitted.clear()

    def _refuse(self, calls: list[_Call[Any]]) -> None:
        """Tell those that were not started that they never will be."""
        for call in calls:
            if call.claim() is not None:
                self._settle(call, None, ShuttingDown())
