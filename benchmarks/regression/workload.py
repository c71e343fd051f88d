"""Call the service in its own process, without a server, under a program that counts instructions.

`python -P workload.py counted|uncounted ASKS READS ROWS`. ASKS is a file of lines `GET PATH`. The program starts the
service and warms it up. Then it reads READS of the paths in turn, 32 at once, and streams of ROWS users in total;
`counted` makes callgrind count these instructions only. It runs by its path, with a checkout first on PYTHONPATH, and
imports nothing of this package, which may be newer than the checkout.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop

AT_ONCE = 32
FETCH_SIZE = 2000
WARM_READS = 320
WARM_ROWS = 2 * FETCH_SIZE
MOST_ROWS = 10 * FETCH_SIZE
"""The longest stream: a table of few rows is enough for many rows in total."""


class Exchange:
    """One request and its answer as ASGI messages."""

    def __init__(self) -> None:
        self.status = 0
        self.size = 0
        self._asked = False
        self._over = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        """Return the request, which has no body; after that, wait until it is answered."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """Count the bytes of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.size += len(message.get("body", b""))
            if not message.get("more_body", False):
                self._over.set()


class Service:
    """The application, with its lifespan and its requests."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._state: dict[str, Any] = {}
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def start(self) -> asyncio.Task[None]:
        """Start it up, and return the task of its lifespan. Raises RuntimeError."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        task = asyncio.create_task(self._app(scope, self._to_app.get, self._from_app.put))
        await self._send("lifespan.startup")
        return task

    async def stop(self) -> None:
        """Shut it down. Raises RuntimeError."""
        await self._send("lifespan.shutdown")

    async def get(self, path: str, query: str = "") -> None:
        """Send one request. Raises RuntimeError unless the answer is a 200 with a body."""
        exchange = Exchange()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(b"host", b"127.0.0.1")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": self._state.copy(),
        }
        await self._app(scope, exchange.receive, exchange.send)
        if exchange.status != 200 or not exchange.size:
            raise RuntimeError(f"{path}?{query} is answered with {exchange.status}")

    async def _send(self, kind: str) -> None:
        await self._to_app.put({"type": kind})
        answer = await self._from_app.get()
        if answer["type"] != f"{kind}.complete":
            raise RuntimeError(f"{kind}: {answer}")


async def work(app: Any, paths: Iterator[str], reads: int, rows: int, count: Callable[[str], None]) -> None:
    """Start the service, warm it up, do the counted work, and shut it down. Raises RuntimeError."""
    service = Service(app)
    lifespan = await service.start()
    await _ask(service, paths, WARM_READS, WARM_ROWS)
    count("on")
    await _ask(service, paths, reads, rows)
    count("off")
    await service.stop()
    await lifespan


async def _ask(service: Service, paths: Iterator[str], reads: int, rows: int) -> None:
    for done in range(0, reads, AT_ONCE):
        await asyncio.gather(*map(service.get, itertools.islice(paths, min(AT_ONCE, reads - done))))
    for done in range(0, rows, MOST_ROWS):
        await service.get("/users/stream", f"fetch_size={FETCH_SIZE}&limit={min(MOST_ROWS, rows - done)}")


def _instrument(state: str) -> None:
    """Switch callgrind's counting in this process on or off. Raises CalledProcessError."""
    command = ["vgdb", f"--pid={os.getpid()}", "instrumentation", state]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60, check=True)


def main() -> None:
    """Run as the command line says."""
    from asgi_app.app import app

    how, asks, reads, rows = sys.argv[1:]
    paths = itertools.cycle([line.split()[1] for line in Path(asks).read_text().splitlines()])
    count = _instrument if how == "counted" else lambda state: None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(app, paths, int(reads), int(rows), count))


if __name__ == "__main__":
    main()
