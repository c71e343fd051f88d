"""Clients that read a stream slowly: `python -m benchmarks.slow_client PORT PATH CLIENTS BYTES_PER_SECOND SECONDS`.

Each reads its answer at that rate, a tenth of a second's worth at a time, and hangs up in its middle when the time is
over. Prints one line of JSON, a `Trickled`. Ends with 1 where an answer is not a 200, or ends.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks import HOST

_PARTS = 10  # a second
_RECEIVE_BUFFER = 16 * 1024  # so that the kernel does not take what the client does not


class Ended(Exception):
    """An answer is not a 200, or is over before its time."""


@dataclass(slots=True)
class Trickled:
    """Bytes that all clients read, in so many seconds."""

    bytes: int = 0
    seconds: float = 0.0


async def trickle(port: int, path: str, rate: int, seconds: float, found: Trickled) -> None:
    """One client. Raises OSError or Ended."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    with connection:
        await loop.sock_connect(connection, (HOST, port))
        await loop.sock_sendall(connection, f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode())
        if not (await loop.sock_recv(connection, 1024)).startswith(b"HTTP/1.1 200"):
            raise Ended(f"{path} is not answered with 200")
        began, got = time.perf_counter(), 0
        while (now := time.perf_counter()) < began + seconds:
            await asyncio.sleep(max(0.0, began + got / rate - now))
            received = len(await loop.sock_recv(connection, rate // _PARTS))
            if not received:
                raise Ended(f"{path} ends after {got} bytes")
            got += received
            found.bytes += received


async def run(port: int, path: str, clients: int, rate: int, seconds: float) -> Trickled:
    """All clients at once. Raises OSError, or Ended in an ExceptionGroup."""
    found = Trickled()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(trickle(port, path, rate, seconds, found))
    found.seconds = time.perf_counter() - began
    return found


def main() -> int:
    """Run as the command line says."""
    port, path, clients, rate, seconds = sys.argv[1:]
    try:
        found = asyncio.run(run(int(port), path, int(clients), int(rate), float(seconds)))
    except ExceptionGroup as group:
        print(f"benchmarks.slow_client: {group.exceptions[0]}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
