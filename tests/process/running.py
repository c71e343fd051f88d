"""Starting programs, waiting for what they promise, and leaving none behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import httpx
import psutil

Found = TypeVar("Found")

COMMAND = str(Path(sys.executable).with_name("asgi-cassandra"))
PYTHON = sys.executable
WITHOUT_HTTPTOOLS = "import sys; sys.modules['httptools'] = None; from asgi_app.cli import main; main()"
PARSERS = {"httptools": [COMMAND], "h11": [PYTHON, "-c", WITHOUT_HTTPTOOLS]}
"""The command line under each of uvicorn's parsers."""

SETTING_PREFIXES = ("CASSANDRA_", "ASTRA_", "ASGI_CASSANDRA_")


def wait_until(what: str, look: Callable[[], Found], seconds: float = 30) -> Found:
    """The first true thing that `look` finds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return found


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This environment with these settings and no others."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(SETTING_PREFIXES)}
    return {**others, "PYTHONWARNINGS": "default", **settings}


def run(command: Sequence[str], folder: Path, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        command, cwd=folder, env=environment(settings), capture_output=True, text=True, timeout=120, check=False
    )


class Program:
    """A running program and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path, errors: Path) -> None:
        self.process = process
        self._output = output
        self._errors = errors

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def family(self) -> list[psutil.Process]:
        """Itself and every process that descends from it."""
        itself = psutil.Process(self.process.pid)
        return [itself, *itself.children(recursive=True)]

    def answers(self, url: str, status: int = 200, seconds: float = 60) -> None:
        """Wait until a GET of `url` has this status; fails at once when the program ends before."""

        def look() -> bool:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.errors}{self.output}"
            return status_of(url) == status

        wait_until(f"{url} answers {status}", look, seconds)

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 30) -> int:
        """Send a signal to this process alone, as `kill` does, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


def status_of(url: str) -> int | None:
    """The status of a GET; None when nobody answers."""
    try:
        return httpx.get(url, timeout=10).status_code
    except httpx.TransportError:
        return None


@contextmanager
def started(command: Sequence[str], folder: Path, settings: Mapping[str, str]) -> Iterator[Program]:
    """A program in a session of its own; what is left of it afterwards is killed."""
    with TemporaryDirectory() as kept:  # not in the folder, which may be the checkout
        output, errors = Path(kept, "output.txt"), Path(kept, "errors.txt")
        with output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                command, cwd=folder, env=environment(settings), stdout=out, stderr=err, start_new_session=True
            )
        try:
            yield Program(process, output, errors)
        finally:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; one that ended and was not collected yet does not."""
    return [it for it in processes if it.is_running() and it.status() != psutil.STATUS_ZOMBIE]
