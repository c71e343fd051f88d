"""A client of streams that costs next to nothing: `python -m benchmarks.stream_client PORT PATH [--streams N] …`.

Raw sockets; of an answer it reads the status, the size before each chunk, and counts bytes. Prints one line of JSON, a
`Drained`. Ends with 1 where an answer is not a 200 or is not whole.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
import time
import zlib
from dataclasses import asdict, dataclass
from io import BufferedReader

from benchmarks import HOST

_TIMEOUT = 120.0
_READ_AHEAD = 256 * 1024


class NotWhole(Exception):
    """An answer is not a 200, or ends too early."""


@dataclass(slots=True)
class Drained:
    """Bytes of all bodies, their CRC-32 where it was asked for, and seconds from the request to the first and last."""

    bytes: int = 0
    chunks: int = 0
    crc: int = 0
    first_byte: float = 0.0
    seconds: float = 0.0


class Drain:
    """Reads one stream after another over connections of its own."""

    def __init__(self, port: int, path: str, *, checked: bool) -> None:
        self.found = Drained()
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode()
        self._checked = checked
        self._buffer = memoryview(bytearray(1024 * 1024))

    def once(self, until: float = float("inf"), *, first_only: bool = False) -> None:
        """Read a whole stream, or what of it comes until then, or only its first byte. Raises OSError or NotWhole."""
        with socket.create_connection((HOST, self._port), timeout=_TIMEOUT) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            began = time.perf_counter()
            connection.sendall(self._request)
            with BufferedReader(connection.makefile("rb", buffering=0), _READ_AHEAD) as stream:
                _read_head(stream)
                stream.peek(1)
                self.found.first_byte = time.perf_counter() - began
                if not first_only:
                    self._read_body(stream, until)
            self.found.seconds += time.perf_counter() - began

    def _read_body(self, stream: BufferedReader[socket.SocketIO], until: float) -> None:
        while size := _chunk_size(stream):
            self._read_chunk(stream, size)
            if time.perf_counter() > until:
                return
        if stream.readline() != b"\r\n":
            raise NotWhole("no end after the last chunk")

    def _read_chunk(self, stream: BufferedReader[socket.SocketIO], size: int) -> None:
        left = size
        while left:
            got = stream.readinto(self._buffer[: min(left, len(self._buffer))])
            if not got:
                raise NotWhole("the stream ends within a chunk")
            if self._checked:
                self.found.crc = zlib.crc32(self._buffer[:got], self.found.crc)
            left -= got
        if stream.read(2) != b"\r\n":
            raise NotWhole("a chunk is longer than it says")
        self.found.bytes += size
        self.found.chunks += 1


def _read_head(stream: BufferedReader[socket.SocketIO]) -> None:
    status = stream.readline()
    headers = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        headers.append(line.strip().lower())
    if status[9:12] != b"200" or b"transfer-encoding: chunked" not in headers:
        raise NotWhole(f"not a 200 in chunks: {status!r}")


def _chunk_size(stream: BufferedReader[socket.SocketIO]) -> int:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise NotWhole("the stream ends before its last chunk")
    return int(line, 16)


def _together(drains: list[Drain], seconds: float) -> Drained:
    """All of them at once, each stream after stream, for so long."""
    began = time.perf_counter()
    failures: list[Exception] = []
    threads = [threading.Thread(target=_again, args=(drain, began + seconds, failures)) for drain in drains]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    found = [drain.found for drain in drains]
    total = Drained(bytes=sum(each.bytes for each in found), chunks=sum(each.chunks for each in found))
    total.seconds = time.perf_counter() - began
    return total


def _again(drain: Drain, until: float, failures: list[Exception]) -> None:
    try:
        while time.perf_counter() < until:
            drain.once(until)
    except (OSError, NotWhole) as error:
        failures.append(error)


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream_client")
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--checked", action="store_true", help="with a CRC-32 of the body")
    parser.add_argument("--streams", type=int, default=1, help="at once, with --seconds")
    parser.add_argument("--seconds", type=float, help="stream after stream for so long")
    options = parser.parse_args()
    drains = [Drain(options.port, options.path, checked=options.checked) for _ in range(options.streams)]
    try:
        if options.seconds is None:
            drains[0].once()
        found = drains[0].found if options.seconds is None else _together(drains, options.seconds)
    except (OSError, NotWhole) as error:
        print(f"benchmarks.stream_client: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
