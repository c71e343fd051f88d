"""Clients that disconnect, stall, read slowly, or are too many: they leave nothing open, and others are served."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import psutil
import pytest
from cassandra.cluster import Session
from contract.samples import every_loop
from helpers.exchange import Exchange
from helpers.ports import free_port
from helpers.problems import problem
from helpers.service import serving, settings_for
from helpers.waiting import eventually, wait_until
from process.running import COMMAND, Program, started
from starlette.applications import Starlette

from asgi_app.settings import Settings
from streams.stored import User, streamed, write_users
from streams.tcp import SMALL_BUFFER, Threaded, ask, connect, reset, threaded, unchunked

pytestmark = pytest.mark.long

DISCONNECTS = 500
AT_ONCE = 50
STALLED = 20
MEGABYTE = 1024 * 1024


# --- clients that disconnect


def test_five_hundred_disconnecting_clients_leave_nothing_behind(
    node_address: tuple[str, int], crowded: str, crowd: list[User]
) -> None:
    with threaded(settings_for(node_address, crowded, max_streams=1000)) as server:
        assert httpx.get(f"{server.url}/users/stream").json() == crowd
        assert httpx.get(f"{server.url}/users/stream?limit=1000").json() == crowd[:1000]
        wait_until("the first clients are gone", lambda: server.open_sockets() == 0)
        tasks, threads, files = server.tasks(), _threads(), psutil.Process().num_fds()

        choice = random.Random(4)
        for _ in range(DISCONNECTS // AT_ONCE):
            _come_and_leave(server, choice)

        database = server.database
        wait_until("no socket is left", lambda: server.open_sockets() == 0, 20)
        wait_until("no stream is open", lambda: database.open_streams == 0, 10)
        wait_until(
            "no slot is taken",
            lambda: (database.dispatcher.slots.in_flight, database.dispatcher.slots.waiting) == (0, 0),
            10,
        )
        wait_until("no task is left", lambda: server.tasks() == tasks, 10)
        wait_until("no thread works", lambda: database.dispatcher.threads_in_use == 0, 10)
        assert _threads() == threads
        assert psutil.Process().num_fds() <= files
        assert httpx.get(f"{server.url}/users/stream?limit=3000").json() == crowd[:3000]


def _come_and_leave(server: Threaded, choice: random.Random) -> None:
    clients = [connect(server.port, receive_buffer=SMALL_BUFFER) for _ in range(AT_ONCE)]
    for client in clients:
        size, form = choice.choice((1, 50, 1000, 5000)), choice.choice(("json", "ndjson", "msgpack", "csv"))
        ask(client, f"/users/stream?fetch_size={size}&format={form}")
    for client in choice.sample(clients, len(clients)):
        for _ in range(choice.choice((0, 0, 1, 2, 10))):
            client.recv(choice.randint(1, 20_000))
        choice.choice((reset, socket.socket.close))(client)


def _threads() -> set[str]:
    """Return the threads, except anyio's worker threads, which come and go."""
    found = {f"{thread.name} {thread.ident}" for thread in threading.enumerate()}
    return {name for name in found if not name.startswith("AnyIO worker")}


@every_loop
@pytest.mark.anyio
async def test_a_hundred_disconnecting_exchanges_leave_nothing_behind(app: Starlette, cql: Session, users: str) -> None:
    write_users(cql, users, [1] * 60)
    choice = random.Random(4)
    database = app.state.database

    def leaving_at(chunk: int) -> Exchange:
        async def leave(exchange: Exchange) -> None:
            if len(exchange.chunks) >= chunk:
                exchange.disconnect()

        return Exchange("GET", "/users/stream", query=b"fetch_size=2", on_chunk=leave)

    for _ in range(5):
        exchanges = [leaving_at(choice.randint(0, 10)) for _ in range(20)]
        async with anyio.create_task_group() as tasks:
            for exchange in exchanges:
                tasks.start_soon(exchange.run, app)
        assert not any(exchange.complete for exchange in exchanges)
    await eventually(
        lambda: (
            (database.dispatcher.slots.in_flight, database.dispatcher.slots.waiting, database.open_streams) == (0, 0, 0)
        )
    )
    assert len(await streamed(app, "fetch_size=7")) == 60


# --- too many streams


@every_loop
@pytest.mark.anyio
async def test_one_stream_too_many_is_refused(
    settings: Settings, node_address: tuple[str, int], keyspace: str, cql: Session, users: str
) -> None:
    write_users(cql, users, [1] * 9)
    release = anyio.Event()

    async def hold(_: Exchange) -> None:
        await release.wait()

    async with serving(settings_for(node_address, keyspace, max_streams=3)) as (app, client):
        held = [Exchange("GET", "/users/stream", query=b"fetch_size=2", on_chunk=hold) for _ in range(3)]
        async with anyio.create_task_group() as tasks:
            for exchange in held:
                tasks.start_soon(exchange.run, app)
            await eventually(lambda: bool(app.state.database.open_streams == 3))
            for query in ("", "?limit=1", "?format=csv"):
                refused = await client.get(f"/users/stream{query}")
                problem(refused, 503, "too_many_streams")
                assert int(refused.headers["retry-after"]) >= 1
            assert (await client.get("/users?limit=3")).status_code == 200
            release.set()
        assert [exchange.complete for exchange in held] == [True] * 3
        assert app.state.database.open_streams == 0
        assert len(await streamed(app)) == 9


# --- clients that stall or read slowly, under `asgi-cassandra serve`


