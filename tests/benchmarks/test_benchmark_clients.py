"""The benchmarks' load clients: what they ask, when, and from when they count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from benchmarks import HOST
from benchmarks.connections import closed_loop, open_loop, requests_of

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@asynccontextmanager
async def _server(seconds: float) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answers everything, each after so many seconds; gives its port and what it was asked."""
    asked: list[bytes] = []
    clients: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError), closing(writer):  # the client hangs up
            while head := await reader.readuntil(b"\r\n\r\n"):
                asked.append(head + await reader.readexactly(_length(head)))
                await asyncio.sleep(seconds)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")

    server = await asyncio.start_server(lambda *streams: clients.add(asyncio.create_task(serve(*streams))), HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked
    await asyncio.wait(clients)


def _length(head: bytes) -> int:
    return next((int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")), 0)


async def test_at_a_fixed_rate_times_count_from_when_a_request_was_due(tmp_path: Path) -> None:
    """One connection, a request due every 20 ms, answers after 50 ms: the tenth waits for nine times 30 ms before."""
    asks = tmp_path / "asks"
    asks.write_text('GET /users/1\nPOST /users {"age": 1}\n')
    times: list[float] = []
    async with _server(0.05) as (port, asked):
        requests = requests_of(asks, port, ["X-Key: 1"])
        ran = await open_loop(port, requests, 1, 0.2, 50, lambda answer, seconds: times.append(seconds))
    assert len(times) == len(asked) == len(ran.late) == 10
    assert ran.unanswered == ran.lost == 0
    assert times[-1] >= 0.3
    assert asked[0] == b"GET /users/1 HTTP/1.1\r\nHost: %b:%d\r\nX-Key: 1\r\n\r\n" % (HOST.encode(), port)
    assert asked[1].startswith(b"POST /users HTTP/1.1\r\n")
    assert asked[1].endswith(b'\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"age": 1}')


async def test_a_closed_loop_asks_no_more_than_it_is_answered(tmp_path: Path) -> None:
    asks = tmp_path / "asks"
    asks.write_text("GET /users/1\n")
    answers: list[bytes] = []
    async with _server(0.05) as (port, asked):
        ran = await closed_loop(port, requests_of(asks, port, ()), 3, 0.3, lambda answer, _: answers.append(answer))
    assert 3 <= len(answers) <= len(asked) <= len(answers) + 3
    assert ran.lost == 0
    assert ran.seconds >= 0.3
    assert set(answers) == {b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"}
