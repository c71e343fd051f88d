"""Connections of `serve`: idle timeouts and client addresses. No Cassandra is needed."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from helpers.ports import free_port
from helpers.waiting import wait_until

from asgi_app.settings import Settings
from process.running import PARSERS, Program, started

ALIVE = b'{"status":"alive"}'
FORWARDED = {"X-Forwarded-For": "192.0.2.66"}


@contextmanager
def serving(folder: Path, parser: str, *options: str) -> Iterator[tuple[Program, int]]:
    port = free_port()
    away = {"CASSANDRA_HOSTS": f"127.0.0.1:{free_port()}"}
    with started([*PARSERS[parser], "serve", "--port", str(port), *options], folder, away) as program:
        program.answers(f"http://127.0.0.1:{port}/livez")
        yield program, port


def test_default_keep_alive_is_longer_than_that_of_balancers() -> None:
    """Compare with AWS application load balancers, and nginx towards its upstreams: 60 seconds."""
    assert Settings().keep_alive > 60


@pytest.mark.parametrize("parser", PARSERS)
def test_idle_connection_is_closed_after_keep_alive(tmp_path: Path, parser: str) -> None:
    with (
        serving(tmp_path, parser, "--keep-alive", "0.4") as (_, port),
        socket.create_connection(("127.0.0.1", port), timeout=30) as client,
    ):
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while ALIVE not in received:
            received += client.recv(65536)
        answered = time.monotonic()
        assert client.recv(65536) == b""
        assert time.monotonic() - answered > 0.3


@pytest.mark.parametrize("parser", PARSERS)
def test_idle_connections_do_not_delay_shutdown(tmp_path: Path, parser: str) -> None:
    with (
        serving(tmp_path, parser, "--keep-alive", "3600") as (program, port),
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        assert client.get("/livez").status_code == 200
        assert program.end(seconds=15) == 0


def test_ipv4_proxy_is_trusted_by_an_ipv6_listener(tmp_path: Path) -> None:
    with serving(tmp_path, "httptools", "--host", "::", "--log-format", "json") as (program, port):

        def client_of(request_id: str) -> str | None:
            lines = [json.loads(line) for line in program.errors.splitlines() if request_id in line]
            return lines[0]["client"] if lines else None

        for name, fields, client in (
            ("proxied", FORWARDED, "192.0.2.66"),
            ("hops", {"X-Forwarded-For": "192.0.2.66, ::ffff:127.0.0.1"}, "192.0.2.66"),
            ("direct", {}, "127.0.0.1"),
        ):
            httpx.get(f"http://127.0.0.1:{port}/health", headers={**fields, "X-Request-ID": name})
            assert wait_until("it is logged", lambda name=name: client_of(name)) == client


LATE = """
import anyio
from asgi_app import create_app, path
from starlette.responses import Response

async def answer_late(request):
    while not await request.is_disconnected():
        await anyio.sleep(0.01)
    print("it has left", flush=True)
    return Response(status_code=204)

app = create_app(routes=[path("/late", None, delete=answer_late)])
"""


@pytest.mark.parametrize("parser", PARSERS)
def test_answer_over_http_1_0_for_a_client_that_has_left_is_no_error(tmp_path: Path, parser: str) -> None:
    (tmp_path / "late.py").write_text(LATE)
    with serving(tmp_path, parser, "late:app") as (program, port):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"DELETE /late HTTP/1.0\r\nHost: x\r\n\r\n")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_until("the handler has answered", lambda: "DELETE /late" in program.errors)
        assert "Traceback" not in program.errors
        assert httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
