"""One thread hop per request: the usual way to call a blocking driver from Starlette, with nothing around it.

Cluster settings (protocol, balancing, no compression) and JSON encoder are the same as the service's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import CapacityLimiter, to_thread

from asgi_app.cli.session import open_session
from asgi_app.settings import Settings
from benchmarks.contenders import cql
from benchmarks.contenders.bare import Row, application

THREADS = 40
"""The default number of threads for blocking calls in anyio and Starlette."""


class ThreadHop:
    """A `Store` over a session and its prepared statements; each call of the driver runs in a worker thread."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._threads = CapacityLimiter(THREADS)
        self._prepared = {text: session.prepare(text) for text in cql.statements()}

    async def execute(self, text: str, values: Row) -> list[Row]:
        """Execute a statement, and return its rows."""
        result = await to_thread.run_sync(self._session.execute, self._prepared[text], values, limiter=self._threads)
        return result.current_rows  # type: ignore[no-any-return]  # the driver has no types

    async def pages(self, limit: int | None, fetch_size: int) -> AsyncIterator[list[Row]]:
        """Read the first users, or all of them, with a hop for each page."""
        statement = self._prepared[cql.ALL].bind(())
        statement.fetch_size = fetch_size
        result = await to_thread.run_sync(self._session.execute, statement, limiter=self._threads)
        left = limit
        while True:
            rows = result.current_rows[:left]
            left = None if left is None else left - len(rows)
            yield rows
            if left == 0 or not result.has_more_pages:
                return
            await to_thread.run_sync(result.fetch_next_page, limiter=self._threads)


@asynccontextmanager
async def _store() -> AsyncIterator[ThreadHop]:
    """Open the store with its own session. It may block, because no request is served yet."""
    with open_session(Settings.load()) as session:
        yield ThreadHop(session)


app = application(_store)
