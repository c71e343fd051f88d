"""The cache of prepared statements: one prepare each, a bound, and no failures kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_app.driver.prepared import PreparedStatements
from asgi_app.errors import CassandraUnavailable, DeadlineExceeded
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.tasks import background_tasks
from asgi_app.tables.cql import Statement

pytestmark = pytest.mark.anyio

LONG = 20.0


def statement(name: str) -> Statement:
    return Statement(f"SELECT {name}", idempotent=True, writes=False)


class Server:
    """Prepares when its gate is open; fails `failures` times first."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = anyio.Event()
        self.gate.set()
        self.failures = 0

    async def prepare(self, asked: Statement) -> Any:
        self.asked.append(asked.cql)
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise CassandraUnavailable
        return f"prepared {asked.cql}"


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def cache(server: Server) -> AsyncIterator[PreparedStatements]:
    async with background_tasks() as tasks:
        yield PreparedStatements(server.prepare, tasks, 2)


async def test_a_statement_is_prepared_once(cache: PreparedStatements, server: Server) -> None:
    for _ in range(3):
        assert await cache.get(statement("a"), Deadline.after(LONG)) == "prepared SELECT a"  # type: ignore[comparison-overlap]
    assert server.asked == ["SELECT a"]


async def test_the_same_cql_is_prepared_for_repeats_and_without(cache: PreparedStatements, server: Server) -> None:
    """The driver reads from the prepared statement whether it may send it twice."""
    repeated, once = statement("a"), Statement("SELECT a", idempotent=False, writes=False)
    for each in (repeated, once, repeated, once):
        await cache.get(each, Deadline.after(LONG))
    assert server.asked == ["SELECT a", "SELECT a"]


async def test_concurrent_requests_share_one_prepare(cache: PreparedStatements, server: Server) -> None:
    server.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(cache.get, statement("a"), Deadline.after(LONG))
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        server.gate.set()
    assert server.asked == ["SELECT a"]


async def test_the_least_recently_used_is_dropped(cache: PreparedStatements, server: Server) -> None:
    for name in ("a", "b", "a", "c"):
        await cache.get(statement(name), Deadline.after(LONG))
    assert len(cache) == 2
    await cache.get(statement("a"), Deadline.after(LONG))
    await cache.get(statement("b"), Deadline.after(LONG))
    assert server.asked == ["SELECT a", "SELECT b", "SELECT c", "SELECT b"]


async def test_failure_is_raised_to_all_and_not_kept(cache: PreparedStatements, server: Server) -> None:
    server.gate = anyio.Event()
    server.failures = 1
    failures: list[CassandraUnavailable] = []

    async def ask() -> None:
        try:
            await cache.get(statement("a"), Deadline.after(LONG))
        except CassandraUnavailable as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        server.gate.set()
    assert len(failures) == len(set(map(id, failures))) == 3
    assert await cache.get(statement("a"), Deadline.after(LONG)) == "prepared SELECT a"  # type: ignore[comparison-overlap]


async def test_cancelled_request_does_not_stop_the_prepare(cache: PreparedStatements, server: Server) -> None:
    server.gate = anyio.Event()
    with pytest.raises(DeadlineExceeded):
        await cache.get(statement("a"), Deadline.after(0.01))
    with anyio.move_on_after(0.01):
        await cache.get(statement("a"), Deadline.after(LONG))
    server.gate.set()
    assert await cache.get(statement("a"), Deadline.after(LONG)) == "prepared SELECT a"  # type: ignore[comparison-overlap]
    assert server.asked == ["SELECT a"]
