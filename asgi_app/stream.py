"""Stream pages of rows as a response in the format the client prefers, one chunk per page."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
from anyio.abc import TaskGroup
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from asgi_app.driver.result import Result
from asgi_app.errors import (
    DeadlineExceeded,
    FieldError,
    InternalError,
    InvalidInput,
    NotAcceptable,
    ServiceError,
    ShuttingDown,
)
from asgi_app.http.context import database_of, deadline_of, drain_of, row_sizes_of, settings_of
from asgi_app.http.extensions import ABORT, UNSENT, StreamAborted
from asgi_app.http.formats import FORMATS, MEDIA_TYPES, Gzip, RowFormat, named
from asgi_app.http.headers import RAW_NO_STORE
from asgi_app.http.requests import list_field, preferred
from asgi_app.http.responses import problem_body
from asgi_app.paging import PageTimes, RowReader
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.drain import Drain
from asgi_app.runtime.tasks import background_tasks
from asgi_app.scan.extent import Extent, reader_of
from asgi_app.tables.cql import Statement
from asgi_app.tables.slices import RingSelect
from asgi_app.telemetry.metrics import CLIENT_TOO_SLOW
from asgi_app.telemetry.request_record import current_record, log_fields, note_failure

logger = logging.getLogger("asgi_app.stream")

_WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?", re.ASCII)

INLINE_BYTES = 16 * 1024
"""A smaller page is encoded on the event loop: it takes Python some 100 µs, about the cost of a hop to a thread."""

FINAL_SEND_SECONDS = 1.0
"""Seconds a client has to read the error record of a stream that breaks off."""

RECORD_SECONDS = 0.1
"""Seconds between the error record and the cut of the connection: a browser drops what its page has not read then."""


class ClientTooSlow(Exception):
    """The client read nothing of what was sent for `send_timeout` seconds."""


@dataclass(slots=True)
class Progress:
    """The progress of a stream: its pages, rows and bytes sent so far."""

    pages: int = 0
    rows: int = 0
    bytes: int = 0
    started: bool = False
    """Whether the response has begun."""
    ended: bool = False
    """Whether the end of the body was handed to the server."""
    compressed: bool = False
    """Whether the compressor has output that was not sent: a client could not decompress what follows it."""
    sending: anyio.CancelScope | None = None
    """The scope of the send in progress. At its deadline the client is too slow."""


def stream_rows(
    request: Request, statement: Statement, values: Sequence[Any] = (), *, fetch_size: int, limit: int | None = None
) -> RowStream:
    """Return the response that streams the rows of `statement`, within the request's deadline and the settings' limits.

    `fetch_size`: the maximum number of rows of a page, and so of a chunk. `limit`: the maximum number of rows in total,
    None for all. The format is that of `?format=`, or the one that `Accept` prefers. Raises InvalidInput for an unknown
    `?format=`, and NotAcceptable if `Accept` excludes every format.
    """
    return stream_select(request, RingSelect(statement, None, tuple(values)), Extent(fetch_size, limit))


def stream_select(request: Request, select: RingSelect, extent: Extent, export: Export | None = None) -> RowStream:
    """Return the response that streams the rows of `select`, or of a slice of them, for `export` as a file.

    Raises what `stream_rows` raises, and PartitionerUnsupported for a slice if the cluster's tokens are not Murmur3's.
    """
    settings = settings_of(request.scope)
    times = PageTimes(deadline_of(request), settings.request_timeout, Deadline.after(settings.stream_timeout))
    reader = reader_of(database_of(request), row_sizes_of(request), select, times, extent)
    gzip = Gzip() if settings.gzip and accepts_gzip(list_field(request, "accept-encoding") or "") else None
    vary = ["Accept"] * (export is None) + ["Accept-Encoding"] * settings.gzip
    return RowStream(
        reader,
        chosen_format(request) if export is None else FORMATS[export.format](),
        gzip,
        drain_of(request.scope),
        vary=", ".join(vary),
        send_timeout=settings.send_timeout,
        headers=() if export is None else export.headers(),
    )


@dataclass(frozen=True, slots=True)
class Export:
    """A stream that clients save as a file: the name of its format, one of `FORMATS`, and the file's without ending."""

    format: str
    name: str

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the fields that make a client save the body, and not ask for a part of it."""
        disposition = f'attachment; filename="{self.name}.{self.format}"'
        return [(b"content-disposition", disposition.encode()), (b"accept-ranges", b"none")]


def chosen_format(request: Request) -> RowFormat:
    """Return the format that `?format=` names, or else the one that `Accept` prefers; raise as `stream_rows` does."""
    name = request.query_params.get("format")
    if name is not None:
        if name not in FORMATS:
            message = f"must be one of {', '.join(FORMATS)}"
            raise InvalidInput(errors=(FieldError("query.format", message),))
        return FORMATS[name]()
    media_type = preferred(list_field(request, "accept"), tuple(MEDIA_TYPES))
    if media_type is None:
        raise NotAcceptable(tuple(form.media_type for form in FORMATS.values()))
    return named(media_type)


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether Accept-Encoding names gzip, and with no lower weight than identity (RFC 9110 section 12.5.3)."""
    weights = {"identity": 0.0}
    for part in accept_encoding.lower().replace(" ", "").split(","):
        name, _, weight = part.partition(";q=")
        weights[name] = _weight(weight)
    return 0 < weights.get("gzip", 0.0) >= weights["identity"]


