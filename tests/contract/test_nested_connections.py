"""Connections besides the service's own: what goes wrong while one is opened."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from cassandra import DriverException
from cassandra.cluster import NoHostAvailable

from asgi_app.errors import CassandraUnavailable, InternalError
from asgi_app.resources.nested import NestedConnections
from asgi_app.runtime.deadline import Deadline

pytestmark = pytest.mark.anyio


async def opened_with(error: Exception) -> None:
    async def run_blocking(_: Any) -> None:
        raise error

    database: Any = SimpleNamespace(dispatcher=SimpleNamespace(run_blocking=run_blocking))
    async with NestedConnections(database, Deadline.after(5)).session(SimpleNamespace(connect=None), []):
        pytest.fail("there is no session")


async def test_no_node_is_unavailable() -> None:
    with pytest.raises(CassandraUnavailable):
        await opened_with(NoHostAvailable("Unable to connect", {"127.0.0.1:9042": OSError("refused")}))


async def test_other_errors_of_the_driver_are_translated() -> None:
    with pytest.raises(InternalError):
        await opened_with(DriverException("odd"))


async def test_errors_of_other_kinds_pass_unchanged() -> None:
    with pytest.raises(ZeroDivisionError):
        await opened_with(ZeroDivisionError())
