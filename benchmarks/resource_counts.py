"""Count the instructions of requests to a declared resource and to handlers written by hand, by valgrind's callgrind.

`python -m benchmarks.resource_counts HOST:PORT KEYSPACE SLICES` is the program that callgrind runs. It sends one
request after another, in slices that are counted apart. A slice has the work of timers and of the driver's threads too,
the more the slower the machine is; so the least count is taken.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvloop
from starlette.applications import Starlette

from asgi_app.cli.sample_data import sample_user
from asgi_app.settings import Settings
from benchmarks.processes import finished
from benchmarks.regression.counting import NotGiven
from benchmarks.site import Site, parse_node
from benchmarks.two_ways import Work, ask, declared, hand_written, works_on

REQUESTS = 5
"""Requests of a slice."""

_WARM = 60
_USERS = 1000
_SECONDS = 900.0
_CALLGRIND = ("valgrind", "--tool=callgrind", "--instr-atstart=no")
_COMMANDS = "while read command; do vgdb --pid=$0 $command; echo; done"
_DUMPED = re.compile(r"^desc: Trigger: .*dump (\S+)$", re.MULTILINE)
_TOTAL = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)
_APPLICATIONS: Mapping[str, Callable[[Settings], Starlette]] = {"declared": declared, "hand": hand_written}


def compare_counts(site: Site, slices: int) -> list[tuple[str, float, float]]:
    """Return the instructions of one request of each kind: its title, those of the resource, and those by hand.

    Raises NotGiven without valgrind, and ContenderFailed if the program fails.
    """
    if not (shutil.which("valgrind") and shutil.which("vgdb")):
        raise NotGiven("valgrind is not installed")
    output = site.folder / "callgrind.out"
    program = [sys.executable, "-m", "benchmarks.resource_counts", f"{site.node.host}:{site.node.port}", site.keyspace]
    command = [*_CALLGRIND, f"--callgrind-out-file={output}", *program, str(slices)]
    finished(command, _SECONDS, environment={**os.environ, "PYTHONHASHSEED": "0"})
    least = _least(site.folder.glob(f"{output.name}.*"))
    titles = [work.title for work in works_on(site.users)]
    return [(title, least[f"declared-{at}"], least[f"hand-{at}"]) for at, title in enumerate(titles)]


def _least(files: Iterator[Path]) -> dict[str, float]:
    """Return the least instructions of one request by the name of the dump. Raises NotGiven if a file has no count."""
    found: dict[str, float] = {}
    for file in files:
        text = file.read_text()
        dumped, total = _DUMPED.search(text), _TOTAL.search(text)
        if dumped is not None and total is not None:
            found[dumped[1]] = min(int(total[1]) / REQUESTS, found.get(dumped[1], float("inf")))
    if not found:
        raise NotGiven("callgrind wrote no count")
    return found


@contextmanager
def _callgrind() -> Iterator[Callable[[str], None]]:
    """Return a function that sends callgrind a command about this process.

    Another process sends it: starting one for each would be counted.
    """
    with subprocess.Popen(
        ["sh", "-c", _COMMANDS, str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as sender:
        to_sender, from_sender = sender.stdin, sender.stdout
        assert to_sender is not None
        assert from_sender is not None

        def send(command: str) -> None:
            to_sender.write(f"{command}\n".encode())
            while from_sender.readline().strip():  # what vgdb says; an empty line is the end
                pass

        yield send
        to_sender.close()


async def _work(settings: Settings, slices: int) -> None:
    """Count the requests of each kind in slices, to both applications in turn: what else runs is the same for both."""
    works = works_on([sample_user(number) for number in range(_USERS)])
    one, other = (make(settings) for make in _APPLICATIONS.values())
    async with one.router.lifespan_context(one), other.router.lifespan_context(other):
        apps = dict(zip(_APPLICATIONS, (one, other), strict=True))
        with _callgrind() as callgrind:
            for at, work in enumerate(works):
                for app in apps.values():
                    await _send(app, work, _WARM)
                callgrind("instrumentation on")
                for _ in range(slices):
                    for name, app in apps.items():
                        await _send(app, work, 1)
                        callgrind("zero")
                        await _send(app, work, REQUESTS)
                        callgrind(f"dump {name}-{at}")
                callgrind("instrumentation off")


async def _send(app: Starlette, work: Work, requests: int) -> None:
    for at in range(requests):
        await ask(app, work, work.paths[at % len(work.paths)])


def main() -> None:
    """Run as the command line says."""
    node, keyspace, slices = sys.argv[1:]
    settings = Settings(
        cassandra_hosts=(parse_node(node),),
        cassandra_keyspace=keyspace,
        cassandra_connection_timeout=60,
        cassandra_idle_heartbeat_interval=0,
    )
    gc.disable()  # a collection falls into one slice or another
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(settings, int(slices)))


if __name__ == "__main__":
    main()
