"""Pages of rows → a chunked response in the form the client prefers, one chunk a page."""

from __future__ import annotations

import logging
import re
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
from anyio.abc import TaskGroup
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from asgi_app.driver.page import RowPage
from asgi_app.driver.result import Result
from asgi_app.errors import (
    DeadlineExceeded,
    FieldError,
    InternalError,
    InvalidInput,
    NotAcceptable,
    ServiceError,
    ShuttingDown,
    TooManyStreams,
)
from asgi_app.http.context import database_of, deadline_of, drain_of, row_sizes_of, settings_of
from asgi_app.http.extensions import ABORT, UNSENT, StreamAborted
from asgi_app.http.formats import FORMATS, MEDIA_TYPES, Gzip, RowFormat, named
from asgi_app.http.negotiation import preferred
from asgi_app.http.requests import list_field
from asgi_app.http.responses import problem_body
from asgi_app.paging import PageReader, PageTimes
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.drain import Drain
from asgi_app.runtime.tasks import background_tasks
from asgi_app.tables.cql import Statement
from asgi_app.telemetry.metrics import CLIENT_TOO_SLOW
from asgi_app.telemetry.request_record import current, log_fields, note_failure

logger = logging.getLogger("asgi_app.stream")

_WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?", re.ASCII)

INLINE_BYTES = 16 * 1024
"""A page below this is encoded on the event loop: some 100 µs in Python, about what handing it to a thread costs."""

PART_BYTES = 32 * 1024
"""A larger page is encoded in parts of some half a millisecond: only between them do other threads run at once.

Compiled code lets them run meanwhile, and takes it in one go.
"""

BREATH = 0.00005
"""Seconds to sleep between two parts: enough for a thread that waits for the interpreter to take it."""

LAST_WORD_SECONDS = 1.0
"""How long a client may take to take the last word of a stream that is broken off."""


class ClientTooSlow(Exception):
    """The client took none of what was sent to it for as long as it may."""


@dataclass(slots=True)
class Progress:
    """What a stream has sent so far."""

    pages: int = 0
    rows: int = 0
    bytes: int = 0
    started: bool = False
    ended: bool = False
    """Whether the last of the body was handed to the server."""
    compressed: bool = False
    """Whether something went through the compressor that did not go out: what would follow it cannot be read."""
    sending: anyio.CancelScope | None = None
    """What ends the sending under way when the client takes nothing for too long."""


def stream_rows(
    request: Request, statement: Statement, values: Sequence[Any] = (), *, fetch_size: int, limit: int | None = None
) -> RowStream:
    """The response that streams the statement's rows, under the request's deadline and the service's settings.

    `fetch_size` is the most rows of a page, and so of a chunk, `limit` the most rows in total. The form is what
    `?format=` names, or what `Accept` prefers. Raises InvalidInput or NotAcceptable where there is no such form.
    """
    settings = settings_of(request.scope)
    times = PageTimes(deadline_of(request), settings.request_timeout, Deadline.after(settings.stream_timeout))
    reader = PageReader(
        database_of(request), row_sizes_of(request), statement, values, times, fetch_size=fetch_size, limit=limit
    )
    gzip = Gzip() if settings.gzip and accepts_gzip(list_field(request, "accept-encoding") or "") else None
    vary = "Accept, Accept-Encoding" if settings.gzip else "Accept"
    return RowStream(
        reader,
        chosen_format(request),
        gzip,
        drain_of(request.scope),
        vary=vary,
        most=settings.max_streams,
        patience=settings.send_timeout,
    )


