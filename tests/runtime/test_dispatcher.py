"""The dispatcher: admission, start, answers and cancellation. Events decide the order of things, not sleeps."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Container
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from anyio.abc import TaskGroup
from helpers.calls import call

from asgi_app.errors import AnswerOverdue, DeadlineExceeded, QueueFull, QueueTimeout, ShuttingDown
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.dispatcher import Call, Dispatcher, OnDone
from asgi_app.runtime.scheduler import PROBE_SLOTS, Lane, SlotLimits

pytestmark = pytest.mark.anyio

LONG = 20.0
"""Seconds: a deadline that no test reaches unless it hangs."""


class Driver:
    """Stands in for a callback-style driver: starts calls, and reports their ends when the test does."""

    def __init__(self) -> None:
        self.started: list[OnDone[Any]] = []
        self.threads: set[int] = set()
        self._one_more = threading.Condition()

    def start(self, timeout: float, done: OnDone[Any]) -> None:
        with self._one_more:
            self.started.append(done)
            self.threads.add(threading.get_ident())
            self._one_more.notify_all()

    async def has_started(self, calls: int) -> None:
        """Return once `calls` calls were started."""
        await anyio.to_thread.run_sync(self._wait_for, calls)

    def _wait_for(self, calls: int) -> None:
        with self._one_more:
            assert self._one_more.wait_for(lambda: len(self.started) >= calls, LONG)

    def report(self, call: int, result: object = None, error: BaseException | None = None) -> None:
        """Report the end of a call from another thread, as drivers do."""
        thread = threading.Thread(target=self.started[call], args=(result, error))
        thread.start()
        thread.join()


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
async def dispatcher() -> AsyncIterator[Dispatcher]:
    async with Dispatcher.open(SlotLimits(max_in_flight=2, max_waiting=1, max_wait=LONG)) as opened:
        yield opened


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until `condition` is true."""
    with anyio.fail_after(LONG):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def report_all(
    dispatcher: Dispatcher, driver: Driver, calls: int, first: int = 0, but: Container[int] = ()
) -> None:
    """Report each call as it starts, from number `first` on except those in `but`, and wait until all have ended."""
    for number in range(first, calls):
        await driver.has_started(number + 1)
        if number not in but:
            driver.report(number)
    await until(lambda: dispatcher.slots.in_flight == dispatcher.slots.in_flight_of(Lane.PROBES) == 0)


async def test_returns_what_the_call_reports(dispatcher: Dispatcher) -> None:
    def start(timeout: float, done: OnDone[str]) -> None:
        done("rows", None)

    assert await call(dispatcher, start, Deadline.after(LONG)) == "rows"
    assert dispatcher.slots.in_flight == 0


async def test_raises_what_the_call_reports(dispatcher: Dispatcher) -> None:
    def start(timeout: float, done: OnDone[str]) -> None:
        done(None, LookupError("no host"))

    with pytest.raises(LookupError, match="no host"):
        await call(dispatcher, start, Deadline.after(LONG))
    assert dispatcher.slots.in_flight == 0


async def test_a_call_that_fails_to_start_raises_and_frees_its_slot(dispatcher: Dispatcher) -> None:
    def start(timeout: float, done: OnDone[str]) -> None:
        raise TypeError("cannot bind")

    with pytest.raises(TypeError, match="cannot bind"):
        await call(dispatcher, start, Deadline.after(LONG))
    assert dispatcher.slots.in_flight == 0


async def test_only_the_first_report_counts(dispatcher: Dispatcher) -> None:
    def start(timeout: float, done: OnDone[str]) -> None:
        done("first", None)
        done("second", None)
        done(None, LookupError())

    assert await call(dispatcher, start, Deadline.after(LONG)) == "first"
    assert await call(dispatcher, start, Deadline.after(LONG)) == "first"
    assert dispatcher.slots.in_flight == 0


