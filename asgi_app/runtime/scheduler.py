"""Slots for calls to Cassandra: how many calls run at once, how many wait, and which waiting call runs next.

The scheduler is synchronous and needs no event loop: a waiting call is a `Waiter`, whose `wake` the scheduler calls
when it grants a slot. Use it from one thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from asgi_app.errors import QueueFull

REQUEST_IDLE_SECONDS = 0.5
"""Seconds for which pages stay throttled after the last request: a client that sends one read after another pauses."""

MAX_THROTTLE_SECONDS = 1.0
"""Seconds after which a waiting page is no longer throttled, because it has a deadline."""

PROBE_SLOTS = 2
"""One for the running health check, one for a timed-out check that the driver still holds."""


class Lane(IntEnum):
    """Scheduling lane of a call.

    `REQUESTS` may use any free slot. `PAGES` (pages of streams) and `DIAGNOSTICS` are capped, so that slots are left
    for requests, and their calls wait until their deadline instead of `max_wait`: a stream that has begun can no longer
    be refused. While requests are active, pages are throttled further, so that reads do not queue behind large pages on
    the node. `PROBES` (health checks) have a reserved pool: load never stops them.

    A free slot goes to the lane that uses the smallest part of its cap, so no lane starves another.
    """

    REQUESTS = 0
    PAGES = 1
    DIAGNOSTICS = 2
    PROBES = 3


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """Bounds of one scheduler.

    `max_in_flight`: calls that hold a slot, probes not counted. `max_pages`: pages among them, at most half of
    `max_in_flight`; `max_pages_beside`: pages while requests are active. `max_waiting`: waiting requests, and waiting
    probes, which wait for `max_wait` seconds; `max_patient`: waiting pages, and waiting diagnostics.
    """

    max_in_flight: int = 256
    max_waiting: int = 256
    max_wait: float = 1.0
    max_pages: int = 8
    max_pages_beside: int = 8
    max_patient: int = 1024

    def slots(self, lane: Lane) -> int:
        """Return how many slots the calls of `lane` may hold at once."""
        match lane:
            case Lane.REQUESTS:
                return self.max_in_flight
            case Lane.PAGES:
                return max(1, min(self.max_pages, self.max_in_flight // 2))
            case Lane.DIAGNOSTICS:
                return max(1, self.max_in_flight // 4)
            case Lane.PROBES:
                return PROBE_SLOTS


class Waiter:
    """A call that waits for a slot. When it gets one, `granted` becomes true, and then `wake` is called."""

    __slots__ = ("granted", "lane", "since", "wake")

    def __init__(self, lane: Lane, since: float, wake: Callable[[], None]) -> None:
        self.lane = lane
        self.since = since
        self.wake = wake
        self.granted = False


class _LaneState:
    """One lane's limits, its calls in flight and its queue, oldest waiter first."""

    __slots__ = ("in_flight", "max_waiting", "reserved", "slots", "throttled_slots", "waiting")

    def __init__(self, lane: Lane, limits: SlotLimits) -> None:
        self.slots = limits.slots(lane)
        self.throttled_slots = min(self.slots, limits.max_pages_beside) if lane is Lane.PAGES else self.slots
        self.reserved = lane is Lane.PROBES
        self.max_waiting = limits.max_patient if is_patient(lane) else limits.max_waiting
        self.in_flight = 0
        self.waiting: dict[Waiter, None] = {}

    @property
    def used(self) -> float:
        """The part of the lane's slots that is in use."""
        return self.in_flight / self.slots


def is_patient(lane: Lane) -> bool:
    """Return whether calls of `lane` wait until their deadline, and not only for `max_wait`."""
    return lane in (Lane.PAGES, Lane.DIAGNOSTICS)


