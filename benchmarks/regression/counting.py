"""How many instructions a request and a row take, by commit: only those of the work itself, without a server.

`benchmarks.regression.workload` says where the work begins and ends.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.contenders import Contender
from benchmarks.failure import ContenderFailed
from benchmarks.load import asks_file
from benchmarks.operations import READ
from benchmarks.regression.checkouts import Checkout
from benchmarks.regression.counters import Counter, NotGiven, Uncounted, counter
from benchmarks.regression.verdicts import Counts
from benchmarks.scenarios.rounds import rotated
from benchmarks.serving import child_environment, end
from benchmarks.site import Site

_WORKLOAD = Path(__file__).with_name("workload.py")
_PATIENCE_SECONDS = 300.0
_STEADY = {"PYTHONHASHSEED": "0", "CASSANDRA_CONNECTION_TIMEOUT": "60", "CASSANDRA_IDLE_HEARTBEAT_INTERVAL": "0"}
"""Sets have the same order in every process, and nothing is done because time has passed: under valgrind it has."""


class Work(NamedTuple):
    """What is done between the two moments: so many requests, or so many rows of streams."""

    reads: int = 0
    rows: int = 0

    def each(self, total: int) -> float:
        """Of a total, what one of them took."""
        return total / (self.reads + self.rows)


READS = Work(reads=960)
ROWS = Work(rows=20_000)


class _Broken(Exception):
    """The work was not done; the sentence says what its process said."""


def compare_counts(base: Checkout, head: Checkout, site: Site, takes: int) -> list[Counts]:
    """Both in turn, so many times. Raises NotGiven, and ContenderFailed where a service does not work uncounted."""
    for each in (base, head):
        _check(each, site)
    count = counter(site.folder)
    found: dict[tuple[str, Work], list[float]] = {(each.name, work): [] for each in (base, head) for work in _WORKS}
    for number in range(takes):
        for each in rotated((base, head), number):
            for work in _WORKS:
                found[each.name, work].append(_counted(count, each, site, work))
        print(f"instructions, by {count.name}: {number + 1} of {takes}", file=sys.stderr)
    return [Counts(name, found[base.name, work], found[head.name, work]) for work, name in _WORKS.items()]


_WORKS = {READS: "instructions/request", ROWS: "instructions/row"}


def _check(each: Checkout, site: Site) -> None:
    """It works, and its code is compiled afterwards. Raises ContenderFailed."""
    try:
        _do(Uncounted(), each.contender(), site, Work(READS.reads, ROWS.rows))
    except _Broken as error:
        raise ContenderFailed(f"{each.name}, without a server: {error}") from error


def _counted(count: Counter, each: Checkout, site: Site, work: Work) -> float:
    """Raises NotGiven."""
    try:
        return work.each(_do(count, each.contender(), site, work))
    except _Broken as error:
        raise NotGiven(f"{each.name} does not run under {count.name}: {error}") from error


def _do(count: Counter, contender: Contender, site: Site, work: Work) -> int:
    """What was counted of it. Raises _Broken or NotGiven."""
    said = site.folder / "workload.log"
    program = [sys.executable, "-P", str(_WORKLOAD), str(asks_file(site, READ)), *map(str, work)]
    environment = {**child_environment(site, contender), **_STEADY}
    with _started(count.command(program), environment, said) as process:
        _await(process, "ready", said)
        count.begin(process.pid)
        _go_on(process)
        _await(process, "done", said)
        count.stop(process.pid)
        _go_on(process)
        _await(process, "", said)
    return count.total(said.read_text())


@contextmanager
def _started(command: list[str], environment: Mapping[str, str], said: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process, which has ended afterwards; `said` takes its standard error."""
    with said.open("wb") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=said.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    with process:  # which closes its pipes
        try:
            yield process
        finally:
            end(process)


def _await(process: subprocess.Popen[bytes], word: str, said: Path) -> None:
    """Until it says so, or of no word, until it has ended well. Raises _Broken."""
    assert process.stdout is not None
    timer = threading.Timer(_PATIENCE_SECONDS, process.kill)
    timer.start()
    try:
        line = process.stdout.readline().decode().strip()
        if line != word or (not word and process.wait()):
            raise _Broken(f"{line or 'no answer'}; {said.read_text()[-1000:]}")
    finally:
        timer.cancel()


def _go_on(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
