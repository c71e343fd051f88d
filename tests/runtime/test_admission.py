"""The bridge's contract on admission, submission, answers and cancellation. Gates decide the order, never sleeps."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Container
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from anyio.abc import TaskGroup

from asgi_app.errors import DeadlineExceeded, QueueFull, QueueTimeout, ShuttingDown
from asgi_app.runtime.admission import PROBE_SLOTS, AnswerOverdue, Bridge, BridgeLimits, Done, Share
from asgi_app.runtime.deadline import Deadline

pytestmark = pytest.mark.anyio

LONG = 20.0
"""Seconds: a deadline that no test reaches unless it hangs."""


class Driver:
    """Stands for a callback-style driver: starts calls and reports them when the test says so."""

    def __init__(self) -> None:
        self.started: list[Done[Any]] = []
        self.threads: set[int] = set()
        self._one_more = threading.Condition()

    def start(self, timeout: float, done: Done[Any]) -> None:
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
async def bridge() -> AsyncIterator[Bridge]:
    async with Bridge.open(BridgeLimits(max_in_flight=2, max_waiting=1, max_wait=LONG)) as opened:
        yield opened


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds."""
    with anyio.fail_after(LONG):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def everything_reported(
    bridge: Bridge, driver: Driver, calls: int, first: int = 0, but: Container[int] = ()
) -> None:
    """Report each call as it starts, from number `first` on without those in `but`, and wait until all have ended."""
    for call in range(first, calls):
        await driver.has_started(call + 1)
        if call not in but:
            driver.report(call)
    await until(lambda: bridge.in_flight == bridge.in_flight_of(Share.PROBES) == 0)


async def test_returns_what_the_call_reports(bridge: Bridge) -> None:
    def start(timeout: float, done: Done[str]) -> None:
        done("rows", None)

    assert await bridge.call(start, Deadline.after(LONG)) == "rows"
    assert bridge.in_flight == 0


async def test_raises_what_the_call_reports(bridge: Bridge) -> None:
    def start(timeout: float, done: Done[str]) -> None:
        done(None, LookupError("no host"))

    with pytest.raises(LookupError, match="no host"):
        await bridge.call(start, Deadline.after(LONG))
    assert bridge.in_flight == 0


async def test_a_call_that_cannot_be_started_raises_and_frees_its_slot(bridge: Bridge) -> None:
    def start(timeout: float, done: Done[str]) -> None:
        raise TypeError("cannot bind")

    with pytest.raises(TypeError, match="cannot bind"):
        await bridge.call(start, Deadline.after(LONG))
    assert bridge.in_flight == 0


async def test_only_the_first_report_counts(bridge: Bridge) -> None:
    def start(timeout: float, done: Done[str]) -> None:
        done("first", None)
        done("second", None)
        done(None, LookupError())

    assert await bridge.call(start, Deadline.after(LONG)) == "first"
    assert await bridge.call(start, Deadline.after(LONG)) == "first"
    assert bridge.in_flight == 0


async def test_calls_start_in_a_worker_thread_with_what_is_left_of_the_deadline(bridge: Bridge) -> None:
    seen: list[tuple[int, float]] = []

    def start(timeout: float, done: Done[None]) -> None:
        seen.append((threading.get_ident(), timeout))
        done(None, None)

    await bridge.call(start, Deadline.after(5.0))
    ((thread, timeout),) = seen
    assert thread != threading.get_ident()
    assert 0 < timeout <= 5.0


async def test_no_more_calls_run_than_the_bound_and_no_more_wait(bridge: Bridge, driver: Driver) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG))
        await until(lambda: bridge.waiting == 1)
        await driver.has_started(2)
        with pytest.raises(QueueFull):
            await bridge.call(driver.start, Deadline.after(LONG))
        assert bridge.in_flight == 2
        driver.report(0)
        await driver.has_started(3)
        assert (bridge.in_flight, bridge.waiting) == (2, 0)
        driver.report(1)
        driver.report(2)
    assert bridge.in_flight == 0


async def test_whoever_waits_longest_goes_first(driver: Driver) -> None:
    order: list[str] = []

    async def ask(name: str) -> None:
        await bridge.call(driver.start, Deadline.after(LONG))
        order.append(name)

    async with Bridge.open(BridgeLimits(max_in_flight=1, max_waiting=2, max_wait=LONG)) as bridge:
        async with anyio.create_task_group() as tasks:
            for position, name in enumerate(("a", "b", "c")):
                tasks.start_soon(ask, name)
                await until(lambda expected=position: bridge.in_flight + bridge.waiting == expected + 1)  # type: ignore[misc]
            for call in range(3):
                await driver.has_started(call + 1)
                driver.report(call)
    assert order == ["a", "b", "c"]


