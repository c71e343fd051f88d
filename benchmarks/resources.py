"""Measure the cost of a declared resource: `python -m benchmarks.resources`.

Compares a declared resource with handlers written by hand that run the same CQL, in one process, without a server, in
turn: in CPU time, and in instructions if valgrind is installed. Measures how long an application with many resources
takes to start, and how much memory they add.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Sequence

import anyio
import psutil
from starlette.applications import Starlette

from asgi_app import Resource, create_app
from asgi_app.settings import Settings
from benchmarks.machine import describe
from benchmarks.regression.counting import NotGiven
from benchmarks.report import bullets, table
from benchmarks.resource_counts import compare_counts
from benchmarks.site import FAILURES, Site, parse_node, prepared_ground
from benchmarks.two_ways import Person, Work, ask, declared, hand_written, works_on

RESOURCES = 200
"""How many resources the start is measured with."""

_AT_ONCE = 32


async def cpu_of(app: Starlette, work: Work, requests: int) -> float:
    """Return the CPU microseconds of one request."""
    began = time.process_time()
    for first in range(0, requests, _AT_ONCE):
        async with anyio.create_task_group() as tasks:
            for at in range(first, first + _AT_ONCE):
                tasks.start_soon(ask, app, work, work.paths[at % len(work.paths)])
    return (time.process_time() - began) / requests * 1e6


async def _compare(site: Site, rounds: int, requests: int) -> list[tuple[str, ...]]:
    settings = Settings(cassandra_hosts=(site.node,), cassandra_keyspace=site.keyspace)
    one, other = declared(settings), hand_written(settings)
    found: list[tuple[str, ...]] = []
    async with one.router.lifespan_context(one), other.router.lifespan_context(other):
        for work in works_on(site.users):
            for app in (one, other):
                await cpu_of(app, work, requests)  # warm
            pairs = []
            for number in range(rounds):
                apps = (one, other) if number % 2 else (other, one)
                costs = {app: await cpu_of(app, work, requests) for app in apps}
                pairs.append((costs[one], costs[other]))
            found.append(_row(work.title, pairs))
    return found


def _row(title: str, pairs: Sequence[tuple[float, float]]) -> tuple[str, ...]:
    ratios = [one / other for one, other in pairs]
    ones, others = zip(*pairs, strict=True)
    return (title, spread(ones, "{:.0f}"), spread(others, "{:.0f}"), spread(ratios, "{:.3f}"))


def spread(values: Sequence[float], form: str) -> str:
    """Return the median of the values with the least and the greatest."""
    return f"{form.format(statistics.median(values))} [{form.format(min(values))}-{form.format(max(values))}]"


async def _start(site: Site, count: int) -> tuple[float, float]:
    """Return the seconds that an application with so many resources takes to start, and the MB that it adds."""
    settings = Settings(cassandra_hosts=(site.node,), cassandra_keyspace=site.keyspace)
    gc.collect()
    before = psutil.Process().memory_info().rss
    began = time.perf_counter()
    resources = [Resource(Person, "users", partition_key=("id",), path=f"/people{at}") for at in range(count)]
    app = create_app(settings, resources=resources, examples=False)
    async with app.router.lifespan_context(app):
        seconds = time.perf_counter() - began
        gc.collect()
        return seconds, (psutil.Process().memory_info().rss - before) / 1e6


async def _starts(site: Site, rounds: int) -> list[tuple[str, ...]]:
    for count in (0, RESOURCES):
        await _start(site, count)  # imports and caches
    rows: list[tuple[str, ...]] = []
    for count in (0, RESOURCES):
        found = [await _start(site, count) for _ in range(rounds)]
        seconds, megabytes = zip(*found, strict=True)
        rows.append((str(count), spread(seconds, "{:.3f}"), spread(megabytes, "{:.1f}")))
    return rows


def _counted(site: Site, slices: int) -> tuple[list[tuple[str, ...]], str]:
    """Return the rows of instructions, or none and why."""
    if not slices:
        return [], "instructions: not requested"
    try:
        counts = compare_counts(site, slices)
    except NotGiven as error:
        return [], f"instructions: not available: {error}"
    return [(title, f"{one:.0f}", f"{other:.0f}", f"{one / other:.3f}") for title, one, other in counts], ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its tables. Returns 1 where Cassandra or a node cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resources", description=__doc__)
    parser.add_argument(
        "--node", type=parse_node, metavar="HOST:PORT", help="a running Cassandra; by default one is started"
    )
    parser.add_argument("--rounds", type=int, default=9, help="paired rounds (9)")
    parser.add_argument("--requests", type=int, default=3200, help="requests of each round (3200)")
    parser.add_argument("--counts", type=int, default=40, help="counts of instructions (40), or 0")
    options = parser.parse_args(arguments)
    try:
        with prepared_ground(options.node) as ground, ground.site(1000) as site:
            described = describe(ground)
            compared = anyio.run(_compare, site, options.rounds, options.requests, backend_options={"use_uvloop": True})
            counted, note = _counted(site, options.counts)
            started = anyio.run(_starts, site, 3, backend_options={"use_uvloop": True})
    except FAILURES as error:
        print(f"benchmarks.resources: {error}", file=sys.stderr)
        return 1
    header = ("CPU µs/request", "declared", "by hand", "declared ÷ by hand")
    print(table(header, compared))
    print()
    print(table(("instructions/request", *header[1:]), counted) if counted else note)
    print()
    print(table(("resources", "seconds to start", "MB added"), started))
    print()
    print(bullets(described.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
