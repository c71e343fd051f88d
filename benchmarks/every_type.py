"""Rows of every scalar type, as JSON and as the driver's tuples: `python -m benchmarks.every_type`.

Makes a table with a column of every scalar type but `counter`, which Cassandra keeps apart from other types. Reads
it in two ways: as NDJSON, as the service streams it, and as tuples, as the driver decodes it. Prints the CPU time of a
row of both and their ratio, whose target is 0.5: for pages that were received before, and for a loop that also receives
them.
"""

from __future__ import annotations

import argparse
import decimal
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.protocol import ProtocolHandler
from cassandra.query import SimpleStatement, tuple_factory
from cassandra.util import Duration, Time, uuid_from_time

from asgi_app.driver.page import JSON_LINES, RowPage
from asgi_app.driver.protocol import RawProtocolHandler
from asgi_app.driver.transcoding import HOW
from asgi_app.local_node import LocalNodeError
from asgi_app.tables.cql import create_keyspace, quoted
from asgi_app.tables.types import NATIVE_TYPES
from benchmarks.__main__ import at_least_one
from benchmarks.processes import ContenderFailed
from benchmarks.report import table
from benchmarks.site import parse_node, prepared_ground, session_on

TARGET = 0.5
FETCH_SIZE = 2000

_TYPES = tuple(sorted(NATIVE_TYPES - {"counter"}))
_NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def _row(number: int) -> dict[str, Any]:
    """Return a value of each type, each row's another."""
    at = _NOON + timedelta(milliseconds=number * 977)
    return {
        "ascii": f"row {number}",
        "bigint": number * 10**12,
        "blob": number.to_bytes(16, "big"),
        "boolean": number % 2 == 0,
        "date": date(1970, 1, 1) + timedelta(days=number),
        "decimal": decimal.Decimal(number * 10**6 + 1).scaleb(-4),
        "double": number / 7,
        "duration": Duration(number % 30, number % 25, number * 10**9),
        "float": number / 3,
        "inet": f"10.1.{number // 250 % 250}.{number % 250}" if number % 2 else f"2001:db8::{number % 10_000}",
        "int": number,
        "smallint": number % 30_000,
        "text": f"naïve text of row {number}",
        "time": Time(number * 10**8),
        "timestamp": at,
        "timeuuid": uuid_from_time(at.timestamp(), node=1, clock_seq=number % 1000),
        "tinyint": number % 120,
        "uuid": uuid.UUID(int=number << 64 | 0x4000),
        "varint": number * 10**20,
    }


@contextmanager
def _filled(session: Any, rows: int) -> Iterator[str]:
    """Make the table in a keyspace of its own, yield the SELECT of its rows, and drop the keyspace."""
    keyspace = f"asgi_cassandra_bench_{uuid.uuid4().hex[:8]}"
    session.execute(create_keyspace(keyspace, "{'class': 'SimpleStrategy', 'replication_factor': 1}"), timeout=60)
    try:
        name = f"{quoted(keyspace)}.every_type"
        columns = ", ".join(f"c_{each} {each}" for each in _TYPES)
        session.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, {columns})", timeout=60)
        names = ", ".join(f"c_{each}" for each in _TYPES)
        marks = ", ".join("?" * (1 + len(_TYPES)))
        insert = session.prepare(f"INSERT INTO {name} (id, {names}) VALUES ({marks})")  # noqa: S608
        values = ([number, *map(_row(number).__getitem__, _TYPES)] for number in range(rows))
        execute_concurrent_with_args(session, insert, values, concurrency=50)
        yield f"SELECT id, {names} FROM {name}"  # noqa: S608
    finally:
        session.execute(f"DROP KEYSPACE {quoted(keyspace)}", timeout=60)


class _KeepingHandler(ProtocolHandler):  # type: ignore[misc]  # the driver has no types
    """Decodes responses as the driver does, and keeps the arguments of each call."""

    calls: list[tuple[Any, ...]]

    @classmethod
    def decode_message(cls, *call: Any) -> Any:
        """See the driver's `_ProtocolHandler`."""
        cls.calls.append(call)
        return super().decode_message(*call)


def _as_lines(_: Any, page: RowPage) -> list[bytes]:
    return [page.encoded(JSON_LINES)]


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to read rows: the driver's handler of responses, and what makes the rows of a page."""

    handler: Any
    factory: Callable[[Any, Any], Sequence[Any]]

    def decode(self, calls: Sequence[tuple[Any, ...]]) -> None:
        """Read pages that were received before."""
        for call in calls:
            message = self.handler.decode_message(*call)
            self.factory(message.column_names, message.parsed_rows)

    def loop(self, session: Any, select: str) -> None:
        """Read the table, page by page."""
        session.client_protocol_handler = self.handler
        profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=self.factory)
        for _ in session.execute(SimpleStatement(select, fetch_size=FETCH_SIZE), execution_profile=profile, timeout=60):
            pass


_OURS = _Way(RawProtocolHandler, _as_lines)
_DRIVERS = _Way(ProtocolHandler, tuple_factory)


def _received(session: Any, select: str) -> list[tuple[Any, ...]]:
    """Return the calls that decode the pages of the table."""
    _KeepingHandler.calls = []
    _Way(_KeepingHandler, tuple_factory).loop(session, select)
    return _KeepingHandler.calls


def _used(work: Callable[[], None], rows: int) -> float:
    """Return the CPU time of some work, of all threads, in µs a row."""
    began = time.process_time()
    work()
    return (time.process_time() - began) / rows * 1e6


def _compared(title: str, of: Callable[[_Way], Callable[[], None]], rows: int, rounds: int) -> tuple[str, ...]:
    """Measure both ways in turn, after a warm-up, and return a row of the report."""
    ours, theirs = of(_OURS), of(_DRIVERS)
    ours()
    theirs()
    found = [(_used(ours, rows), _used(theirs, rows)) for _ in range(rounds)]
    ratio = statistics.median(mine / other for mine, other in found)
    medians = (f"{statistics.median(column):.2f}" for column in zip(*found, strict=True))
    return (title, *medians, f"{ratio:.2f}", "yes" if ratio <= TARGET else "no")


def report(session: Any, rows: int, rounds: int) -> str:
    """Measure, and return a table."""
    with _filled(session, rows) as select:
        calls = _received(session, select)
        found = [
            _compared("pages received before", lambda way: lambda: way.decode(calls), rows, rounds),
            _compared("a whole loop", lambda way: lambda: way.loop(session, select), rows, rounds),
        ]
    header = ("CPU time of a row, medians", "NDJSON, µs", "the driver's tuples, µs", "ratio", f"at most {TARGET}")
    return f"{rows} rows of {len(_TYPES) + 1} columns, {rounds} rounds, JSON {HOW}\n\n{table(header, found)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 1 if something cannot run, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.every_type", description=__doc__)
    parser.add_argument("--node", type=parse_node, metavar="HOST:PORT", help="a running Cassandra; else one is booted")
    parser.add_argument("--rows", type=at_least_one, default=20_000, metavar="N", help="in the table (20000)")
    parser.add_argument("--rounds", type=at_least_one, default=12, metavar="N", help="of both ways (12)")
    options = parser.parse_args(arguments)
    try:
        with prepared_ground(options.node) as ground, session_on(ground.node) as session:
            print(report(session, options.rows, options.rounds))
    except (ContenderFailed, LocalNodeError) as error:
        print(f"benchmarks.every_type: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