async def test_waiting_too_long_for_a_slot_is_refused_and_never_started(driver: Driver) -> None:
    async with Bridge.open(BridgeLimits(max_in_flight=1, max_waiting=1, max_wait=0.02)) as bridge:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG))
            await driver.has_started(1)
            with pytest.raises(QueueTimeout):
                await bridge.call(driver.start, Deadline.after(LONG))
            assert (bridge.in_flight, bridge.waiting, len(driver.started)) == (1, 0, 1)
            driver.report(0)


async def test_pages_and_trials_keep_to_their_shares_and_leave_slots_to_calls(driver: Driver) -> None:
    limits = BridgeLimits(max_in_flight=8, max_pages=2, max_waiting=20, max_wait=LONG)
    async with Bridge.open(limits) as bridge, anyio.create_task_group() as tasks:
        for share in (Share.PAGES, Share.TRIALS, Share.CALLS):
            for _ in range(10):
                tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG), share)
            await until(lambda share=share: bridge.in_flight_of(share) + bridge.waiting_of(share) == 10)  # type: ignore[misc]
        assert [bridge.in_flight_of(share) for share in Share] == [4, 2, 2, 0]
        await driver.has_started(8)
        await everything_reported(bridge, driver, 30)
    assert len(driver.started) == 30


async def test_calls_take_what_pages_leave_and_give_it_back_at_the_next_report(driver: Driver) -> None:
    async with Bridge.open(BridgeLimits(max_in_flight=4, max_pages=2, max_wait=LONG)) as bridge:
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG))
            await driver.has_started(4)
            assert (bridge.in_flight_of(Share.CALLS), bridge.waiting_of(Share.CALLS)) == (4, 4)
            for _ in range(3):
                tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG), Share.PAGES)
            await until(lambda: bridge.waiting_of(Share.PAGES) == 3)
            driver.report(0)
            await driver.has_started(5)
            assert (bridge.in_flight_of(Share.PAGES), bridge.waiting_of(Share.CALLS)) == (1, 4)
            await everything_reported(bridge, driver, 11, first=1)


@pytest.mark.parametrize("max_in_flight", [1, 2, 3])
async def test_no_kind_of_call_starves_another_however_few_slots_there_are(driver: Driver, max_in_flight: int) -> None:
    ended: list[Share] = []

    async def ask(share: Share) -> None:
        await bridge.call(driver.start, Deadline.after(LONG), share)
        ended.append(share)

    limits = BridgeLimits(max_in_flight=max_in_flight, max_waiting=20, max_wait=LONG)
    kinds = (Share.CALLS, Share.PAGES, Share.TRIALS)
    async with Bridge.open(limits) as bridge, anyio.create_task_group() as tasks:
        for share in kinds:
            for _ in range(10):
                tasks.start_soon(ask, share)
        await until(lambda: bridge.in_flight + bridge.waiting == 30)
        for call in range(4 * len(kinds)):
            await driver.has_started(call + 1)
            driver.report(call)
        await until(lambda: len(ended) == 4 * len(kinds))
        assert {share: ended.count(share) >= 2 for share in kinds} == dict.fromkeys(kinds, True)
        await everything_reported(bridge, driver, 30, first=4 * len(kinds))


async def test_probes_start_when_everything_else_is_full_and_are_bounded_too(bridge: Bridge, driver: Driver) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG))
        await until(lambda: bridge.waiting == 1)
        assert bridge.is_full
        for _ in range(PROBE_SLOTS + 1):
            tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG), Share.PROBES)
        await driver.has_started(2 + PROBE_SLOTS)
        await until(lambda: bridge.waiting_of(Share.PROBES) == 1)
        assert (bridge.in_flight, bridge.in_flight_of(Share.PROBES)) == (2, PROBE_SLOTS)
        driver.report(2)
        await driver.has_started(3 + PROBE_SLOTS)
        assert len(driver.started) == 3 + PROBE_SLOTS  # the call that waits has not got the probe's slot
        await everything_reported(bridge, driver, 4 + PROBE_SLOTS, but={2})
    assert (bridge.in_flight, bridge.in_flight_of(Share.PROBES), bridge.is_full) == (0, 0, False)


