"""A cluster and sessions of the driver's besides the service's own, opened and closed one within the other.

What was opened and closed is noted as it happens, read from the driver's own state.
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
from asgi_app.errors import CassandraUnavailable, DeadlineExceeded
from asgi_app.runtime.deadline import Deadline


@asynccontextmanager
async def held(lock: anyio.Lock, deadline: Deadline) -> AsyncIterator[None]:
    """Hold `lock`. Raises DeadlineExceeded where it is not free by the deadline.

    A cluster takes threads and connections, so never more than one is open besides the service's.
    """
    with anyio.move_on_after(deadline.remaining()) as waiting:
        await lock.acquire()
    if waiting.cancelled_caught:
        raise DeadlineExceeded
    try:
        yield
    finally:
        lock.release()


class NestedConnections:
    """Opens connections with the settings of `database`, in its worker threads, within the deadline.

    Raises CassandraUnavailable where no node can be found, the driver's errors translated, and DeadlineExceeded. On
    cancellation what is open is closed first.
    """

    def __init__(self, database: Database, deadline: Deadline) -> None:
        self._database = database
        self._deadline = deadline

    @asynccontextmanager
    async def cluster(self, events: list[str]) -> AsyncIterator[Any]:
        """Open a cluster of the driver's, and shut it down after; note both in `events`."""
        settings = self._database.settings
        seconds = min(settings.cassandra_connection_timeout, self._deadline.remaining())
        build = partial(
            build_cluster,
            msgspec.structs.replace(settings, cassandra_connection_timeout=seconds),
            observer=self._database.metrics,
            connection_class=own_connection_class(),
        )
        async with self._opened("cluster", build, events) as cluster:
            yield cluster

    @asynccontextmanager
    async def session(self, cluster: Any, events: list[str]) -> AsyncIterator[Database]:
        """Connect a session of `cluster`, and shut it down after; note both in `events`."""
        self._deadline.remaining()
        async with (
            self._opened("session", cluster.connect, events) as session,
            Database.open(self._database.settings, session) as database,
        ):
            self._deadline.remaining()
            yield database

    @asynccontextmanager
    async def _opened(self, name: str, make: Callable[[], Any], events: list[str]) -> AsyncIterator[Any]:
        run = self._database.dispatcher.run_blocking
        try:
            it = await run(make)
        except ClusterUnreachableError as error:
            raise CassandraUnavailable from error
        except Exception as error:
            if not is_driver_error(error):
                raise
            raise translate(error, unknown=False) from error
        events.append(f"{name}_{_state(it)}")
        try:
            yield it
        finally:
            with anyio.CancelScope(shield=True):
                await run(it.shutdown)
            events.append(f"{name}_{_state(it)}")


def _state(it: Any) -> str:
    return "closed" if it.is_shutdown else "opened"
