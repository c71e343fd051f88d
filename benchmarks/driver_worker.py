"""The driver without HTTP, in a process of its own that takes orders: a line of JSON in, a line of JSON out.

An `Order` names what to do. *loop*: `for row in session.execute(…)` over the whole table. *page*: its first page.
*expect*: the size and CRC-32 of the body that a stream of the first `limit` rows must have in each of `formats`, from
rows that the driver decoded and values that are formatted here, without the service's codecs.
"""

from __future__ import annotations

import csv
import io
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Any

import msgspec
from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.query import named_tuple_factory, tuple_factory

from asgi_app.cluster import build_cluster
from asgi_app.cql import Queries
from asgi_app.settings import Settings
from asgi_app.tables import USERS


class Order(msgspec.Struct, frozen=True):
    """What to do, with `factory` one of the driver's row factories: its default `named`, or `tuple`."""

    what: str
    factory: str = "tuple"
    fetch_size: int = 2000
    limit: int | None = None
    formats: tuple[str, ...] = ()


class Looped(msgspec.Struct, frozen=True):
    """How many rows came, in what wall-clock time, and the CPU time of all threads of the process."""

    rows: int
    seconds: float
    cpu_seconds: float


class Body(msgspec.Struct, frozen=True):
    """Size and CRC-32 of a body."""

    bytes: int
    crc: int


def obey(session: Any, select: Any, order: Order) -> Looped | dict[str, Body]:
    """Carry out one order."""
    factory = named_tuple_factory if order.factory == "named" else tuple_factory
    profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=factory)
    select.fetch_size = order.fetch_size
    if order.what == "expect":
        return {name: _body(session.execute(select), name, order.limit) for name in order.formats}
    began, used = time.perf_counter(), time.process_time()
    rows = session.execute(select, execution_profile=profile)
    count = len(rows.current_rows) if order.what == "page" else _looped(rows)
    return Looped(count, time.perf_counter() - began, time.process_time() - used)


def _looped(rows: Iterable[Any]) -> int:
    count = 0
    for _ in rows:
        count += 1
    return count


def _body(rows: Iterable[Any], name: str, limit: int | None) -> Body:
    size, crc = 0, 0
    for piece in _PIECES[name](map(_values, islice(rows, limit))):
        size += len(piece)
        crc = zlib.crc32(piece, crc)
    return Body(size, crc)


def _values(row: tuple[Any, ...]) -> dict[str, Any]:
    values = [_text(value) if isinstance(value, datetime) else value for value in row]
    return dict(zip(USERS.column_names, values, strict=True))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds") + "Z"


def _json(rows: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    yield b"["
    for number, row in enumerate(rows):
        yield b"," * bool(number) + msgspec.json.encode(row)
    yield b"]"


def _csv(rows: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    for values in chain([USERS.column_names], (row.values() for row in rows)):
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow(values)
        yield line.getvalue().encode()


_PIECES: dict[str, Callable[[Iterator[dict[str, Any]]], Iterator[bytes]]] = {
    "json": _json,
    "ndjson": lambda rows: (msgspec.json.encode(row) + b"\n" for row in rows),
    "msgpack": lambda rows: map(msgspec.msgpack.encode, rows),
    "csv": _csv,
}


def main() -> None:
    """Take orders until the input ends."""
    settings = Settings.load()
    cluster = build_cluster(settings)
    try:
        session = cluster.connect()
        select = session.prepare(Queries(settings.cassandra_keyspace, USERS).every_row.cql)
        for line in sys.stdin.buffer:
            done = obey(session, select, msgspec.json.decode(line, type=Order))
            sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
            sys.stdout.buffer.flush()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
