"""A second driver cluster with sessions, opened and closed for one diagnostic.

Each opening and closing is recorded as an event, read from the driver's own state.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import msgspec

from asgi_app.db import Database
from asgi_app.driver.cluster import ClusterUnreachableError, build_cluster
from asgi_app.driver.errors import is_driver_error, translate
from asgi_app.driver.session import own_connection_class
from asgi_app.errors import CassandraUnavailable
from asgi_app.runtime.deadline import Deadline


class NestedConnections:
    """Opens connections with the settings of `database`, in its worker threads, within the deadline.

    Opening raises CassandraUnavailable if no node can be reached, the driver's errors translated, and DeadlineExceeded.
    A cancelled block closes what is open before the cancellation takes effect.
    """

    def __init__(self, database: Database, deadline: Deadline) -> None:
        self._database = database
        self._deadline = deadline

    @asynccontextmanager
    async def cluster(self, events: list[str]) -> AsyncIterator[Any]:
        """Open a driver cluster and shut it down at the end of the context. Record both in `events`."""
        settings = self._database.settings
        seconds = min(settings.cassandra_connection_timeout, self._deadline.remaining())
        build = partial(
            build_cluster,
            msgspec.structs.replace(settings, cassandra_connection_timeout=seconds),
            observer=self._database.metrics,
            connection_class=own_connection_class(),
        )
        async with self._open("cluster", build, events) as cluster:
            yield cluster

    @asynccontextmanager
    async def session(self, cluster: Any, events: list[str]) -> AsyncIterator[Database]:
        """Connect a session of `cluster` and shut it down at the end of the context. Record both in `events`."""
        self._deadline.remaining()  # raises DeadlineExceeded; `connect` has no timeout of its own
        async with (
            self._open("session", cluster.connect, events) as session,
            Database.open(self._database.settings, session) as database,
        ):
            self._deadline.remaining()
            yield database

    @asynccontextmanager
    async def _open(self, name: str, connect: Callable[[], Any], events: list[str]) -> AsyncIterator[Any]:
        """Open what `connect` returns, a cluster or a session, and shut it down at the end of the context."""
        run = self._database.dispatcher.run_blocking
        try:
            opened = await run(connect)
        except ClusterUnreachableError as error:
            raise CassandraUnavailable from error
        except Exception as error:
            if not is_driver_error(error):
                raise
            raise translate(error, unknown=False) from error
        events.append(f"{name}_{_state(opened)}")
        try:
            yield opened
        finally:
            with anyio.CancelScope(shield=True):
                await run(opened.shutdown)
            events.append(f"{name}_{_state(opened)}")


def _state(connection: Any) -> str:
    return "closed" if connection.is_shutdown else "opened"