def _weight(text: str) -> float:
    """Return a weight of 0 to 1; 1 if `text` is not a valid weight."""
    return float(text) if _WEIGHT.fullmatch(text) else 1.0


class RowStream:
    """An ASGI response that streams the pages of a reader.

    The response starts after the first page was read, so that an error of the query gets its own status. After a later
    error, the format may write an error record; then StreamAborted is raised with the body left incomplete, which makes
    the server cut the connection. The same happens if the client reads nothing for `send_timeout` seconds, if the
    deadline of the whole stream passes, and if `drain` ends its grace period. If the client disconnects, reading stops
    at once. A HEAD request gets the headers only, and no page is read.
    """

    def __init__(
        self,
        reader: RowReader,
        form: RowFormat,
        gzip: Gzip | None,
        drain: Drain,
        *,
        vary: str,
        send_timeout: float,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self._reader = reader
        self._form = form
        self._gzip = gzip
        self._drain = drain
        self._send_timeout = send_timeout
        self._headers = [
            (b"content-type", f"{form.media_type}{form.parameters}".encode()),
            RAW_NO_STORE,
            *headers,
        ]
        if vary:
            self._headers.append((b"vary", vary.encode()))
        if gzip is not None:
            self._headers.append((b"content-encoding", b"gzip"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response.

        Raises TooManyStreams or the error of the first page before anything is sent, and StreamAborted after that.
        """
        if scope["method"] == "HEAD":
            await self._start(send)
            await send({"type": "http.response.body", "body": b""})
            return
        with self._reader.database.streams.open():
            await self._stream(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, stop if the client disconnects, and report what was sent."""
        progress = Progress()
        try:
            async with background_tasks() as tasks:
                tasks.start_soon(_cancel_on_disconnect, receive, tasks, progress)
                if UNSENT in scope.get("extensions", {}):
                    tasks.start_soon(self._extend_send_timeout, scope["extensions"][UNSENT], progress)
                await self._respond(scope, send, tasks, progress)
        finally:
            self._reader.database.metrics.stream_ended(progress.rows, progress.bytes)
            if (record := current_record.get()) is not None:
                record.rows, record.bytes = progress.rows, progress.bytes

    async def _respond(self, scope: Scope, send: Send, tasks: TaskGroup, progress: Progress) -> None:
        """Send all pages within the time limits; break the response off if that fails after its start."""
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
                if not progress.pages and (record := current_record.get()) is not None:
                    record.first_page_received()
                await self._send(send, await self._encode(page, progress, more), progress, more)
                progress.pages += 1
                progress.rows += page.row_count
                # Let the task that sees a disconnect run, even if the server never makes us wait. The page is counted
                # before that, because after the last page the server reports a disconnect as well.
                await anyio.lowlevel.checkpoint()
        if not progress.started:  # there was no page, because the limit is 0
            await self._send(send, self._compress(self._begin(None), more=False), progress, more=False)

    async def _encode(self, result: Result, progress: Progress, more: bool) -> bytes:
        """Return the chunk of a page, encoded and compressed: in a worker thread if the page is large."""
        progress.compressed = self._gzip is not None
        if result.page is None or result.page.size < INLINE_BYTES:
            return self._compress(self._chunk(result, progress.started), more)
        dispatcher = self._reader.database.dispatcher
        chunk = await dispatcher.run_in_turn(self._chunk, result, progress.started)
        if self._gzip is None:
            return self._compress(chunk, more)
        return await dispatcher.run_blocking(self._compress, chunk, more)  # zlib releases the GIL: no turns needed

    def _chunk(self, result: Result, started: bool) -> bytes:
        begin = b"" if started else self._begin(result)
        return begin + self._form.rows(result.page) if result.page is not None else begin

    def _begin(self, result: Result | None) -> bytes:
        if result is not None and result.page is not None:
            return self._form.begin(result.page.column_names)
        table = self._reader.statement.table
        return self._form.begin(table.column_names if table else ())

    def _compress(self, data: bytes, more: bool) -> bytes:
        """Return `data`, with the end of the format if no page follows, compressed if the client accepts it."""
        whole = data if more else data + self._form.end()
        if self._gzip is None:
            return whole
        return self._gzip.piece(whole) + (b"" if more else self._gzip.end())

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(self._headers)})

    async def _send(self, send: Send, body: bytes, progress: Progress, more: bool) -> None:
        """Send a chunk. Raises ClientTooSlow if the client reads none of it in time.

        `send_timeout` is watched here while the response is being sent, under every server. What is left in the
        server's buffer after that is watched by `asgi-cassandra serve` (`asgi_app.cli.protocol`).
        """
        if not progress.started:
            await self._start(send)
            progress.started = True
        progress.ended = not more
        with anyio.move_on_after(self._send_timeout) as sending:
            progress.sending = sending
            await send({"type": "http.response.body", "body": body, "more_body": more})
        progress.sending = None
        if sending.cancelled_caught:
            raise ClientTooSlow
        progress.compressed = False
        progress.bytes += len(body)

    async def _extend_send_timeout(self, unsent: Callable[[], int], progress: Progress) -> None:
        """Restart the send timeout whenever the client has read a part of a page: a slow client may need long."""
        before = unsent()
        while True:
            await anyio.sleep(self._send_timeout / 4)
            now = unsent()
            if now < before and progress.sending is not None:
                progress.sending.deadline = anyio.current_time() + self._send_timeout
            before = now

    async def _break_off(self, scope: Scope, send: Send, error: Exception, progress: Progress) -> None:
        """Log the error, send the format's error record if the client still reads, and raise StreamAborted."""
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
            # The request may continue as long as its client stays connected. Free the page that the client does not
            # read.
            traceback.clear_frames(error.__traceback__)
        if not await self._send_error(scope, send, error, progress):
            scope.get("extensions", {}).get(ABORT, _do_nothing)()
        raise StreamAborted(f"after {progress.rows} rows") from error

    async def _send_error(self, scope: Scope, send: Send, error: Exception, progress: Progress) -> bool:
        """Send the format's error record, if it has one. Return whether the client still reads what is sent."""
        if isinstance(error, ClientTooSlow):
            return False
        if not isinstance(error, ServiceError) or progress.compressed:
            return True
        record = self._form.fail(msgspec.json.encode(problem_body(error, scope)))
        if not record:
            return True
        body = record if self._gzip is None else self._gzip.piece(record)
        with anyio.move_on_after(FINAL_SEND_SECONDS) as sending:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        if not sending.cancelled_caught:
            await anyio.sleep(RECORD_SECONDS)
        return not sending.cancelled_caught


def _code(error: Exception) -> str:
    """Return the code of an error in logs and metrics."""
    if isinstance(error, ServiceError):
        return error.code
    return CLIENT_TOO_SLOW if isinstance(error, ClientTooSlow) else InternalError.code


def _do_nothing() -> None:
    """Stand in for an extension that the server does not have."""


async def _cancel_on_disconnect(receive: Receive, tasks: TaskGroup, progress: Progress) -> None:
    """Cancel the stream of a client that has disconnected.

    Do nothing after the last chunk. A server that closes the connection itself may report the disconnect while it still
    sends that chunk (hypercorn on trio, for HTTP/1.0). If it were cancelled then, it would never close the connection.
    """
    while (await receive())["type"] != "http.disconnect":
        pass
    if not progress.ended:
        tasks.cancel_scope.cancel()
