"""Keep-alive connections of the load clients, each with one request at a time: in a closed loop, or at a fixed rate."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from benchmarks import HOST

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_PATIENCE = 5.0  # seconds to wait for the last answers

Answered = Callable[[bytes, float], None]
"""Is told of a whole answer, and of the seconds since it was asked for, or since it should have been."""


class Connection(asyncio.Protocol):
    """One connection; `free` is called with it whenever it can ask, `lost` when the server hangs up."""

    def __init__(self, answered: Answered, free: Callable[[Connection], None], lost: Callable[[], None]) -> None:
        self._answered = answered
        self._free = free
        self._lost = lost
        self._received = b""
        self._since = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can ask."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is not an instance of it
        self._free(self)

    def ask(self, request: bytes, since: float) -> None:
        """Send a request, whose time counts from `since`."""
        assert self._transport is not None
        self._since = since
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Tell of a whole answer."""
        self._received += data
        size = answer_size(self._received)
        if size is None or len(self._received) < size:
            return
        answer, self._received = self._received, b""
        self._answered(answer, time.perf_counter() - self._since)
        self._free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """A server that hangs up before we do has failed."""
        if self._transport is not None:
            self._lost()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.close()


@dataclass(slots=True)
class Ran:
    """How a load went: its seconds, connections that were lost or never answered, and how late the client was.

    `late` has for each request of a fixed rate the seconds from when it fell due to when the client came to it: what of
    the times is the client's own doing.
    """

    seconds: float = 0.0
    lost: int = 0
    unanswered: int = 0
    late: list[float] = field(default_factory=list)


def answer_size(received: bytes) -> int | None:
    """The size of the answer that begins here, None while its head is not there; without a length it is its head."""
    head = received.find(_HEAD_END)
    if head < 0:
        return None
    at = received[:head].lower().find(_LENGTH)
    length = received[at + len(_LENGTH) : head].split(b"\r\n", 1)[0] if at >= 0 else b"0"
    return head + len(_HEAD_END) + int(length)


def requests_of(asks: Path, port: int, headers: Sequence[str]) -> Iterator[bytes]:
    """What the lines `METHOD PATH BODY` of a file say, in turn and again, each with `headers` (`name: value`)."""
    fields = "".join(f"{header}\r\n" for header in (f"Host: {HOST}:{port}", *headers))
    return itertools.cycle([_request(line, fields) for line in asks.read_bytes().splitlines()])


def _request(line: bytes, fields: str) -> bytes:
    method, path, *rest = line.split(b" ", 2)
    body = b"".join(rest)
    about = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, path, (fields + about).encode(), body)


async def closed_loop(
    port: int, requests: Iterator[bytes], connections: int, seconds: float, answered: Answered
) -> Ran:
    """So many connections, each of which asks again as soon as it is answered."""
    ran = Ran()
    until = float("inf")

    def again(connection: Connection) -> None:
        now = time.perf_counter()
        if now < until:
            connection.ask(next(requests), now)

    began = time.perf_counter()
    made = [await _connected(port, answered, again, ran) for _ in range(connections)]
    await asyncio.sleep(seconds)
    until = time.perf_counter()
    for connection in made:
        connection.close()
    ran.seconds = until - began
    return ran


async def open_loop(
    port: int, requests: Iterator[bytes], connections: int, seconds: float, rate: float, answered: Answered
) -> Ran:
    """So many requests a second over at most so many connections, until all that fell due are answered."""
    ran = Ran()
    schedule = Schedule(requests, connections, seconds, rate, ran.late)
    made = [await _connected(port, answered, schedule.freed, ran) for _ in range(connections)]
    began = time.perf_counter()
    ran.unanswered = await schedule.run()
    ran.seconds = time.perf_counter() - began
    for connection in made:
        connection.close()
    return ran


class Schedule:
    """Requests that fall due one after another, whatever the answers are, and go out on the next free connection."""

    def __init__(
        self, requests: Iterator[bytes], connections: int, seconds: float, rate: float, late: list[float]
    ) -> None:
        self._requests = requests
        self._connections = connections
        self._count = max(1, int(seconds * rate))
        self._interval = 1 / rate
        self._late = late
        self._free: deque[Connection] = deque()
        self._due: deque[float] = deque()
        self._fallen = 0
        self._began = 0.0
        self._over = asyncio.Event()

    async def run(self) -> int:
        """Send all of them; how many connections are not answered some seconds after the last fell due."""
        self._began = time.perf_counter()
        self._look(asyncio.get_running_loop())
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), self._count * self._interval + _PATIENCE)
        return self._connections - len(self._free)

    def freed(self, connection: Connection) -> None:
        """Take a connection that can ask."""
        self._free.append(connection)
        self._send()
        if self._fallen == self._count and len(self._free) == self._connections:
            self._over.set()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Queue what has fallen due, and come back for the next."""
        now = time.perf_counter()
        while self._fallen < self._count and self._next() <= now:
            self._due.append(self._next())
            self._late.append(now - self._next())
            self._fallen += 1
        self._send()
        if self._fallen < self._count:
            loop.call_later(self._next() - time.perf_counter(), self._look, loop)

    def _next(self) -> float:
        return self._began + self._fallen * self._interval

    def _send(self) -> None:
        while self._due and self._free:
            self._free.popleft().ask(next(self._requests), self._due.popleft())


async def _connected(port: int, answered: Answered, free: Callable[[Connection], None], ran: Ran) -> Connection:
    def lost() -> None:
        ran.lost += 1

    made = await asyncio.get_running_loop().create_connection(lambda: Connection(answered, free, lost), HOST, port)
    return made[1]
