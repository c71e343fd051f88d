"""Supervise several worker processes that serve one listener."""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections import deque
from multiprocessing.connection import wait

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from asgi_app.cli.draining import SHUTDOWN_SIGNAL, WorkerServer

EXITS_SECONDS = 30.0
EXITS_PER_WORKER = 3
"""The supervisor gives up if more than EXITS_PER_WORKER exits for each worker happen within EXITS_SECONDS."""

START_SECONDS = 60.0
"""Seconds that a worker may take until it answers for the first time."""

EXIT_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})

logger = logging.getLogger("asgi_app.cli")


class Supervisor(Multiprocess):
    """uvicorn's supervisor, with workers that drain.

    SIGINT, SIGTERM and POST /shutdown end all workers; a second signal kills them. Other signals do nothing. A worker
    that exits by itself is replaced.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.start_failed = False
        self.gave_up = False
        self.forced = False
        self._signalled = False
        self._exits: deque[float] = deque(maxlen=config.workers * EXITS_PER_WORKER)

    def init_processes(self) -> None:
        self.processes = [self._start_worker() for _ in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        for index, worker in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if not worker.is_alive(timeout=self.config.timeout_worker_healthcheck):
                worker.kill()  # it may exist but hang
                worker.join()
                self._handle_exit(worker)
                if not self.should_exit.is_set():
                    self.processes[index] = self._start_worker()

    def handle_signals(self) -> None:
        if self._take_signals() & {*EXIT_SIGNALS, SHUTDOWN_SIGNAL}:
            self.should_exit.set()

    def join_all(self) -> None:
        """Wait until all workers have ended; kill them at a second signal."""
        self._take_signals()  # signals until now belong to the first one
        while running := [it.process.sentinel for it in self.processes if it.process.is_alive()]:
            wait(running, 0.1)
            signalled_before = self._signalled
            if self._take_signals() & EXIT_SIGNALS and signalled_before:
                self.forced = True
                for worker in self.processes:
                    worker.process.kill()
        super().join_all()

    def _take_signals(self) -> set[int]:
        received, self.signal_queue = self.signal_queue, []
        self._signalled = self._signalled or not EXIT_SIGNALS.isdisjoint(received)
        return set(received)

    def _start_worker(self) -> Process:
        worker = _Worker(self.config, self.sockets)
        worker.start()
        return worker

    def _handle_exit(self, worker: Process) -> None:
        if worker.exitcode == STARTUP_FAILURE:  # another one would fail too
            self.start_failed = True
            self.should_exit.set()
            return
        logger.warning("worker %s died with exit code %s; starting another one", worker.pid, worker.exitcode)
        now = time.monotonic()
        if len(self._exits) == self._exits.maxlen and now - self._exits[0] < EXITS_SECONDS:
            self.gave_up = True
            self.should_exit.set()
        self._exits.append(now)


class _Worker(Process):
    """uvicorn's worker with time to start: on a busy machine the imports may take longer than its health check."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._start_ends = time.monotonic() + START_SECONDS
        self._has_answered = False
        self._is_asked = False

    def is_alive(self, timeout: float = 5) -> bool:
        """Return whether the process runs and answers within `timeout` seconds; while it starts it need not answer."""
        if self._has_answered or time.monotonic() > self._start_ends:
            return super().is_alive(timeout)
        if not self._is_asked:  # ask once: a later hang would go unnoticed while old answers are left
            self._is_asked = True
            self.parent_conn.send(b"ping")
        if self.parent_conn.poll():
            self.parent_conn.recv()
            self._has_answered = True
        return self.process.is_alive()

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = WorkerServer(self.config)
        return self._server
