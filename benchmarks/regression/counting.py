"""Count the instructions of a request and of a row with valgrind's callgrind, without those of a server.

`benchmarks.regression.workload` is the program. It switches the counting on and off around the work.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import rotated
from benchmarks.operations import READ, asks_file
from benchmarks.processes import ContenderFailed, finished
from benchmarks.regression.checkouts import Checkout
from benchmarks.regression.verdicts import Counts
from benchmarks.serving import child_environment
from benchmarks.site import Site

_WORKLOAD = Path(__file__).with_name("workload.py")
_CALLGRIND = ("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={os.devnull}")
_COLLECTED = re.compile(r"Collected : ([\d,]+)")
_SECONDS = 600.0
_STEADY = {"PYTHONHASHSEED": "0", "CASSANDRA_CONNECTION_TIMEOUT": "60", "CASSANDRA_IDLE_HEARTBEAT_INTERVAL": "0"}
"""Settings that make counts repeatable: sets keep their order, and no timer of the driver ends under slow valgrind."""


class NotGiven(Exception):
    """This machine gives no instruction counts."""


class Work(NamedTuple):
    """The counted work: a number of requests, or of rows of streams."""

    reads: int = 0
    rows: int = 0


_WORKS = {"instructions/request": Work(reads=960), "instructions/row": Work(rows=20_000)}


def compare_counts(base: Checkout, head: Checkout, site: Site, takes: int) -> list[Counts]:
    """Count both checkouts in turn, `takes` times.

    Raises NotGiven without valgrind, and ContenderFailed if a service fails even uncounted.
    """
    if not (shutil.which("valgrind") and shutil.which("vgdb")):
        raise NotGiven("valgrind is not installed")
    for each in (base, head):  # without valgrind: shows that it works, and compiles its bytecode
        _run((), each, site, Work(*map(sum, zip(*_WORKS.values(), strict=True))))
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


def _counted(each: Checkout, site: Site, work: Work) -> float:
    """Return the instructions of one request or row. Raises NotGiven."""
    try:
        return collected(_run(_CALLGRIND, each, site, work)) / sum(work)
    except ContenderFailed as error:
        raise NotGiven(f"{each.name} does not run under callgrind: {error}") from error


def _run(counter: tuple[str, ...], each: Checkout, site: Site, work: Work) -> str:
    """Run the program under `counter`, and return its standard error. Raises ContenderFailed."""
    asks = asks_file(site, READ.name, READ.asks(site))
    how = "counted" if counter else "uncounted"
    command = [*counter, sys.executable, "-P", str(_WORKLOAD), how, str(asks), *map(str, work)]
    environment = {**child_environment(site, each.contender()), **_STEADY}
    return finished(command, _SECONDS, environment=environment, folder=site.folder).stderr
