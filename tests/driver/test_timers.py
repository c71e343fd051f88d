"""Timers that share slots: never early, late by one slot at most, and freed when cancelled."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from helpers.waiting import eventually
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from asgi_app.driver import timers as timers_module
from asgi_app.driver.timers import Timers

pytestmark = pytest.mark.loops("asyncio", "uvloop")  # the timers use what asyncio loops have

LONG = 20.0
"""Seconds, longer than any test takes unless it hangs."""

SLOT = Timers.SLOT


# --- when they fire, on a clock of the test's own


class Clock:
    """An event loop with a clock that the test moves; timers that become due are called."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wakes = 0
        self._timers: list[tuple[float, Callable[[], object], asyncio.Event]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Any:
        cancelled = asyncio.Event()
        self._timers.append((self.now + seconds, callback, cancelled))
        return SimpleNamespace(cancel=cancelled.set)

    def call_soon(self, callback: Callable[[], object], *args: Any) -> None:
        self._timers.append((self.now, lambda: callback(*args), asyncio.Event()))

    call_soon_threadsafe = call_soon

    @property
    def pending(self) -> int:
        """The number of timers that would still wake the loop."""
        return sum(not cancelled.is_set() for _, _, cancelled in self._timers)

    def advance(self, seconds: float) -> None:
        """Move the clock by `seconds`, and call each timer at its moment."""
        end = self.now + seconds
        while due := [timer for timer in self._timers if timer[0] <= end and not timer[2].is_set()]:
            timer = min(due, key=lambda timer: timer[0])
            self._timers.remove(timer)
            self.now = max(self.now, timer[0])
            self.wakes += 1
            timer[1]()
        self.now = end


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timers_module, "time", SimpleNamespace(monotonic=clock.time))
    return clock


def timers_of(clock: Any) -> Timers:
    return Timers(clock)


SECONDS = st.floats(0, 40).map(lambda seconds: round(seconds, 4))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), SECONDS),
        st.tuples(st.just("cancel"), st.integers(0, 50)),
        st.tuples(st.just("advance"), st.floats(0, 3)),
    ),
    max_size=60,
)


@hypothesis_settings(deadline=None)
@given(STEPS)
def test_each_timer_fires_once_in_its_slot_unless_cancelled(steps: list[tuple[str, Any]]) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timers_module, "time", SimpleNamespace(monotonic=clock.time))
        timers = timers_of(clock)
        started: list[Any] = []
        due: list[float] = []
        fired: dict[int, list[float]] = {}
        cancelled: set[int] = set()

        def fire(name: int) -> None:
            fired.setdefault(name, []).append(clock.now)

        for step, number in steps:
            if step == "start":
                due.append(clock.now + number)
                started.append(timers.start(number, partial(fire, len(started))))
            elif step == "cancel" and number < len(started):
                if number not in fired:
                    cancelled.add(number)
                started[number].cancel()
            elif step == "advance":
                clock.advance(number)
        clock.advance(50)
    assert set(fired) == set(range(len(started))) - cancelled
    for name, moments in fired.items():
        (moment,) = moments
        assert due[name] - 1e-6 <= moment <= due[name] + SLOT + 1e-6
    assert clock.pending == 0


def test_earlier_timer_started_later(clock: Clock) -> None:
    timers = timers_of(clock)
    fired: list[str] = []
    timers.start(30, lambda: fired.append("late"))
    timers.start(0.02, lambda: fired.append("early"))
    clock.advance(0.02 + SLOT + 1e-6)
    assert fired == ["early"]
    clock.advance(30)
    assert fired == ["early", "late"]


def test_cancelled_timers_do_not_wake_the_loop(clock: Clock) -> None:
    timers = timers_of(clock)
    for timer in [timers.start(seconds / 7, pytest.fail) for seconds in range(1, 300)]:
        timer.cancel()
    clock.advance(60)
    assert clock.wakes <= 1  # the one that was set before the first was cancelled
    assert clock.pending == 0


def test_cancelled_timers_leave_no_slot(clock: Clock) -> None:
    timers = timers_of(clock)
    for _ in range(500):
        timers.start(3, pytest.fail).cancel()
        clock.advance(0.05)
    kept = timers._slots
    assert len(kept) <= 3 / 0.05 + 1
    assert sum(map(len, kept.values())) == 0


def test_timer_cancels_another_of_its_slot(clock: Clock) -> None:
    timers = timers_of(clock)
    fired: list[str] = []
    pair: list[Any] = []

    def first_of(mine: int) -> None:
        fired.append("one")
        pair[1 - mine].cancel()

    pair += [timers.start(0.001, lambda: first_of(0)), timers.start(0.001, lambda: first_of(1))]
    clock.advance(1)
    assert fired == ["one"]


def test_timer_of_zero_seconds(clock: Clock) -> None:
    fired: list[float] = []
    timers_of(clock).start(0, lambda: fired.append(clock.now))
    assert fired == []  # never before `start` returns
    clock.advance(SLOT + 1e-6)
    assert len(fired) == 1


def test_timer_starts_another(clock: Clock) -> None:
    timers = timers_of(clock)
    fired: list[float] = []

    def again() -> None:
        fired.append(clock.now)
        if len(fired) < 5:
            timers.start(0.03, again)

    timers.start(0.03, again)
    clock.advance(1)
    assert len(fired) == 5
    assert all(later - earlier >= 0.03 - 1e-6 for earlier, later in itertools.pairwise(fired))


