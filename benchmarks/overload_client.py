"""A client that asks for too much: `python -m benchmarks.overload_client PORT PATHS CONNECTIONS SECONDS [RATE]`.

Without a rate each connection asks again as soon as it is answered, refused or not. With one, requests fall due at that
rate whatever the answers are, and go out on the next connection that is free; their time counts from when they were
due. Prints one line of JSON, an `Overloaded`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from benchmarks import HOST
from benchmarks.client import answer_size

_TICK = 0.002
_GRACE = 5.0  # seconds to wait for the last answers


@dataclass(slots=True)
class Overloaded:
    """What the client saw: seconds are of each answer, `failures` what was neither a 200 nor a proper 503."""

    seconds: float = 0.0
    accepted: int = 0
    refused: int = 0
    failures: int = 0
    accepted_p50_ms: float = 0.0
    accepted_p99_ms: float = 0.0
    refused_p50_ms: float = 0.0
    refused_p99_ms: float = 0.0


@dataclass(slots=True)
class Tally:
    """What all connections saw."""

    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    failures: int = 0

    def add(self, answer: bytes, seconds: float) -> None:
        """Count a whole answer."""
        status = answer[9:12]
        if status == b"200":
            self.accepted.append(seconds)
        elif status == b"503" and b"\r\nretry-after:" in answer.lower():
            self.refused.append(seconds)
        else:
            self.failures += 1


class Connection(asyncio.Protocol):
    """One keep-alive connection; `free` is called with it whenever it can ask."""

    def __init__(self, tally: Tally, free: Callable[[Connection], None]) -> None:
        self._tally = tally
        self._free = free
        self._received = b""
        self._due = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can ask."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is not an instance of it
        self._free(self)

    def ask(self, request: bytes, due: float) -> None:
        """Send a request, whose time counts from `due`."""
        assert self._transport is not None
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Count a whole answer."""
        self._received += data
        size = answer_size(self._received)
        if size is None or len(self._received) < size:
            return
        answer, self._received = self._received, b""
        self._tally.add(answer, time.perf_counter() - self._due)
        self._free(self)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


async def closed_loop(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> tuple[Tally, float]:
    """So many connections, each with one request at a time; and how long it was."""
    tally = Tally()
    until = float("inf")

    def again(connection: Connection) -> None:
        now = time.perf_counter()
        if now < until:
            connection.ask(next(requests), now)

    began = time.perf_counter()
    made = [await _connected(port, tally, again) for _ in range(connections)]
    await asyncio.sleep(seconds)
    until = time.perf_counter()
    for connection in made:
        connection.close()
    return tally, until - began


async def open_loop(
    port: int, requests: Iterator[bytes], connections: int, seconds: float, rate: float
) -> tuple[Tally, float]:
    """So many requests a second over at most so many connections, and all that were due answered; how long that was."""
    tally = Tally()
    free: deque[Connection] = deque()
    made = [await _connected(port, tally, free.append) for _ in range(connections)]
    due: deque[float] = deque()
    began = time.perf_counter()
    asked = 0
    while (now := time.perf_counter()) < began + seconds:
        while began + asked / rate <= now:
            due.append(began + asked / rate)
            asked += 1
        while due and free:
            free.popleft().ask(next(requests), due.popleft())
        await asyncio.sleep(_TICK)
    for _ in range(int(_GRACE / _TICK)):
        if len(free) == connections:
            break
        await asyncio.sleep(_TICK)
    tally.failures += connections - len(free)
    for connection in made:
        connection.close()
    return tally, time.perf_counter() - began


async def _connected(port: int, tally: Tally, free: Callable[[Connection], None]) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(tally, free), HOST, port)
    return connection


def _report(tally: Tally, seconds: float) -> Overloaded:
    report = Overloaded(seconds, len(tally.accepted), len(tally.refused), tally.failures)
    report.accepted_p50_ms, report.accepted_p99_ms = _percentiles(tally.accepted)
    report.refused_p50_ms, report.refused_p99_ms = _percentiles(tally.refused)
    return report


def _percentiles(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values) or [0.0]
    p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
    return p50, p99


def main() -> None:
    """Run as the command line says."""
    port, connections = int(sys.argv[1]), int(sys.argv[3])
    seconds = float(sys.argv[4])
    paths = Path(sys.argv[2]).read_text().splitlines()
    requests = itertools.cycle([f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode() for path in paths])
    rate = float(sys.argv[5]) if len(sys.argv) > 5 else None
    if rate is None:
        load = closed_loop(port, requests, connections, seconds)
    else:
        load = open_loop(port, requests, connections, seconds, rate)
    print(json.dumps(asdict(_report(*uvloop.run(load)))))


if __name__ == "__main__":
    main()
