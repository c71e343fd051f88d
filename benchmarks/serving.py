"""A contender as a running process: started, awaited, measured, ended by its pid."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import msgspec
import psutil

from benchmarks import HOST
from benchmarks.contenders import Contender
from benchmarks.environments import interpreter
from benchmarks.failure import ContenderFailed as ContenderFailed
from benchmarks.operations import Ask
from benchmarks.sample import ROWS_VARIABLE
from benchmarks.site import Site

_LOOP = ("--loop", "uvloop", "--http", "httptools")
_SERVER = ("uvicorn", *_LOOP, "--no-access-log", "--log-level", "warning")
_ROOT = Path(__file__).resolve().parent.parent
_OURS = ("CASSANDRA_", "ASTRA_DB_", "ASGI_CASSANDRA_")
_CPU_CLOCK = 2  # of user and system time, in the low bits of the clock's number, see clock_getcpuclockid(3)
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0


class Memory(msgspec.Struct, frozen=True):
    """Bytes of a process: resident, resident with shared pages divided among their users, and its own alone."""

    rss: int
    pss: int
    uss: int


class Served:
    """A contender that answers on `port` of the loopback address; `seconds_to_serve` is how long its start took."""

    def __init__(self, contender: Contender, pid: int, port: int) -> None:
        self.contender = contender
        self.pid = pid
        self.port = port
        self.seconds_to_serve = 0.0
        self._process = psutil.Process(pid)

    def processes(self) -> list[psutil.Process]:
        """The one that was started, and where it has workers these too."""
        children = self._process.children(recursive=True) if self.contender.workers > 1 else []
        return [self._process, *children]

    def cpu_seconds(self) -> float:
        """User and system time of all threads of all its processes so far."""
        return sum(_cpu_seconds(process) for process in self.processes())

    def resident(self) -> int:
        """Its resident memory now, in bytes; cheaper than `memory`."""
        return sum(int(process.memory_info().rss) for process in self.processes())

    def memory(self) -> Memory:
        """What it holds now. PSS is 0 where the system does not tell it."""
        infos = [process.memory_full_info() for process in self.processes()]
        rss, pss, uss = (sum(getattr(info, name, 0) for info in infos) for name in ("rss", "pss", "uss"))
        return Memory(rss, pss, uss)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of one GET over a connection of its own. Raises OSError or HTTPException."""
        return self.send(Ask("GET", path))

    def send(self, ask: Ask) -> tuple[int, bytes]:
        """Status and body of the answer, over a connection of its own. Raises OSError or HTTPException."""
        connection = HTTPConnection(HOST, self.port, timeout=10)
        try:
            headers = {**self.contender.headers, **ask.headers}
            connection.request(ask.method, ask.path, ask.body or None, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _cpu_seconds(process: psutil.Process) -> float:
    """Linux has a clock for each process, to the nanosecond; psutil's times are in hundredths of a second."""
    if psutil.LINUX:
        return time.clock_gettime(~process.pid << 3 | _CPU_CLOCK)
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def serving(contender: Contender, site: Site) -> Iterator[Served]:
    """The contender under uvicorn, ready to answer; its process has ended afterwards. Raises ContenderFailed."""
    port = _free_port()
    log = site.folder / f"{contender.name}.log"
    with log.open("ab") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            _command(contender, port),
            env=child_environment(site, contender),
            cwd=site.folder,  # so that no .env is read
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C reaches us alone, and we end it
        )
    try:
        served = Served(contender, process.pid, port)
        _wait_until_ready(served, process, site.users[0].path, log)
        served.seconds_to_serve = time.perf_counter() - began
        yield served
    finally:
        end(process)


def _command(contender: Contender, port: int) -> list[str]:
    where = ("--host", HOST, "--port", str(port), "--workers", str(contender.workers))
    return [interpreter(contender), "-m", *_SERVER, *where, contender.app]


def child_environment(site: Site, contender: Contender) -> dict[str, str]:
    """Our environment without what would configure the service, and with what the site says.

    A PYTHONPATH that is set comes before this checkout, so that another copy of the service can be measured.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    own = {ROWS_VARIABLE: str(len(site.users)), **site.environment(), **contender.environment}
    environment = {**inherited, **own}
    paths = [environment.get("PYTHONPATH", ""), str(_ROOT)]
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process we started, and return when it is gone."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_ready(served: Served, process: subprocess.Popen[bytes], path: str, log: Path) -> None:
    name = served.contender.name
    limit = time.monotonic() + _START_SECONDS
    while not _is_ready(served, path):
        if process.poll() is not None:
            raise ContenderFailed(f"{name} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        if time.monotonic() > limit:
            raise ContenderFailed(f"{name} does not answer after {_START_SECONDS:g} s:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)


def _is_ready(served: Served, path: str) -> bool:
    try:
        return served.get(path)[0] == 200
    except (OSError, HTTPException):
        return False