def test_blocked_loop(clock: Clock) -> None:
    """A loop that was blocked finds many slots due at once."""
    timers = timers_of(clock)
    fired: list[int] = []
    for number in range(50):
        timers.start(number / 10, partial(fired.append, number))
    clock.now += 100
    clock.advance(0)
    assert sorted(fired) == list(range(50))


# --- on the event loops


def here() -> Timers:
    return Timers(asyncio.get_running_loop())


async def fires(timers: Timers, seconds: float) -> float:
    """Wait until a timer of `seconds` fires, and return the time it took."""
    fired = anyio.Event()
    timers.start(seconds, fired.set)
    with anyio.fail_after(LONG):
        await fired.wait()
    return time.monotonic()


@pytest.mark.anyio
@pytest.mark.parametrize("seconds", [0, 0.0004, 0.01, 0.0333, 0.1])
async def test_never_early_on_a_real_loop(seconds: float) -> None:
    timers = here()
    for _ in range(3):
        began = time.monotonic()
        assert await fires(timers, seconds) - began >= seconds


@pytest.mark.anyio
async def test_many_fire_each_once_and_none_early() -> None:
    timers = here()
    spans = [number / 2000 for number in range(200)]
    began, fired = time.monotonic(), dict[float, list[float]]()

    def fire(span: float) -> None:
        fired.setdefault(span, []).append(time.monotonic())

    for span in spans:
        timers.start(span, partial(fire, span))
    await eventually(lambda: len(fired) == len(spans), LONG)
    assert all(len(moments) == 1 and moments[0] - began >= span for span, moments in fired.items())


@pytest.mark.anyio
async def test_earlier_timer_wakes_a_sleeping_loop() -> None:
    timers = here()
    late = timers.start(3600, lambda: pytest.fail("an hour has not passed"))
    await anyio.lowlevel.checkpoint()
    await fires(timers, 0.02)
    late.cancel()


@pytest.mark.anyio
async def test_cancelled_timer_never_fires() -> None:
    timers = here()
    fired: list[str] = []
    timer = timers.start(0.02, lambda: fired.append("cancelled"))
    timer.cancel()
    timer.cancel()  # again does nothing
    assert timer.canceled
    await fires(timers, 0.05)
    assert fired == []


@pytest.mark.anyio
async def test_another_thread_starts_and_cancels() -> None:
    timers = here()
    threads: list[int] = []
    fired = anyio.Event()

    def called() -> None:
        threads.append(threading.get_ident())
        fired.set()

    def work() -> None:
        timers.start(0.01, lambda: pytest.fail("it was cancelled")).cancel()
        timers.start(0.03, called)

    await anyio.to_thread.run_sync(work)  # meanwhile the loop has nothing to wake for
    with anyio.fail_after(LONG):
        await fired.wait()
    assert threads == [threading.get_ident()]  # on the loop, whoever started it


@pytest.mark.anyio
async def test_another_thread_cancels() -> None:
    timers = here()
    fired: list[str] = []
    started = [timers.start(0.05, lambda: fired.append("cancelled")) for _ in range(100)]

    def cancel_all() -> None:
        for timer in started:
            timer.cancel()

    thread = threading.Thread(target=cancel_all)
    thread.start()
    thread.join()
    await fires(timers, 0.08)
    assert fired == []


@pytest.mark.anyio
async def test_concurrent_start_and_cancel() -> None:
    timers = here()
    fired: list[tuple[int, int]] = []
    count = 300

    def work(thread: int) -> None:
        for number in range(count):
            kept = timers.start(0.001 * (number % 40), partial(fired.append, (thread, number)))
            if number % 2:
                kept.cancel()
            timers.start(0.02, lambda: None).cancel()

    async with anyio.create_task_group() as tasks:
        for thread in range(4):
            tasks.start_soon(anyio.to_thread.run_sync, work, thread)
    await eventually(lambda: len({one for one in fired if one[1] % 2 == 0}) == 4 * count // 2, LONG)
    assert len(fired) == len(set(fired))


@pytest.mark.anyio
async def test_raising_callback_does_not_stop_others() -> None:
    timers = here()
    loop = asyncio.get_running_loop()
    told: list[BaseException] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    fired: list[int] = []

    def fails() -> None:
        raise LookupError("one of many")

    for number in range(3):
        timers.start(0.01, fails)
        timers.start(0.01, partial(fired.append, number))
    await fires(timers, 0.05)  # and the timers go on
    loop.set_exception_handler(None)
    assert fired == [0, 1, 2]
    assert [str(error) for error in told] == ["one of many"] * 3


class Kept:
    """An object that a callback refers to."""

    def called(self) -> None: ...


@pytest.mark.anyio
async def test_cancelled_timer_is_freed() -> None:
    timers = here()
    kept = Kept()
    watched = weakref.ref(kept)
    timer = timers.start(3600, kept.called)
    del kept
    assert watched() is not None
    timer.cancel()
    assert watched() is None  # at once, and not when the collector comes
    assert timer.callback is None


@pytest.mark.anyio
async def test_fired_timer_is_freed() -> None:
    timers = here()
    kept = Kept()
    watched = weakref.ref(kept)
    timers.start(0.001, kept.called)
    del kept
    await fires(timers, 0.05)
    await eventually(lambda: watched() is None, LONG)


def test_ended_loop_ignores_timers() -> None:
    loop = asyncio.new_event_loop()
    timers = Timers(loop)
    loop.close()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            timers.start(0.01, pytest.fail).cancel()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failures == []
