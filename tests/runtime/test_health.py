"""One look at Cassandra serves all who ask at once, within a bound, and for a while."""

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
    """Answers looks as the test says; counts them."""

    def __init__(self) -> None:
        self.looks = 0
        self.away = False
        self.missing: dict[str, set[str]] = {}
        self.gate = anyio.Event()
        self.gate.set()

    async def ping(self, deadline: Deadline) -> None:
        self.looks += 1
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


async def test_ready_when_connected_with_every_table(cassandra: Cassandra) -> None:
    report = await health(cassandra, ttl=0).report()
    assert (report, report.ready) == (HealthReport(connected=True, missing_tables=()), True)


async def test_a_table_that_lacks_a_column_is_missing(cassandra: Cassandra) -> None:
    cassandra.missing = {"two": {"id"}}
    report = await health(cassandra, ttl=0).report()
    assert (report, report.ready) == (HealthReport(connected=True, missing_tables=("two",)), False)


async def test_away_and_back(cassandra: Cassandra) -> None:
    looking = health(cassandra, ttl=0)
    cassandra.away = True
    assert not (await looking.report()).connected
    cassandra.away = False
    assert (await looking.report()).connected


async def test_a_report_is_kept_for_its_time(cassandra: Cassandra) -> None:
    looking = health(cassandra, ttl=60)
    for _ in range(5):
        await looking.report()
    assert cassandra.looks == 1


async def test_all_who_ask_at_once_lane_one_look(cassandra: Cassandra) -> None:
    cassandra.gate = anyio.Event()
    looking = health(cassandra, ttl=60)
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(looking.report)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        cassandra.gate.set()
    assert cassandra.looks == 1
