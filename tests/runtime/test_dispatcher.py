"""The dispatcher's contract on admission, start, answers and cancellation. Gates decide the order, never sleeps."""

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
from asgi_app.runtime.dispatcher import Dispatcher, OnDone
from asgi_app.runtime.scheduler import PROBE_SLOTS, Lane, SlotLimits

pytestmark = pytest.mark.anyio

LONG = 20.0
"""Seconds: a deadline that no test reaches unless it hangs."""


class Driver:
    """Stands for a callback-style driver: starts calls and reports them when the test says so."""

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
        """Returns once so many calls were started."""
        await anyio.to_thread.run_sync(self._wait_for, calls)

    def _wait_for(self, calls: int) -> None:
        with self._one_more:
            assert self._one_more.wait_for(lambda: len(self.started) >= calls, LONG)

    def report(self, call: int, result: object = None, error: BaseException | None = None) -> None:
        """Report from a thread of the driver's own, as drivers do."""
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
    """Let other tasks run until the condition holds."""
    with anyio.fail_after(LONG):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def everything_reported(
    dispatcher: Dispatcher, driver: Driver, calls: int, first: int = 0, but: Container[int] = ()
) -> None:
    """Report each call as it starts, from number `first` on without those in `but`, and wait until all have ended."""
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


async def test_a_call_that_cannot_be_started_raises_and_frees_its_slot(dispatcher: Dispatcher) -> None:
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


async def test_calls_start_in_a_worker_thread_with_what_is_left_of_the_deadline(dispatcher: Dispatcher) -> None:
    seen: list[tuple[int, float]] = []

    def start(timeout: float, done: OnDone[None]) -> None:
        seen.append((threading.get_ident(), timeout))
        done(None, None)

    await call(dispatcher, start, Deadline.after(5.0))
    ((thread, timeout),) = seen
    assert thread != threading.get_ident()
    assert 0 < timeout <= 5.0


async def test_no_more_calls_run_than_the_bound_and_no_more_wait(dispatcher: Dispatcher, driver: Driver) -> None:
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


async def test_whoever_waits_longest_goes_first(driver: Driver) -> None:
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


async def test_waiting_too_long_for_a_slot_is_refused_and_never_started(driver: Driver) -> None:
    async with Dispatcher.open(SlotLimits(max_in_flight=1, max_waiting=1, max_wait=0.02)) as dispatcher:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
            await driver.has_started(1)
            with pytest.raises(QueueTimeout):
                await call(dispatcher, driver.start, Deadline.after(LONG))
            assert (dispatcher.slots.in_flight, dispatcher.slots.waiting, len(driver.started)) == (1, 0, 1)
            driver.report(0)


async def test_pages_and_trials_keep_to_their_lanes_and_leave_slots_to_calls(driver: Driver) -> None:
    limits = SlotLimits(max_in_flight=8, max_pages=2, max_waiting=20, max_wait=LONG)
    async with Dispatcher.open(limits) as dispatcher, anyio.create_task_group() as tasks:
        for lane in (Lane.PAGES, Lane.DIAGNOSTICS, Lane.REQUESTS):
            for _ in range(10):
                tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG), lane)
            await until(lambda lane=lane: dispatcher.slots.in_flight_of(lane) + dispatcher.slots.waiting_of(lane) == 10)  # type: ignore[misc]
        assert [dispatcher.slots.in_flight_of(lane) for lane in Lane] == [4, 2, 2, 0]
        await driver.has_started(8)
        await everything_reported(dispatcher, driver, 30)
    assert len(driver.started) == 30


async def test_calls_take_what_pages_leave_and_give_it_back_at_the_next_report(driver: Driver) -> None:
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
            await everything_reported(dispatcher, driver, 11, first=1)


@pytest.mark.parametrize("max_in_flight", [1, 2, 3])
async def test_no_kind_of_call_starves_another_however_few_slots_there_are(driver: Driver, max_in_flight: int) -> None:
    ended: list[Lane] = []

    async def ask(lane: Lane) -> None:
        await call(dispatcher, driver.start, Deadline.after(LONG), lane)
        ended.append(lane)

    limits = SlotLimits(max_in_flight=max_in_flight, max_waiting=20, max_wait=LONG)
    kinds = (Lane.REQUESTS, Lane.PAGES, Lane.DIAGNOSTICS)
    async with Dispatcher.open(limits) as dispatcher, anyio.create_task_group() as tasks:
        for lane in kinds:
            for _ in range(10):
                tasks.start_soon(ask, lane)
        await until(lambda: dispatcher.slots.in_flight + dispatcher.slots.waiting == 30)
        for number in range(4 * len(kinds)):
            await driver.has_started(number + 1)
            driver.report(number)
        await until(lambda: len(ended) == 4 * len(kinds))
        assert {lane: ended.count(lane) >= 2 for lane in kinds} == dict.fromkeys(kinds, True)
        await everything_reported(dispatcher, driver, 30, first=4 * len(kinds))


