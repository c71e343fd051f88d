"""Health: one check of Cassandra serves all concurrent callers, and its report is kept for a while."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from asgi_app.errors import CassandraUnavailable
from asgi_app.health import Health, HealthReport
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.scheduler import Lane
from asgi_app.tables.table import Column, Table

pytestmark = pytest.mark.anyio

TABLES = (Table("one", (Column("id", "int"),), ("id",)), Table("two", (Column("id", "int"),), ("id",)))


class Cassandra:
    """Stands in for the database: answers checks as the test says, and counts them in `checks`."""

    def __init__(self) -> None:
        self.checks = 0
        self.away = False
        self.missing: dict[str, set[str]] = {}
        self.gate = anyio.Event()
        self.gate.set()

    async def ping(self, deadline: Deadline) -> None:
        self.checks += 1
        await self.gate.wait()
        if self.away:
            raise CassandraUnavailable

    async def missing_columns(self, table: Table, deadline: Deadline, lane: Lane) -> set[str]:
        assert lane is Lane.PROBES
        return self.missing.get(table.name, set())


@pytest.fixture
def cassandra() -> Cassandra:
    return Cassandra()


def health(cassandra: Cassandra, *, ttl: float) -> Health:
    return Health(cassandra, TABLES, timeout=1.0, ttl=ttl)  # type: ignore[arg-type]


async def test_ready_if_connected_with_every_table(cassandra: Cassandra) -> None:
    report = await health(cassandra, ttl=0).report()
    assert (report, report.ready) == (HealthReport(connected=True, missing_tables=()), True)


async def test_a_table_without_a_column_counts_as_missing(cassandra: Cassandra) -> None:
    cassandra.missing = {"two": {"id"}}
    report = await health(cassandra, ttl=0).report()
    assert (report, report.ready) == (HealthReport(connected=True, missing_tables=("two",)), False)


async def test_cassandra_goes_away_and_comes_back(cassandra: Cassandra) -> None:
    checker = health(cassandra, ttl=0)
    cassandra.away = True
    assert not (await checker.report()).connected
    cassandra.away = False
    assert (await checker.report()).connected


async def test_a_report_is_kept_for_its_ttl(cassandra: Cassandra) -> None:
    checker = health(cassandra, ttl=60)
    for _ in range(5):
        await checker.report()
    assert cassandra.checks == 1


async def test_concurrent_callers_share_one_check(cassandra: Cassandra) -> None:
    cassandra.gate = anyio.Event()
    checker = health(cassandra, ttl=60)
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(checker.report)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        cassandra.gate.set()
    assert cassandra.checks == 1
