"""Orders for the Go program: prepared reads, scans and inserts by the native driver."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from asgi_app.settings import ContactPoint
from benchmarks.failure import ContenderFailed

_GRACE_SECONDS = 30.0
_USUAL_PORT = 9042


class NativeOrder(msgspec.Struct, frozen=True):
    """What to do (`read`, `scan` or `insert`), with how many calls in flight at once, and for how long."""

    host: str
    port: int
    what: str
    cql: str
    in_flight: int
    seconds: float
    page_size: int = 5000
    ids: tuple[UUID, ...] = ()


class Given(msgspec.Struct, frozen=True):
    """Requests that succeeded, of a scan pages, the rows that came, and the CPU time of the program."""

    requests: int
    rows: int
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    failures: int
    cpu_seconds: float


class Native:
    """The program, and the node that it asks."""

    def __init__(self, program: Path, node: ContactPoint) -> None:
        self._program = program
        self._node = node

    def read(self, cql: str, ids: tuple[UUID, ...], in_flight: int, seconds: float) -> Given:
        """The rows of these ids in turn. Raises ContenderFailed."""
        return self._run(self._order("read", cql, in_flight, seconds, ids=ids))

    def scan(self, cql: str, in_flight: int, page_size: int, seconds: float) -> Given:
        """All pages of a table, again and again, by each of those at once. Raises ContenderFailed."""
        return self._run(self._order("scan", cql, in_flight, seconds, page_size=page_size))

    def insert(self, cql: str, in_flight: int, seconds: float) -> Given:
        """Users with ids of their own. Raises ContenderFailed."""
        return self._run(self._order("insert", cql, in_flight, seconds))

    def _order(self, what: str, cql: str, in_flight: int, seconds: float, **more: Any) -> NativeOrder:
        port = self._node.port or _USUAL_PORT
        return NativeOrder(self._node.host, port, what, cql, in_flight, seconds, **more)

    def _run(self, order: NativeOrder) -> Given:
        given = msgspec.json.decode(self._answer(order), type=Given)
        if given.failures or not given.requests:
            raise ContenderFailed(f"{order.what} by the native driver: {given}")
        return given

    def _answer(self, order: NativeOrder) -> bytes:
        try:
            done = subprocess.run(
                [str(self._program)],
                input=msgspec.json.encode(order),
                capture_output=True,
                timeout=order.seconds + _GRACE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ContenderFailed(f"the native driver's load: {error}") from error
        if done.returncode:
            raise ContenderFailed(f"the native driver's load: {done.stderr.decode()[-500:]}")
        return done.stdout
