"""The driver without HTTP, in a process of its own: `python -m benchmarks.driver_worker WHAT ROWS`.

WHAT is `named` or `tuple` for a plain loop over the first rows with that row factory of the driver. Or it is `body` for
the body that a stream of these rows must have; this module formats it without the service's codecs. Prints one line of
JSON, a `Looped` or a `Body`.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.query import named_tuple_factory, tuple_factory

from asgi_app.cli.session import open_session
from asgi_app.settings import Settings
from benchmarks.contenders import SERVICE, cql
from benchmarks.operations import user_text
from benchmarks.serving import Answer, answer_of, child_environment, module
from benchmarks.site import Site

FETCH_SIZE = 2000
_SECONDS = 180.0


class Looped(msgspec.Struct, frozen=True):
    """The number of rows, wall-clock seconds, and CPU seconds of all threads."""

    rows: int
    seconds: float
    cpu_seconds: float


class Body(msgspec.Struct, frozen=True):
    """Size and CRC-32 of a body."""

    bytes: int
    crc: int


def expected_body(site: Site, rows: int) -> Body:
    """Return the body of a stream of the first rows. Raises ContenderFailed if the process fails."""
    return _answer(site, "body", rows, Body)


def loop(site: Site, factory: str, rows: int) -> Looped:
    """Return what a plain loop over the first rows takes. Raises ContenderFailed if the process fails."""
    return _answer(site, factory, rows, Looped)


def _answer(site: Site, what: str, rows: int, kind: type[Answer]) -> Answer:
    return answer_of(module("driver_worker", what, rows), _SECONDS, kind, child_environment(site, SERVICE))


def _read(session: Any, factory: Any, rows: int) -> Iterator[Any]:
    """Return the first rows, page by page."""
    profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=factory)
    select = session.prepare(cql.ALL)
    select.fetch_size = FETCH_SIZE
    return islice(session.execute(select, execution_profile=profile), rows)


def _loop(session: Any, factory: Any, rows: int) -> Looped:
    for _ in _read(session, factory, FETCH_SIZE):  # warms up, as the contenders are warmed up
        pass
    began, used = time.perf_counter(), time.process_time()
    count = 0
    for _ in _read(session, factory, rows):
        count += 1
    return Looped(count, time.perf_counter() - began, time.process_time() - used)


def _body(session: Any, rows: int) -> Body:
    size, crc = 1, zlib.crc32(b"[")
    for position, row in enumerate(_read(session, tuple_factory, rows)):
        piece = b"," * bool(position) + msgspec.json.encode(user_text(row))
        size, crc = size + len(piece), zlib.crc32(piece, crc)
    return Body(size + 1, zlib.crc32(b"]", crc))


def main() -> None:
    """Run as the command line says."""
    what, rows = sys.argv[1], int(sys.argv[2])
    with open_session(Settings.load()) as session:
        if what == "body":
            done: Looped | Body = _body(session, rows)
        else:
            done = _loop(session, {"named": named_tuple_factory, "tuple": tuple_factory}[what], rows)
    print(msgspec.json.encode(done).decode())


if __name__ == "__main__":
    main()
