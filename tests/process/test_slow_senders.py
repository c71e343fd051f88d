"""`serve` against clients that send slowly, too much, or no valid HTTP."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from helpers.ports import free_port
from helpers.waiting import wait_until

from process.running import PARSERS, Program, started

HEADER_TIMEOUT, BODY_TIMEOUT = 0.6, 0.6
SLACK = 5.0
LIMITS = {
    "ASGI_CASSANDRA_HEADER_TIMEOUT": str(HEADER_TIMEOUT),
    "ASGI_CASSANDRA_BODY_TIMEOUT": str(BODY_TIMEOUT),
    "ASGI_CASSANDRA_MAX_URL_BYTES": "1024",
    "ASGI_CASSANDRA_MAX_HEADER_BYTES": "4096",
}
WHOLE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
ALIVE = b'{"status":"alive"}'
UPLOAD = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


class Server(NamedTuple):
    program: Program
    port: int

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client


@pytest.fixture(scope="module", params=["httptools", pytest.param("h11", marks=pytest.mark.long)])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, settings: Mapping[str, str]
) -> Iterator[Server]:
    port = free_port()
    command = [*PARSERS[request.param], "serve", "--port", str(port)]
    with started(command, tmp_path_factory.mktemp("serve"), {**settings, **LIMITS}) as program:
        program.answers(f"http://127.0.0.1:{port}/readyz")
        yield Server(program, port)
        assert program.end() == 0
        assert "Traceback" not in program.errors


class Answer(NamedTuple):
    status: int
    headers: str
    body: bytes

    def is_problem(self, status: int, code: str) -> bool:
        found: Any = json.loads(self.body)
        assert (self.status, found["status"], found["code"]) == (status, status, code)
        assert "content-type: application/problem+json" in self.headers
        assert f"x-request-id: {found['request_id']}" in self.headers
        assert "connection: close" in self.headers
        return True


def rest(client: socket.socket) -> bytes:
    """Return what arrives until the server closes."""
    received = bytearray()
    with suppress(ConnectionResetError):
        while data := client.recv(65536):
            received += data
    return bytes(received)


def answer(client: socket.socket) -> Answer:
    head, _, body = rest(client).partition(b"\r\n\r\n")
    status_line, _, headers = head.decode().lower().partition("\r\n")
    return Answer(int(status_line.split()[1]), headers, body)


@pytest.mark.parametrize(
    "sent", [b"G", b"GET /livez HTTP/1.1\r\n", b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Half: ye", WHOLE[:-1]]
)
def test_incomplete_head_is_408_after_the_header_timeout(server: Server, sent: bytes) -> None:
    with server.connect() as client:
        began = time.monotonic()
        client.sendall(sent)
        assert answer(client).is_problem(408, "request_timeout")
        assert HEADER_TIMEOUT - 0.2 < time.monotonic() - began < HEADER_TIMEOUT + SLACK


def test_slow_head_is_408(server: Server) -> None:
    with server.connect() as client:
        client.settimeout(0.05)
        began = time.monotonic()
        received = b""
        with suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(WHOLE[:-2])
            while not received and time.monotonic() - began < HEADER_TIMEOUT + SLACK:
                client.sendall(b"X: y\r\n")
                with suppress(TimeoutError):
                    received = client.recv(65536)
        assert received.startswith(b"HTTP/1.1 408 ")


def test_connection_without_request_is_closed(server: Server) -> None:
    with server.connect() as client:
        began = time.monotonic()
        assert rest(client) == b""
        assert HEADER_TIMEOUT - 0.2 < time.monotonic() - began < HEADER_TIMEOUT + SLACK


def test_header_timeout_restarts_for_the_next_request(server: Server) -> None:
    with server.connect() as client:
        for _ in range(2):
            client.sendall(WHOLE)
            received = b""
            while ALIVE not in received:
                received += client.recv(65536)
            assert received.startswith(b"HTTP/1.1 200 ")
        client.sendall(WHOLE[:20])
        assert answer(client).is_problem(408, "request_timeout")


def test_header_timeout_waits_for_the_running_response(server: Server) -> None:
    """Send a part of the next head during a response that takes longer than the header timeout."""
    with server.connect() as client:
        client.sendall(b"GET /slow_query HTTP/1.1\r\nHost: x\r\nX-Request-Timeout: 1\r\n\r\n" + WHOLE[:20])
        first = client.recv(65536)
        assert first.startswith(b"HTTP/1.1 504 ")
        client.sendall(WHOLE[20:].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert b"HTTP/1.1 200 " in rest(client)


def flood(client: socket.socket, beginning: bytes, more: bytes, most: int) -> int:
    """Send until the server closes, at most `most` bytes; return how many were sent."""
    sent = 0
    with suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(beginning)
        while sent < most:
            client.sendall(more)
            sent += len(more)
    return sent


@pytest.mark.parametrize(
    ("beginning", "more", "status", "code"),
    [
        (b"GET /", b"x" * 900, 414, "uri_too_long"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Endless: ", b"y" * 4000, 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n" * 600, 431, "headers_too_large"),
    ],
)
def test_endless_head_is_refused_and_not_buffered(
    server: Server, beginning: bytes, more: bytes, status: int, code: str
) -> None:
    with server.connect() as client:
        client.sendall(beginning + more + more)
        assert answer(client).is_problem(status, code)
    with server.connect() as client:
        most = 64 * 1024 * 1024
        assert flood(client, beginning, more * 20, most) < most


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET /%b HTTP/1.1\r\nHost: x\r\n" % (b"x" * 1100), 414, "uri_too_long"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n" % (b"y" * 4200), 431, "headers_too_large"),
    ],
)
def test_complete_head_over_the_limit_is_refused(server: Server, head: bytes, status: int, code: str) -> None:
    with server.connect() as client:
        client.sendall(head + b"Connection: close\r\n\r\n")
        assert answer(client).is_problem(status, code)


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET / HTTP/9\r\n\r\n"])
def test_invalid_http_is_a_problem_document(server: Server, sent: bytes) -> None:
    with server.connect() as client:
        client.sendall(sent)
        assert answer(client).is_problem(400, "malformed_request")


def test_stalled_body_is_408_after_the_body_timeout(server: Server) -> None:
    with server.connect() as client:
        began = time.monotonic()
        client.sendall(UPLOAD + b'{"name":')
        assert answer(client).is_problem(408, "request_timeout")
        assert BODY_TIMEOUT - 0.2 < time.monotonic() - began < BODY_TIMEOUT + SLACK


def test_slow_body_ends_with_the_deadline_of_its_request(server: Server) -> None:
    with server.connect() as client:
        client.settimeout(0.02)
        client.sendall(UPLOAD.replace(b"\r\n\r\n", b"\r\nX-Request-Timeout: 1.2\r\n\r\n"))
        began = time.monotonic()
        received = b""
        with suppress(BrokenPipeError, ConnectionResetError):
            while not received and time.monotonic() - began < 1.2 + SLACK:
                client.sendall(b" ")
                with suppress(TimeoutError):
                    received = client.recv(65536)
        assert received.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began > BODY_TIMEOUT + 0.3


def test_unread_body_does_not_keep_its_connection(server: Server) -> None:
    """GET reads no body: its response arrives at once, and the rest of the body must arrive within the body timeout."""
    with server.connect() as client:
        client.sendall(UPLOAD.replace(b"POST /users", b"GET /livez"))
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        sent = 0
        with suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - began < BODY_TIMEOUT + SLACK:
                client.sendall(b" ")
                sent += 1
                time.sleep(0.05)  # the pace of the client, not a wait for the server
        assert time.monotonic() - began < BODY_TIMEOUT + SLACK, sent


def test_endless_chunk_is_refused_and_not_buffered(server: Server) -> None:
    chunked = UPLOAD.replace(b"Content-Length: 100000", b"Transfer-Encoding: chunked")
    most = 64 * 1024 * 1024
    for beginning in (b"1;x=", b"0\r\nX-Trailer: "):
        with server.connect() as client:
            assert flood(client, chunked + beginning, b"z" * 65536, most) < most


def test_slow_senders_do_not_block_others(server: Server) -> None:
    slow = [server.connect() for _ in range(100)]
    try:
        for client in slow:
            client.sendall(WHOLE[:-1])
        with server.connect() as client:
            client.sendall(WHOLE)
            received = b""
            while ALIVE not in received:
                received += client.recv(65536)
            assert received.startswith(b"HTTP/1.1 200 ")
        assert all(answer(client).status == 408 for client in slow)
    finally:
        for client in slow:
            client.close()
    wait_until("their connections are closed", lambda: not connections_of(server), 10)


def connections_of(server: Server) -> list[Any]:
    return [
        it
        for process in server.program.family()
        for it in process.net_connections("tcp")
        if it.laddr and it.laddr.port == server.port and it.status not in ("LISTEN", "TIME_WAIT")
    ]


def test_pipelined_requests_are_not_read_if_responses_are_not(server: Server) -> None:
    with server.connect() as client:
        client.settimeout(1)
        sent, most = 0, 12 << 20  # more than the kernel buffers
        with pytest.raises(TimeoutError):
            while sent < most:
                sent += client.send(WHOLE * 1000)
    # The client closed the connection during its responses. That is no error: the fixture checks for no traceback.
    with server.connect() as client:
        client.sendall(WHOLE * 999 + WHOLE.replace(b"Host", b"Connection: close\r\nHost"))
        assert rest(client).count(b"HTTP/1.1 200 OK") == 1000


def test_trailer_is_not_a_header(server: Server) -> None:
    head = b"POST /users HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server.connect() as client:
        client.sendall(head + b"2\r\n{}\r\n0\r\nContent-Type: application/json\r\n\r\n")
        assert answer(client).status == 415
