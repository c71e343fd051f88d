"""The point in time by which a request must be answered."""

from __future__ import annotations

import time

from asgi_app.errors import DeadlineExceeded


class Deadline:
    """An expiry on the monotonic clock; pass it down, and ask it what is left."""

    __slots__ = ("expires_at",)

    def __init__(self, expires_at: float) -> None:
        self.expires_at = expires_at

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds until expiry; zero or less once it has passed."""
        return self.expires_at - time.monotonic()

    def remaining(self) -> float:
        """Seconds until expiry, always above zero.

        Raises DeadlineExceeded once it has passed.
        """
        left = self.left()
        if left <= 0:
            raise DeadlineExceeded
        return left

    def at_most(self, seconds: float) -> Deadline:
        """This deadline, or one `seconds` from now where that is sooner."""
        return Deadline(min(self.expires_at, time.monotonic() + seconds))
