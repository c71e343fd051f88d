"""At rest: what an idle process holds and spends; and how long a fresh one takes to import and to connect."""

from __future__ import annotations

import subprocess
import sys
import time

import msgspec

from benchmarks.checks import check
from benchmarks.contenders import CONTENDERS, SERVICE
from benchmarks.meter import Meter
from benchmarks.operations import READ
from benchmarks.report import MEDIANS, Outcome, Table, judged, spread
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.rounds import side_by_side
from benchmarks.serving import ContenderFailed, Memory, Served, child_environment, serving
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


class Idle(msgspec.Struct, frozen=True):
    """What a contender that has answered some requests spends in each second in which it is left alone."""

    contender: str
    seconds: float
    cpu_ms: float
    switches: float
    memory: Memory


class Footprint(msgspec.Struct, frozen=True):
    """All raw figures."""

    starts: list[Start]
    idle: list[Idle]


def run(site: Site, effort: Effort) -> Outcome:
    """Several fresh processes, one after another, and all contenders at rest. Raises ContenderFailed."""
    starts = []
    for number in range(effort.starts):
        starts.append(_start(site))
        print(f"footprint: start {number + 1} of {effort.starts}", file=sys.stderr)
    return outcome(Footprint(starts, _idle(site, effort)))


def outcome(found: Footprint) -> Outcome:
    """What people read of it."""
    findings = [
        judged("resident memory of the idle service in MB (10⁶ bytes)", _resident(found.starts), MEMORY_TARGET_MB, 1),
        judged("import and connect in seconds", [each.startup.total for each in found.starts], STARTUP_TARGET_SECONDS),
    ]
    title = f"At rest, and start-up: {len(found.starts)} fresh processes, {MEDIANS}"
    return Outcome(title, [_table(found.starts), _idle_table(found.idle)], findings, found)


def _resident(starts: list[Start]) -> list[float]:
    return [start.memory.rss / _MB for start in starts]


def _idle(site: Site, effort: Effort) -> list[Idle]:
    """All contenders at once: at rest they leave each other alone."""
    with side_by_side(CONTENDERS, site) as running:
        for served in running:
            check(served, site, READ, effort.checked)
        time.sleep(_IDLE_SECONDS)
        began, meters = time.perf_counter(), [Meter(served) for served in running]
        time.sleep(effort.idle)
        seconds = time.perf_counter() - began
        return [_at_rest(served, meter, seconds) for served, meter in zip(running, meters, strict=True)]


def _at_rest(served: Served, meter: Meter, seconds: float) -> Idle:
    cpu, switches = meter.cpu_seconds(), meter.switches()
    return Idle(served.contender.name, seconds, cpu / seconds * 1000, switches / seconds, served.memory())


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


def _idle_table(idle: list[Idle]) -> Table:
    header = ("at rest", "CPU ms/s", "context switches/s", "RSS MB", "PSS MB")
    rows = [
        (
            each.contender,
            f"{each.cpu_ms:.1f}",
            f"{each.switches:.0f}" if each.switches >= 0 else "",
            f"{each.memory.rss / _MB:.1f}",
            f"{each.memory.pss / _MB:.1f}",
        )
        for each in idle
    ]
    return Table(header, rows)
