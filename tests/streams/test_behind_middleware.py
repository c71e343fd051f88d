"""Through a parent's middleware and under each server, a broken stream looks incomplete and a complete one complete."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from cassandra.cluster import Session
from helpers.cassandra import own_keyspace
from helpers.exchange import Exchange
from helpers.ports import free_port
from helpers.service import serving, settings_for
from helpers.waiting import wait_until
from process.running import PYTHON, Program, started
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_app.http.extensions import StreamAborted
from asgi_app.http.formats import FORMATS
from streams.parents import CHUNK_SECONDS, STACKS, untouched
from streams.stored import write_users
from streams.tcp import SMALL_BUFFER, ask, connect, rest, threaded

TESTS = Path(__file__).parents[1]

SERVERS: Mapping[str, list[str]] = {
    "uvicorn h11": ["-m", "uvicorn", "--http", "h11", "--factory", "streams.parents:make", "--port"],
    "uvicorn httptools": ["-m", "uvicorn", "--http", "httptools", "--factory", "streams.parents:make", "--port"],
    "uvicorn without asserts": ["-O", "-m", "uvicorn", "--factory", "streams.parents:make", "--port"],
    "hypercorn asyncio": ["-m", "hypercorn", "streams.parents:make()", "--bind"],
    "hypercorn trio": ["-m", "hypercorn", "--worker-class", "trio", "streams.parents:make()", "--bind"],
    "granian": ["-m", "granian", "--interface", "asgi", "--factory", "streams.parents:make", "--port"],
}

NEEDS_ASSERTS = frozenset({"base-gzip-base"})
"""Stacks in which BaseHTTPMiddleware does not forward the break, but fails by one of its asserts."""

ROWS = 1_500
NAME = "n" * 4_000
"""Long enough that no kernel buffers all rows for a client that does not read."""

SECONDS = ROWS * CHUNK_SECONDS / 10
"""The time limit of a stream: a tenth of what it takes with one row per page."""

AT_ONCE = 60
"""Concurrent streams that break off: half of all."""

FEW = 4

LAST_CHUNK = b"\r\n0\r\n\r\n"

ENCODINGS = (("off", ""), ("off", "gzip"), ("on", "gzip"))
"""Whether the service compresses, and what the client accepts. In the second case a GZipMiddleware compresses."""


@pytest.fixture(scope="module")
def filled(cql: Session) -> Iterator[str]:
    """Create a keyspace with `ROWS` users, and return its name."""
    with own_keyspace(cql) as name:
        write_users(cql, f"{name}.users", [1] * ROWS, name=NAME, at_once=10)
        yield name


@pytest.mark.parametrize(
    "server",
    [pytest.param(name, marks=() if name.startswith("uvicorn h") else pytest.mark.long) for name in SERVERS],
)
def test_broken_and_complete_streams_behind_each_stack_under(
    server: str, node_address: tuple[str, int], filled: str
) -> None:
    stacks = [stack for stack in STACKS if server != "uvicorn without asserts" or stack not in NEEDS_ASSERTS]
    cases = list(itertools.product(stacks, ENCODINGS, FORMATS))
    with running(server, node_address, filled) as (program, port), ThreadPoolExecutor(AT_ONCE) as clients:
        with ThreadPoolExecutor(FEW) as few:  # few at once, so that no complete stream exceeds its time limit
            wholes = few.map(lambda case: answer(port, *case, "limit=3&fetch_size=1"), cases)
            assert [case for case, whole in zip(cases, wholes, strict=True) if not ended(whole)] == []
        broken = clients.map(lambda case: answer(port, *case, "fetch_size=1"), cases)
        assert [case for case, part in zip(cases, broken, strict=True) if ended(part)] == []
        assert program.errors.count("a stream ended incomplete") == len(cases)
        assert "500 Internal Server Error" not in program.errors + program.output
        old = answer(port, "base-base", ENCODINGS[0], "json", "fetch_size=1", version="1.0")
        assert b" 200 " in old.splitlines()[0]
        assert NAME.encode() in old
        assert b"]" not in old  # HTTP/1.0 has no other sign


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_client_that_was_too_slow_sees_an_incomplete_body(
    http: str, node_address: tuple[str, int], filled: str
) -> None:
    settings = settings_for(node_address, filled, send_timeout=1.0)
    with threaded(settings, http, lambda app: BaseHTTPMiddleware(app, untouched)) as server:
        with connect(server.port, receive_buffer=SMALL_BUFFER) as client:
            ask(client, "/users/stream?fetch_size=50")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
            metrics = server.database.metrics
            wait_until("the stream is broken off", lambda: b'code="client_too_slow"} 1.0' in metrics.text())
            assert not rest(client).endswith(LAST_CHUNK)
        wait_until("nothing is open", lambda: server.open_sockets() == 0)


@pytest.mark.anyio
async def test_a_last_page_that_was_not_taken_in_time_is_incomplete(node_address: tuple[str, int], filled: str) -> None:
    async with serving(settings_for(node_address, filled, stream_timeout=0.5)) as (app, _):
        asked = Exchange("GET", "/users/stream", query=b"limit=1")
        with pytest.raises(StreamAborted):
            await asked.run(BaseHTTPMiddleware(blocking_the_body_of(app), untouched))
        assert asked.status == 200
        assert not any(message.get("body") for message in asked.messages)
        assert not asked.complete


def blocking_the_body_of(app: ASGIApp) -> ASGIApp:
    """Return middleware that forwards every message except the body."""

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        async def forward(message: Message) -> None:
            if message["type"] == "http.response.body":
                await anyio.sleep_forever()
            await send(message)

        await app(scope, receive, forward)

    return waiting


@contextmanager
def running(server: str, node_address: tuple[str, int], keyspace: str) -> Iterator[tuple[Program, int]]:
    """Run the parents under `server` with a short time limit for streams, and yield the program and its port."""
    host, port_of_node = node_address
    variables = {
        "CASSANDRA_HOSTS": host,
        "CASSANDRA_PORT": str(port_of_node),
        "CASSANDRA_KEYSPACE": keyspace,
        "ASGI_CASSANDRA_STREAM_TIMEOUT": str(SECONDS),
        "ASGI_CASSANDRA_MAX_STREAMS": str(AT_ONCE),
    }
    port = free_port()
    where = f"127.0.0.1:{port}" if "hypercorn" in server else str(port)
    with started([PYTHON, *SERVERS[server], where], TESTS, variables) as program:
        program.answers(f"http://127.0.0.1:{port}/none/off/readyz")
        yield program, port


def answer(port: int, stack: str, encoding: tuple[str, str], form: str, query: str, *, version: str = "1.1") -> bytes:
    """Return everything a client receives until the server closes the connection."""
    compresses, accepted = encoding
    with connect(port) as client:
        target = f"/{stack}/{compresses}/users/stream?format={form}&{query}"
        ask(client, target, version=version, headers=f"Accept-Encoding: {accepted}\r\n" if accepted else "")
        return rest(client)


def ended(received: bytes) -> bool:
    """Return whether a chunked body is complete. Fails if `received` is not a 200 response with a chunked body."""
    head, _, body = received.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0], received[:1000]
    assert b"transfer-encoding: chunked" in head.lower()
    assert len(body) > 5, received
    return body.endswith(LAST_CHUNK)
