"""uvicorn's server with a graceful shutdown: drain the application before the listener is closed."""

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

FORCED_EXIT_SECONDS = 2.0
"""Seconds that the shutdown may take after a second signal."""

CUT = "Ended at once by a second signal: running requests and streams were aborted."

SHUTDOWN_SIGNAL = signal.SIGUSR1
"""The signal that a worker sends its supervisor for POST /shutdown. Unlike SIGTERM, a second one forces nothing."""


class DrainingServer(uvicorn.Server):
    """A server that shuts down gracefully at the first SIGINT or SIGTERM, or at POST /shutdown.

    The application drains while the listener is still open, then the connections' buffers are sent, then the lifespan
    ends. At a second signal the server aborts the connections, closes the session if that does not take long, and sets
    `force_exit`.
    """

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._drain: Drain | None = None
        self._signalled = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        drain: Drain = self.lifespan.state[DRAIN]
        drain.on_asked = self.request_shutdown
        self._drain = drain
        self._on_started()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            _cancel_exit()

    def request_shutdown(self) -> None:
        """Start the shutdown for POST /shutdown, as a first signal does."""
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._signalled:
            self.force_exit = True
            _exit_after(FORCED_EXIT_SECONDS)
        self._signalled = self.should_exit = True  # POST /shutdown does not count as a first signal

    async def on_tick(self, counter: int) -> bool:
        """Return whether the main loop is done. Once a shutdown is requested, it runs until the application drained."""
        should_exit = await super().on_tick(counter)
        if not should_exit or self._drain is None:
            return should_exit
        self._drain.begin()
        return self.force_exit or self._drain.is_over

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.force_exit:
            self._abort_connections()
        left = self._drain.left() if self._drain is not None else 0.0
        self.config.timeout_graceful_shutdown = max(left, FINAL_SECONDS)  # type: ignore[assignment]  # it may be a fraction
        await super().shutdown(sockets=sockets)
        self._abort_connections()
        if self.force_exit:
            await self.lifespan.shutdown()
        await asyncio.sleep(0)  # aborted connections are closed in the next iteration of the loop

    def _abort_connections(self) -> None:
        if self._drain is not None:
            self._drain.cut()
        connections: set[Any] = self.server_state.connections
        for connection in list(connections):
            connection.drop()


class WorkerServer(DrainingServer):
    """The server of one worker of several: its supervisor decides when to end.

    A signal to the whole process group reaches the worker in addition to the supervisor's, so a second signal does not
    force the exit.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config, lambda: None)

    def request_shutdown(self) -> None:
        os.kill(os.getppid(), SHUTDOWN_SIGNAL)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        supervisor = multiprocessing.parent_process()
        if counter % 10 == 0 and supervisor is not None and not supervisor.is_alive():
            self.should_exit = True
        return await super().on_tick(counter)


def _cancel_exit() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)


def _exit_after(seconds: float) -> None:
    """End the process after `seconds`, even if a thread still waits for a Cassandra that does not respond."""
    signal.signal(signal.SIGALRM, _exit)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _exit(*_: Any) -> None:
    os.write(2, f"Error: {CUT}\n".encode())
    os._exit(1)