BESIDE = BridgeLimits(max_in_flight=16, max_pages=4, max_pages_beside=1)


async def asked_for_pages(bridge: Bridge, driver: Driver, tasks: TaskGroup, pages: int) -> None:
    """So many pages beside one call that was started first, one of them started too."""
    tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG))
    await driver.has_started(1)
    for number in range(pages):
        tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG), Share.PAGES)
        await until(lambda so_far=number + 1: in_flight_and_waiting(bridge) == (1, so_far - 1))  # type: ignore[misc]
    await driver.has_started(2)


def in_flight_and_waiting(bridge: Bridge) -> tuple[int, int]:
    return bridge.in_flight_of(Share.PAGES), bridge.waiting_of(Share.PAGES)


async def test_pages_go_one_by_one_while_there_are_calls_and_all_at_once_after(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgi_app.runtime.admission.RECENT", -1.0)
    monkeypatch.setattr("asgi_app.runtime.admission.LONGEST_HELD_BACK", LONG)
    async with Bridge.open(BESIDE) as bridge, anyio.create_task_group() as tasks:
        await asked_for_pages(bridge, driver, tasks, 6)
        driver.report(1)
        await driver.has_started(3)
        assert in_flight_and_waiting(bridge) == (1, 4)
        driver.report(0)  # the call
        await driver.has_started(6)
        assert in_flight_and_waiting(bridge) == (4, 1)
        for call in (2, 3, 4, 5):
            driver.report(call)
        await driver.has_started(7)
        driver.report(6)
    assert (bridge.in_flight, bridge.waiting) == (0, 0)


async def test_a_pause_between_calls_is_not_the_end_of_them(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_app.runtime.admission.RECENT", LONG)
    monkeypatch.setattr("asgi_app.runtime.admission.LONGEST_HELD_BACK", LONG)
    async with Bridge.open(BESIDE) as bridge, anyio.create_task_group() as tasks:
        await asked_for_pages(bridge, driver, tasks, 3)
        driver.report(0)  # the call
        await until(lambda: bridge.in_flight_of(Share.CALLS) == 0)
        for page in (1, 2, 3):
            assert in_flight_and_waiting(bridge) == (1, 3 - page)
            driver.report(page)
            await driver.has_started(min(page + 2, 4))


@pytest.mark.parametrize(("recent", "longest"), [(0.2, LONG), (LONG, 0.2)])
async def test_pages_go_on_in_their_time_though_nothing_else_happens(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, recent: float, longest: float
) -> None:
    """The page under way may take long, and no call may ever come again."""
    monkeypatch.setattr("asgi_app.runtime.admission.RECENT", recent)
    monkeypatch.setattr("asgi_app.runtime.admission.LONGEST_HELD_BACK", longest)
    async with Bridge.open(BESIDE) as bridge, anyio.create_task_group() as tasks:
        await asked_for_pages(bridge, driver, tasks, 4)
        driver.report(0)  # the call
        await driver.has_started(5)
        assert in_flight_and_waiting(bridge) == (4, 0)
        for page in (1, 2, 3, 4):
            driver.report(page)


async def test_a_page_that_has_waited_for_long_is_held_back_no_longer(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Bridge.open(BESIDE) as bridge, anyio.create_task_group() as tasks:
        monkeypatch.setattr("asgi_app.runtime.admission.LONGEST_HELD_BACK", LONG)
        await asked_for_pages(bridge, driver, tasks, 6)
        monkeypatch.setattr("asgi_app.runtime.admission.LONGEST_HELD_BACK", -1.0)
        await driver.has_started(5)
        assert in_flight_and_waiting(bridge) == (4, 2)
        monkeypatch.setattr("asgi_app.runtime.admission.LONGEST_HELD_BACK", LONG)
        driver.report(1)
        await until(lambda: bridge.in_flight_of(Share.PAGES) == 3)
        assert in_flight_and_waiting(bridge) == (3, 2)
        for call in (0, 2, 3, 4):
            driver.report(call)
        for call in (5, 6):
            await driver.has_started(call + 1)
            driver.report(call)


async def test_who_comes_when_there_is_room_again_does_not_overtake_who_waits(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    async def page(name: str) -> None:
        def start(timeout: float, done: Done[None]) -> None:
            order.append(name)
            driver.start(timeout, done)

        await bridge.call(start, Deadline.after(LONG), Share.PAGES)

    limits = BridgeLimits(max_in_flight=16, max_pages=2, max_pages_beside=1)
    async with Bridge.open(limits) as bridge, anyio.create_task_group() as tasks:
        monkeypatch.setattr("asgi_app.runtime.admission.LONGEST_HELD_BACK", LONG)
        await asked_for_pages(bridge, driver, tasks, 1)
        tasks.start_soon(page, "first")
        await until(lambda: in_flight_and_waiting(bridge) == (1, 1))
        monkeypatch.setattr("asgi_app.runtime.admission.LONGEST_HELD_BACK", -1.0)
        tasks.start_soon(page, "second")
        await driver.has_started(3)
        assert (order, in_flight_and_waiting(bridge)) == (["first"], (2, 1))
        driver.report(1)
        await driver.has_started(4)
        for call in (0, 2, 3):
            driver.report(call)
    assert order == ["first", "second"]


async def test_a_page_waits_until_its_deadline_and_not_for_the_patience_of_calls(driver: Driver) -> None:
    async with Bridge.open(BridgeLimits(max_in_flight=1, max_wait=0.02)) as bridge:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG))
            await driver.has_started(1)
            tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG), Share.PAGES)
            await until(lambda: bridge.waiting_of(Share.PAGES) == 1)
            with pytest.raises(QueueTimeout):
                await bridge.call(driver.start, Deadline.after(LONG))
            assert bridge.waiting_of(Share.PAGES) == 1
            await everything_reported(bridge, driver, 2)