class SlotScheduler:
    """Grants slots to calls within `limits`.

    A call takes a slot by `try_acquire`, or else waits by `enqueue`; it gives the slot back by `release`.
    `on_throttled` is called when pages wait only because requests are active; its owner must then call
    `grant_free_slots` a little later. `clock` returns seconds; only differences count.
    """

    def __init__(
        self,
        limits: SlotLimits,
        on_throttled: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_in_flight = limits.max_in_flight
        self._lanes = [_LaneState(lane, limits) for lane in Lane]
        self._requests = self._lanes[Lane.REQUESTS]
        self._pages = self._lanes[Lane.PAGES]
        self._sharing = [state for state in self._lanes if not state.reserved]
        """The lanes that share `max_in_flight`. Among equally used lanes, the first is granted a slot."""
        self._in_flight = 0
        self._queued = 0
        self._last_request = -math.inf
        self._on_throttled = on_throttled
        self._clock = clock

    @property
    def in_flight(self) -> int:
        """Calls that hold a slot, probes not counted."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot, in all lanes."""
        return self._queued

    @property
    def is_full(self) -> bool:
        """Whether the next request would be refused with QueueFull."""
        requests = self._requests
        return self._in_flight >= self._max_in_flight and len(requests.waiting) >= requests.max_waiting

    @property
    def throttles_pages(self) -> bool:
        """Whether requests are active, or were within the last `REQUEST_IDLE_SECONDS`."""
        return self._requests.in_flight > 0 or self._clock() - self._last_request <= REQUEST_IDLE_SECONDS

    @property
    def page_slots(self) -> int:
        """How many pages may be in flight while no requests are active."""
        return self._pages.slots

    @property
    def pages_at_once(self) -> int:
        """How many pages may be in flight: fewer while requests are active."""
        return self._pages.throttled_slots if self.throttles_pages else self._pages.slots

    def in_flight_of(self, lane: Lane) -> int:
        """Return how many calls of `lane` hold a slot."""
        return self._lanes[lane].in_flight

    def waiting_of(self, lane: Lane) -> int:
        """Return how many calls of `lane` wait for a slot."""
        return len(self._lanes[lane].waiting)

    def try_acquire(self, lane: Lane) -> bool:
        """Take a slot if one is free for `lane` and no call waits in the lane. Return whether it was taken."""
        state = self._lanes[lane]
        if state.waiting:
            return False
        # The usual case first, without a call.
        is_busy = self._in_flight >= self._max_in_flight or state.in_flight >= state.throttled_slots
        if is_busy and not self._has_room(state):
            return False
        state.in_flight += 1
        if not state.reserved:
            self._in_flight += 1
        return True

    def enqueue(self, lane: Lane, wake: Callable[[], None]) -> Waiter:
        """Wait in `lane`; `wake` is called when the returned waiter holds a slot, perhaps before this returns.

        Raises QueueFull if the lane's queue is full. A waiter ends by `cancel`, or by `release` once it was granted.
        """
        state = self._lanes[lane]
        if len(state.waiting) >= state.max_waiting:
            raise QueueFull
        waiter = Waiter(lane, self._clock(), wake)
        state.waiting[waiter] = None
        self._queued += 1
        self.grant_free_slots()
        return waiter

    def cancel(self, waiter: Waiter) -> None:
        """Withdraw a waiter. If it was granted a slot meanwhile, pass the slot on."""
        if waiter.granted:
            self.release(waiter.lane)
        else:
            del self._lanes[waiter.lane].waiting[waiter]
            self._queued -= 1

    def release(self, lane: Lane) -> None:
        """Give a slot back, and grant it to the next waiter."""
        state = self._lanes[lane]
        state.in_flight -= 1
        if not state.reserved:
            self._in_flight -= 1
            if state is self._requests:
                self._last_request = self._clock()
        if self._queued:
            self.grant_free_slots()

    def grant_free_slots(self) -> None:
        """Grant the free slots to waiters: lane by lane, the least used first, each lane in the order of arrival."""
        probes = self._lanes[Lane.PROBES]
        while probes.waiting and self._has_room(probes):
            self._grant(probes)
        while ready := [state for state in self._sharing if state.waiting and self._has_room(state)]:
            chosen = min(ready, key=lambda state: state.used)
            self._sharing.remove(chosen)
            self._sharing.append(chosen)  # lanes that use equally much take turns
            self._grant(chosen)
        if self._pages.waiting and self._pages.in_flight < self._pages.slots:
            self._on_throttled()

    def wake_all(self) -> None:
        """Grant every waiter a slot, whatever the limits. Call it once, when no more calls will be started."""
        for state in self._lanes:
            while state.waiting:
                self._grant(state)

    def _has_room(self, state: _LaneState) -> bool:
        if not state.reserved and self._in_flight >= self._max_in_flight:
            return False
        in_flight = state.in_flight
        return in_flight < state.throttled_slots or (in_flight < state.slots and not self._is_throttled(state))

    def _is_throttled(self, state: _LaneState) -> bool:
        """Return whether requests are active and the oldest waiter of the lane has not waited for too long."""
        if not self.throttles_pages:
            return False
        now = self._clock()
        oldest = next(iter(state.waiting), None)
        return oldest is None or now - oldest.since <= MAX_THROTTLE_SECONDS

    def _grant(self, state: _LaneState) -> None:
        waiter = next(iter(state.waiting))
        del state.waiting[waiter]
        self._queued -= 1
        state.in_flight += 1
        if not state.reserved:
            self._in_flight += 1
        waiter.granted = True
        waiter.wake()
