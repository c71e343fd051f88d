"""A client of streams that takes little CPU: `python -m benchmarks.stream_client PORT PATH [STREAMS]`.

Reads one whole stream and prints one line of JSON, a `Drained`. With STREAMS, reads that many at once, again and again,
until the process is ended. Ends with 1 if an answer is not a 200 or breaks off.
"""

from __future__ import annotations

import sys
import threading
import time
import zlib
from http.client import HTTPConnection, HTTPException
from queue import SimpleQueue

import msgspec

from benchmarks import HOST

_TIMEOUT_SECONDS = 120.0
_BUFFER = 1024 * 1024


class Drained(msgspec.Struct, frozen=True):
    """Size, CRC-32 and line ends of a body, and the seconds from the request to its first byte and to its end."""

    bytes: int
    crc: int
    lines: int
    first_byte: float
    seconds: float


def drain(port: int, path: str) -> Drained:
    """Read one stream. Raises OSError, and HTTPException if it is not a 200 or breaks off."""
    connection = HTTPConnection(HOST, port, timeout=_TIMEOUT_SECONDS)
    try:
        began = time.perf_counter()
        connection.request("GET", path)
        response = connection.getresponse()
        if response.status != 200 or not response.chunked:
            raise HTTPException(f"{path} is answered with {response.status}, not with a stream")
        response.peek(1)
        first_byte = time.perf_counter() - began
        buffer, size, crc, lines = bytearray(_BUFFER), 0, 0, 0
        while count := response.readinto(buffer):
            size, crc = size + count, zlib.crc32(memoryview(buffer)[:count], crc)
            lines += buffer.count(b"\n", 0, count)
        return Drained(size, crc, lines, first_byte, time.perf_counter() - began)
    finally:
        connection.close()


def _again(port: int, path: str, failures: SimpleQueue[Exception]) -> None:
    try:
        while True:
            drain(port, path)
    except (OSError, HTTPException) as error:
        failures.put(error)


def _drain_together(port: int, path: str, streams: int) -> None:
    """Read some streams at once, again and again. Raises the first failure."""
    failures: SimpleQueue[Exception] = SimpleQueue()
    for _ in range(streams):
        threading.Thread(target=_again, args=(port, path, failures), daemon=True).start()
    raise failures.get()


def main() -> int:
    """Run as the command line says."""
    port, path, *streams = sys.argv[1:]
    try:
        if streams:
            _drain_together(int(port), path, int(streams[0]))
        print(msgspec.json.encode(drain(int(port), path)).decode())
    except (OSError, HTTPException) as error:
        print(f"benchmarks.stream_client: {error!r}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
