"""The load on a contender: keep-alive connections in a closed loop, from a process of its own.

`wrk` makes it where it is installed, since it takes next to nothing of the machine; else `benchmarks.client` does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks import HOST
from benchmarks.serving import ContenderFailed, Served, end
from benchmarks.site import Site

_SCRIPT = Path(__file__).with_name("wrk_report.lua")
_GRACE_SECONDS = 30.0


class Load(msgspec.Struct, frozen=True):
    """How hard to ask: `connections` at once, each with one request at a time, for `seconds`."""

    connections: int
    seconds: int


class LoadReport(msgspec.Struct, frozen=True):
    """What the client saw. `failures` names what was not a 200, by kind."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failures: dict[str, int]


def client_name() -> str:
    """Which client makes the load."""
    return "wrk" if shutil.which("wrk") else "benchmarks.client (asyncio)"


def run_load(served: Served, site: Site, load: Load) -> LoadReport:
    """Ask `served` for the site's users in turn. Raises ContenderFailed on any answer that is not a 200."""
    paths = paths_file(site)
    make = _wrk if shutil.which("wrk") else _client
    command = make(served, load, paths)
    report = msgspec.json.decode(last_line(command, load.seconds + _GRACE_SECONDS), type=LoadReport)
    failures = {kind: count for kind, count in report.failures.items() if count}
    if failures or not report.requests:
        raise ContenderFailed(f"{served.contender.name} under load: {report.requests} requests, failures {failures}")
    return report


def paths_file(site: Site) -> Path:
    """A file of the paths to ask for, a line each."""
    paths = site.folder / "paths.txt"
    if not paths.exists():
        paths.write_text("".join(f"{user.path}\n" for user in site.users))
    return paths


def _wrk(served: Served, load: Load, paths: Path) -> list[str]:
    how = ["--threads", "1", "--connections", str(load.connections), "--duration", f"{load.seconds}s"]
    headers = [part for header in _header_lines(served) for part in ("--header", header)]
    target = f"http://{HOST}:{served.port}"
    return ["wrk", *how, *headers, "--timeout", "10s", "--script", str(_SCRIPT), target, "--", str(paths)]


def _client(served: Served, load: Load, paths: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "benchmarks.client",
        HOST,
        str(served.port),
        str(paths),
        *map(str, msgspec.structs.astuple(load)),
        *_header_lines(served),
    ]


def _header_lines(served: Served) -> list[str]:
    return [f"{name}: {value}" for name, value in served.contender.headers.items()]


def client_environment() -> dict[str, str]:
    """Ours, with this checkout to import from."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}


def last_line(command: list[str], timeout: float) -> bytes:
    """What a client prints last; its process has ended afterwards. Raises ContenderFailed."""
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
