"""The service called in its own process without a server, for a program that counts instructions.

`python -P workload.py ASKS READS ROWS` runs by its path with a checkout first on PYTHONPATH and imports nothing of this
package, which may be newer. ASKS is a file of lines `GET PATH`. When the service has started and run warm it
prints `ready` and waits for a line; then it reads READS of the paths in turn, 32 at once, and streams of ROWS users in
all; prints `done`, waits for a line again, and shuts the service down.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

AT_ONCE = 32
FETCH_SIZE = 2000
WARM_READS = 320
WARM_ROWS = 2 * FETCH_SIZE


class Exchange:
    """One request and its answer, in ASGI's messages."""

    def __init__(self) -> None:
        self.status = 0
        self.size = 0
        self._asked = False
        self._over = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        """Give the request without a body, and then wait until it is answered."""
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
    """The application between its start-up and its shutdown."""

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


async def work(app: Any, paths: Sequence[str], reads: int, rows: int) -> None:
    """Run the work between two signs. Raises RuntimeError."""
    service = Service(app)
    lifespan = await service.start()
    await _ask(service, paths, WARM_READS, WARM_ROWS)
    _sign("ready")
    await _ask(service, paths, reads, rows)
    _sign("done")
    await service.stop()
    await lifespan


async def _ask(service: Service, paths: Sequence[str], reads: int, rows: int) -> None:
    for asked in _groups(itertools.cycle(paths), reads):
        await asyncio.gather(*map(service.get, asked))
    for limit in _limits(rows):
        await service.get("/users/stream", f"fetch_size={FETCH_SIZE}&limit={limit}")


def _sign(word: str) -> None:
    """Print a word and wait for a line; the event loop stands still meanwhile."""
    print(word, flush=True)
    sys.stdin.readline()


def _groups(paths: Iterator[str], count: int) -> Iterator[list[str]]:
    for done in range(0, count, AT_ONCE):
        yield list(itertools.islice(paths, min(AT_ONCE, count - done)))


def _limits(rows: int) -> list[int]:
    """Return the lengths of streams of at most ten pages: a table of few rows is enough for many."""
    most = 10 * FETCH_SIZE
    return [min(most, rows - done) for done in range(0, rows, most)]


def main() -> None:
    """Run as the command line says."""
    from asgi_app.app import app

    asks, reads, rows = sys.argv[1:]
    paths = [line.split()[1] for line in Path(asks).read_text().splitlines()]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(app, paths, int(reads), int(rows)))


if __name__ == "__main__":
    main()
