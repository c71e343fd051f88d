"""The service behind a real socket: uvicorn in a thread of this process, and clients that are plain sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import uvicorn
from helpers.waiting import wait_until
from starlette.types import ASGIApp

from asgi_app.app import create_app
from asgi_app.settings import Settings

SMALL_BUFFER = 32 * 1024
"""Bytes the kernel buffers for a client that does not read: so few that the server soon has to wait."""


class Threaded:
    """A running server, and what it holds open. `parent` wraps the service into the application that is served."""

    def __init__(self, settings: Settings, http: Any, parent: Callable[[ASGIApp], ASGIApp] = lambda app: app) -> None:
        self.app = create_app(settings)
        self._served = parent(self.app)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        config = uvicorn.Config(
            self._remember_loop,
            http=http,
            interface="asgi3",
            lifespan="on",
            log_config=None,
            log_level="critical",
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), name="server")
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Any:
        return self.app.state.database

    def start(self) -> None:
        self._thread.start()
        wait_until("the server has started", lambda: self._server.started)

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(30)
        self._listener.close()
        assert not self._thread.is_alive()

    def open_sockets(self) -> int:
        """Return the number of client connections on the server's side."""
        return sum(
            connection.laddr.port == self.port and connection.status != psutil.CONN_LISTEN
            for connection in psutil.Process().net_connections("tcp")
            if connection.laddr and connection.status != psutil.CONN_TIME_WAIT
        )

    def tasks(self) -> set[str]:
        """Return the names of the tasks on the server's event loop."""

        async def look() -> set[str]:
            others = asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]
            return {f"{task.get_coro().__qualname__} {id(task)}" for task in others}  # type: ignore[union-attr]

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(look(), self._loop).result(10)

    async def _remember_loop(self, scope: Any, receive: Any, send: Any) -> None:
        self._loop = asyncio.get_running_loop()
        await self._served(scope, receive, send)


@contextmanager
def threaded(
    settings: Settings, http: Any = "auto", parent: Callable[[ASGIApp], ASGIApp] = lambda app: app
) -> Iterator[Threaded]:
    """Run a server in a thread for the duration of the block."""
    server = Threaded(settings, http, parent)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def connect(port: int, *, receive_buffer: int | None = None) -> socket.socket:
    """Connect to the server, and return the client's socket."""
    client = socket.socket()
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(30)
    client.connect(("127.0.0.1", port))
    return client


def ask(client: socket.socket, target: str, *, version: str = "1.1", headers: str = "") -> None:
    """Send a GET request with `Connection: close`."""
    head = f"GET {target} HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
    client.sendall(head.encode())


def rest(client: socket.socket) -> bytes:
    """Return everything received until the server closes or resets the connection."""
    received = bytearray()
    try:
        while data := client.recv(1 << 20):
            received += data
    except ConnectionResetError:
        pass
    return bytes(received)


def reset(client: socket.socket) -> None:
    """Close the connection with RST, as a client that crashed."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def unchunked(body: bytes) -> bytes:
    """Return the content of a chunked body. Raises ValueError if the last chunk is missing."""
    whole = bytearray()
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if size == 0:
            return bytes(whole)
        whole += body[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
