"""What a contender spends while it is under load: CPU time, context switches, memory. `measure` takes one slice."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Slice
from benchmarks.load import Load, run_load
from benchmarks.operations import READ, Operation
from benchmarks.serving import Served
from benchmarks.site import Site


class Meter:
    """What the processes of a contender spend from when this is made."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._cpu = served.cpu_seconds()
        self._switches = _switches(served)

    def cpu_seconds(self) -> float:
        """User and system time of all threads."""
        return self._served.cpu_seconds() - self._cpu

    def switches(self) -> int:
        """Context switches of all threads that there are still; -1 where the system does not tell them."""
        if not self._switches:
            return -1
        now = _switches(self._served)
        return sum(count - self._switches.get(thread, 0) for thread, count in now.items())


def measure(served: Served, site: Site, load: Load, number: int, operation: Operation = READ) -> Slice:
    """One slice. Raises ContenderFailed on any answer but a success."""
    meter = Meter(served)
    seen = run_load(served, site, load, operation)
    cpu, switches = meter.cpu_seconds(), meter.switches()
    answers = max(1, seen.requests)
    return Slice(
        contender=served.contender.name,
        operation=operation.name,
        connections=load.connections,
        number=number,
        cpu_us=cpu / answers * 1e6,
        switches=switches / answers if switches >= 0 else -1,
        rss=served.resident(),
        load=seen,
        fixed_rate=load.rate,
    )


def _switches(served: Served) -> dict[str, int]:
    """Context switches so far by thread; nothing where there is no /proc."""
    found = {}
    for process in served.processes():
        for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
            try:
                found[str(status)] = _switches_in(status.read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # a thread may end meanwhile
    return found


def _switches_in(status: str) -> int:
    return sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)