async def test_a_deadline_that_has_passed_is_refused_before_anything_starts(bridge: Bridge, driver: Driver) -> None:
    with pytest.raises(DeadlineExceeded):
        await bridge.call(driver.start, Deadline.after(-1))
    assert (bridge.in_flight, driver.started) == (0, [])


async def test_the_waiter_leaves_at_the_deadline_and_the_slot_stays_until_the_driver_reports(
    bridge: Bridge, driver: Driver
) -> None:
    with pytest.raises(AnswerOverdue):
        await bridge.call(driver.start, Deadline.after(1.0))  # time enough to be handed over, on a busy machine too
    assert bridge.in_flight == 1
    driver.report(0, "too late")
    await until(lambda: bridge.in_flight == 0)


async def test_a_call_whose_deadline_passes_before_its_thread_comes_to_it_is_never_started(
    bridge: Bridge, driver: Driver
) -> None:
    go_on = threading.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bridge.call, lambda _, done: done(go_on.wait(LONG), None), Deadline.after(LONG))
        await until(lambda: bridge.threads_in_use == 1)
        with pytest.raises(DeadlineExceeded) as caught:
            await bridge.call(driver.start, Deadline.after(0.05))
        assert not isinstance(caught.value, AnswerOverdue)  # what was not handed over has no outcome to wonder about
        go_on.set()
    await until(lambda: bridge.in_flight == 0)
    assert driver.started == []


async def test_cancelling_a_call_under_way_keeps_its_slot_until_the_driver_reports(
    bridge: Bridge, driver: Driver
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG))
        await driver.has_started(1)
        tasks.cancel_scope.cancel()
    assert bridge.in_flight == 1
    driver.report(0)
    await until(lambda: bridge.in_flight == 0)


async def test_cancelling_a_waiter_takes_it_out_of_the_queue(bridge: Bridge, driver: Driver) -> None:
    async with anyio.create_task_group() as running:
        running.start_soon(bridge.call, driver.start, Deadline.after(LONG))
        running.start_soon(bridge.call, driver.start, Deadline.after(LONG))
        await driver.has_started(2)
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(bridge.call, driver.start, Deadline.after(LONG))
            await until(lambda: bridge.waiting == 1)
            leaving.cancel_scope.cancel()
        assert bridge.waiting == 0
        driver.report(0)
        driver.report(1)
    assert (bridge.in_flight, len(driver.started)) == (0, 2)


async def test_no_slot_is_lost_when_a_waiter_is_cancelled_as_it_is_handed_one(bridge: Bridge, driver: Driver) -> None:
    async with anyio.create_task_group() as running:
        running.start_soon(bridge.call, driver.start, Deadline.after(LONG))
        running.start_soon(bridge.call, driver.start, Deadline.after(LONG))
        await driver.has_started(2)
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(bridge.call, driver.start, Deadline.after(LONG))
            await until(lambda: bridge.waiting == 1)
            driver.report(0)
            bridge._drain()  # hands the slot over in the same step of the loop in which its taker is cancelled
            leaving.cancel_scope.cancel()
        assert bridge.waiting == 0
        driver.report(1)
    if bridge.in_flight:  # the taker got as far as starting its call, which then ends as any other
        await driver.has_started(3)
        driver.report(2)
    await until(lambda: bridge.in_flight == 0)


