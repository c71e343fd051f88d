"""Bare Starlette over acsylla: DataStax's C++ driver behind asyncio. Runs in an environment of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import acsylla

from benchmarks.contenders import cql
from benchmarks.contenders.bare import Row, application


class Acsylla:
    """A `Store` over a session and its prepared statements."""

    def __init__(self, session: Any, prepared: dict[str, Any]) -> None:
        self._execute = session.execute
        self._prepared = prepared

    async def execute(self, text: str, values: Row) -> list[Row]:
        """Execute a statement, and return its rows."""
        return [row.as_tuple() for row in await self._execute(self._prepared[text](values))]

    async def pages(self, limit: int | None, fetch_size: int) -> AsyncIterator[list[Row]]:
        """Read the first users, or all of them; the next page is requested while one is written."""
        left = limit
        statement = self._prepared[cql.ALL](page_size=fetch_size)
        result = await self._execute(statement)
        while result is not None:
            rows = [row.as_tuple() for row in result][:left]
            left = None if left is None else left - len(rows)
            following = None
            if left != 0 and result.has_more_pages():
                statement.set_page_state(result.page_state())
                following = asyncio.ensure_future(self._execute(statement))
            yield rows
            result = None if following is None else await following


@asynccontextmanager
async def _store() -> AsyncIterator[Acsylla]:
    hosts = cql.hosts()
    cluster = acsylla.create_cluster(
        [host for host, _ in hosts],
        port=hosts[0][1],
        consistency="LOCAL_QUORUM",
        serial_consistency="LOCAL_SERIAL",
        log_level="error",
    )
    session = await cluster.create_session()
    try:
        yield Acsylla(session, {text: await session.create_prepared(text) for text in cql.statements()})
    finally:
        await session.close()


app = application(_store)
