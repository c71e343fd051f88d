"""What counts instructions on this machine: the processor (`perf`), or valgrind's `callgrind`."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

_COMMAND_SECONDS = 60.0
_COLLECTED = re.compile(r"Collected : ([\d,]+)")


class NotGiven(Exception):
    """This machine gives no instruction counts; the sentence says why."""


class Counter(Protocol):
    """Counts the instructions of one process in user space, all its threads, between two moments."""

    name: str

    def command(self, python: list[str]) -> list[str]:
        """What runs the Python program so that it can be counted."""

    def begin(self, pid: int) -> None:
        """Count from now on. Raises NotGiven."""

    def stop(self, pid: int) -> None:
        """Count no more. Raises NotGiven."""

    def total(self, said: str) -> int:
        """How many there were, when the process has ended; `said` is its standard error. Raises NotGiven."""


class Uncounted:
    """Runs the program as it is."""

    name = "nothing"

    def command(self, python: list[str]) -> list[str]:
        """See Counter."""
        return python

    def begin(self, pid: int) -> None:
        """See Counter."""

    def stop(self, pid: int) -> None:
        """See Counter."""

    def total(self, said: str) -> int:
        """See Counter."""
        return 0


class Callgrind:
    """Valgrind's, under which the program runs some hundred times slower while it is counted."""

    name = "callgrind"

    def command(self, python: list[str]) -> list[str]:
        """See Counter."""
        return ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={os.devnull}", *python]

    def begin(self, pid: int) -> None:
        """See Counter."""
        _run("vgdb", f"--pid={pid}", "instrumentation", "on")

    def stop(self, pid: int) -> None:
        """See Counter."""
        _run("vgdb", f"--pid={pid}", "instrumentation", "off")

    def total(self, said: str) -> int:
        """See Counter."""
        found = _COLLECTED.search(said)
        if found is None:
            raise NotGiven("valgrind does not say what it collected")
        return int(found[1].replace(",", ""))


class Perf:
    """The processor's own counter, by `perf stat`, which is told over pipes in `folder` when to count."""

    name = "perf"

    def __init__(self, folder: Path, event: str = "instructions:u") -> None:
        self._event = event
        self._found = folder / "perf.csv"
        self._control, self._answer = folder / "perf.control", folder / "perf.answer"
        for pipe in (self._control, self._answer):
            os.mkfifo(pipe)

    def command(self, python: list[str]) -> list[str]:
        """See Counter."""
        told = ["--delay=-1", f"--control=fifo:{self._control},{self._answer}", f"--output={self._found}"]
        return ["perf", "stat", "--field-separator=,", f"--event={self._event}", *told, "--", *python]

    def begin(self, pid: int) -> None:
        """See Counter."""
        self._tell("enable")

    def stop(self, pid: int) -> None:
        """See Counter."""
        self._tell("disable")

    def total(self, said: str) -> int:
        """See Counter."""
        return perf_count(self._found.read_text())

    def _tell(self, word: str) -> None:
        """Open to read and write, since an end that nobody else has opened would keep us waiting."""
        control, answer = (os.open(pipe, os.O_RDWR) for pipe in (self._control, self._answer))
        try:
            os.write(control, f"{word}\n".encode())
            if not select.select([answer], [], [], _COMMAND_SECONDS)[0]:
                raise NotGiven(f"perf does not answer to {word}")
            os.read(answer, 64)
        finally:
            os.close(control)
            os.close(answer)


def counter(folder: Path) -> Counter:
    """What counts on this machine; `folder` is for its files. Raises NotGiven."""
    if _perf_counts():
        return Perf(folder)
    if shutil.which("valgrind") and shutil.which("vgdb"):
        return Callgrind()
    raise NotGiven("perf counts none here, and valgrind is not installed")


def perf_count(csv: str) -> int:
    """The first count in what `perf stat` writes with commas. Raises NotGiven where it is none."""
    lines = (line for line in csv.splitlines() if line.strip() and not line.startswith("#"))
    value = next(lines, "").partition(",")[0]
    if not value.isdecimal():
        raise NotGiven(f"perf: {value or 'no count'}")
    return int(value)


def _perf_counts() -> bool:
    try:
        return perf_count(_run("perf", "stat", "--field-separator=,", "--event=instructions:u", "--", "true")) > 0
    except NotGiven:
        return False


def _run(*command: str) -> str:
    """What it says on standard error. Raises NotGiven."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotGiven(f"{command[0]}: {error}") from error
    if done.returncode:
        raise NotGiven(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return done.stderr