async def test_calls_start_in_a_worker_thread_with_the_time_left(dispatcher: Dispatcher) -> None:
    seen: list[tuple[int, float]] = []

    def start(timeout: float, done: OnDone[None]) -> None:
        seen.append((threading.get_ident(), timeout))
        done(None, None)

    await call(dispatcher, start, Deadline.after(5.0))
    ((thread, timeout),) = seen
    assert thread != threading.get_ident()
    assert 0 < timeout <= 5.0


async def test_waiter_learns_of_an_early_end_only_when_the_call_has_its_handle(dispatcher: Dispatcher) -> None:
    """Without the handle, nobody could tell whether a node was sent a write that failed."""
    woken = threading.Event()

    def start(timeout: float, done: OnDone[Any]) -> str:
        reporting = threading.Thread(target=done, args=(None, LookupError("it failed at once")))
        reporting.start()
        reporting.join()
        woken.wait(0.2)
        return "handle"

    started = Call[None](start)
    with pytest.raises(LookupError, match="at once"):
        await dispatcher.run(started, Deadline.after(LONG))
    assert started.handle == "handle"
    woken.set()


async def test_limits_of_running_and_waiting_calls(dispatcher: Dispatcher, driver: Driver) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
        await until(lambda: dispatcher.slots.waiting == 1)
        await driver.has_started(2)
        with pytest.raises(QueueFull):
            await call(dispatcher, driver.start, Deadline.after(LONG))
        assert dispatcher.slots.in_flight == 2
        driver.report(0)
        await driver.has_started(3)
        assert (dispatcher.slots.in_flight, dispatcher.slots.waiting) == (2, 0)
        driver.report(1)
        driver.report(2)
    assert dispatcher.slots.in_flight == 0


async def test_waiting_calls_start_in_order_of_arrival(driver: Driver) -> None:
    order: list[str] = []

    async def ask(name: str) -> None:
        await call(dispatcher, driver.start, Deadline.after(LONG))
        order.append(name)

    async with Dispatcher.open(SlotLimits(max_in_flight=1, max_waiting=2, max_wait=LONG)) as dispatcher:
        async with anyio.create_task_group() as tasks:
            for position, name in enumerate(("a", "b", "c")):
                tasks.start_soon(ask, name)
                await until(
                    lambda expected=position: dispatcher.slots.in_flight + dispatcher.slots.waiting == expected + 1
                )  # type: ignore[misc]
            for number in range(3):
                await driver.has_started(number + 1)
                driver.report(number)
    assert order == ["a", "b", "c"]


async def test_queue_timeout_refuses_a_call_without_starting_it(driver: Driver) -> None:
    async with Dispatcher.open(SlotLimits(max_in_flight=1, max_waiting=1, max_wait=0.02)) as dispatcher:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
            await driver.has_started(1)
            with pytest.raises(QueueTimeout):
                await call(dispatcher, driver.start, Deadline.after(LONG))
            assert (dispatcher.slots.in_flight, dispatcher.slots.waiting, len(driver.started)) == (1, 0, 1)
            driver.report(0)


async def test_pages_and_diagnostics_leave_slots_to_requests(driver: Driver) -> None:
    limits = SlotLimits(max_in_flight=8, max_pages=2, max_waiting=20, max_wait=LONG)
    async with Dispatcher.open(limits) as dispatcher, anyio.create_task_group() as tasks:
        for lane in (Lane.PAGES, Lane.DIAGNOSTICS, Lane.REQUESTS):
            for _ in range(10):
                tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG), lane)
            await until(lambda lane=lane: dispatcher.slots.in_flight_of(lane) + dispatcher.slots.waiting_of(lane) == 10)  # type: ignore[misc]
        assert [dispatcher.slots.in_flight_of(lane) for lane in Lane] == [4, 2, 2, 0]
        await driver.has_started(8)
        await report_all(dispatcher, driver, 30)
    assert len(driver.started) == 30


