"""async-cassandra exports a whole table: `… TABLE KEY RANGES AT_ONCE FILE`. Runs in an environment of its own.

In the way of that project's example of bulk operations: a task for each range of tokens, of which so many run at once,
reads the range by `execute_stream` and puts its rows, one by one, into a queue; another task takes them from there and
writes each as a line of JSON. Prints one line of JSON: rows, seconds, CPU seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from datetime import datetime
from typing import Any, TextIO

from async_cassandra import AsyncCluster
from cassandra import ConsistencyLevel

from benchmarks.contenders import cql

_QUEUED_PER_RANGE = 10
_END = None


async def _export(session: Any, select: str, count: int, at_once: int, file: TextIO) -> int:
    """Write all rows, and return their number."""
    statement = await session.prepare(select)
    statement.consistency_level = ConsistencyLevel.LOCAL_QUORUM
    queue: asyncio.Queue[Any] = asyncio.Queue(at_once * _QUEUED_PER_RANGE)
    free = asyncio.Semaphore(at_once)

    async def read(bounds: tuple[int, int]) -> None:
        async with free, await session.execute_stream(statement, bounds) as rows:
            async for row in rows:
                await queue.put(row)

    async def read_all() -> None:
        try:
            await asyncio.gather(*map(read, cql.ranges(count)))
        finally:
            await queue.put(_END)

    reading = asyncio.create_task(read_all())
    rows = 0
    while (row := await queue.get()) is not _END:
        file.write(json.dumps(row._asdict(), default=_text, separators=(",", ":")) + "\n")
        rows += 1
    await reading
    return rows


def _text(value: Any) -> Any:
    """Return a value that JSON does not have as one that it has."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, uuid.UUID) else sorted(value)


async def _measured(select: str, count: int, at_once: int, file: TextIO) -> dict[str, float]:
    hosts = cql.hosts()
    cluster = AsyncCluster([host for host, _ in hosts], port=hosts[0][1], protocol_version=5)
    session = await cluster.connect()
    began, used = time.perf_counter(), time.process_time()
    rows = await _export(session, select, count, at_once, file)
    return {"rows": rows, "seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - used}


def main() -> None:
    """Run as the command line says."""
    table, key, count, at_once, path = sys.argv[1:]
    with open(path, "w", encoding="utf-8") as file:
        found = asyncio.run(_measured(cql.in_range(table, key), int(count), int(at_once), file))
    print(json.dumps(found), flush=True)
    os._exit(0)  # the package's own ways to close sleep for five seconds


if __name__ == "__main__":
    main()
