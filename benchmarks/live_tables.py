"""Measure the serving of tables of the live schema: `python -m benchmarks.live_tables`.

Makes a keyspace with many tables, then measures how long after the connection the first of them is served, the CPU time
of reading the schema for the first time and again, and the cost of a request beside that of a declared resource of the
same table. With `--keyspace` it uses a keyspace that is there, made by an earlier run with `--keep`.
"""

from __future__ import annotations

import argparse
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import anyio
from starlette.applications import Starlette

from asgi_app import Resource, create_app
from asgi_app.runtime.deadline import Deadline
from asgi_app.settings import ContactPoint, Settings
from asgi_app.tables.builtin import User
from asgi_app.tables.cql import create_keyspace, quoted
from benchmarks.machine import describe
from benchmarks.report import bullets, table
from benchmarks.resources import cpu_of, spread
from benchmarks.site import FAILURES, Ground, Site, parse_node, prepared_ground, session_on
from benchmarks.two_ways import Work, ask

TARGET = 1.5
"""Seconds from the connection to the first answer."""

_COLUMNS = (
    "tenant text, day date, at timestamp, id uuid, kind text, n int, tags set<text>, props map<text, text>,"
    " score double, note text, owner text static, PRIMARY KEY ((tenant, day), at, id)"
)


@contextmanager
def _keyspace(node: ContactPoint, count: int, existing: str | None, *, keep: bool) -> Iterator[str]:
    """Make a keyspace with so many tables and drop it at the end, or use an existing one."""
    name = existing or f"asgi_cassandra_bench_{uuid.uuid4().hex[:8]}"
    try:
        if existing is None:
            with session_on(node) as session:
                session.execute(create_keyspace(name, "{'class': 'SimpleStrategy', 'replication_factor': 1}"))
                for at in range(count):
                    session.execute(f"CREATE TABLE {quoted(name)}.t{at:04} ({_COLUMNS})", timeout=60)
        yield name
    finally:
        if keep:
            print(f"the keyspace is {name}", file=sys.stderr)
        elif existing is None:
            with session_on(node) as session:
                session.execute(f"DROP KEYSPACE IF EXISTS {quoted(name)}", timeout=600)


async def _start(node: ContactPoint, keyspace: str) -> tuple[float, float, float, float]:
    """Return seconds to connect, seconds from there to the first answer, CPU seconds of both reads of the schema."""
    settings = Settings(cassandra_hosts=(node,), cassandra_keyspace=keyspace, tables=("*",))
    app = create_app(settings)
    began = time.perf_counter()
    async with app.router.lifespan_context(app):
        connected, cpu = time.perf_counter(), time.process_time()
        await ask(app, Work("", "GET", ["/t0000"]), "/t0000")
        answered, first = time.perf_counter(), time.process_time() - cpu
        await anyio.sleep(1)
        cpu = time.process_time()
        await app.state.service.catalog.read_again(Deadline.after(30))
        return connected - began, answered - connected, first, time.process_time() - cpu


async def _starts(node: ContactPoint, keyspace: str, rounds: int) -> tuple[str, ...]:
    found = [await _start(node, keyspace) for _ in range(rounds)]
    return tuple(spread(values, "{:.3f}") for values in zip(*found, strict=True))


async def _compare(site: Site, rounds: int, requests: int) -> tuple[str, ...]:
    """Return the CPU microseconds of a read of a row: of the live schema, of a declared resource, and the ratio."""
    settings = Settings(cassandra_hosts=(site.node,), cassandra_keyspace=site.keyspace)
    live = create_app(Settings(cassandra_hosts=(site.node,), cassandra_keyspace=site.keyspace, tables=("users",)))
    declared = create_app(settings, resources=[Resource(User, "users", partition_key=("id",))])
    work = Work("", "GET", [f"/users/{user.id}" for user in site.users])
    pairs = []
    async with live.router.lifespan_context(live), declared.router.lifespan_context(declared):
        for number in range(-1, rounds):
            apps: tuple[Starlette, ...] = (live, declared) if number % 2 else (declared, live)
            costs = {app: await cpu_of(app, work, requests) for app in apps}
            if number >= 0:
                pairs.append((costs[live], costs[declared]))
    ones, others = zip(*pairs, strict=True)
    ratios = [one / other for one, other in pairs]
    return spread(ones, "{:.0f}"), spread(others, "{:.0f}"), spread(ratios, "{:.3f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its tables. Returns 1 where Cassandra or a node cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_tables", description=__doc__)
    parser.add_argument(
        "--node", type=parse_node, metavar="HOST:PORT", help="a running Cassandra; by default one is started"
    )
    parser.add_argument("--tables", type=int, default=500, help="tables of the keyspace (500)")
    parser.add_argument("--keyspace", help="a keyspace of an earlier run")
    parser.add_argument("--keep", action="store_true", help="keep the keyspace for later runs")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--requests", type=int, default=3200, help="requests of each round (3200)")
    options = parser.parse_args(arguments)
    try:
        with prepared_ground(options.node) as ground:
            _run(ground, options)
    except FAILURES as error:
        print(f"benchmarks.live_tables: {error}", file=sys.stderr)
        return 1
    return 0


def _run(ground: Ground, options: argparse.Namespace) -> None:
    uvloop = {"use_uvloop": True}
    with ground.site(1000) as site:
        compared = anyio.run(_compare, site, options.rounds, options.requests, backend_options=uvloop)
    with _keyspace(ground.node, options.tables, options.keyspace, keep=options.keep) as keyspace:
        starts = anyio.run(_starts, ground.node, keyspace, options.rounds, backend_options=uvloop)
    head = ("seconds to connect", f"to the first answer (target {TARGET})", "CPU of the first read", "of a later read")
    print(table(head, [starts]))
    print()
    print(table(("CPU µs/request, live", "declared", "live ÷ declared"), [compared]))
    print()
    print(bullets(describe(ground).items()))


if __name__ == "__main__":
    raise SystemExit(main())