async def test_requests_use_free_slots_until_pages_need_them(driver: Driver) -> None:
    async with Dispatcher.open(SlotLimits(max_in_flight=4, max_pages=2, max_wait=LONG)) as dispatcher:
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
            await driver.has_started(4)
            assert (dispatcher.slots.in_flight_of(Lane.REQUESTS), dispatcher.slots.waiting_of(Lane.REQUESTS)) == (4, 4)
            for _ in range(3):
                tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG), Lane.PAGES)
            await until(lambda: dispatcher.slots.waiting_of(Lane.PAGES) == 3)
            driver.report(0)
            await driver.has_started(5)
            assert (dispatcher.slots.in_flight_of(Lane.PAGES), dispatcher.slots.waiting_of(Lane.REQUESTS)) == (1, 4)
            await report_all(dispatcher, driver, 11, first=1)


@pytest.mark.parametrize("max_in_flight", [1, 2, 3])
async def test_no_lane_starves_another_with_few_slots(driver: Driver, max_in_flight: int) -> None:
    ended: list[Lane] = []

    async def ask(lane: Lane) -> None:
        await call(dispatcher, driver.start, Deadline.after(LONG), lane)
        ended.append(lane)

    limits = SlotLimits(max_in_flight=max_in_flight, max_waiting=20, max_wait=LONG)
    lanes = (Lane.REQUESTS, Lane.PAGES, Lane.DIAGNOSTICS)
    async with Dispatcher.open(limits) as dispatcher, anyio.create_task_group() as tasks:
        for lane in lanes:
            for _ in range(10):
                tasks.start_soon(ask, lane)
        await until(lambda: dispatcher.slots.in_flight + dispatcher.slots.waiting == 30)
        for number in range(4 * len(lanes)):
            await driver.has_started(number + 1)
            driver.report(number)
        await until(lambda: len(ended) == 4 * len(lanes))
        assert {lane: ended.count(lane) >= 2 for lane in lanes} == dict.fromkeys(lanes, True)
        await report_all(dispatcher, driver, 30, first=4 * len(lanes))


async def test_probes_have_their_own_slots(dispatcher: Dispatcher, driver: Driver) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
        await until(lambda: dispatcher.slots.waiting == 1)
        assert dispatcher.slots.is_full
        for _ in range(PROBE_SLOTS + 1):
            tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG), Lane.PROBES)
        await driver.has_started(2 + PROBE_SLOTS)
        await until(lambda: dispatcher.slots.waiting_of(Lane.PROBES) == 1)
        assert (dispatcher.slots.in_flight, dispatcher.slots.in_flight_of(Lane.PROBES)) == (2, PROBE_SLOTS)
        driver.report(2)
        await driver.has_started(3 + PROBE_SLOTS)
        assert len(driver.started) == 3 + PROBE_SLOTS  # the waiting request did not get the probe's slot
        await report_all(dispatcher, driver, 4 + PROBE_SLOTS, but={2})
    assert (dispatcher.slots.in_flight, dispatcher.slots.in_flight_of(Lane.PROBES), dispatcher.slots.is_full) == (
        0,
        0,
        False,
    )


BESIDE = SlotLimits(max_in_flight=16, max_pages=4, max_pages_beside=1)


async def request_pages(dispatcher: Dispatcher, driver: Driver, tasks: TaskGroup, pages: int) -> None:
    """Start a request, then ask for `pages` pages, of which one starts beside the request and the others wait."""
    tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
    await driver.has_started(1)
    for number in range(pages):
        tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG), Lane.PAGES)
        await until(lambda so_far=number + 1: in_flight_and_waiting(dispatcher) == (1, so_far - 1))  # type: ignore[misc]
    await driver.has_started(2)


def in_flight_and_waiting(dispatcher: Dispatcher) -> tuple[int, int]:
    """Return the numbers of pages."""
    return dispatcher.slots.in_flight_of(Lane.PAGES), dispatcher.slots.waiting_of(Lane.PAGES)


