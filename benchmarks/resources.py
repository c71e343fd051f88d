"""Measure the cost of a declared resource: `python -m benchmarks.resources`.

Compares a declared resource with handlers written by hand that run the same CQL, in one process, without a server, in
turn; and measures how long an application with many resources takes to start, and how much memory they add.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
import msgspec
import psutil
from starlette.applications import Starlette
from starlette.requests import Request

from asgi_app import Resource, Statement, create_app, database_of, deadline_of, json_response, path
from asgi_app.errors import NotFound
from asgi_app.http.requests import json_body, path_uuid
from asgi_app.http.validation import BodyDecoder
from asgi_app.settings import Settings
from asgi_app.tables.builtin import User
from asgi_app.tables.cql import select_row
from asgi_app.tables.writes import WriteStatements
from benchmarks.machine import describe
from benchmarks.report import bullets, table
from benchmarks.site import FAILURES, Site, parse_node, prepared_ground

RESOURCES = 200
"""How many resources the start is measured with."""

_AT_ONCE = 32


class Person(msgspec.Struct):
    """A row of `users`, as declared here and as the hand-written handlers take it."""

    id: uuid.UUID
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    email: Annotated[str, msgspec.Meta(max_length=254)]
    age: Annotated[int, msgspec.Meta(ge=0, le=150)]


class PersonFields(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a new person."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    email: Annotated[str, msgspec.Meta(max_length=254)]
    age: Annotated[int, msgspec.Meta(ge=0, le=150)]


_PEOPLE = Resource(Person, "users", partition_key=("id",), path="/people", generated={"id": uuid.uuid4})


def declared(settings: Settings) -> Starlette:
    """Return the application with a declared resource."""
    return create_app(settings, resources=[_PEOPLE])


def hand_written(settings: Settings) -> Starlette:
    """Return the application with handlers that run the same CQL."""
    written = WriteStatements(settings.keyspace, _PEOPLE).insert.statement.cql
    select = Statement(select_row(settings.keyspace, _PEOPLE.table, _PEOPLE.table.column_names), True, writes=False)
    insert = Statement(written.partition(" USING ")[0], True, writes=True)
    fields = BodyDecoder(PersonFields)

    async def read(request: Request) -> Any:
        values = (path_uuid(request, "id"),)
        result = await database_of(request).execute(select, values, deadline=deadline_of(request))
        if not result.row_count:
            raise NotFound
        return json_response(result.json_rows())

    async def create(request: Request) -> Any:
        person = fields.decode(await json_body(request))
        key = uuid.uuid4()
        values = (key, person.name, person.email, person.age)
        await database_of(request).execute(insert, values, deadline=deadline_of(request))
        row = {"id": key, **msgspec.structs.asdict(person)}
        return json_response(row, 201, {"Location": f"/people/{key}"})

    routes = [path("/people", "people", post=create), path("/people/{id}", "people", get=read)]
    return create_app(settings, routes=routes)


@dataclass(frozen=True, slots=True)
class Work:
    """Requests of one kind: its title, the method, the paths in turn, and the body."""

    title: str
    method: str
    paths: Sequence[str]
    body: bytes = b""


def _works(users: Sequence[User]) -> list[Work]:
    body = msgspec.json.encode({"name": "Ada Lovelace", "email": "ada@example.org", "age": 36})
    return [
        Work("read a row", "GET", [f"/people/{user.id}" for user in users]),
        Work("create a row", "POST", ["/people"], body),
    ]


async def cpu_of(app: Starlette, work: Work, requests: int) -> float:
    """Return the CPU microseconds of one request."""
    began = time.process_time()
    for first in range(0, requests, _AT_ONCE):
        async with anyio.create_task_group() as tasks:
            for at in range(first, first + _AT_ONCE):
                tasks.start_soon(ask, app, work, work.paths[at % len(work.paths)])
    return (time.process_time() - began) / requests * 1e6


async def ask(app: Starlette, work: Work, path_: str) -> None:
    """Send one request to an application in this process. Raises RuntimeError for an answer but 200 and 201."""
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": work.body, "more_body": False}

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    headers = [(b"host", b"127.0.0.1")]
    if work.body:
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(work.body))]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": work.method,
        "scheme": "http",
        "path": path_,
        "raw_path": path_.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)
    if statuses[0] not in (200, 201):
        raise RuntimeError(f"{work.method} {path_} is answered with {statuses[0]}")


async def _compare(site: Site, rounds: int, requests: int) -> list[tuple[str, ...]]:
    settings = Settings(cassandra_hosts=(site.node,), cassandra_keyspace=site.keyspace)
    one, other = declared(settings), hand_written(settings)
    found: list[tuple[str, ...]] = []
    async with one.router.lifespan_context(one), other.router.lifespan_context(other):
        for work in _works(site.users):
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
    rows = []
    for count in (0, RESOURCES):
        found = [await _start(site, count) for _ in range(rounds)]
        seconds, megabytes = zip(*found, strict=True)
        rows.append((str(count), spread(seconds, "{:.3f}"), spread(megabytes, "{:.1f}")))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its tables. Returns 1 where Cassandra or a node cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resources", description=__doc__)
    parser.add_argument(
        "--node", type=parse_node, metavar="HOST:PORT", help="a running Cassandra; by default one is started"
    )
    parser.add_argument("--rounds", type=int, default=9, help="paired rounds (9)")
    parser.add_argument("--requests", type=int, default=3200, help="requests of each round (3200)")
    options = parser.parse_args(arguments)
    try:
        with prepared_ground(options.node) as ground, ground.site(1000) as site:
            described = describe(ground)
            compared = anyio.run(_compare, site, options.rounds, options.requests, backend_options={"use_uvloop": True})
            started = anyio.run(_starts, site, 3, backend_options={"use_uvloop": True})
    except FAILURES as error:
        print(f"benchmarks.resources: {error}", file=sys.stderr)
        return 1
    header = ("CPU µs/request", "declared", "by hand", "declared ÷ by hand")
    print(table(header, compared))
    print()
    print(table(("resources", "seconds to start", "MB added"), started))
    print()
    print(bullets(described.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