def chosen_format(request: Request) -> RowFormat:
    """The form that `?format=` names, or else the one that `Accept` prefers."""
    asked = request.query_params.get("format")
    if asked is not None:
        if asked not in FORMATS:
            message = f"must be one of {', '.join(FORMATS)}"
            raise InvalidInput(errors=(FieldError("query.format", message),))
        return FORMATS[asked]()
    media_type = preferred(list_field(request, "accept"), tuple(MEDIA_TYPES))
    if media_type is None:
        raise NotAcceptable(tuple(form.media_type for form in FORMATS.values()))
    return named(media_type)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the field accepts gzip, and likes it no less than no encoding (RFC 9110 section 12.5.3)."""
    weights = {"identity": 0.0}
    for part in accept_encoding.lower().replace(" ", "").split(","):
        name, _, weight = part.partition(";q=")
        weights[name] = _weight(weight)
    return 0 < weights.get("gzip", 0.0) >= weights["identity"]


def _weight(text: str) -> float:
    """A weight of 0 to 1; 1 where there is none that can be read."""
    return float(text) if _WEIGHT.fullmatch(text) else 1.0


class RowStream:
    """An ASGI response that streams the pages of a reader.

    The first page is there before the first header goes out, so that an error of the query gets a status of its own.
    A later error raises StreamAborted after what the form writes for it, with the body left incomplete, which makes the
    server cut the connection. So do a client that takes nothing for `patience` seconds, the deadline of the whole, and
    `drain` when its grace period ends. When the client disconnects, paging stops at once. `most` is how many streams
    may be open. A HEAD request gets the headers, and no page is read.
    """

    def __init__(
        self,
        reader: PageReader,
        form: RowFormat,
        gzip: Gzip | None,
        drain: Drain,
        *,
        vary: str,
        most: int,
        patience: float,
    ) -> None:
        self._reader = reader
        self._form = form
        self._gzip = gzip
        self._drain = drain
        self._most = most
        self._patience = patience
        self._headers = [
            (b"content-type", f"{form.media_type}{form.parameters}".encode()),
            (b"cache-control", b"no-store"),
            (b"vary", vary.encode()),
        ]
        if gzip is not None:
            self._headers.append((b"content-encoding", b"gzip"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond. Raises TooManyStreams or the first page's error before anything is sent, StreamAborted after."""
        if scope["method"] == "HEAD":
            await self._start(send)
            await send({"type": "http.response.body", "body": b""})
            return
        if self._reader.database.open_streams >= self._most:
            raise TooManyStreams
        progress = Progress()
        try:
            async with background_tasks() as tasks:
                tasks.start_soon(_cancel_on_disconnect, receive, tasks, progress)
                if UNSENT in scope.get("extensions", {}):
                    tasks.start_soon(self._renew_patience, scope["extensions"][UNSENT], progress)
                await self._respond(scope, send, tasks, progress)
        finally:
            self._reader.database.metrics.stream_ended(progress.rows, progress.bytes)
            if (note := current()) is not None:
                note.rows, note.bytes = progress.rows, progress.bytes

    async def _respond(self, scope: Scope, send: Send, tasks: TaskGroup, progress: Progress) -> None:
        try:
            with (
                anyio.move_on_after(max(0, self._reader.times.whole.left())) as whole,
                self._drain.breaking_off(whole),
            ):
                await self._send_pages(send, tasks, progress)
            if whole.cancelled_caught and self._drain.cutting:
                raise ShuttingDown("The service stopped before the stream was at its end.")
            if whole.cancelled_caught:
                raise DeadlineExceeded("The stream took longer than a stream may.")
        except Exception as error:
            if not progress.started:
                raise
            await self._break_off(scope, send, error, progress)

    async def _send_pages(self, send: Send, tasks: TaskGroup, progress: Progress) -> None:
        async with aclosing(self._reader.pages(tasks)) as pages:
            async for page, more in pages:
                if not progress.pages and (note := current()) is not None:
                    note.first_page_received()
                await self._send(send, await self._encode(page, progress, more), progress, more)
                progress.pages += 1
                progress.rows += page.row_count
                # A server that never makes us wait must not keep us from seeing a disconnect. Not before the page is
                # counted: after the last one the server says that the client is gone.
                await anyio.lowlevel.checkpoint()
        if not progress.started:  # a limit of no rows asks for no page
            await self._send(send, self._piece(self._begin(None), more=False), progress, more=False)

    async def _encode(self, result: Result, progress: Progress, more: bool) -> bytes:
        progress.compressed = self._gzip is not None
        if result.page is None or result.page.size < INLINE_BYTES:
            return self._piece(self._chunk(result, progress.started), more)
        dispatcher = self._reader.database.dispatcher
        chunk = await dispatcher.run_in_turn(self._chunk, result, progress.started)
        if self._gzip is None:
            return self._piece(chunk, more)
        return await dispatcher.run_blocking(self._piece, chunk, more)  # compressing lets other threads run

    def _chunk(self, result: Result, started: bool) -> bytes:
        begin = b"" if started else self._begin(result)
        return begin + b"".join(self._rows(result.page)) if result.page is not None else begin

    def _rows(self, page: RowPage) -> Iterator[bytes]:
        whole = self._form.in_one_go(page) if page.size > PART_BYTES else None
        if whole is not None:
            yield whole
            return
        for number, part in enumerate(page.parts(PART_BYTES)):
            if number:
                time.sleep(BREATH)
            yield self._form.rows(part)

    def _begin(self, result: Result | None) -> bytes:
        if result is not None and result.page is not None:
            return self._form.begin(result.page.column_names)
        table = self._reader.statement.table
        return self._form.begin(table.column_names if table else ())

    def _piece(self, data: bytes, more: bool) -> bytes:
        whole = data if more else data + self._form.end()
        if self._gzip is None:
            return whole
        return self._gzip.piece(whole) + (b"" if more else self._gzip.end())

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(self._headers)})

    async def _send(self, send: Send, body: bytes, progress: Progress, more: bool) -> None:
        if not progress.started:
            await self._start(send)
            progress.started = True
        progress.ended = not more
        with anyio.move_on_after(self._patience) as patience:
            progress.sending = patience
            await send({"type": "http.response.body", "body": body, "more_body": more})
        progress.sending = None
        if patience.cancelled_caught:
            raise ClientTooSlow
        progress.compressed = False
        progress.bytes += len(body)

    async def _renew_patience(self, unsent: Callable[[], int], progress: Progress) -> None:
        """Give the client its time anew whenever it has taken some of a page: a slow one may take long."""
        before = unsent()
        while True:
            await anyio.sleep(self._patience / 4)
            now = unsent()
            if now < before and progress.sending is not None:
                progress.sending.deadline = anyio.current_time() + self._patience
            before = now

    async def _break_off(self, scope: Scope, send: Send, error: Exception, progress: Progress) -> None:
        """Log, write the form's last word where the client still listens, and raise StreamAborted."""
        ids = log_fields()
        logger.warning(
            "a stream ended incomplete after %d rows in %d pages: %r [request %s]",
            progress.rows,
            progress.pages,
            error,
            ids.get("request_id", "-"),
            extra=ids | {"error": _code(error), "rows": progress.rows, "pages": progress.pages},
        )
        note_failure(error)
        self._reader.database.metrics.stream_broken(_code(error))
        if isinstance(error, ClientTooSlow):
            # The request may last as long as its client stays. The page that it does not take is freed now.
            traceback.clear_frames(error.__traceback__)
        if not await self._say_last_word(scope, send, error, progress):
            scope.get("extensions", {}).get(ABORT, _nothing)()
        raise StreamAborted(f"after {progress.rows} rows") from error

    async def _say_last_word(self, scope: Scope, send: Send, error: Exception, progress: Progress) -> bool:
        """Write what the form has to say of the error; False where the client takes nothing."""
        if isinstance(error, ClientTooSlow):
            return False
        if not isinstance(error, ServiceError) or progress.compressed:
            return True
        word = self._form.fail(msgspec.json.encode(problem_body(error, scope)))
        if not word:
            return True
        body = word if self._gzip is None else self._gzip.piece(word)
        with anyio.move_on_after(LAST_WORD_SECONDS) as taking:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        return not taking.cancelled_caught


def _code(error: Exception) -> str:
    if isinstance(error, ServiceError):
        return error.code
    return CLIENT_TOO_SLOW if isinstance(error, ClientTooSlow) else InternalError.code


def _nothing() -> None:
    """Stands for an extension that the server does not have."""


async def _cancel_on_disconnect(receive: Receive, tasks: TaskGroup, progress: Progress) -> None:
    """End the paging of a client that left.

    A server may report the disconnect from within the sending of the last chunk, when it closes the connection itself
    (hypercorn on trio, for HTTP/1.0): cancelled there it would never get to close it.
    """
    while (await receive())["type"] != "http.disconnect":
        pass
    if not progress.ended:
        tasks.cancel_scope.cancel()
