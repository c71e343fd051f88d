"""Ways to ask Cassandra: by the native driver, by the Python driver alone, and through the service."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import psutil

from asgi_app.tables.builtin import USERS
from asgi_app.tables.cql import Queries
from benchmarks.ceiling.native import Given, Native
from benchmarks.ceiling.node import CpuWatch, Shares
from benchmarks.contenders import SERVICE
from benchmarks.driver_worker import Looped
from benchmarks.failure import ContenderFailed
from benchmarks.load import Load, run_load
from benchmarks.scenarios.rounds import CONNECTIONS, rotated
from benchmarks.serving import Served
from benchmarks.site import Site
from benchmarks.streams import Driver

IN_FLIGHT = (1, 8, 32, 128)
SCANS = (1, 4)
FETCH_SIZE = 2000

READS, INSERTS, ROWS = "point reads", "inserts", "whole table"

NATIVE = "native driver"
CONCURRENT = "driver alone, execute_concurrent"
LOOP = "driver alone, one after another"
TUPLES = "driver alone, loop over tuples"


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a way found in one turn: `count` requests or rows, and the CPU time of the process that asked Cassandra.

    `p50_ms` and the like are None where nobody looked at single requests.
    """

    count: int
    seconds: float
    cpu_seconds: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    p999_ms: float | None = None

    @property
    def rate(self) -> float:
        """Requests or rows a second."""
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time of a request or a row, in microseconds."""
        return self.cpu_seconds / self.count * 1e6

    @property
    def cpus(self) -> float:
        """CPUs that were busy with asking."""
        return self.cpu_seconds / self.seconds


class Taking(msgspec.Struct, frozen=True):
    """One turn of a way, and how the CPUs were shared meanwhile."""

    kind: str
    way: str
    in_flight: int
    number: int
    asked: Asked
    shares: Shares


Ask = Callable[[int], Asked]
"""Asks for so many seconds."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to ask Cassandra; `ask` raises ContenderFailed."""

    kind: str
    name: str
    in_flight: int
    ask: Ask


def native_ways(
    native: Native, site: Site, scratch: Site, table: Site, in_flight: Sequence[int], scans: Sequence[int]
) -> Iterator[Way]:
    """The native driver with so many reads or scans in flight; it writes to `scratch` and scans `table`."""
    row, every_row = Queries(site.keyspace, USERS).row.cql, Queries(table.keyspace, USERS).every_row.cql
    insert = Queries(scratch.keyspace, USERS).insert.cql
    ids = tuple(user.id for user in site.users)

    def read(count: int) -> Ask:
        return lambda seconds: _requests(native.read(row, ids, count, seconds))

    def scan(count: int) -> Ask:
        return lambda seconds: _rows(native.scan(every_row, count, FETCH_SIZE, seconds))

    yield from (Way(READS, NATIVE, count, read(count)) for count in in_flight)
    yield Way(INSERTS, NATIVE, CONNECTIONS, lambda seconds: _requests(native.insert(insert, CONNECTIONS, seconds)))
    yield from (Way(ROWS, NATIVE, count, scan(count)) for count in scans)


def driver_ways(plain: Driver, site: Site, of_table: Driver, table_rows: int) -> Iterator[Way]:
    """The Python driver without HTTP; the loop over all rows takes as long as it takes."""
    ids = tuple(user.id for user in site.users)

    def every_row(_: int) -> Asked:
        looped = of_table.loop("tuple", FETCH_SIZE)
        if looped.rows != table_rows:
            raise ContenderFailed(f"the driver gives {looped.rows} rows, not {table_rows}")
        return _looped(looped)

    yield Way(READS, CONCURRENT, CONNECTIONS, lambda seconds: _looped(plain.reads(ids, seconds, CONNECTIONS)))
    yield Way(READS, LOOP, 1, lambda seconds: _looped(plain.reads(ids, seconds)))
    yield Way(ROWS, TUPLES, 1, every_row)


def service_way(served: Served, site: Site) -> Way:
    """Point reads through the service, whose CPU time it is; its client takes some of the machine too."""

    def ask(seconds: int) -> Asked:
        before = served.cpu_seconds()
        seen = run_load(served, site, Load(CONNECTIONS, seconds))
        used = served.cpu_seconds() - before
        return Asked(seen.requests, seen.seconds, used, seen.p50_ms, seen.p99_ms, seen.p999_ms)

    return Way(READS, SERVICE.name, CONNECTIONS, ask)


def take(ways: Sequence[Way], node: psutil.Process | None, rounds: int, seconds: int) -> list[Taking]:
    """Each way once a round, the first of a round being the second of the round before. Raises ContenderFailed."""
    found = []
    for number in range(rounds):
        for way in rotated(ways, number):
            watch = CpuWatch(node)
            asked = way.ask(seconds)
            found.append(Taking(way.kind, way.name, way.in_flight, number, asked, watch.shares()))
            print(f"ceiling: round {number + 1} of {rounds}, {_brief(found[-1])}", file=sys.stderr)
    return found


def _requests(given: Given) -> Asked:
    return Asked(given.requests, given.seconds, given.cpu_seconds, given.p50_ms, given.p99_ms, given.p999_ms)


def _rows(given: Given) -> Asked:
    return Asked(given.rows, given.seconds, given.cpu_seconds)


def _looped(looped: Looped) -> Asked:
    return Asked(looped.rows, looped.seconds, looped.cpu_seconds)


def _brief(found: Taking) -> str:
    return (
        f"{found.kind}, {found.way}, {found.in_flight} in flight: {found.asked.rate:.0f}/s, "
        f"{found.asked.cpu_us:.2f} µs CPU each"
    )
