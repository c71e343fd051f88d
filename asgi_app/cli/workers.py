"""Several processes that serve one listener, and the one that keeps them alive and ends them."""

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

from asgi_app.cli.draining import ASKED_TO_END, WorkerServer

DEATHS_SECONDS = 30.0
DEATHS_PER_WORKER = 3
"""More deaths than so many for each worker in so many seconds, and the supervisor gives up."""

ENDING = frozenset({signal.SIGINT, signal.SIGTERM})

logger = logging.getLogger("asgi_app.cli")


class Supervisor(Multiprocess):
    """uvicorn's, with workers that drain. SIGINT, SIGTERM and POST /shutdown end all of them; a second signal kills.

    A worker that dies is replaced. Other signals do nothing.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.start_failed = False
        self.gave_up = False
        self.forced = False
        self._signalled = False
        self._deaths: deque[float] = deque(maxlen=config.workers * DEATHS_PER_WORKER)

    def init_processes(self) -> None:
        self.processes = [self._started_worker() for _ in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        for index, worker in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if not worker.is_alive(timeout=self.config.timeout_worker_healthcheck):
                worker.kill()  # it may be there and not answer
                worker.join()
                self._bury(worker)
                if not self.should_exit.is_set():
                    self.processes[index] = self._started_worker()

    def handle_signals(self) -> None:
        if self._take_signals() & {*ENDING, ASKED_TO_END}:
            self.should_exit.set()

    def join_all(self) -> None:
        """Wait until all have ended; kill them at a second signal."""
        self._take_signals()  # what came until now belongs to the first
        while running := [it.process.sentinel for it in self.processes if it.process.is_alive()]:
            wait(running, 0.1)
            signalled_before = self._signalled
            if self._take_signals() & ENDING and signalled_before:
                self.forced = True
                for worker in self.processes:
                    worker.process.kill()
        super().join_all()

    def _take_signals(self) -> set[int]:
        received, self.signal_queue = self.signal_queue, []
        self._signalled = self._signalled or not ENDING.isdisjoint(received)
        return set(received)

    def _started_worker(self) -> Process:
        worker = _Worker(self.config, self.sockets)
        worker.start()
        return worker

    def _bury(self, worker: Process) -> None:
        if worker.exitcode == STARTUP_FAILURE:  # it would fail the same way again
            self.start_failed = True
            self.should_exit.set()
            return
        logger.warning("worker %s died with exit code %s; another takes its place", worker.pid, worker.exitcode)
        now = time.monotonic()
        if len(self._deaths) == self._deaths.maxlen and now - self._deaths[0] < DEATHS_SECONDS:
            self.gave_up = True
            self.should_exit.set()
        self._deaths.append(now)


class _Worker(Process):
    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = WorkerServer(self.config)
        return self._server
