"""The way out: not ready, then no new work, then the end of what is under way, within a grace period."""

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
"""Where the lifespan's state has the application's Drain, for a server that knows it (`asgi-cassandra serve`)."""

PARTING = 1.0
"""Seconds that work has to say that it was cut, once the grace period is over."""

logger = logging.getLogger("asgi_app.drain")


class Drain:
    """Counts the requests under way, and brings them to an end. For the event loop it was made on.

    It begins when its server says so, when `POST /shutdown` does, or when the lifespan ends. From then on `draining`
    holds and the service is not ready. After `delay` seconds `refusing` holds too: new work is answered 503. What is
    under way then has `grace` seconds to be done; streams are broken off after that, and last of all the rest is
    interrupted. Then it `is_over`.
    """

    def __init__(self, grace: float, delay: float, end_process: Callable[[], None]) -> None:
        """`end_process` is called at the end of a drain that `POST /shutdown` began, unless a server has taken over."""
        self.draining = False
        self.refusing = False
        self.cutting = False
        """Whether the grace period is over, and streams are broken off."""
        self.on_asked: Callable[[], None] | None = None
        """A server that ends by itself takes over with this: it is called when `POST /shutdown` asks for the end."""
        self._grace = grace
        self._delay = delay
        self._end_process = end_process
        self._asked = False
        self._cut_at = float("inf")
        self._under_way: dict[Interruptible, None] = {}
        self._streams: dict[anyio.CancelScope, None] = {}
        self._begun = anyio.Event()
        self._hurried = anyio.Event()
        self._idle = anyio.Event()
        self._over = anyio.Event()
        self._new_work = interruptible_factory()

    @property
    def under_way(self) -> int:
        """Requests that are being answered."""
        return len(self._under_way)

    @property
    def is_over(self) -> bool:
        """Whether nothing is under way any more, or was cut; nothing new begins."""
        return self._over.is_set()

    def left(self) -> float:
        """Seconds until the grace period ends, below zero after; infinite while new work is accepted."""
        return self._cut_at - anyio.current_time()

    def begin_work(self) -> Interruptible:
        """What a request runs in, so that it can be interrupted; to be handed to `end_work` whatever happens."""
        work = self._new_work()
        self._under_way[work] = None
        return work

    def end_work(self, work: Interruptible) -> None:
        """The request was answered, or was given up."""
        del self._under_way[work]
        if self.draining and not self._under_way:
            self._idle.set()

    @contextmanager
    def breaking_off(self, stream: anyio.CancelScope) -> Iterator[None]:
        """Within this context `stream` is cancelled when the grace period ends, with time left for its last word."""
        self._streams[stream] = None
        try:
            yield
        finally:
            del self._streams[stream]

    def begin(self) -> None:
        """Begin, if that has not happened."""
        if not self.draining:
            self.draining = True
            logger.info("draining: %d requests under way", self.under_way)
            self._begun.set()

    def ask_to_end(self) -> None:
        """Begin, and see to it that the process ends; asking again changes nothing."""
        self._asked = True
        self.begin()
        if self.on_asked is not None:
            self.on_asked()

    def cut(self) -> None:
        """Interrupt everything now."""
        self.refusing = True
        for work in list(self._under_way):
            work.interrupt()

    async def finish(self) -> None:
        """Begin, without the delay, and return when it is over. `run` must be running."""
        self.begin()
        self._hurried.set()
        await self._over.wait()

    async def run(self) -> None:
        """Wait for the beginning and carry it through."""
        await self._begun.wait()
        with anyio.move_on_after(self._delay):
            await self._hurried.wait()
        self.refusing = True
        self._cut_at = anyio.current_time() + self._grace
        if not await self._idle_within(self._grace):
            logger.warning("the grace period of %g s is over: %d requests are cut", self._grace, self.under_way)
            self.cutting = True
            parting = PARTING if self._streams else 0
            for stream in list(self._streams):
                stream.cancel()
            if not await self._idle_within(parting):
                self.cut()
                await self._idle_within(PARTING)
        self._over.set()
        if self._asked and self.on_asked is None:
            self._end_process()

    async def _idle_within(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            while self._under_way:
                self._idle = anyio.Event()
                await self._idle.wait()
        return not self._under_way


def end_this_process() -> None:
    """Ask the process to end with SIGTERM; of a worker that was started by a supervisor, the supervisor."""
    supervisor = multiprocessing.parent_process()
    os.kill(os.getpid() if supervisor is None or supervisor.pid is None else supervisor.pid, signal.SIGTERM)
