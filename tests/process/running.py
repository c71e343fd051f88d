"""Start programs, wait for their responses, and leave no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil
from helpers.waiting import wait_until

COMMAND = str(Path(sys.executable).with_name("asgi-cassandra"))
PYTHON = sys.executable
WITHOUT_HTTPTOOLS = "import sys; sys.modules['httptools'] = None; from asgi_app.cli import main; main()"
PARSERS = {"httptools": [COMMAND], "h11": [PYTHON, "-c", WITHOUT_HTTPTOOLS]}
"""The command line with each of uvicorn's parsers."""

SETTING_PREFIXES = ("CASSANDRA_", "ASTRA_", "ASGI_CASSANDRA_")


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this process with `settings` instead of its own."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(SETTING_PREFIXES)}
    return {**others, "PYTHONWARNINGS": "default", **settings}


def run(command: Sequence[str], folder: Path, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself, and return its exit code and output."""
    return subprocess.run(
        command, cwd=folder, env=environment(settings), capture_output=True, text=True, timeout=120, check=False
    )


class Program:
    """A running program and its output so far."""

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
        """Return its process and all descendants."""
        itself = psutil.Process(self.process.pid)
        return [itself, *itself.children(recursive=True)]

    def answers(self, url: str, status: int = 200, seconds: float = 60) -> None:
        """Wait until a GET of `url` has `status`; fail at once if the program ends before."""

        def look() -> bool:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.errors}{self.output}"
            return status_of(url) == status

        wait_until(f"{url} has status {status}", look, seconds)

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 30) -> int:
        """Send a signal to this process only, as `kill` does, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


def status_of(url: str) -> int | None:
    """Return the status of a GET; None if there is no response."""
    try:
        return httpx.get(url, timeout=10).status_code
    except httpx.TransportError:
        return None


@contextmanager
def started(command: Sequence[str], folder: Path, settings: Mapping[str, str]) -> Iterator[Program]:
    """Run a program in its own session; kill what is left of it afterwards."""
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
    """Return the processes that still run; zombies do not count."""
    return [it for it in processes if it.is_running() and it.status() != psutil.STATUS_ZOMBIE]
