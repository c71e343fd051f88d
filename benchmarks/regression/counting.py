"""The instructions of a request and of a row, by valgrind's callgrind: only those of the work, without a server.

`benchmarks.regression.workload` is the program, and says where the work begins and ends.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import rotated
from benchmarks.operations import READ, asks_file
from benchmarks.processes import ContenderFailed
from benchmarks.regression.checkouts import Checkout
from benchmarks.regression.verdicts import Counts
from benchmarks.serving import child_environment, end
from benchmarks.site import Site

_WORKLOAD = Path(__file__).with_name("workload.py")
_CALLGRIND = ("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={os.devnull}")
_COLLECTED = re.compile(r"Collected : ([\d,]+)")
_COMMAND_SECONDS = 60.0
_PATIENCE_SECONDS = 300.0
_STEADY = {"PYTHONHASHSEED": "0", "CASSANDRA_CONNECTION_TIMEOUT": "60", "CASSANDRA_IDLE_HEARTBEAT_INTERVAL": "0"}
"""Sets have the same order in every process, and no timer of the driver runs: under valgrind time flies."""


class NotGiven(Exception):
    """This machine gives no instruction counts."""


class Work(NamedTuple):
    """The counted work: so many requests, or so many rows of streams."""

    reads: int = 0
    rows: int = 0


_WORKS = {"instructions/request": Work(reads=960), "instructions/row": Work(rows=20_000)}


class _Broken(Exception):
    """The program did not do its work."""


def compare_counts(base: Checkout, head: Checkout, site: Site, takes: int) -> list[Counts]:
    """Count both in turn, so many times. Raises NotGiven, and ContenderFailed where a service fails uncounted."""
    if not (shutil.which("valgrind") and shutil.which("vgdb")):
        raise NotGiven("valgrind is not installed")
    for each in (base, head):
        _check(each, site)
    found: dict[str, dict[str, list[float]]] = {title: {base.name: [], head.name: []} for title in _WORKS}
    for number in range(takes):
        for each in rotated((base, head), number):
            for title, work in _WORKS.items():
                found[title][each.name].append(_counted(each, site, work))
        print(f"instructions: {number + 1} of {takes}", file=sys.stderr)
    return [Counts(title, counts[base.name], counts[head.name]) for title, counts in found.items()]


def collected(errors: str) -> int:
    """Return the count that callgrind reports at its end. Raises NotGiven."""
    found = _COLLECTED.search(errors)
    if found is None:
        raise NotGiven("valgrind reports no count")
    return int(found[1].replace(",", ""))


def _check(each: Checkout, site: Site) -> None:
    """Run the work uncounted, which compiles its bytecode too. Raises ContenderFailed."""
    try:
        _run(each, site, Work(*map(sum, zip(*_WORKS.values(), strict=True))), counted=False)
    except _Broken as error:
        raise ContenderFailed(f"{each.name}, without a server: {error}") from error


def _counted(each: Checkout, site: Site, work: Work) -> float:
    """Return the instructions of one request or row. Raises NotGiven."""
    try:
        return collected(_run(each, site, work, counted=True)) / sum(work)
    except _Broken as error:
        raise NotGiven(f"{each.name} does not run under callgrind: {error}") from error


def _run(each: Checkout, site: Site, work: Work, *, counted: bool) -> str:
    """Run the program, and return what it and valgrind write to standard error. Raises _Broken and NotGiven."""
    log = site.folder / "workload.log"
    asks = asks_file(site, READ.name, READ.asks(site))
    program = [sys.executable, "-P", str(_WORKLOAD), str(asks), *map(str, work)]
    environment = {**child_environment(site, each.contender()), **_STEADY}
    with _started([*(_CALLGRIND if counted else ()), *program], environment, log) as process:
        for word, state in (("ready", "on"), ("done", "off")):
            _await(process, word, log)
            if counted:
                _instrument(process.pid, state)
            _go_on(process)
        _await(process, "", log)
    return log.read_text()


@contextmanager
def _started(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the program, and end it at the end; `log` takes its standard error."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=log.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    with process:  # which closes its pipes
        try:
            yield process
        finally:
            end(process)


def _await(process: subprocess.Popen[bytes], word: str, log: Path) -> None:
    """Wait until the program prints a word, or without a word until it has ended well. Raises _Broken."""
    assert process.stdout is not None
    timer = threading.Timer(_PATIENCE_SECONDS, process.kill)
    timer.start()
    try:
        line = process.stdout.readline().decode().strip()
        if line != word or (not word and process.wait()):
            raise _Broken(f"{line or 'no answer'}; {log.read_text()[-1000:]}")
    finally:
        timer.cancel()


def _go_on(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def _instrument(pid: int, state: str) -> None:
    """Switch counting on or off. Raises NotGiven."""
    command = ["vgdb", f"--pid={pid}", "instrumentation", state]
    try:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotGiven(f"vgdb: {error}") from error