async def test_pages_are_throttled_while_requests_run(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_app.runtime.scheduler.REQUEST_IDLE_SECONDS", -1.0)
    monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", LONG)
    async with Dispatcher.open(BESIDE) as dispatcher, anyio.create_task_group() as tasks:
        await request_pages(dispatcher, driver, tasks, 6)
        driver.report(1)
        await driver.has_started(3)
        assert in_flight_and_waiting(dispatcher) == (1, 4)
        driver.report(0)  # the request
        await driver.has_started(6)
        assert in_flight_and_waiting(dispatcher) == (4, 1)
        for number in (2, 3, 4, 5):
            driver.report(number)
        await driver.has_started(7)
        driver.report(6)
    assert (dispatcher.slots.in_flight, dispatcher.slots.waiting) == (0, 0)


async def test_pages_stay_throttled_during_a_pause_between_requests(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgi_app.runtime.scheduler.REQUEST_IDLE_SECONDS", LONG)
    monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", LONG)
    async with Dispatcher.open(BESIDE) as dispatcher, anyio.create_task_group() as tasks:
        await request_pages(dispatcher, driver, tasks, 3)
        driver.report(0)  # the request
        await until(lambda: dispatcher.slots.in_flight_of(Lane.REQUESTS) == 0)
        for page in (1, 2, 3):
            assert in_flight_and_waiting(dispatcher) == (1, 3 - page)
            driver.report(page)
            await driver.has_started(min(page + 2, 4))


@pytest.mark.parametrize(("recent", "longest"), [(0.2, LONG), (LONG, 0.2)])
async def test_throttled_pages_start_without_any_other_event(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, recent: float, longest: float
) -> None:
    """No call starts or ends meanwhile that would trigger a check."""
    monkeypatch.setattr("asgi_app.runtime.scheduler.REQUEST_IDLE_SECONDS", recent)
    monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", longest)
    async with Dispatcher.open(BESIDE) as dispatcher, anyio.create_task_group() as tasks:
        await request_pages(dispatcher, driver, tasks, 4)
        driver.report(0)  # the request
        await driver.has_started(5)
        assert in_flight_and_waiting(dispatcher) == (4, 0)
        for page in (1, 2, 3, 4):
            driver.report(page)


async def test_a_page_that_waited_long_is_not_throttled(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Dispatcher.open(BESIDE) as dispatcher, anyio.create_task_group() as tasks:
        monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", LONG)
        await request_pages(dispatcher, driver, tasks, 6)
        monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", -1.0)
        await driver.has_started(5)
        assert in_flight_and_waiting(dispatcher) == (4, 2)
        monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", LONG)
        driver.report(1)
        await until(lambda: dispatcher.slots.in_flight_of(Lane.PAGES) == 3)
        assert in_flight_and_waiting(dispatcher) == (3, 2)
        for number in (0, 2, 3, 4):
            driver.report(number)
        for number in (5, 6):
            await driver.has_started(number + 1)
            driver.report(number)


async def test_a_new_page_does_not_overtake_a_throttled_one(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    async def page(name: str) -> None:
        def start(timeout: float, done: OnDone[None]) -> None:
            order.append(name)
            driver.start(timeout, done)

        await call(dispatcher, start, Deadline.after(LONG), Lane.PAGES)

    limits = SlotLimits(max_in_flight=16, max_pages=2, max_pages_beside=1)
    async with Dispatcher.open(limits) as dispatcher, anyio.create_task_group() as tasks:
        monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", LONG)
        await request_pages(dispatcher, driver, tasks, 1)
        tasks.start_soon(page, "first")
        await until(lambda: in_flight_and_waiting(dispatcher) == (1, 1))
        monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", -1.0)
        tasks.start_soon(page, "second")
        await driver.has_started(3)
        assert (order, in_flight_and_waiting(dispatcher)) == (["first"], (2, 1))
        driver.report(1)
        await driver.has_started(4)
        for number in (0, 2, 3):
            driver.report(number)
    assert order == ["first", "second"]


async def test_a_page_waits_until_its_deadline_instead_of_max_wait(driver: Driver) -> None:
    async with Dispatcher.open(SlotLimits(max_in_flight=1, max_wait=0.02)) as dispatcher:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
            await driver.has_started(1)
            tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG), Lane.PAGES)
            await until(lambda: dispatcher.slots.waiting_of(Lane.PAGES) == 1)
            with pytest.raises(QueueTimeout):
                await call(dispatcher, driver.start, Deadline.after(LONG))
            assert dispatcher.slots.waiting_of(Lane.PAGES) == 1
            await report_all(dispatcher, driver, 2)


async def test_a_passed_deadline_refuses_a_call(dispatcher: Dispatcher, driver: Driver) -> None:
    with pytest.raises(DeadlineExceeded):
        await call(dispatcher, driver.start, Deadline.after(-1))
    assert (dispatcher.slots.in_flight, driver.started) == (0, [])


async def test_an_overdue_call_keeps_its_slot_until_the_driver_reports(dispatcher: Dispatcher, driver: Driver) -> None:
    with pytest.raises(AnswerOverdue):
        await call(
            dispatcher, driver.start, Deadline.after(1.0)
        )  # long enough for the call to start, even on a busy machine
    assert dispatcher.slots.in_flight == 1
    driver.report(0, "too late")
    await until(lambda: dispatcher.slots.in_flight == 0)


async def test_a_call_whose_deadline_passes_before_its_start_is_not_started(
    dispatcher: Dispatcher, driver: Driver
) -> None:
    go_on = threading.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, dispatcher, lambda _, done: done(go_on.wait(LONG), None), Deadline.after(LONG))
        await until(lambda: dispatcher.threads_in_use == 1)
        with pytest.raises(DeadlineExceeded) as caught:
            await call(dispatcher, driver.start, Deadline.after(0.05))
        assert not isinstance(caught.value, AnswerOverdue)  # a call that was not started has a known outcome
        go_on.set()
    await until(lambda: dispatcher.slots.in_flight == 0)
    assert driver.started == []


async def test_a_cancelled_call_keeps_its_slot_until_the_driver_reports(dispatcher: Dispatcher, driver: Driver) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
        await driver.has_started(1)
        tasks.cancel_scope.cancel()
    assert dispatcher.slots.in_flight == 1
    driver.report(0)
    await until(lambda: dispatcher.slots.in_flight == 0)


async def test_a_cancelled_waiter_leaves_the_queue(dispatcher: Dispatcher, driver: Driver) -> None:
    async with anyio.create_task_group() as running:
        running.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
        running.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
        await driver.has_started(2)
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
            await until(lambda: dispatcher.slots.waiting == 1)
            leaving.cancel_scope.cancel()
        assert dispatcher.slots.waiting == 0
        driver.report(0)
        driver.report(1)
    assert (dispatcher.slots.in_flight, len(driver.started)) == (0, 2)


async def test_no_slot_is_lost_when_a_waiter_is_cancelled_while_granted(dispatcher: Dispatcher, driver: Driver) -> None:
    async with anyio.create_task_group() as running:
        running.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
        running.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
        await driver.has_started(2)
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
            await until(lambda: dispatcher.slots.waiting == 1)
            driver.report(0)
            dispatcher._drain()  # grants the slot in the same step of the loop in which the waiter is cancelled
            leaving.cancel_scope.cancel()
        assert dispatcher.slots.waiting == 0
        driver.report(1)
    if dispatcher.slots.in_flight:  # the waiter started its call before the cancellation
        await driver.has_started(3)
        driver.report(2)
    await until(lambda: dispatcher.slots.in_flight == 0)


async def test_many_cancelled_waiters_never_exceed_the_limits(driver: Driver) -> None:
    limits = SlotLimits(max_in_flight=4, max_waiting=500, max_wait=LONG)

    async def come_and_go() -> None:
        with anyio.move_on_after(0.001):
            await call(dispatcher, driver.start, Deadline.after(LONG))

    async with Dispatcher.open(limits, threads=2) as dispatcher:
        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(come_and_go)
        await driver.has_started(4)
        assert dispatcher.slots.in_flight == len(driver.started) == 4
        assert dispatcher.slots.waiting == 0
        assert dispatcher.threads_in_use <= 3
        for number in range(4):
            driver.report(number)
        await until(lambda: dispatcher.slots.in_flight == 0)


async def test_one_thread_hop_starts_all_calls_that_gathered(driver: Driver) -> None:
    hops: list[int] = []
    entered, gate = threading.Event(), threading.Event()

    def blocking_start(timeout: float, done: OnDone[None]) -> None:
        entered.set()
        assert gate.wait(LONG)
        done(None, None)

    class Counted(Dispatcher):
        def _start_all(self, batch: list[Any]) -> None:
            hops.append(len(batch))
            super()._start_all(batch)

    async with Counted.open(SlotLimits()) as dispatcher:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, dispatcher, blocking_start, Deadline.after(LONG))
            assert await anyio.to_thread.run_sync(entered.wait, LONG)
            for _ in range(10):
                tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
            await until(lambda: dispatcher.slots.in_flight == 11)
            gate.set()
            await driver.has_started(10)
            for number in range(10):
                driver.report(number)
    assert hops == [1, 10]
    assert len(driver.threads) == 1


