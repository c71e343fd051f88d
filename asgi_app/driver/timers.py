"""A coarse timer wheel for timeouts that rarely fire."""

from __future__ import annotations

import asyncio
import heapq
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress


class Timer:
    """A call that happens later unless it is cancelled first."""

    __slots__ = ("_slot", "callback", "canceled")

    def __init__(self, slot: dict[Timer, None], callback: Callable[[], None]) -> None:
        self._slot = slot
        self.callback: Callable[[], None] | None = callback
        self.canceled = False

    def cancel(self) -> None:
        """Drop the call, and every reference to the timer and its callback. Callable from any thread."""
        self.canceled = True
        self.callback = None
        self._slot.pop(self, None)

    def fire(self) -> None:
        """Make the call now, unless it was cancelled or made before."""
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class Timers:
    """Timers of an asyncio loop, for timeouts that nearly all are cancelled: one for each request.

    Timers due in the same 10 ms share a slot, and all slots share one timer of the loop, so that to start or cancel a
    timer takes two writes to a dict. A timer is never early, and late by one slot at most. Callbacks run on the loop.
    """

    SLOT = 0.01
    """The length of a slot in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make timers for `loop`. Call it in the loop's thread."""
        self.thread = threading.get_ident()
        self._loop = loop
        self._slots: dict[int, dict[Timer, None]] = {}
        self._order: list[int] = []
        self._armed = math.inf
        self._handle: asyncio.TimerHandle | None = None
        self._lock = threading.Lock()

    def start(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` after `seconds`, and return the timer to cancel. Callable from any thread."""
        number = int((time.monotonic() + seconds) / self.SLOT) + 1
        with self._lock:
            slot = self._slots.get(number)
            if slot is None:
                slot = self._slots[number] = {}
                heapq.heappush(self._order, number)
            timer = Timer(slot, callback)
            slot[timer] = None
            is_next = number < self._armed
            if is_next:
                self._armed = number
        if is_next:
            self._arm_soon()
        return timer

    def _arm_soon(self) -> None:
        if threading.get_ident() == self.thread:
            self._arm()
        else:
            with suppress(RuntimeError):  # the loop has ended, and all its timers with it
                self._loop.call_soon_threadsafe(self._arm)

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        left = self._armed * self.SLOT - time.monotonic()
        self._handle = self._loop.call_later(max(0.0, left), self._fire) if left < math.inf else None

    def _fire(self) -> None:
        due: list[Timer] = []
        with self._lock:
            now = time.monotonic()
            while self._order and (self._order[0] * self.SLOT <= now or not self._slots[self._order[0]]):
                slot = self._slots.pop(heapq.heappop(self._order))
                due += slot
                slot.clear()  # a timer refers to its slot: neither may keep the other alive
            self._armed = self._order[0] if self._order else math.inf
        self._arm()
        for timer in due:
            self._loop.call_soon(timer.fire)  # separately, so that one that raises does not stop the others
