"""Start a contender under uvicorn in a process of its own, wait for it, observe it, and end it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil

from benchmarks import HOST
from benchmarks.contenders import Contender
from benchmarks.environments import interpreter
from benchmarks.processes import ContenderFailed, end, finished, free_port
from benchmarks.site import Site

ROOT = Path(__file__).resolve().parent.parent

_SERVER = ("uvicorn", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
_OURS = ("CASSANDRA_", "ASTRA_DB_", "ASGI_CASSANDRA_")
_CPU_CLOCK = 2  # user and system time, in the low bits of the number of a clock: clock_getcpuclockid(3)
_START_SECONDS = 60.0
_SAMPLE_SECONDS = 0.05

Answer = TypeVar("Answer")


class Served:
    """A contender that answers on `port` of the loopback address."""

    def __init__(self, contender: Contender, pid: int, port: int) -> None:
        self.name = contender.name
        self.port = port
        self._process = psutil.Process(pid)

    def cpu_seconds(self) -> float:
        """Return the user and system time of all its threads until now."""
        if psutil.LINUX:  # the clock of the process counts nanoseconds, psutil hundredths of a second
            return time.clock_gettime(~self._process.pid << 3 | _CPU_CLOCK)
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def resident_mb(self) -> float:
        """Return its resident memory now, in megabytes."""
        return float(self._process.memory_info().rss / 1e6)

    def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Return status and body of the answer, over a new connection. Raises OSError or HTTPException."""
        connection = HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request(method, path, body or None, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


class PeakMemory:
    """Read the resident memory of a contender every 50 ms during the block; `mb` is the highest value."""

    def __init__(self, served: Served) -> None:
        self.mb = 0.0
        self._served = served
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.mb = max(self.mb, self._served.resident_mb())
            if self._over.wait(_SAMPLE_SECONDS):
                return


@contextmanager
def side_by_side(contenders: Sequence[Contender], site: Site) -> Iterator[list[Served]]:
    """Start all contenders, and end them at the end. Raises ContenderFailed."""
    with ExitStack() as stack:
        yield [stack.enter_context(serving(contender, site)) for contender in contenders]


@contextmanager
def serving(contender: Contender, site: Site) -> Iterator[Served]:
    """Start the contender, wait for its first answer, and end its process at the end. Raises ContenderFailed."""
    port = free_port(HOST)
    log = site.folder / f"{contender.name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [interpreter(contender), "-m", *_SERVER, "--host", HOST, "--port", str(port), contender.app],
            env=child_environment(site, contender),
            cwd=site.folder,  # a .env file in the current folder would configure the service
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches only this process, which then ends the contender
        )
    try:
        served = Served(contender, process.pid, port)
        _wait_until_ready(served, process, f"/users/{site.users[0].id}", log)
        yield served
    finally:
        end(process)


def child_environment(site: Site, contender: Contender) -> dict[str, str]:
    """Return the environment of this process with the settings of the site instead of its own.

    A contender's PYTHONPATH comes before this checkout, so another checkout of the service can be measured.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    environment = {**inherited, **site.environment(), **contender.environment}
    return python_path_added(environment)


def python_path_added(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment with this checkout as the last entry of PYTHONPATH."""
    paths = [environment.get("PYTHONPATH", ""), str(ROOT)]
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def answer_of(
    command: Sequence[str], seconds: float, kind: type[Answer], environment: Mapping[str, str] | None = None
) -> Answer:
    """Run a module of this package, and return the JSON on the last line it prints. Raises ContenderFailed."""
    done = finished(command, seconds, environment=environment or python_path_added(dict(os.environ)))
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=kind)


def module(name: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of this package."""
    return [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]


def _wait_until_ready(served: Served, process: subprocess.Popen[bytes], path: str, log: Path) -> None:
    limit = time.monotonic() + _START_SECONDS
    while not _is_ready(served, path):
        if (status := process.poll()) is not None or time.monotonic() > limit:
            why = f"does not answer after {_START_SECONDS:g} s" if status is None else f"ended with {status}"
            raise ContenderFailed(f"{served.name} {why}:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)


def _is_ready(served: Served, path: str) -> bool:
    try:
        return served.send("GET", path)[0] == 200
    except (OSError, HTTPException):
        return False