async def test_probes_start_when_everything_else_is_full_and_are_bounded_too(
    dispatcher: Dispatcher, driver: Driver
) -> None:
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
        assert len(driver.started) == 3 + PROBE_SLOTS  # the call that waits has not got the probe's slot
        await everything_reported(dispatcher, driver, 4 + PROBE_SLOTS, but={2})
    assert (dispatcher.slots.in_flight, dispatcher.slots.in_flight_of(Lane.PROBES), dispatcher.slots.is_full) == (
        0,
        0,
        False,
    )


BESIDE = SlotLimits(max_in_flight=16, max_pages=4, max_pages_beside=1)


async def asked_for_pages(dispatcher: Dispatcher, driver: Driver, tasks: TaskGroup, pages: int) -> None:
    """So many pages beside one call that was started first, one of them started too."""
    tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
    await driver.has_started(1)
    for number in range(pages):
        tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG), Lane.PAGES)
        await until(lambda so_far=number + 1: in_flight_and_waiting(dispatcher) == (1, so_far - 1))  # type: ignore[misc]
    await driver.has_started(2)


def in_flight_and_waiting(dispatcher: Dispatcher) -> tuple[int, int]:
    return dispatcher.slots.in_flight_of(Lane.PAGES), dispatcher.slots.waiting_of(Lane.PAGES)