@contextmanager
def serve(folder: Path, address: tuple[str, int], keyspace: str, **settings: str) -> Iterator[tuple[Program, int]]:
    """Run `asgi-cassandra serve` with a send timeout of 1 s; yield the program and its port."""
    host, number = address
    variables: Mapping[str, str] = {
        "CASSANDRA_HOSTS": host,
        "CASSANDRA_PORT": str(number),
        "CASSANDRA_KEYSPACE": keyspace,
        "ASGI_CASSANDRA_SEND_TIMEOUT": "1",
        **settings,
    }
    port = free_port()
    with started([COMMAND, "serve", "--port", str(port)], folder, variables) as program:
        program.answers(f"http://127.0.0.1:{port}/readyz")
        yield program, port


@pytest.fixture
def served(tmp_path: Path, node_address: tuple[str, int], crowded: str) -> Iterator[tuple[Program, int]]:
    with serve(tmp_path, node_address, crowded) as running:
        yield running


def test_clients_that_never_read_are_dropped_and_their_memory_freed(
    served: tuple[Program, int],
) -> None:
    program, port = served
    resident: list[float] = []
    for _ in range(6):
        _stall(program, port)
        resident.append(psutil.Process(program.process.pid).memory_info().rss / MEGABYTE)
    # The first rounds fill the allocator's arenas. Three rounds that keep one page per client would keep 57 MB.
    assert resident[5] - resident[2] < 28, f"MB after each round: {resident}"
    assert program.errors.count("ClientTooSlow") >= 6 * STALLED


def _stall(program: Program, port: int) -> None:
    clients = [connect(port, receive_buffer=SMALL_BUFFER) for _ in range(STALLED)]
    try:
        for client in clients:
            ask(client, "/users/stream?fetch_size=5000")
        wait_until("they stream", lambda: _status(port)["open_streams"] == STALLED, 15)
        wait_until("all sockets are closed", lambda: _open_sockets(program, port) == 0, 15)
        assert _status(port)["open_streams"] == 0
    finally:
        for client in clients:
            client.close()


def _status(port: int) -> dict[str, int]:
    found: dict[str, int] = httpx.get(f"http://127.0.0.1:{port}/context_manager_safety/status", timeout=30).json()
    return found


def _open_sockets(program: Program, port: int) -> int:
    connections = psutil.Process(program.process.pid).net_connections("tcp")
    return sum(found.laddr.port == port and found.status != psutil.CONN_LISTEN for found in connections)


def test_clients_that_never_read_a_buffered_response_are_dropped(
    served: tuple[Program, int],
) -> None:
    program, port = served
    sizes = range(5_000, 35_000, 5_000)  # in one case only the last page does not fit into the kernel's buffer
    clients = [connect(port, receive_buffer=SMALL_BUFFER) for _ in sizes]
    try:
        for client, rows in zip(clients, sizes, strict=True):
            ask(client, f"/users/stream?fetch_size=5000&limit={rows}")
        wait_until("they are connected", lambda: _open_sockets(program, port) == len(clients), 15)
        wait_until("all sockets are closed", lambda: _open_sockets(program, port) == 0, 15)
        wait_until("the kernel keeps nothing either", lambda: _kept_by_kernel(port) == 0, 25)
    finally:
        for client in clients:
            client.close()


def _kept_by_kernel(port: int) -> int:
    """Return the number of connections on the server's side, including those that no process owns any more."""
    kept = (found for found in psutil.net_connections("tcp") if found.laddr and found.laddr.port == port)
    return sum(found.status not in (psutil.CONN_LISTEN, psutil.CONN_TIME_WAIT) for found in kept)


def test_broken_streams_of_stalled_clients_leave_nothing_behind(
    tmp_path: Path, node_address: tuple[str, int], crowded: str
) -> None:
    with serve(tmp_path, node_address, crowded, ASGI_CASSANDRA_STREAM_TIMEOUT="1") as (program, port):
        clients = [connect(port, receive_buffer=SMALL_BUFFER) for _ in range(4)]
        try:
            for client, form in zip(clients, ("json", "ndjson", "csv", "msgpack"), strict=True):
                ask(client, f"/users/stream?fetch_size=5000&format={form}")
            wait_until("they are connected", lambda: _open_sockets(program, port) == len(clients), 15)
            wait_until("all sockets are closed", lambda: _open_sockets(program, port) == 0, 15)
        finally:
            for client in clients:
                client.close()
        assert "ERROR" not in program.errors


def test_a_slow_client_gets_every_row(served: tuple[Program, int], crowd: list[User]) -> None:
    program, port = served
    with connect(port, receive_buffer=SMALL_BUFFER) as client:
        ask(client, "/users/stream?fetch_size=5000&limit=30000")
        received = bytearray()
        pause = threading.Event()
        for data in iter(
            lambda: client.recv(16 * 1024), b""
        ):  # far slower than a page per second, but never idle for a second
            received += data
            pause.wait(0.02)
    assert "ClientTooSlow" not in program.errors
    body = unchunked(bytes(received).partition(b"\r\n\r\n")[2])
    assert httpx.Response(200, content=body).json() == crowd[:30_000]


def test_stalled_clients_do_not_slow_others(node_address: tuple[str, int], crowded: str, crowd: list[User]) -> None:
    with threaded(settings_for(node_address, crowded)) as server:
        stalled = [connect(server.port, receive_buffer=SMALL_BUFFER) for _ in range(5)]
        for client in stalled:
            ask(client, "/users/stream?fetch_size=1000")
        wait_until("they stream", lambda: bool(server.database.open_streams == 5))
        assert httpx.get(f"{server.url}/users/stream?limit=20000", timeout=30).json() == crowd[:20_000]
        for client in stalled:
            reset(client)
        wait_until("no stream is open", lambda: bool(server.database.open_streams == 0))
