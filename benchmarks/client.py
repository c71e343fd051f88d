"""A load client: `python -m benchmarks.client PORT ASKS CONNECTIONS SECONDS [RATE]`.

ASKS is a file of lines `METHOD PATH BODY`, which are sent in turn and again. Without a rate each connection sends its
next request when the last is answered (a closed loop). With one, requests fall due at that rate and go out on the next
free connection; their time counts from when they fell due, so it has the wait for a connection too. Prints one line of
JSON, a `Seen`.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from benchmarks import HOST

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_PATIENCE_SECONDS = 30.0  # slow is no failure; the service refuses or answers long before


class Seen(msgspec.Struct, frozen=True):
    """The answers that a client got, with the time of each. A failure is neither a 2xx nor a 503 with Retry-After."""

    seconds: float
    accepted: int
    failures: int
    p50_ms: float
    p99_ms: float
    refused: int = 0
    refused_p50_ms: float = 0.0


@dataclass(slots=True)
class Tally:
    """The seconds of each answer by kind; `failures` has connections too that were lost or never answered."""

    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    failures: int = 0
    seconds: float = 0.0

    def add(self, answer: bytes, seconds: float) -> None:
        """Count a whole answer."""
        if answer[9:10] == b"2":
            self.accepted.append(seconds)
        elif answer[9:12] == b"503" and b"\r\nretry-after:" in answer.lower():
            self.refused.append(seconds)
        else:
            self.failures += 1

    def lost(self) -> None:
        """Count a connection that the server closed."""
        self.failures += 1

    def seen(self) -> Seen:
        """Return counts and percentiles."""
        p50, p99 = percentiles_ms(self.accepted, 0.5, 0.99)
        (refused_p50,) = percentiles_ms(self.refused, 0.5)
        return Seen(self.seconds, len(self.accepted), self.failures, p50, p99, len(self.refused), refused_p50)


def percentiles_ms(seconds: Sequence[float], *shares: float) -> list[float]:
    """Return for each share the time in milliseconds below which so much of all times lies; zeros of none."""
    ordered = sorted(seconds) or [0.0]
    return [1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in shares]


class Connection(asyncio.Protocol):
    """A keep-alive connection with one request at a time; it calls `free` with itself when it can send the next."""

    def __init__(self, tally: Tally, free: Callable[[Connection], None]) -> None:
        self._tally = tally
        self._free = free
        self._received = b""
        self._since = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is not an instance of it
        self._free(self)

    def ask(self, request: bytes, since: float) -> None:
        """Send a request; its time counts from `since`."""
        assert self._transport is not None
        self._since = since
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Count the answer when it is whole."""
        self._received += data
        size = answer_size(self._received)
        if size is not None and len(self._received) >= size:
            answer, self._received = self._received, b""
            self._tally.add(answer, time.perf_counter() - self._since)
            self._free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it, unless `close` closed it."""
        if self._transport is not None:
            self._tally.lost()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.close()


def answer_size(received: bytes) -> int | None:
    """Return the size of the answer that begins here, or None while its head is not whole."""
    head = received.find(_HEAD_END)
    if head < 0:
        return None
    at = received[:head].lower().find(_LENGTH)
    length = received[at + len(_LENGTH) : head].split(b"\r\n", 1)[0] if at >= 0 else b"0"
    return head + len(_HEAD_END) + int(length)


def requests_of(asks: Path, port: int) -> Iterator[bytes]:
    """Return the requests of a file, in turn and again."""
    return itertools.cycle([_request(line, f"{HOST}:{port}".encode()) for line in asks.read_bytes().splitlines()])


def _request(line: bytes, host: bytes) -> bytes:
    method, path, body = line.split(b" ", 2)
    about = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body) if body else b""
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n%b" % (method, path, host, about, body)


async def closed_loop(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> Tally:
    """Let each connection send its next request as soon as the last is answered, for so long."""
    tally = Tally()
    until = float("inf")

    def again(connection: Connection) -> None:
        if (now := time.perf_counter()) < until:
            connection.ask(next(requests), now)

    began = time.perf_counter()
    made = [await _connected(port, tally, again) for _ in range(connections)]
    await asyncio.sleep(seconds)
    until = time.perf_counter()
    for connection in made:
        connection.close()
    tally.seconds = until - began
    return tally


async def open_loop(port: int, requests: Iterator[bytes], connections: int, seconds: float, rate: float) -> Tally:
    """Send so many requests a second over so many connections, and wait some seconds until all are answered."""
    tally = Tally()
    free: asyncio.Queue[Connection] = asyncio.Queue()
    made = [await _connected(port, tally, free.put_nowait) for _ in range(connections)]
    unanswered = connections
    began = time.perf_counter()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds + _PATIENCE_SECONDS):
            for number in range(max(1, int(seconds * rate))):
                due = began + number / rate
                if (early := due - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                (await free.get()).ask(next(requests), due)
            for _ in made:
                await free.get()
                unanswered -= 1
    tally.failures += unanswered
    tally.seconds = time.perf_counter() - began
    for connection in made:
        connection.close()
    return tally


async def _connected(port: int, tally: Tally, free: Callable[[Connection], None]) -> Connection:
    made = await asyncio.get_running_loop().create_connection(lambda: Connection(tally, free), HOST, port)
    return made[1]


def main() -> None:
    """Run as the command line says."""
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[3]), float(sys.argv[4])
    requests = requests_of(Path(sys.argv[2]), port)
    if len(sys.argv) > 5:
        load = open_loop(port, requests, connections, seconds, float(sys.argv[5]))
    else:
        load = closed_loop(port, requests, connections, seconds)
    print(msgspec.json.encode(uvloop.run(load).seen()).decode())


if __name__ == "__main__":
    main()
