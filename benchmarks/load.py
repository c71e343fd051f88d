"""The load on a contender, from a process of its own: keep-alive connections in a closed loop, or at a fixed rate.

`wrk` makes the closed loop where it is installed, since it takes next to nothing of the machine; else, and always at a
fixed rate, `benchmarks.client` does.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from benchmarks import HOST
from benchmarks.operations import READ, Ask, Operation
from benchmarks.serving import ContenderFailed, Served, end
from benchmarks.site import Site

_SCRIPT = Path(__file__).with_name("wrk_report.lua")
_GRACE_SECONDS = 30.0


class Load(msgspec.Struct, frozen=True):
    """How hard to ask: `connections` at once, each with one request at a time, for `seconds`; or at `rate` a second."""

    connections: int
    seconds: int
    rate: float | None = None


class LoadReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the client saw. `failures` names what was no success, by kind; there are none where a load has passed.

    At a fixed rate the times count from when a request fell due. `client_share` is the CPU time of the client over the
    wall clock's, `late_…` how late it came to the requests that fell due: whether the client is the limit.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failures: dict[str, int] = {}
    p999_ms: float = 0.0
    client_share: float = 0.0
    late_p99_ms: float = 0.0
    late_max_ms: float = 0.0

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def client_name() -> str:
    """Which client makes the closed loop."""
    return "wrk" if shutil.which("wrk") else "benchmarks.client (asyncio)"


def run_load(served: Served, site: Site, load: Load, operation: Operation = READ) -> LoadReport:
    """Ask `served` for the operation on the site's rows in turn. Raises ContenderFailed on any answer but a success."""
    asks = asks_file(site, operation)
    by_wrk = load.rate is None and shutil.which("wrk")
    command = _wrk(served, load, asks) if by_wrk else _client(served, load, asks)
    used = _children_seconds()
    report = msgspec.json.decode(last_line(command, load.seconds + _GRACE_SECONDS), type=LoadReport)
    failures = {kind: count for kind, count in report.failures.items() if count}
    if failures:
        raise ContenderFailed(
            f"{served.contender.name}, {operation.name} under load: {report.requests} requests, failures {failures}"
        )
    share = (_children_seconds() - used) / report.seconds if by_wrk else report.client_share
    report = msgspec.structs.replace(report, client_share=share, failures={})
    return report if report.requests else _starved(report)


def _starved(report: LoadReport) -> LoadReport:
    """Of no answer at all, which is slow and no failure: it took as long as the load, at least."""
    least = report.seconds * 1000
    return msgspec.structs.replace(report, p50_ms=least, p99_ms=least, p999_ms=least)


def asks_file(site: Site, operation: Operation) -> Path:
    """A file of what to ask for, a line `METHOD PATH BODY` each."""
    path = site.folder / f"{operation.name}.asks"
    if not path.exists():
        path.write_bytes(b"".join(_line(ask) for ask in operation.asks(site)))
    return path


def _line(ask: Ask) -> bytes:
    return f"{ask.method} {ask.path}".encode() + b" " * bool(ask.body) + ask.body + b"\n"


def _wrk(served: Served, load: Load, asks: Path) -> list[str]:
    how = ["--threads", "1", "--connections", str(load.connections), "--duration", f"{load.seconds}s"]
    target = f"http://{HOST}:{served.port}"
    fixed = ["--timeout", "10s", "--script", str(_SCRIPT)]
    return ["wrk", *how, *_header_options(served), *fixed, target, "--", str(asks)]


def _client(served: Served, load: Load, asks: Path) -> list[str]:
    rate = [] if load.rate is None else ["--rate", str(load.rate)]
    numbers = [str(load.connections), str(load.seconds)]
    command = [sys.executable, "-m", "benchmarks.client", str(served.port), str(asks), *numbers]
    return [*command, *rate, *_header_options(served)]


def _header_options(served: Served) -> list[str]:
    lines = (f"{name}: {value}" for name, value in served.contender.headers.items())
    return [part for line in lines for part in ("--header", line)]


def client_environment() -> dict[str, str]:
    """Ours, with this checkout to import from."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}


def last_line(command: Iterable[str], timeout: float) -> bytes:
    """What a client prints last; its process has ended afterwards. Raises ContenderFailed."""
    command = list(command)
    process = subprocess.Popen(
        command, env=client_environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise ContenderFailed(f"the client did not end within {timeout:g} s") from error
    finally:
        end(process)
    if process.returncode or not output.strip():
        raise ContenderFailed(f"{' '.join(command)} ended with {process.returncode}")
    return output.splitlines()[-1]


def _children_seconds() -> float:
    """CPU time of all processes of ours that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
