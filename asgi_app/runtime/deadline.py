"""A point in time by which a request, or a part of it, must be done."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from asgi_app.errors import DeadlineExceeded


class Deadline:
    """An expiry on the monotonic clock, in seconds (`time.monotonic`). Pass it down the calls."""

    __slots__ = ("expires_at",)

    def __init__(self, expires_at: float) -> None:
        self.expires_at = expires_at

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Return the seconds until expiry; zero or less once it has passed."""
        return self.expires_at - time.monotonic()

    def remaining(self) -> float:
        """Return the seconds until expiry, always above zero. Raise DeadlineExceeded once it has passed."""
        left = self.expires_at - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded
        return left

    def at_most(self, seconds: float) -> Deadline:
        """Return this deadline, or the one `seconds` from now if that is earlier."""
        return Deadline(min(self.expires_at, time.monotonic() + seconds))


@asynccontextmanager
async def acquired(lock: anyio.Lock, deadline: Deadline) -> AsyncIterator[None]:
    """Hold a lock for as long as the context lasts. Raises DeadlineExceeded if it is not free by the deadline."""
    with anyio.move_on_after(deadline.remaining()) as waiting:
        await lock.acquire()
    if waiting.cancelled_caught:
        raise DeadlineExceeded
    try:
        yield
    finally:
        lock.release()