async def test_pages_go_one_by_one_while_there_are_calls_and_all_at_once_after(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgi_app.runtime.scheduler.REQUEST_IDLE_SECONDS", -1.0)
    monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", LONG)
    async with Dispatcher.open(BESIDE) as dispatcher, anyio.create_task_group() as tasks:
        await asked_for_pages(dispatcher, driver, tasks, 6)
        driver.report(1)
        await driver.has_started(3)
        assert in_flight_and_waiting(dispatcher) == (1, 4)
        driver.report(0)  # the call
        await driver.has_started(6)
        assert in_flight_and_waiting(dispatcher) == (4, 1)
        for number in (2, 3, 4, 5):
            driver.report(number)
        await driver.has_started(7)
        driver.report(6)
    assert (dispatcher.slots.in_flight, dispatcher.slots.waiting) == (0, 0)


async def test_a_pause_between_calls_is_not_the_end_of_them(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_app.runtime.scheduler.REQUEST_IDLE_SECONDS", LONG)
    monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", LONG)
    async with Dispatcher.open(BESIDE) as dispatcher, anyio.create_task_group() as tasks:
        await asked_for_pages(dispatcher, driver, tasks, 3)
        driver.report(0)  # the call
        await until(lambda: dispatcher.slots.in_flight_of(Lane.REQUESTS) == 0)
        for page in (1, 2, 3):
            assert in_flight_and_waiting(dispatcher) == (1, 3 - page)
            driver.report(page)
            await driver.has_started(min(page + 2, 4))


@pytest.mark.parametrize(("recent", "longest"), [(0.2, LONG), (LONG, 0.2)])
async def test_pages_go_on_in_their_time_though_nothing_else_happens(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, recent: float, longest: float
) -> None:
    """The page under way may take long, and no call may ever come again."""
    monkeypatch.setattr("asgi_app.runtime.scheduler.REQUEST_IDLE_SECONDS", recent)
    monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", longest)
    async with Dispatcher.open(BESIDE) as dispatcher, anyio.create_task_group() as tasks:
        await asked_for_pages(dispatcher, driver, tasks, 4)
        driver.report(0)  # the call
        await driver.has_started(5)
        assert in_flight_and_waiting(dispatcher) == (4, 0)
        for page in (1, 2, 3, 4):
            driver.report(page)


async def test_a_page_that_has_waited_for_long_is_held_back_no_longer(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Dispatcher.open(BESIDE) as dispatcher, anyio.create_task_group() as tasks:
        monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", LONG)
        await asked_for_pages(dispatcher, driver, tasks, 6)
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


async def test_who_comes_when_there_is_room_again_does_not_overtake_who_waits(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    async def page(name: str) -> None:
        def start(timeout: float, done: OnDone[None]) -> None:
            order.append(name)
            driver.start(timeout, done)

        await call(dispatcher, start, Deadline.after(LONG), Lane.PAGES)

    limits = SlotLimits(max_in_flight=16, max_pages=2, max_pages_beside=1)
    async with Dispatcher.open(limits) as dispatcher, anyio.create_task_group() as tasks:
        monkeypatch.setattr("asgi_app.runtime.scheduler.MAX_THROTTLE_SECONDS", LONG)
        await asked_for_pages(dispatcher, driver, tasks, 1)
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


async def test_a_page_waits_until_its_deadline_and_not_for_the_patience_of_calls(driver: Driver) -> None:
    async with Dispatcher.open(SlotLimits(max_in_flight=1, max_wait=0.02)) as dispatcher:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
            await driver.has_started(1)
            tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG), Lane.PAGES)
            await until(lambda: dispatcher.slots.waiting_of(Lane.PAGES) == 1)
            with pytest.raises(QueueTimeout):
                await call(dispatcher, driver.start, Deadline.after(LONG))
            assert dispatcher.slots.waiting_of(Lane.PAGES) == 1
            await everything_reported(dispatcher, driver, 2)


async def test_a_deadline_that_has_passed_is_refused_before_anything_starts(
    dispatcher: Dispatcher, driver: Driver
) -> None:
    with pytest.raises(DeadlineExceeded):
        await call(dispatcher, driver.start, Deadline.after(-1))
    assert (dispatcher.slots.in_flight, driver.started) == (0, [])


async def test_the_waiter_leaves_at_the_deadline_and_the_slot_stays_until_the_driver_reports(
    dispatcher: Dispatcher, driver: Driver
) -> None:
    with pytest.raises(AnswerOverdue):
        await call(
            dispatcher, driver.start, Deadline.after(1.0)
        )  # time enough to be handed over, on a busy machine too
    assert dispatcher.slots.in_flight == 1
    driver.report(0, "too late")
    await until(lambda: dispatcher.slots.in_flight == 0)


async def test_a_call_whose_deadline_passes_before_its_thread_comes_to_it_is_never_started(
    dispatcher: Dispatcher, driver: Driver
) -> None:
    go_on = threading.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, dispatcher, lambda _, done: done(go_on.wait(LONG), None), Deadline.after(LONG))
        await until(lambda: dispatcher.threads_in_use == 1)
        with pytest.raises(DeadlineExceeded) as caught:
            await call(dispatcher, driver.start, Deadline.after(0.05))
        assert not isinstance(caught.value, AnswerOverdue)  # what was not handed over has no outcome to wonder about
        go_on.set()
    await until(lambda: dispatcher.slots.in_flight == 0)
    assert driver.started == []


async def test_cancelling_a_call_under_way_keeps_its_slot_until_the_driver_reports(
    dispatcher: Dispatcher, driver: Driver
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
        await driver.has_started(1)
        tasks.cancel_scope.cancel()
    assert dispatcher.slots.in_flight == 1
    driver.report(0)
    await until(lambda: dispatcher.slots.in_flight == 0)


async def test_cancelling_a_waiter_takes_it_out_of_the_queue(dispatcher: Dispatcher, driver: Driver) -> None:
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


async def test_no_slot_is_lost_when_a_waiter_is_cancelled_as_it_is_handed_one(
    dispatcher: Dispatcher, driver: Driver
) -> None:
    async with anyio.create_task_group() as running:
        running.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
        running.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
        await driver.has_started(2)
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
            await until(lambda: dispatcher.slots.waiting == 1)
            driver.report(0)
            dispatcher._drain()  # hands the slot over in the same step of the loop in which its taker is cancelled
            leaving.cancel_scope.cancel()
        assert dispatcher.slots.waiting == 0
        driver.report(1)
    if dispatcher.slots.in_flight:  # the taker got as far as starting its call, which then ends as any other
        await driver.has_started(3)
        driver.report(2)
    await until(lambda: dispatcher.slots.in_flight == 0)


async def test_a_storm_of_leaving_waiters_never_passes_the_bounds(driver: Driver) -> None:
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


async def test_one_hop_starts_all_calls_that_gathered_during_the_hop_before(driver: Driver) -> None:
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


async def test_run_holds_its_thread_until_the_call_returns_even_when_cancelled(dispatcher: Dispatcher) -> None:
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


async def test_work_in_turn_never_runs_two_at_once(dispatcher: Dispatcher) -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.005)  # time enough for another to come in, were it let
        with lock:
            running -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(dispatcher.run_in_turn, work)
    assert most == 1


async def test_closing_turns_away_those_who_wait_and_those_who_come(driver: Driver) -> None:
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


async def test_a_report_after_the_end_harms_nobody(driver: Driver) -> None:
    async with Dispatcher.open(SlotLimits()) as dispatcher, anyio.create_task_group() as tasks:
        tasks.start_soon(call, dispatcher, driver.start, Deadline.after(LONG))
        await driver.has_started(1)
        tasks.cancel_scope.cancel()
    driver.report(0, "nobody waits")


@pytest.mark.parametrize("checkpoints", range(5))
async def test_a_call_that_comes_as_the_dispatcher_closes_is_run_or_refused_at_once(checkpoints: int) -> None:
    told: list[str] = []

    async def ask(dispatcher: Dispatcher) -> None:
        try:
            await call(dispatcher, lambda timeout, done: done(None, None), Deadline.after(LONG))
            told.append("run")
        except ShuttingDown:
            told.append("refused")

    async with anyio.create_task_group() as tasks:
        async with Dispatcher.open(SlotLimits()) as dispatcher:
            tasks.start_soon(ask, dispatcher)
            for _ in range(checkpoints):
                await anyio.lowlevel.checkpoint()
        with anyio.fail_after(LONG / 2):
            await until(lambda: len(told) == 1)
    assert dispatcher.slots.in_flight == 0
