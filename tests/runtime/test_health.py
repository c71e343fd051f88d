"""Health checks: shared by concurrent requests, cached, and turned into a report."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from asgi_app.errors import CassandraUnavailable
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.health import Health, HealthReport

pytestmark = pytest.mark.anyio


class Cassandra:
    """Answers checks as the test sets it, and counts them."""

    def __init__(self) -> None:
        self.looks = 0
        self.away = False
        self.missing: tuple[str, ...] = ()
        self.gate = anyio.Event()
        self.gate.set()

    async def check_cassandra(self, deadline: Deadline) -> tuple[str, ...]:
        self.looks += 1
        assert 0 < deadline.remaining() <= 1
        await self.gate.wait()
        if self.away:
            raise CassandraUnavailable
        return self.missing


@pytest.fixture
def cassandra() -> Cassandra:
    return Cassandra()


def health(cassandra: Cassandra, *, ttl: float) -> Health:
    return Health(cassandra.check_cassandra, timeout=1.0, ttl=ttl)


async def test_ready_when_connected_with_every_table(cassandra: Cassandra) -> None:
    report = await health(cassandra, ttl=0).report()
    assert (report, report.ready) == (HealthReport(connected=True, missing_tables=()), True)


async def test_not_ready_with_a_missing_table(cassandra: Cassandra) -> None:
    cassandra.missing = ("two",)
    report = await health(cassandra, ttl=0).report()
    assert (report, report.ready) == (HealthReport(connected=True, missing_tables=("two",)), False)


async def test_disconnected_and_reconnected(cassandra: Cassandra) -> None:
    checked = health(cassandra, ttl=0)
    cassandra.away = True
    assert not (await checked.report()).connected
    cassandra.away = False
    assert (await checked.report()).connected


async def test_report_is_cached_for_its_ttl(cassandra: Cassandra) -> None:
    checked = health(cassandra, ttl=60)
    for _ in range(5):
        await checked.report()
    assert cassandra.looks == 1


async def test_concurrent_requests_share_one_check(cassandra: Cassandra) -> None:
    cassandra.gate = anyio.Event()
    checked = health(cassandra, ttl=60)
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(checked.report)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        cassandra.gate.set()
    assert cassandra.looks == 1
