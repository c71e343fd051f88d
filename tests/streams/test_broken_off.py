"""A node that freezes or dies during a stream: the body ends incomplete in time, and the service keeps running."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from helpers.cassandra import connected, create, unused_keyspace
from helpers.service import settings_for
from helpers.waiting import wait_until

from asgi_app.local_node import LocalNode, NodeSpec, local_node
from streams.stored import write_users
from streams.tcp import SMALL_BUFFER, Threaded, ask, connect, rest, threaded

pytestmark = pytest.mark.long

ROWS = 6_000
NAME = "x" * 2000
"""Rows large enough that no kernel buffers all of them before the node is stopped."""

PAGE_SECONDS = 1.0
MARGIN = 4.0
"""Seconds a busy machine may exceed the deadline of a page."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNode]:
    """Run a node that only this module uses, so that tests may stop it."""
    with local_node(NodeSpec(data=tmp_path_factory.mktemp("node"))) as node:
        yield node


@pytest.fixture(scope="module")
def server(node: LocalNode) -> Iterator[Threaded]:
    """Run one service for all tests of this module: it must survive each of them without a restart."""
    keyspace = unused_keyspace()  # deleted with the node
    with connected(node.host, node.port) as cql:
        create(cql, keyspace, durable=True)  # a test kills the node
        write_users(cql, f"{keyspace}.users", [1] * ROWS, name=NAME)
    settings = settings_for((node.host, node.port), keyspace, request_timeout=PAGE_SECONDS)
    with threaded(settings, "h11") as server:  # httptools chunks for HTTP/1.0 too
        yield server


@pytest.fixture
def frozen(node: LocalNode) -> Iterator[Callable[[], None]]:
    """Return a function that freezes the node; resume the node after the test."""
    yield node.pause
    node.resume()


def test_a_stream_from_a_frozen_node_ends_incomplete_in_time(server: Threaded, frozen: Callable[[], None]) -> None:
    streams_whole(server)
    with httpx.stream("GET", f"{server.url}/users/stream?fetch_size=100", timeout=30) as answer:
        pieces = answer.iter_bytes()
        body = next(pieces)
        frozen()
        began = time.monotonic()
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            for piece in pieces:
                body += piece
        assert time.monotonic() - began < PAGE_SECONDS + MARGIN
    assert body.startswith(b"[{")
    assert not body.endswith(b"]")
    assert 0 < body.count(b'"id"') < ROWS
    nothing_is_open(server)


def test_a_broken_ndjson_stream_ends_with_the_error(server: Threaded, frozen: Callable[[], None]) -> None:
    streams_whole(server)
    body, _ = broken_off(server, "/users/stream?fetch_size=100&format=ndjson", frozen)
    *rows, last = body.splitlines()
    assert all(json.loads(row)["name"] == NAME for row in rows)
    error = json.loads(last)["error"]
    assert (error["code"], error["status"], error["instance"]) == ("deadline_exceeded", 504, "/users/stream")
    assert error["request_id"]
    nothing_is_open(server)


@pytest.mark.parametrize("form", ["msgpack", "csv"])
def test_other_broken_formats_are_incomplete(server: Threaded, frozen: Callable[[], None], form: str) -> None:
    streams_whole(server)
    body, seconds = broken_off(server, f"/users/stream?fetch_size=100&format={form}", frozen)
    assert 0 < body.count(NAME.encode()) < ROWS
    assert seconds < PAGE_SECONDS + MARGIN
    nothing_is_open(server)


def test_curl_reports_an_incomplete_transfer(server: Threaded, frozen: Callable[[], None]) -> None:
    streams_whole(server)
    command = ["curl", "-sS", "--no-buffer", f"{server.url}/users/stream?fetch_size=100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        head = curl.stdout.read(1)
        frozen()
        body, errors = curl.communicate(timeout=30)
    assert (head, curl.returncode) == (b"[", 18), errors
    assert not body.endswith(b"]")
    nothing_is_open(server)


def test_a_broken_json_array_stays_open_over_http_1_0(server: Threaded, frozen: Callable[[], None]) -> None:
    streams_whole(server)
    with connect(server.port, receive_buffer=SMALL_BUFFER) as client:
        ask(client, "/users/stream?fetch_size=100", version="1.0")
        answer = client.recv(4096)
        frozen()
        head, _, body = (answer + rest(client)).partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body.startswith(b"[{")
    assert not body.endswith(b"]")
    nothing_is_open(server)


def test_an_error_before_the_first_byte_has_its_own_status(server: Threaded, frozen: Callable[[], None]) -> None:
    streams_whole(server)
    frozen()
    answer = httpx.get(f"{server.url}/users/stream", timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
    nothing_is_open(server)


def test_streams_work_again_after_the_node_was_killed_and_restarted(server: Threaded, node: LocalNode) -> None:
    streams_whole(server)
    body, seconds = broken_off(server, "/users/stream?fetch_size=100&format=ndjson", node.kill)
    assert seconds < PAGE_SECONDS + MARGIN
    error = json.loads(body.splitlines()[-1])["error"]
    assert error["code"] in ("cassandra_unavailable", "deadline_exceeded")
    nothing_is_open(server)
    assert httpx.get(f"{server.url}/users/stream", timeout=30).status_code in (503, 504)
    node.restart()
    streams_whole(server)


def broken_off(server: Threaded, target: str, stop: Callable[[], None]) -> tuple[bytes, float]:
    """Call `stop` during a stream; return its body, and the seconds until it broke off."""
    with httpx.stream("GET", server.url + target, timeout=30) as answer:
        pieces = answer.iter_bytes()
        body = bytearray(next(pieces))
        stop()
        began = time.monotonic()
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            for piece in pieces:
                body += piece
        return bytes(body), time.monotonic() - began


def streams_whole(server: Threaded) -> None:
    """Wait until the service streams every row; it may have to reconnect to the node first."""

    def look() -> bool:
        try:
            answer = httpx.get(f"{server.url}/users/stream", timeout=30)
        except httpx.RemoteProtocolError:
            return False
        return answer.status_code == 200 and len(answer.json()) == ROWS

    wait_until("it streams", look, 30)


def nothing_is_open(server: Threaded) -> None:
    database = server.database
    wait_until(
        "nothing is open",
        lambda: (database.open_streams, database.dispatcher.slots.in_flight, server.open_sockets()) == (0, 0, 0),
        10,
    )
