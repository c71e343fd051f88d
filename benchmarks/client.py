"""A load client: `python -m benchmarks.client PORT ASKS CONNECTIONS SECONDS [RATE]`.

ASKS is a file of lines `METHOD PATH BODY`; the client sends them in turn, again and again. Without a rate each
connection sends its next request when the last is answered (a closed loop). With a rate, requests fall due at that rate
and go out on the next free connection. Their times count from when they fell due, so they include the wait for a
connection. Prints one line of JSON, a `Seen`.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from benchmarks import HOST

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_PATIENCE_SECONDS = 30.0  # the service refuses or answers long before


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
    """The seconds of each answer by kind. A connection that is lost or never answered counts as a failure, too."""

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

    def seen(self) -> Seen:
        """Return counts and percentiles."""
        p50, p99 = percentiles_ms(self.accepted, 0.5, 0.99)
        (refused_p50,) = percentiles_ms(self.refused, 0.5)
        return Seen(self.seconds, len(self.accepted), self.failures, p50, p99, len(self.refused), refused_p50)


def percentiles_ms(seconds: Sequence[float], *shares: float) -> list[float]:
    """Return the time in milliseconds below which each share of all times lies; zeros if there are none."""
    ordered = sorted(seconds) or [0.0]
    return [1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in shares]


class Connection(asyncio.Protocol):
    """A keep-alive connection that sends one request at a time, each at the next of some times.

    `over` is done when no time is left, or when the server has closed the connection.
    """

    def __init__(self, tally: Tally, requests: Iterator[bytes]) -> None:
        self._tally = tally
        self._requests = requests
        self._due: Iterator[float] = iter(())
        self._since = 0.0
        self._received = b""
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is not an instance of it

    def start(self, due: Iterator[float]) -> None:
        """Send requests at these times, and at once if the time has passed."""
        self._due = due
        self._send_next()

    def data_received(self, data: bytes) -> None:
        """Count the answer when it is whole, and send the next request."""
        self._received += data
        size = answer_size(self._received)
        if size is not None and len(self._received) >= size:
            answer, self._received = self._received, b""
            self._tally.add(answer, time.perf_counter() - self._since)
            self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that the server closed too early."""
        if not self.over.done():
            self._tally.failures += 1
            self.over.set_result(None)

    def close(self) -> None:
        """Close the connection, which is not counted."""
        self.over.cancel()
        self._transport.close()

    def _send_next(self) -> None:
        since = next(self._due, None)
        if since is None:
            self.over.set_result(None)
            return
        self._since = since
        if (early := since - time.perf_counter()) > 0:
            asyncio.get_running_loop().call_later(early, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._transport.write(next(self._requests))


def answer_size(received: bytes) -> int | None:
    """Return the size of the answer that begins here, or None while its head is not whole."""
    head = received.find(_HEAD_END)
    if head < 0:
        return None
    at = received[:head].lower().find(_LENGTH)
    length = received[at + len(_LENGTH) : head].split(b"\r\n", 1)[0] if at >= 0 else b"0"
    return head + len(_HEAD_END) + int(length)


def requests_of(asks: Path, port: int) -> Iterator[bytes]:
    """Return the requests of a file, in turn, again and again."""
    return itertools.cycle([_request(line, f"{HOST}:{port}".encode()) for line in asks.read_bytes().splitlines()])


def _request(line: bytes, host: bytes) -> bytes:
    method, path, body = line.split(b" ", 2)
    about = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body) if body else b""
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n%b" % (method, path, host, about, body)


async def load(
    port: int, requests: Iterator[bytes], connections: int, seconds: float, rate: float | None = None
) -> Tally:
    """Send requests in a closed loop for some seconds, or at a rate, and then await the answers that are missing."""
    tally = Tally()
    connect = partial(asyncio.get_running_loop().create_connection, partial(Connection, tally, requests), HOST, port)
    made = [(await connect())[1] for _ in range(connections)]
    began = time.perf_counter()
    if rate is None:
        due, patience = iter(time.perf_counter, None), 0.0
    else:
        due, patience = (began + number / rate for number in range(max(1, int(seconds * rate)))), _PATIENCE_SECONDS
    for connection in made:
        connection.start(due)
    await asyncio.wait([connection.over for connection in made], timeout=seconds + patience)
    tally.seconds = time.perf_counter() - began
    tally.failures += sum(not connection.over.done() for connection in made) if rate else 0
    for connection in made:
        connection.close()
    return tally


def main() -> None:
    """Run as the command line says."""
    port, asks, connections, seconds, *rate = sys.argv[1:]
    requests = requests_of(Path(asks), int(port))
    tally = uvloop.run(load(int(port), requests, int(connections), float(seconds), *map(float, rate)))
    print(msgspec.json.encode(tally.seen()).decode())


if __name__ == "__main__":
    main()
