"""A load client for machines without wrk: `python -m benchmarks.client HOST PORT PATHS CONNECTIONS SECONDS [HEADER…]`.

Each connection sends one request, waits for its whole answer, and sends the next. It reads of an answer only the status
and Content-Length. Prints one line of JSON, a LoadReport.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Tally:
    """What all connections saw."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.failures = {"status": 0, "lost": 0}


class Connection(asyncio.Protocol):
    """One keep-alive connection in a closed loop, until `stop`."""

    def __init__(self, requests: Iterator[bytes], tally: Tally) -> None:
        self._requests = requests
        self._tally = tally
        self._received = b""
        self._sent_at = 0.0
        self._stopped = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send_next()

    def data_received(self, data: bytes) -> None:
        """Count a whole answer and ask again."""
        self._received += data
        size = answer_size(self._received)
        if size is None or len(self._received) < size:
            return
        if not self._stopped:
            self._tally.latencies.append(time.perf_counter() - self._sent_at)
            self._tally.failures["status"] += self._received[9:12] != b"200" or len(self._received) != size
        self._received = b""
        self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        """A server that hangs up before the end has failed."""
        self._tally.failures["lost"] += not self._stopped

    def stop(self) -> None:
        """Ask no more."""
        self._stopped = True
        if self._transport is not None:
            self._transport.close()

    def _send_next(self) -> None:
        if self._transport is not None and not self._stopped:
            self._sent_at = time.perf_counter()
            self._transport.write(next(self._requests))


def answer_size(received: bytes) -> int | None:
    """The size of the answer that begins here, None while its head is not there; without a length it is its head."""
    head = received.find(_HEAD_END)
    if head < 0:
        return None
    at = received[:head].lower().find(_LENGTH)
    length = received[at + len(_LENGTH) : head].split(b"\r\n", 1)[0] if at >= 0 else b"0"
    return head + len(_HEAD_END) + int(length)


async def run(
    host: str, port: int, paths: list[str], connections: int, seconds: int, headers: list[str]
) -> dict[str, object]:
    """The load, and its report."""
    fields = "".join(f"{header}\r\n" for header in (f"Host: {host}:{port}", *headers))
    requests = itertools.cycle([f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode() for path in paths])
    tally = Tally()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [await loop.create_connection(lambda: Connection(requests, tally), host, port) for _ in range(connections)]
    await asyncio.sleep(seconds)
    for _, connection in made:
        connection.stop()
    elapsed = time.perf_counter() - began
    return _report(tally, elapsed)


def _report(tally: Tally, elapsed: float) -> dict[str, object]:
    ordered = sorted(tally.latencies) or [0.0]
    p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
    counts = {"requests": len(tally.latencies), "seconds": elapsed}
    return {**counts, "p50_ms": p50, "p99_ms": p99, "failures": tally.failures}


def main() -> None:
    """Run as the command line says."""
    host, port, paths, connections, seconds, *headers = sys.argv[1:]
    lines = Path(paths).read_text().splitlines()
    report = asyncio.run(run(host, int(port), lines, int(connections), int(seconds), headers))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
