"""Streams of a contender as the scenarios use them: read by `benchmarks.stream_client`, in processes of its own.

And the driver without HTTP, in `benchmarks.driver_worker`.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import msgspec

from benchmarks.contenders import SERVICE
from benchmarks.driver_worker import Body, Looped, Order
from benchmarks.load import client_environment, last_line
from benchmarks.serving import ContenderFailed, Served, child_environment, end
from benchmarks.site import Site
from benchmarks.stream_client import Drain, Drained, NotWhole

_PATIENCE_SECONDS = 180.0
_SAMPLE_SECONDS = 0.05
_MODULE = [sys.executable, "-m", "benchmarks.stream_client"]


def drain(served: Served, path: str, *options: str) -> Drained:
    """Read one whole stream. Raises ContenderFailed where it is not whole."""
    command = [*_MODULE, str(served.port), path, *options]
    return msgspec.json.decode(last_line(command, _PATIENCE_SECONDS), type=Drained)


def first_byte(served: Served, path: str) -> float:
    """Seconds from the request to the first byte of the body, read in this process. Raises ContenderFailed."""
    one = Drain(served.port, path, checked=False)
    try:
        one.once(first_only=True)
    except (OSError, NotWhole) as error:
        raise ContenderFailed(f"{served.contender.name} does not stream {path}: {error}") from error
    return one.found.first_byte


@contextmanager
def streaming(served: Served, path: str, count: int, seconds: float) -> Iterator[None]:
    """So many streams at once, again and again for so long, while the block runs. Raises ContenderFailed."""
    command = [*_MODULE, str(served.port), path, "--streams", str(count), "--seconds", str(seconds)]
    process = subprocess.Popen(
        command,
        env=client_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
        if process.poll():
            raise ContenderFailed(f"{served.contender.name} does not keep up {count} streams of {path}")
    finally:
        end(process)


class PeakMemory:
    """The most resident memory of a contender, looked at every 50 ms while the block runs."""

    def __init__(self, served: Served) -> None:
        self.bytes = 0
        self._served = served
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, self._served.resident())
            if self._over.wait(_SAMPLE_SECONDS):
                return


class Driver:
    """The driver in its own process. Every method raises ContenderFailed where it does not answer."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def loop(self, factory: str, fetch_size: int) -> Looped:
        """All rows of the table, in a plain loop."""
        return msgspec.json.decode(self._answer(Order("loop", factory, fetch_size)), type=Looped)

    def page(self, fetch_size: int) -> Looped:
        """The first page."""
        return msgspec.json.decode(self._answer(Order("page", "tuple", fetch_size)), type=Looped)

    def reads(self, ids: tuple[UUID, ...], seconds: float, at_once: int = 1) -> Looped:
        """The rows of these ids in turn for so long, one by one or several at once."""
        order = Order("reads", ids=ids, seconds=seconds, at_once=at_once)
        return msgspec.json.decode(self._answer(order), type=Looped)

    def expect(self, formats: tuple[str, ...], limit: int | None = None) -> dict[str, Body]:
        """What a stream of the table must be, by format."""
        order = Order("expect", formats=formats, limit=limit)
        return msgspec.json.decode(self._answer(order), type=dict[str, Body])

    def _answer(self, order: Order) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ContenderFailed("the driver's process has ended") from error
        line = self._in_time(self._process.stdout.readline)
        if not line:
            raise ContenderFailed(f"the driver's process does not answer {order}")
        return line

    def _in_time(self, read: Callable[[], bytes]) -> bytes:
        """The answer, or none when the process had to be ended for it."""
        timer = threading.Timer(_PATIENCE_SECONDS, self._process.kill)
        timer.start()
        try:
            return read()
        finally:
            timer.cancel()


@contextmanager
def driver(site: Site) -> Iterator[Driver]:
    """The driver's process; it has ended afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.driver_worker"],
        env=child_environment(site, SERVICE),
        cwd=site.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Driver(process)
    finally:
        end(process)
