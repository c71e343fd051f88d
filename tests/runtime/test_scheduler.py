"""The slot scheduler: limits, fairness among lanes, throttling of pages, and no lost slots."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_app.errors import QueueFull
from asgi_app.runtime.scheduler import (
    MAX_THROTTLE_SECONDS,
    PROBE_SLOTS,
    REQUEST_IDLE_SECONDS,
    Lane,
    SlotLimits,
    SlotScheduler,
    Waiter,
)


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Slots(SlotScheduler):
    """A scheduler with its clock. Records the waiters that were granted a slot, and counts calls of `on_throttled`."""

    def __init__(self, limits: SlotLimits) -> None:
        self.clock = Clock()
        self.granted: list[str] = []
        self.throttled = 0
        super().__init__(limits, self._count, self.clock)

    def _count(self) -> None:
        self.throttled += 1

    def wait(self, lane: Lane, name: str = "") -> Waiter:
        return self.enqueue(lane, lambda: self.granted.append(name))


def fill(slots: SlotScheduler, lane: Lane, calls: int) -> None:
    for _ in range(calls):
        assert slots.try_acquire(lane)


def test_a_lane_takes_no_more_than_its_slots() -> None:
    slots = Slots(SlotLimits(max_in_flight=8, max_pages=3))
    fill(slots, Lane.PAGES, 3)
    assert not slots.try_acquire(Lane.PAGES)
    fill(slots, Lane.DIAGNOSTICS, 2)
    assert not slots.try_acquire(Lane.DIAGNOSTICS)
    fill(slots, Lane.REQUESTS, 3)
    assert not slots.try_acquire(Lane.REQUESTS)
    assert (slots.in_flight, slots.waiting) == (8, 0)


def test_probes_have_reserved_slots() -> None:
    slots = Slots(SlotLimits(max_in_flight=1, max_waiting=1))
    fill(slots, Lane.REQUESTS, 1)
    fill(slots, Lane.PROBES, PROBE_SLOTS)
    assert not slots.try_acquire(Lane.PROBES)
    slots.wait(Lane.PROBES, "probe")
    slots.release(Lane.REQUESTS)
    assert slots.granted == []
    slots.release(Lane.PROBES)
    assert (slots.granted, slots.in_flight_of(Lane.PROBES), slots.in_flight) == (["probe"], PROBE_SLOTS, 0)


def test_a_full_queue_refuses() -> None:
    slots = Slots(SlotLimits(max_in_flight=1, max_waiting=1, max_patient=2))
    fill(slots, Lane.REQUESTS, 1)
    slots.wait(Lane.REQUESTS)
    assert slots.is_full
    with pytest.raises(QueueFull):
        slots.wait(Lane.REQUESTS)
    for _ in range(2):
        slots.wait(Lane.PAGES)
    with pytest.raises(QueueFull):
        slots.wait(Lane.PAGES)
    assert (slots.waiting, slots.waiting_of(Lane.PAGES)) == (3, 2)


def test_waiters_of_a_lane_are_granted_in_order_of_arrival() -> None:
    slots = Slots(SlotLimits(max_in_flight=1))
    fill(slots, Lane.REQUESTS, 1)
    for name in "abc":
        slots.wait(Lane.REQUESTS, name)
    for _ in "abc":
        slots.release(Lane.REQUESTS)
    assert slots.granted == ["a", "b", "c"]


def test_no_call_overtakes_a_waiter_of_its_lane() -> None:
    slots = Slots(SlotLimits(max_in_flight=8, max_pages=4, max_pages_beside=1))
    fill(slots, Lane.REQUESTS, 1)
    fill(slots, Lane.PAGES, 1)
    slots.wait(Lane.PAGES, "first")
    slots.release(Lane.REQUESTS)
    slots.clock.now += REQUEST_IDLE_SECONDS + 0.1
    assert not slots.try_acquire(Lane.PAGES)
    slots.grant_free_slots()
    assert slots.granted == ["first"]
    assert slots.try_acquire(Lane.PAGES)


@pytest.mark.parametrize("max_in_flight", [1, 2, 3])
def test_no_lane_starves_another(max_in_flight: int) -> None:
    slots = Slots(SlotLimits(max_in_flight=max_in_flight, max_waiting=50))
    lanes = (Lane.REQUESTS, Lane.PAGES, Lane.DIAGNOSTICS)
    running: list[Lane] = []
    for lane in lanes:
        for _ in range(20):
            slots.enqueue(lane, lambda lane=lane: running.append(lane))  # type: ignore[misc]
    ended: list[Lane] = []
    for _ in range(12):
        slots.clock.now += MAX_THROTTLE_SECONDS + 0.1  # so that pages are not throttled
        ended.append(running.pop(0))
        slots.release(ended[-1])
    assert all(ended.count(lane) >= 2 for lane in lanes)


class TestThrottling:
    """Up to four pages in flight, or one while requests are active."""

    limits = SlotLimits(max_in_flight=16, max_pages=4, max_pages_beside=1)

    def test_pages_are_throttled_while_requests_are_active(self) -> None:
        slots = Slots(self.limits)
        fill(slots, Lane.REQUESTS, 1)
        fill(slots, Lane.PAGES, 1)
        assert slots.throttles_pages
        assert not slots.try_acquire(Lane.PAGES)
        slots.release(Lane.REQUESTS)
        assert not slots.try_acquire(Lane.PAGES)
        slots.clock.now += REQUEST_IDLE_SECONDS + 0.1
        assert not slots.throttles_pages
        fill(slots, Lane.PAGES, 3)
        assert not slots.try_acquire(Lane.PAGES)

    def test_a_page_that_waited_long_is_not_throttled(self) -> None:
        slots = Slots(self.limits)
        fill(slots, Lane.REQUESTS, 1)
        fill(slots, Lane.PAGES, 1)
        slots.wait(Lane.PAGES, "old")
        slots.clock.now += MAX_THROTTLE_SECONDS + 0.1
        slots.wait(Lane.PAGES, "new")
        assert slots.granted == ["old"]

    def test_on_throttled_is_called_only_while_pages_are_throttled(self) -> None:
        slots = Slots(self.limits)
        fill(slots, Lane.REQUESTS, 1)
        fill(slots, Lane.PAGES, 1)
        assert slots.throttled == 0
        slots.wait(Lane.PAGES)
        assert slots.throttled == 1
        slots.clock.now += MAX_THROTTLE_SECONDS + 0.1
        slots.grant_free_slots()
        assert slots.throttled == 1


def test_a_cancelled_waiter_leaves_the_queue() -> None:
    slots = Slots(SlotLimits(max_in_flight=1))
    fill(slots, Lane.REQUESTS, 1)
    leaving = slots.wait(Lane.REQUESTS, "leaving")
    slots.wait(Lane.REQUESTS, "staying")
    slots.cancel(leaving)
    slots.release(Lane.REQUESTS)
    assert (slots.granted, slots.in_flight, slots.waiting) == (["staying"], 1, 0)


def test_a_cancelled_waiter_that_was_granted_passes_its_slot_on() -> None:
    slots = Slots(SlotLimits(max_in_flight=1))
    fill(slots, Lane.REQUESTS, 1)
    granted = slots.wait(Lane.REQUESTS, "granted")
    slots.wait(Lane.REQUESTS, "next")
    slots.release(Lane.REQUESTS)
    slots.cancel(granted)
    assert (slots.granted, slots.in_flight) == (["granted", "next"], 1)


def test_wake_all_empties_every_queue() -> None:
    slots = Slots(SlotLimits(max_in_flight=1))
    fill(slots, Lane.REQUESTS, 1)
    fill(slots, Lane.PROBES, PROBE_SLOTS)
    for lane in Lane:
        slots.wait(lane, lane.name)
    slots.wake_all()
    assert (sorted(slots.granted), slots.waiting) == (sorted(lane.name for lane in Lane), 0)


@given(
    max_in_flight=st.integers(1, 6),
    max_pages=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from(["come", "end", "leave"]), st.sampled_from(list(Lane)), st.floats(0, 1))),
)
def test_limits_hold_and_no_slot_is_lost_in_any_order_of_events(
    max_in_flight: int, max_pages: int, steps: list[tuple[str, Lane, float]]
) -> None:
    limits = SlotLimits(max_in_flight=max_in_flight, max_pages=max_pages, max_pages_beside=1, max_waiting=3)
    slots = Slots(limits)
    running: list[Lane] = []
    waiting: list[Waiter] = []

    def granted(lane: Lane) -> Callable[[], None]:
        return lambda: running.append(lane)

    for action, lane, seconds in steps:
        slots.clock.now += seconds
        if action == "come" and slots.try_acquire(lane):
            running.append(lane)
        elif action == "come" and slots.waiting_of(lane) < 3:
            waiting.append(slots.enqueue(lane, granted(lane)))
        elif action == "end" and running:
            slots.release(running.pop(0))
        elif action == "leave" and (left := [it for it in waiting if not it.granted]):
            slots.cancel(left[0])
            waiting.remove(left[0])
        waiting = [it for it in waiting if not it.granted]
        assert slots.in_flight == sum(lane is not Lane.PROBES for lane in running) <= max_in_flight
        assert slots.waiting == len(waiting)
        for each in Lane:
            assert slots.in_flight_of(each) == running.count(each) <= limits.slots(each)

    while running:
        slots.clock.now += MAX_THROTTLE_SECONDS + 0.1
        slots.release(running.pop(0))
    assert (slots.in_flight, slots.waiting) == (0, 0)
