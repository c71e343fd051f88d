"""The service at rest: what an idle process holds, and how long a fresh one takes to import and to connect."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import msgspec

from benchmarks.contenders import SERVICE
from benchmarks.report import Outcome, Table, spread, verdict
from benchmarks.scenarios.effort import Effort
from benchmarks.serving import ContenderFailed, Memory, child_environment, serving
from benchmarks.site import Site
from benchmarks.startup_probe import Startup

MEMORY_TARGET_MB = 80
STARTUP_TARGET_SECONDS = 2.0

_MB = 1e6
_IDLE_SECONDS = 1.0
_PROBE_SECONDS = 60.0


class Start(msgspec.Struct, frozen=True):
    """One fresh process of each kind: the service under uvicorn, and a bare import and connect."""

    memory: Memory
    seconds_to_serve: float
    startup: Startup


def run(site: Site, effort: Effort) -> Outcome:
    """Several fresh processes, one after another. Raises ContenderFailed."""
    starts = []
    for number in range(effort.starts):
        starts.append(_start(site))
        print(f"footprint: start {number + 1} of {effort.starts}", file=sys.stderr)
    resident = statistics.median(start.memory.rss for start in starts) / _MB
    seconds = statistics.median(start.startup.total for start in starts)
    findings = [
        f"Resident memory of the idle service in MB (10⁶ bytes), {verdict(resident, MEMORY_TARGET_MB, below=True)}",
        f"Import and connect in seconds, {verdict(seconds, STARTUP_TARGET_SECONDS, below=True)}",
    ]
    title = f"Idle memory and start-up: {effort.starts} fresh processes, medians [least–greatest]"  # noqa: RUF001
    return Outcome(title, [_table(starts)], findings, starts)


def _start(site: Site) -> Start:
    with serving(SERVICE, site) as served:
        time.sleep(_IDLE_SECONDS)
        memory = served.memory()
    return Start(memory, served.seconds_to_serve, _probe(site))


def _probe(site: Site) -> Startup:
    command = [sys.executable, "-m", "benchmarks.startup_probe"]
    try:
        done = subprocess.run(
            command,
            env=child_environment(site, SERVICE),
            cwd=site.folder,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ContenderFailed(f"a fresh process does not import and connect within {_PROBE_SECONDS:g} s") from error
    if done.returncode:
        raise ContenderFailed(f"a fresh process does not import and connect:\n{done.stderr.decode()[-2000:]}")
    return msgspec.json.decode(done.stdout, type=Startup)


def _table(starts: list[Start]) -> Table:
    figures = (
        ("idle service, RSS MB", [start.memory.rss / _MB for start in starts], 1),
        ("idle service, PSS MB", [start.memory.pss / _MB for start in starts], 1),
        ("idle service, USS MB", [start.memory.uss / _MB for start in starts], 1),
        ("import, s", [start.startup.import_seconds for start in starts], 2),
        ("connect, s", [start.startup.connect_seconds for start in starts], 2),
        ("import and connect, s", [start.startup.total for start in starts], 2),
        ("from exec to the first answered read under uvicorn, s", [start.seconds_to_serve for start in starts], 2),
    )
    return Table(("figure", "value"), [(name, spread(values, digits)) for name, values, digits in figures])
