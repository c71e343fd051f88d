"""The driver without HTTP, in a process of its own that takes orders: a line of JSON in, a line of JSON out.

An `Order` names what to do. *loop*: `for row in session.execute(…)` over the whole table. *page*: its first page.
*expect*: the size and CRC-32 of the body that a stream of the first `limit` rows must have in each of `formats`, from
rows that the driver decoded and values that are formatted here, without the service's codecs. *reads*: the rows of
`ids` in turn and again for some seconds, one by one, or by `execute_concurrent_with_args` where several are `at_once`.
"""

from __future__ import annotations

import csv
import io
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, cycle, islice
from typing import Any
from uuid import UUID

import msgspec
from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import named_tuple_factory, tuple_factory

from asgi_app.driver.cluster import build_cluster
from asgi_app.settings import Settings
from asgi_app.tables.builtin import USERS
from asgi_app.tables.cql import Queries


class Order(msgspec.Struct, frozen=True):
    """What to do, with `factory` one of the driver's row factories: its default `named`, or `tuple`."""

    what: str
    factory: str = "tuple"
    fetch_size: int = 2000
    limit: int | None = None
    formats: tuple[str, ...] = ()
    ids: tuple[UUID, ...] = ()
    at_once: int = 1
    seconds: float = 0.0


class Looped(msgspec.Struct, frozen=True):
    """How many rows came, in what wall-clock time, and the CPU time of all threads; a read by id brings one row."""

    rows: int
    seconds: float
    cpu_seconds: float


class Body(msgspec.Struct, frozen=True):
    """Size and CRC-32 of a body."""

    bytes: int
    crc: int


@dataclass(frozen=True, slots=True)
class Reader:
    """A session with the two statements that are asked for: all rows, and one by its id; profiles by row factory."""

    session: Any
    every_row: Any
    row: Any
    profiles: dict[str, Any]


def obey(reader: Reader, order: Order) -> Looped | dict[str, Body]:
    """Carry out one order."""
    reader.every_row.fetch_size = order.fetch_size
    if order.what == "expect":
        select = reader.every_row
        return {name: _body(reader.session.execute(select), name, order.limit) for name in order.formats}
    began, used = time.perf_counter(), time.process_time()
    count = _WAYS[order.what](reader, order)
    return Looped(count, time.perf_counter() - began, time.process_time() - used)


def _loop(reader: Reader, order: Order) -> int:
    count = 0
    for _ in _every_row(reader, order):
        count += 1
    return count


def _page(reader: Reader, order: Order) -> int:
    return len(_every_row(reader, order).current_rows)


def _every_row(reader: Reader, order: Order) -> Any:
    """All rows, page by page, as the row factory that is ordered makes them."""
    return reader.session.execute(reader.every_row, execution_profile=reader.profiles[order.factory])


def _reads(reader: Reader, order: Order) -> int:
    """Raises LookupError where a row is not there."""
    until = time.perf_counter() + order.seconds
    return _one_by_one(reader, order.ids, until) if order.at_once == 1 else _at_once(reader, order, until)


def _one_by_one(reader: Reader, ids: Iterable[UUID], until: float) -> int:
    count = 0
    for each in cycle(ids):
        _demand(reader.session.execute(reader.row, (each,)).one())
        count += 1
        if time.perf_counter() > until:
            break
    return count


def _at_once(reader: Reader, order: Order, until: float) -> int:
    """All ids, again and again until it is time."""
    values = [(each,) for each in order.ids]
    count = 0
    while time.perf_counter() < until:
        for _, found in execute_concurrent_with_args(reader.session, reader.row, values, concurrency=order.at_once):
            _demand(found.one())
        count += len(values)
    return count


def _demand(row: object) -> None:
    if row is None:
        raise LookupError("a row is not there")


_WAYS: dict[str, Callable[[Reader, Order], int]] = {"loop": _loop, "page": _page, "reads": _reads}


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
        reader = _reader(cluster.connect(), settings.cassandra_keyspace)
        for line in sys.stdin.buffer:
            done = obey(reader, msgspec.json.decode(line, type=Order))
            sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
            sys.stdout.buffer.flush()
    finally:
        cluster.shutdown()


def _reader(session: Any, keyspace: str) -> Reader:
    queries = Queries(keyspace, USERS)
    profiles = {
        name: session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=factory)
        for name, factory in (("named", named_tuple_factory), ("tuple", tuple_factory))
    }
    return Reader(session, session.prepare(queries.every_row.cql), session.prepare(queries.row.cql), profiles)


if __name__ == "__main__":
    main()
