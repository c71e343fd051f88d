"""The driver alone reads a whole table: `python -m benchmarks.range_walk TABLE KEY RANGES AT_ONCE`.

Each of AT_ONCE threads walks one of so many ranges of tokens after another, page by page, and makes tuples of the rows.
KEY is the column of the partition key. Prints one line of JSON, a `Looped`.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.query import tuple_factory

from asgi_app.cli.session import open_session
from asgi_app.settings import Settings
from benchmarks.contenders import cql
from benchmarks.driver_worker import Looped


def _walk(session: Any, select: str, count: int, at_once: int) -> Looped:
    profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=tuple_factory)
    statement = session.prepare(select)

    def length(bounds: tuple[int, int]) -> int:
        return sum(1 for _ in session.execute(statement, bounds, execution_profile=profile))

    ranges = cql.ranges(count)
    length(ranges[0])  # warms up
    began, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(at_once) as threads:
        rows = sum(threads.map(length, ranges))
    return Looped(rows, time.perf_counter() - began, time.process_time() - used)


def main() -> None:
    """Run as the command line says."""
    table, key, count, at_once = sys.argv[1:]
    with open_session(Settings.load()) as session:
        done = _walk(session, cql.in_range(table, key), int(count), int(at_once))
    print(msgspec.json.encode(done).decode())


if __name__ == "__main__":
    main()
