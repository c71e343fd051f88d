"""Graceful shutdown: report not ready, refuse new work, then let running requests end within a grace period."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

from asgi_app.runtime.concurrency import Interruptible, interruptible_factory

DRAIN = "asgi_cassandra.drain"
"""The key of the application's Drain in the lifespan's state, for servers that use it (`asgi-cassandra serve`)."""

FINAL_SECONDS = 1.0
"""Seconds that interrupted work has to send its error after the grace period."""

logger = logging.getLogger("asgi_app.drain")


class Drain:
    """Tracks the running requests and ends them. Use it only on the event loop that created it.

    A drain begins when the server asks for it, when `POST /shutdown` does, or when the lifespan ends. From then on
    `draining` is true and the service is not ready. After `delay` seconds `refusing` is true as well: new requests are
    answered 503. Running requests then have `grace` seconds to end. After that the streams are broken off, and finally
    all other requests are interrupted. Then `is_over` is true.
    """

    def __init__(self, grace: float, delay: float, end_process: Callable[[], None]) -> None:
        """Create a drain that has not begun. `grace` and `delay` are in seconds.

        `end_process` is called at the end of a drain that `POST /shutdown` began, unless `on_asked` is set.
        """
        self.draining = False
        self.refusing = False
        self.cutting = False
        """Whether the grace period is over and streams are being broken off."""
        self.on_asked: Callable[[], None] | None = None
        """Set by a server that ends its process. `POST /shutdown` calls it at once, in place of `end_process`."""
        self._grace = grace
        self._delay = delay
        self._end_process = end_process
        self._asked = False
        self._cut_at = float("inf")
        self._under_way: dict[Interruptible, None] = {}
        self._streams: dict[anyio.CancelScope, None] = {}
        self._begun = anyio.Event()
        self._skip_delay = anyio.Event()
        self._idle = anyio.Event()
        self._over = anyio.Event()
        self._new_work = interruptible_factory()

    @property
    def under_way(self) -> int:
        """The number of requests being answered."""
        return len(self._under_way)

    @property
    def is_over(self) -> bool:
        """Whether the drain has ended: every request has ended or was interrupted, and no new one begins."""
        return self._over.is_set()

    def left(self) -> float:
        """Return the seconds until the grace period ends: below zero after it, infinite while new work is accepted."""
        return self._cut_at - anyio.current_time()

    def begin_work(self) -> Interruptible:
        """Return the context in which a request must run, to be interruptible. Always pass it to `end_work`."""
        work = self._new_work()
        self._under_way[work] = None
        return work

    def end_work(self, work: Interruptible) -> None:
        """Note that a request has ended."""
        del self._under_way[work]
        if self.draining and not self._under_way:
            self._idle.set()

    @contextmanager
    def breaking_off(self, stream: anyio.CancelScope) -> Iterator[None]:
        """Cancel `stream` if the grace period ends within this context; there is still time to send its error."""
        self._streams[stream] = None
        try:
            yield
        finally:
            del self._streams[stream]

    def begin(self, *, by_request: bool = False) -> None:
        """Begin the drain. Does nothing if it has begun. `by_request`: a request asks for it, which is not counted."""
        if not self.draining:
            self.draining = True
            others = self.under_way - by_request
            logger.info("draining: %d request%s under way", others, "" if others == 1 else "s")
            self._begun.set()

    def ask_to_end(self) -> None:
        """Begin the drain, as a request wants, and make the process end after it. Asking again changes nothing."""
        self._asked = True
        self.begin(by_request=True)
        if self.on_asked is not None:
            self.on_asked()

    def cut(self) -> None:
        """Interrupt every request now and refuse new ones."""
        self.refusing = True
        for work in list(self._under_way):
            work.interrupt()

    async def finish(self) -> None:
        """Begin the drain, skip its delay, and return when it is over. `run` must be running."""
        self.begin()
        self._skip_delay.set()
        await self._over.wait()

    async def run(self) -> None:
        """Wait until the drain begins, then carry it out. Run it as a task of the application's lifespan."""
        await self._begun.wait()
        with anyio.move_on_after(self._delay):
            await self._skip_delay.wait()
        self.refusing = True
        self._cut_at = anyio.current_time() + self._grace
        if not await self._idle_within(self._grace):
            logger.warning("the grace period of %g s is over: %d requests are cut", self._grace, self.under_way)
            self.cutting = True
            final_seconds = FINAL_SECONDS if self._streams else 0
            for stream in list(self._streams):
                stream.cancel()
            if not await self._idle_within(final_seconds):
                self.cut()
                await self._idle_within(FINAL_SECONDS)
        self._over.set()
        if self._asked and self.on_asked is None:
            self._end_process()

    async def _idle_within(self, seconds: float) -> bool:
        """Wait for the running requests for up to `seconds`. Return whether they have ended."""
        with anyio.move_on_after(seconds):
            while self._under_way:
                self._idle = anyio.Event()
                await self._idle.wait()
        return not self._under_way


def end_this_process() -> None:
    """Send SIGTERM to this process, or to the supervisor that started this process as a worker."""
    supervisor = multiprocessing.parent_process()
    os.kill(os.getpid() if supervisor is None or supervisor.pid is None else supervisor.pid, signal.SIGTERM)
