"""The benchmarks' load clients: the requests they send, when, and from when their times count."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from benchmarks import HOST, client
from benchmarks.client import Tally, load, requests_of
from benchmarks.stream_client import drain


@asynccontextmanager
async def _server(seconds: float) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answer everything after so many seconds; yield the port and the list of requests."""
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


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_at_a_fixed_rate_times_count_from_when_a_request_fell_due(tmp_path: Path) -> None:
    """One connection, a request due every 20 ms, answers after 50 ms: the tenth waits for nine times 30 ms before."""
    asks = tmp_path / "asks"
    asks.write_text('GET /users/1 \nPOST /users {"age": 1}\n')
    async with _server(0.05) as (port, asked):
        tally = await load(port, requests_of(asks, port), 1, 0.2, 50)
    assert len(tally.accepted) == len(asked) == 10
    assert tally.failures == 0
    assert tally.accepted[-1] >= 0.3
    assert asked[0] == b"GET /users/1 HTTP/1.1\r\nHost: %b:%d\r\n\r\n" % (HOST.encode(), port)
    assert asked[1].startswith(b"POST /users HTTP/1.1\r\n")
    assert asked[1].endswith(b'\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"age": 1}')


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_requests_that_are_never_answered_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PATIENCE_SECONDS", 0.1)
    asks = tmp_path / "asks"
    asks.write_text("GET /users/1 \n")
    async with _server(0.5) as (port, _):
        tally = await load(port, requests_of(asks, port), 2, 0.1, 20)
    assert tally.accepted == []
    assert tally.failures >= 1


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_closed_loop_sends_no_more_than_is_answered(tmp_path: Path) -> None:
    asks = tmp_path / "asks"
    asks.write_text("GET /users/1 \n")
    async with _server(0.05) as (port, asked):
        tally = await load(port, requests_of(asks, port), 3, 0.3)
    assert 3 <= len(tally.accepted) <= len(asked) <= len(tally.accepted) + 3
    assert tally.failures == 0
    assert tally.seconds >= 0.3


def test_refusals_are_counted_apart_and_all_else_fails() -> None:
    tally = Tally(seconds=1.0)
    tally.add(b"HTTP/1.1 201 Created\r\n\r\n", 0.1)
    tally.add(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n", 0.2)
    tally.add(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 0.3)
    tally.add(b"HTTP/1.1 404 Not Found\r\n\r\n", 0.4)
    seen = tally.seen()
    assert (seen.accepted, seen.refused, seen.failures) == (1, 1, 2)
    assert (seen.p50_ms, seen.refused_p50_ms) == (100.0, 200.0)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_connection_that_the_server_closes_fails(tmp_path: Path) -> None:
    asks = tmp_path / "asks"
    asks.write_text("GET /users/1 \n")
    server = await asyncio.start_server(lambda reader, writer: writer.close(), HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        tally = await load(port, requests_of(asks, port), 2, 5)
    assert (tally.accepted, tally.failures) == ([], 2)
    assert tally.seconds < 5  # it does not wait when no connection is left


@contextmanager
def _one_answer(answer: bytes) -> Iterator[int]:
    """Answer one request with these bytes and close; yield the port."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_whole_stream_is_counted_and_checked() -> None:
    with _one_answer(HEAD + b"4\r\n1234\r\n5\r\n56789\r\n0\r\n\r\n") as port:
        found = drain(port, "/users/stream")
    assert (found.bytes, found.crc) == (9, 0xCBF43926)
    assert 0 < found.first_byte <= found.seconds


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"4\r\n1234\r\n",
        HEAD + b"4\r\n12",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    ],
)
def test_a_stream_that_breaks_off_or_is_none_fails(answer: bytes) -> None:
    with _one_answer(answer) as port, pytest.raises(HTTPException):
        drain(port, "/users/stream")