async def test_a_cancelled_run_blocking_waits_for_its_function(dispatcher: Dispatcher) -> None:
    entered, gate, left = threading.Event(), threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        assert gate.wait(LONG)
        left.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run_blocking, block)
        assert await anyio.to_thread.run_sync(entered.wait, LONG)
        tasks.cancel_scope.cancel()
        gate.set()
    assert left.is_set()


async def test_run_in_turn_runs_one_function_at_a_time(dispatcher: Dispatcher) -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.005)  # long enough for another thread to enter
        with lock:
            running -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(dispatcher.run_in_turn, work)
    assert most == 1


async def test_closing_refuses_waiting_and_new_calls(driver: Driver) -> None:
    refused: list[str] = []

    async def ask() -> None:
        try:
            await call(dispatcher, driver.start, Deadline.after(LONG))
        except ShuttingDown:
            refused.append("waiting")

    async with anyio.create_task_group() as tasks:
        async with Dispatcher.open(SlotLimits(max_in_flight=1, max_waiting=5, max_wait=LONG)) as dispatcher:
            tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
            await driver.has_started(1)
            tasks.start_soon(ask)
            await until(lambda: dispatcher.slots.waiting == 1)
        with pytest.raises(ShuttingDown):
            await call(dispatcher, driver.start, Deadline.after(LONG))
        driver.report(0)
    assert refused == ["waiting"]
    assert dispatcher.slots.in_flight == 0


async def test_a_report_after_closing_is_ignored(driver: Driver) -> None:
    async with Dispatcher.open(SlotLimits()) as dispatcher, anyio.create_task_group() as tasks:
        tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
        await driver.has_started(1)
        tasks.cancel_scope.cancel()
    driver.report(0, "no caller waits")


@pytest.mark.parametrize("checkpoints", range(5))
async def test_a_call_during_closing_is_run_or_refused_at_once(checkpoints: int) -> None:
    outcomes: list[str] = []

    async def ask(dispatcher: Dispatcher) -> None:
        try:
            await call(dispatcher, lambda timeout, done: done(None, None), Deadline.after(LONG))
            outcomes.append("run")
        except ShuttingDown:
            outcomes.append("refused")

    async with anyio.create_task_group() as tasks:
        async with Dispatcher.open(SlotLimits()) as dispatcher:
            tasks.start_soon(ask, dispatcher)
            for _ in range(checkpoints):
                await anyio.lowlevel.checkpoint()
        with anyio.fail_after(LONG / 2):
            await until(lambda: len(outcomes) == 1)
    assert dispatcher.slots.in_flight == 0