async def test_a_storm_of_leaving_waiters_never_passes_the_bounds(driver: Driver) -> None:
    limits = BridgeLimits(max_in_flight=4, max_waiting=500, max_wait=LONG, threads=2)

    async def come_and_go() -> None:
        with anyio.move_on_after(0.001):
            await bridge.call(driver.start, Deadline.after(LONG))

    async with Bridge.open(limits) as bridge:
        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(come_and_go)
        await driver.has_started(4)
        assert bridge.in_flight == len(driver.started) == 4
        assert bridge.waiting == 0
        assert bridge.threads_in_use <= 3
        for call in range(4):
            driver.report(call)
        await until(lambda: bridge.in_flight == 0)


async def test_one_hop_starts_all_calls_that_gathered_during_the_hop_before(driver: Driver) -> None:
    hops: list[int] = []
    entered, gate = threading.Event(), threading.Event()

    def blocking_start(timeout: float, done: Done[None]) -> None:
        entered.set()
        assert gate.wait(LONG)
        done(None, None)

    class Counted(Bridge):
        def _start_all(self, batch: list[Any]) -> None:
            hops.append(len(batch))
            super()._start_all(batch)

    async with Counted.open(BridgeLimits()) as bridge:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bridge.call, blocking_start, Deadline.after(LONG))
            assert await anyio.to_thread.run_sync(entered.wait, LONG)
            for _ in range(10):
                tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG))
            await until(lambda: bridge.in_flight == 11)
            gate.set()
            await driver.has_started(10)
            for call in range(10):
                driver.report(call)
    assert hops == [1, 10]
    assert len(driver.threads) == 1


async def test_run_holds_its_thread_until_the_call_returns_even_when_cancelled(bridge: Bridge) -> None:
    entered, gate, left = threading.Event(), threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        assert gate.wait(LONG)
        left.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bridge.run, block)
        assert await anyio.to_thread.run_sync(entered.wait, LONG)
        tasks.cancel_scope.cancel()
        gate.set()
    assert left.is_set()


async def test_work_in_turn_never_runs_two_at_once(bridge: Bridge) -> None:
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
            tasks.start_soon(bridge.run_in_turn, work)
    assert most == 1


async def test_closing_turns_away_those_who_wait_and_those_who_come(driver: Driver) -> None:
    refused: list[str] = []

    async def ask() -> None:
        try:
            await bridge.call(driver.start, Deadline.after(LONG))
        except ShuttingDown:
            refused.append("waiting")

    async with anyio.create_task_group() as tasks:
        async with Bridge.open(BridgeLimits(max_in_flight=1, max_waiting=5, max_wait=LONG)) as bridge:
            tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG))
            await driver.has_started(1)
            tasks.start_soon(ask)
            await until(lambda: bridge.waiting == 1)
        with pytest.raises(ShuttingDown):
            await bridge.call(driver.start, Deadline.after(LONG))
        driver.report(0)
    assert refused == ["waiting"]
    assert bridge.in_flight == 0


async def test_a_report_after_the_end_harms_nobody(driver: Driver) -> None:
    async with Bridge.open(BridgeLimits()) as bridge, anyio.create_task_group() as tasks:
        tasks.start_soon(bridge.call, driver.start, Deadline.after(LONG))
        await driver.has_started(1)
        tasks.cancel_scope.cancel()
    driver.report(0, "nobody waits")


@pytest.mark.parametrize("checkpoints", range(5))
async def test_a_call_that_comes_as_the_bridge_closes_is_run_or_refused_at_once(checkpoints: int) -> None:
    told: list[str] = []

    async def ask(bridge: Bridge) -> None:
        try:
            await bridge.call(lambda timeout, done: done(None, None), Deadline.after(LONG))
            told.append("run")
        except ShuttingDown:
            told.append("refused")

    async with anyio.create_task_group() as tasks:
        async with Bridge.open(BridgeLimits()) as bridge:
            tasks.start_soon(ask, bridge)
            for _ in range(checkpoints):
                await anyio.lowlevel.checkpoint()
        with anyio.fail_after(LONG / 2):
            await until(lambda: len(told) == 1)
    assert bridge.in_flight == 0
