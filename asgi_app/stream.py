"""Pages of rows → a chunked JSON array, one chunk a page, at most one page ahead of the client."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from asgi_app.cql import Statement
from asgi_app.db import Database, Result
from asgi_app.deadline import Deadline
from asgi_app.state import database_of, deadline_of, settings_of
from asgi_app.tasks import background_tasks

logger = logging.getLogger("asgi_app.stream")

INLINE_BYTES = 16 * 1024
"""A page below this is encoded on the event loop: some 100 µs, about what handing it to a thread would cost."""


HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


class StreamAborted(Exception):
    """A stream failed after its first byte: the server must cut the connection, so that the body looks incomplete."""


class PageReader:
    """The pages of one statement's result, the next one requested while the caller works on this one.

    `limit` is the most rows in total, None for all; `fetch_size` the most rows a page. The first page is due by
    `first_page`, every other within `page_timeout` seconds, and all of them by `whole`. A page without rows is not the
    end: only Cassandra says when the result ends.
    """

    def __init__(
        self,
        database: Database,
        statement: Statement,
        values: Sequence[Any],
        *,
        fetch_size: int,
        limit: int | None,
        first_page: Deadline,
        page_timeout: float,
        whole: Deadline,
    ) -> None:
        self.database = database
        self._statement = statement
        self._values = values
        self._fetch_size = fetch_size
        self._left = limit
        self._first_page = first_page
        self._page_timeout = page_timeout
        self._whole = whole

    @classmethod
    def for_request(
        cls,
        request: Request,
        statement: Statement,
        values: Sequence[Any],
        *,
        fetch_size: int,
        limit: int | None = None,
    ) -> PageReader:
        """A reader under the request's deadline for its first page, and under the service's settings after that."""
        settings = settings_of(request.scope)
        return cls(
            database_of(request),
            statement,
            values,
            fetch_size=fetch_size,
            limit=limit,
            first_page=deadline_of(request),
            page_timeout=settings.request_timeout,
            whole=Deadline.after(settings.stream_timeout),
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncGenerator[tuple[Result, bool], None]]:
        """The pages, for as long as the block runs; then what is under way is ended and nothing stays open."""
        async with background_tasks() as tasks, aclosing(self.pages(tasks)) as pages:
            yield pages

    async def pages(self, tasks: TaskGroup) -> AsyncGenerator[tuple[Result, bool], None]:
        """Each page, with whether another follows; `tasks` runs the request for the page ahead.

        Raises what `Database.execute` raises. Cancelling `tasks` ends the request under way.
        """
        if self._left == 0:
            return
        self.database.open_streams += 1
        try:
            result = await self._fetch(None, self._first_page)
            while self._has_more(result):
                ahead = _Ahead()
                tasks.start_soon(ahead.run, self, result.paging_state)
                yield result, True
                result = await ahead.result()
            yield result, False
        finally:
            self.database.open_streams -= 1

    async def next_page(self, paging_state: bytes | None) -> Result:
        """The page after the one that gave `paging_state`."""
        return await self._fetch(paging_state, self._whole.at_most(self._page_timeout))

    async def _fetch(self, paging_state: bytes | None, deadline: Deadline) -> Result:
        size = self._fetch_size if self._left is None else min(self._fetch_size, self._left)
        result = await self.database.execute(
            self._statement, self._values, deadline=deadline, fetch_size=size, paging_state=paging_state
        )
        if self._left is not None:
            self._left -= result.row_count
        return result

    def _has_more(self, result: Result) -> bool:
        return result.paging_state is not None and (self._left is None or self._left > 0)


class _Ahead:
    """The request for the next page, running beside the work on this one; its failure waits to be asked for."""

    def __init__(self) -> None:
        self._finished = anyio.Event()
        self._result: Result | None = None
        self._error: Exception | None = None

    async def run(self, reader: PageReader, paging_state: bytes | None) -> None:
        try:
            self._result = await reader.next_page(paging_state)
        except Exception as error:
            self._error = error
        finally:
            self._finished.set()

    async def result(self) -> Result:
        await self._finished.wait()
        if self._result is None:
            raise self._error or anyio.BrokenResourceError
        return self._result


class JSONArrayStream:
    """An ASGI response that streams a result as one JSON array.

    The first page is there before the first header goes out, so that an error of the query gets a status of its own.
    A later error raises StreamAborted with the array left open, which makes the server cut the connection. When the
    client disconnects, paging stops at once. A HEAD request gets the headers, and no page is read.
    """

    def __init__(self, reader: PageReader) -> None:
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond. Raises the first page's error before anything is sent, StreamAborted after."""
        if scope["method"] == "HEAD":
            await self._start(send)
            await send({"type": "http.response.body", "body": b""})
            return
        async with background_tasks() as tasks:
            tasks.start_soon(_cancel_on_disconnect, receive, tasks)
            await self._respond(send, tasks)

    async def _respond(self, send: Send, tasks: TaskGroup) -> None:
        started = False
        rows = 0
        try:
            async with aclosing(self._reader.pages(tasks)) as pages:
                async for page, more in pages:
                    chunk = await self._encode(page)
                    if not started:
                        await self._start(send)
                    await self._send(send, _framed(chunk, first=not started, rows_before=rows, more=more), more)
                    started = True
                    rows += page.row_count
            if not started:
                await self._start(send)
                await self._send(send, b"[]", more=False)
        except Exception as error:
            if not started:
                raise
            logger.warning("a stream ended incomplete after %d rows: %r", rows, error)
            raise StreamAborted(f"after {rows} rows") from error

    async def _encode(self, result: Result) -> bytes:
        if result.page is None or result.page.size < INLINE_BYTES:
            return result.json_rows()
        return await self._reader.database.bridge.run(result.json_rows)

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})

    @staticmethod
    async def _send(send: Send, body: bytes, more: bool) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": more})
        await anyio.lowlevel.checkpoint()  # a server that never makes us wait must not keep us from seeing a disconnect


def _framed(rows: bytes, *, first: bool, rows_before: int, more: bool) -> bytes:
    """A page's rows with the array's brackets and commas around them."""
    opening = b"[" if first else b"," if rows and rows_before else b""
    return b"%b%b%b" % (opening, rows, b"" if more else b"]")


async def _cancel_on_disconnect(receive: Receive, tasks: TaskGroup) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    tasks.cancel_scope.cancel()
