"""uvicorn's server, which drains the application before it closes its listener."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from asgi_app.runtime.drain import DRAIN, FINAL_SECONDS, Drain

LAST_SECONDS = 2.0
"""How long the end may take after a second signal."""

CUT = "Ended at once by a second signal: what was under way was cut."

ASKED_TO_END = signal.SIGUSR1
"""What a worker sends its supervisor for POST /shutdown: unlike SIGTERM, twice is not a second signal."""


class DrainingServer(uvicorn.Server):
    """Ends at the first SIGINT or SIGTERM, or at POST /shutdown, in this order: the application drains while the
    listener is still open, what is left in the connections' buffers is sent, the lifespan ends.

    At a second signal it cuts the connections, closes the session if that is quickly done, and sets `force_exit`.
    """

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._drain: Drain | None = None
        self._signalled = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        drain: Drain = self.lifespan.state[DRAIN]
        drain.on_asked = self.asked_to_end
        self._drain = drain
        self._on_started()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            _exit_after(0)

    def asked_to_end(self) -> None:
        """POST /shutdown does what a first signal does."""
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._signalled:
            self.force_exit = True
            _exit_after(LAST_SECONDS)
        self._signalled = self.should_exit = True  # after POST /shutdown this is still the first

    async def on_tick(self, counter: int) -> bool:
        """Whether the main loop is done: with the end asked for, it goes on until the application has drained."""
        asked = await super().on_tick(counter)
        if not asked or self._drain is None:
            return asked
        self._drain.begin()
        return self.force_exit or self._drain.is_over

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.force_exit:
            self._cut()
        left = self._drain.left() if self._drain is not None else 0.0
        self.config.timeout_graceful_shutdown = max(left, FINAL_SECONDS)  # type: ignore[assignment]  # it may be a fraction
        await super().shutdown(sockets=sockets)
        self._cut()
        if self.force_exit:
            await self.lifespan.shutdown()
        await asyncio.sleep(0)  # what was aborted is closed in the loop's next round

    def _cut(self) -> None:
        if self._drain is not None:
            self._drain.cut()
        for connection in list(self.server_state.connections):
            transport: Any = connection.transport
            if transport is not None:
                transport.abort()


class WorkerServer(DrainingServer):
    """As one worker of several: its supervisor decides.

    Signals that reach a whole process group come to it beside those of the supervisor, so a second one means nothing.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config, lambda: None)

    def asked_to_end(self) -> None:
        os.kill(os.getppid(), ASKED_TO_END)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        supervisor = multiprocessing.parent_process()
        if counter % 10 == 0 and supervisor is not None and not supervisor.is_alive():
            self.should_exit = True
        return await super().on_tick(counter)


def _exit_after(seconds: float) -> None:
    """End the process then, wherever it is stuck: a thread may wait for a Cassandra that is silent. 0 calls it off."""
    signal.signal(signal.SIGALRM, _exit)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _exit(*_: Any) -> None:
    os.write(2, f"Error: {CUT}\n".encode())
    os._exit(1)
