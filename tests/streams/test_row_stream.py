"""Streams of scripted pages: empty pages in the middle, failures between two pages, stalls.

A real Cassandra cannot be made to do these on demand. The rows are real pages, and the same code runs on a real node in
the contract tests.
"""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
from cassandra.cqltypes import Int32Type
from helpers.loops import LOOPS
from starlette.types import Message

from asgi_app.db import OpenStreams
from asgi_app.driver.page import Description, RowPage
from asgi_app.driver.result import Result
from asgi_app.driver.row_sizes import RowSizes
from asgi_app.errors import (
    CassandraUnavailable,
    ConsistencyUnavailable,
    QueueFull,
    ReadFailed,
    TooManyStreams,
)
from asgi_app.http.extensions import ABORT, StreamAborted
from asgi_app.http.formats import CSV, NDJSON, Gzip, JSONArray, MessagePack, RowFormat
from asgi_app.paging import PageReader, PageTimes, gather
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.drain import Drain
from asgi_app.runtime.scheduler import Lane
from asgi_app.stream import RowStream
from asgi_app.tables.builtin import PLANTS
from asgi_app.tables.cql import Statement
from asgi_app.telemetry.metrics import Metrics

pytestmark = [pytest.mark.anyio, pytest.mark.loops(*LOOPS)]

SELECT = Statement("SELECT n FROM numbers", idempotent=True, writes=False)
LONG = 20.0
Numbers = Sequence[int]


def result(numbers: Numbers, paging_state: bytes | None = None) -> Result:
    body = b"".join(struct.pack(">ii", 4, number) for number in numbers)
    return Result(RowPage(Description(("n",), (Int32Type,)), len(numbers), body), paging_state)


@dataclass
class Script:
    """Stands in for the database: answers each request for a page with the next of `pages`, or raises it.

    `transient`: errors that a page raises, one per request, before it is returned. `throttled`: for each page, whether
    requests are active. `asked`: the `fetch_size` of each request so far. `stall_at`: the page that is never returned.
    """

    pages: Sequence[Numbers | Exception]
    transient: dict[int, list[Exception]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    lanes: set[Lane] = field(default_factory=set)
    streams: OpenStreams = field(default_factory=lambda: OpenStreams(10))
    throttled: list[bool] = field(default_factory=list)
    stall_at: int | None = None
    stalled: anyio.Event = field(default_factory=anyio.Event)
    metrics: Metrics = field(default_factory=Metrics)

    async def execute(
        self,
        statement: Statement,
        values: Any,
        *,
        deadline: Deadline,
        fetch_size: int,
        paging_state: bytes | None,
        lane: Lane = Lane.REQUESTS,
    ) -> Result:
        self.lanes.add(lane)
        position = int(paging_state or b"0")
        self.asked.append(fetch_size)
        if position == self.stall_at:
            self.stalled.set()
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()
        if self.transient.get(position):
            raise self.transient[position].pop()
        answer = self.pages[position]
        if isinstance(answer, Exception):
            raise answer
        last = position + 1 == len(self.pages)
        return result(answer[:fetch_size], None if last else b"%d" % (position + 1))

    @property
    def dispatcher(self) -> Any:
        """A dispatcher whose slots throttle the next page if `throttled` says so."""
        return SimpleNamespace(slots=SimpleNamespace(throttles_pages=bool(self.throttled) and self.throttled.pop(0)))

    @property
    def scope(self) -> dict[str, Any]:
        app = SimpleNamespace(state=SimpleNamespace(service=SimpleNamespace(database=self)))
        return {"type": "http", "method": "GET", "path": "/", "app": app}


@dataclass
class Client:
    """A client that keeps what it was sent: leaves after `leaves_after` chunks, stalls after `stalls_after`."""

    leaves_after: int | None = None
    stalls_after: int | None = None
    status: int | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    complete: bool = False
    gone: anyio.Event = field(default_factory=anyio.Event)

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        if len(self.chunks) == self.stalls_after:
            await anyio.sleep_forever()
        self.chunks.append(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        if len(self.chunks) == self.leaves_after:
            self.gone.set()

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


def reader(
    script: Script,
    *,
    fetch_size: int = 10,
    limit: int | None = None,
    each: float = LONG,
    whole: float = LONG,
    beside: int | None = None,
) -> PageReader:
    times = PageTimes(Deadline.after(LONG), each, Deadline.after(whole))
    sizes = RowSizes(1 << 20, 10, page_bytes_beside=beside)
    return PageReader(script, sizes, SELECT, (), times, fetch_size=fetch_size, limit=limit)  # type: ignore[arg-type]


def drain() -> Drain:
    """Return a drain that never begins."""
    return Drain(LONG, 0, lambda: None)


async def respond(
    script: Script,
    client: Client,
    *,
    form: RowFormat | None = None,
    gzip: Gzip | None = None,
    scope: dict[str, Any] | None = None,
    send_timeout: float = LONG,
    **bounds: Any,
) -> None:
    """Stream the pages of `script` to `client`. `bounds`: further arguments of `reader`."""
    stream = RowStream(
        reader(script, **bounds), form or JSONArray(), gzip, drain(), vary="Accept", send_timeout=send_timeout
    )
    with anyio.fail_after(LONG):
        await stream({**script.scope, **(scope or {})}, client.receive, client.send)


def array(*numbers: int) -> bytes:
    """Return the rows as JSON objects with commas between them."""
    return b",".join(b'{"n":%d}' % number for number in numbers)


@pytest.mark.parametrize(
    ("pages", "chunks"),
    [
        ([[]], [b"[]"]),
        ([[1, 2]], [b"[%b]" % array(1, 2)]),
        ([[1, 2], [3]], [b"[" + array(1, 2), b"," + array(3) + b"]"]),
        ([[1, 2], []], [b"[" + array(1, 2), b"]"]),
        ([[1, 2], [], [3, 4]], [b"[" + array(1, 2), b"", b"," + array(3, 4) + b"]"]),
        ([[], [], [1]], [b"[", b"", array(1) + b"]"]),
        ([[], [1], [], [2], []], [b"[", array(1), b"", b"," + array(2), b"]"]),
        ([[], []], [b"[", b"]"]),
    ],
)
async def test_each_page_is_a_chunk_even_an_empty_one(pages: list[Numbers | Exception], chunks: list[bytes]) -> None:
    client = Client()
    await respond(Script(pages), client)
    assert client.chunks == chunks
    assert (client.status, client.complete) == (200, True)


@pytest.mark.parametrize(
    ("limit", "asked", "numbers"),
    [
        (0, [], []),
        (1, [1], [1]),
        (2, [2], [1, 2]),
        (3, [2, 1], [1, 2, 3]),
        (4, [2, 2], [1, 2, 3, 4]),
        (5, [2, 2, 1], [1, 2, 3, 4, 5]),
        (99, [2, 2, 2], [1, 2, 3, 4, 5, 6]),
        (None, [2, 2, 2], [1, 2, 3, 4, 5, 6]),
    ],
)
async def test_limit_bounds_the_rows_in_total(limit: int | None, asked: list[int], numbers: list[int]) -> None:
    script, client = Script([[1, 2], [3, 4], [5, 6]]), Client()
    await respond(script, client, fetch_size=2, limit=limit)
    assert client.body == b"[%b]" % array(*numbers)
    assert script.asked == asked


PAGES = [[1, 2], [], [3]]


async def test_ndjson_is_one_object_per_line() -> None:
    client = Client()
    await respond(Script(PAGES), client, form=NDJSON())
    assert client.body == b'{"n":1}\n{"n":2}\n{"n":3}\n'
    assert client.headers[b"content-type"] == b"application/x-ndjson"


async def test_messagepack_is_one_map_per_row() -> None:
    client = Client()
    await respond(Script(PAGES), client, form=MessagePack())
    assert client.body == b"".join(msgspec.msgpack.encode({"n": number}) for number in (1, 2, 3))
    assert client.headers[b"content-type"] == b"application/vnd.msgpack"


async def test_csv_has_one_header_line() -> None:
    client = Client()
    await respond(Script(PAGES), client, form=CSV())
    assert client.body == b"n\r\n1\r\n2\r\n3\r\n"
    assert client.headers[b"content-type"] == b"text/csv; charset=utf-8; header=present"


@pytest.mark.parametrize("form", [NDJSON, MessagePack])
async def test_no_rows_make_an_empty_body(form: Callable[[], RowFormat]) -> None:
    client = Client()
    await respond(Script([[]]), client, form=form())
    assert (client.body, client.status, client.complete) == (b"", 200, True)


async def test_csv_without_rows_has_the_header_of_the_table() -> None:
    script, client = Script([[1]]), Client()
    statement = Statement("SELECT …", idempotent=True, writes=False, table=PLANTS)
    times = PageTimes(Deadline.after(LONG), LONG, Deadline.after(LONG))
    empty = PageReader(script, RowSizes(1, 1), statement, (), times, fetch_size=1, limit=0)  # type: ignore[arg-type]
    stream = RowStream(empty, CSV(), None, drain(), vary="Accept", send_timeout=LONG)
    await stream(script.scope, client.receive, client.send)
    assert client.body == b"genus,species,sightings\r\n"


async def test_gzip_is_flushed_after_each_page() -> None:
    client = Client()
    await respond(Script(PAGES), client, gzip=Gzip())
    assert client.headers[b"content-encoding"] == b"gzip"
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    pages = [decompressor.decompress(chunk) for chunk in client.chunks]
    assert pages == [b"[" + array(1, 2), b"", b"," + array(3) + b"]"]
    assert decompressor.eof


async def test_a_broken_gzip_stream_can_be_decompressed_up_to_its_end() -> None:
    client = Client(stalls_after=1)
    with pytest.raises(StreamAborted):
        await respond(Script([[1], [2], [3]]), client, form=NDJSON(), gzip=Gzip(), whole=0.05)
    read = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(client.body)
    assert read == b'{"n":1}\n'  # the second page was lost, so nothing after it could be decompressed


async def test_the_error_record_is_compressed_in_a_gzip_stream() -> None:
    client = Client()
    with pytest.raises(StreamAborted):
        await respond(Script([[1], ReadFailed()]), client, form=NDJSON(), gzip=Gzip())
    first, last = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(client.body).splitlines()
    assert first == b'{"n":1}'
    assert json.loads(last)["error"]["code"] == "read_failed"


async def test_a_client_that_does_not_take_the_error_record_is_dropped() -> None:
    dropped: list[bool] = []
    extensions = {"extensions": {ABORT: lambda: dropped.append(True)}}
    with pytest.raises(StreamAborted):
        await respond(Script([[1], ReadFailed()]), Client(stalls_after=1), form=NDJSON(), scope=extensions)
    assert dropped == [True]


async def test_an_error_of_the_first_page_is_raised_before_anything_is_sent() -> None:
    script, client = Script([ReadFailed()]), Client()
    with pytest.raises(ReadFailed):
        await respond(script, client)
    assert (client.status, client.chunks, script.streams.count) == (None, [], 0)


async def test_a_later_error_leaves_the_body_incomplete() -> None:
    script, client = Script([[1], [2], ReadFailed()]), Client()
    with pytest.raises(StreamAborted, match="after 2 rows") as caught:
        await respond(script, client)
    assert isinstance(caught.value.__cause__, ReadFailed)
    assert client.body == b"[" + array(1, 2)
    assert not client.complete
    assert script.streams.count == 0
    assert b'broken_streams_total{code="read_failed"} 1.0' in script.metrics.text()


@pytest.mark.parametrize("failure", [CassandraUnavailable, ConsistencyUnavailable, QueueFull])
async def test_a_transient_failure_is_retried_within_a_stream(failure: type[Exception]) -> None:
    script, client = Script([[1], [2], [3]], transient={1: [failure()], 2: [failure(), failure()]}), Client()
    await respond(script, client, limit=3)
    assert client.body == b"[" + array(1, 2, 3) + b"]"
    assert script.asked == [3, 2, 2, 1, 1, 1]


async def test_a_lasting_failure_breaks_the_stream_off_when_its_page_is_due() -> None:
    script, client = Script([[1], [2]], transient={1: [CassandraUnavailable() for _ in range(100)]}), Client()
    began = time.monotonic()
    with pytest.raises(StreamAborted) as caught:
        await respond(script, client, each=0.3)
    assert isinstance(caught.value.__cause__, CassandraUnavailable)
    assert time.monotonic() - began < 2
    assert len(script.asked) > 2


async def test_the_first_page_is_not_retried() -> None:
    with pytest.raises(CassandraUnavailable):
        await respond(Script([[1]], transient={0: [CassandraUnavailable()]}), Client())


async def test_ndjson_ends_with_the_error() -> None:
    client = Client()
    with pytest.raises(StreamAborted):
        await respond(Script([[1], ReadFailed()]), client, form=NDJSON())
    first, last = client.body.splitlines()
    assert first == b'{"n":1}'
    assert json.loads(last)["error"]["code"] == "read_failed"
    assert not client.complete


async def test_a_stream_that_exceeds_its_time_is_broken_off() -> None:
    script, client = Script([[1], [2], [3]], stall_at=2), Client()
    with pytest.raises(StreamAborted):
        await respond(script, client, whole=0.05)
    assert not client.complete
    assert script.streams.count == 0


async def test_a_client_that_takes_nothing_is_dropped_by_abort() -> None:
    script, client = Script([[1], [2], [3]]), Client(stalls_after=1)
    dropped: list[bool] = []
    with pytest.raises(StreamAborted):
        await respond(script, client, send_timeout=0.05, scope={"extensions": {ABORT: lambda: dropped.append(True)}})
    assert dropped == [True]
    assert script.streams.count == 0


async def test_one_stream_too_many_is_refused() -> None:
    script, client = Script([[1]], streams=OpenStreams(3)), Client()
    with script.streams.open(), script.streams.open(), script.streams.open(), pytest.raises(TooManyStreams):
        await respond(script, client)
    assert (client.status, script.asked, script.streams.count) == (None, [], 0)
    await respond(script, client)
    assert client.complete


async def test_one_page_is_requested_ahead() -> None:
    script, client = Script([[1], [2], [3], [4]]), Client()
    asked_by_chunk: list[int] = []
    keep = client.send

    async def send(message: Message) -> None:
        await keep(message)
        for _ in range(10):  # let the task that fetches the next page run
            await anyio.lowlevel.checkpoint()
        if message["type"] == "http.response.body":
            asked_by_chunk.append(len(script.asked))

    client.send = send  # type: ignore[method-assign]
    await respond(script, client)
    assert asked_by_chunk == [2, 3, 4, 4]


async def test_a_disconnect_ends_paging_even_while_a_page_is_awaited() -> None:
    script, client = Script([[1], [2], [3], [4]], stall_at=2), Client(leaves_after=2)
    await respond(script, client)
    assert script.stalled.is_set()
    assert len(script.asked) == 3
    assert (client.complete, script.streams.count) == (False, 0)


async def test_a_disconnect_is_noticed_if_the_server_never_waits() -> None:
    script, client = Script([[number] for number in range(1000)]), Client(leaves_after=3)
    await respond(script, client)
    assert len(client.chunks) < 10
    assert script.streams.count == 0


async def test_head_sends_the_headers_and_reads_no_page() -> None:
    script, client = Script([[1]]), Client()
    await respond(script, client, scope={"method": "HEAD"})
    assert (client.status, client.chunks, script.asked) == (200, [b""], [])


async def test_leaving_an_open_reader_closes_it() -> None:
    opened = reader(Script([[1], [2], [3]]))
    async with opened.open() as pages:
        await anext(pages)
        assert opened.is_open
    assert not opened.is_open


@pytest.mark.parametrize(
    ("throttled", "asked"),
    [([], [100, 500, 500]), ([True] * 3, [100, 10, 10]), ([True, True, False], [100, 10, 500])],
)
async def test_pages_are_small_while_requests_are_active(throttled: list[bool], asked: list[int]) -> None:
    script = Script([range(100), range(500), range(500)], throttled=list(throttled))
    ten_rows = 10 * 8  # one integer and its length
    async with reader(script, fetch_size=500, beside=ten_rows).open() as found:
        async for _ in found:
            pass
    assert script.asked == asked


@pytest.mark.parametrize(
    ("pages", "exactly", "rows", "asked"),
    [
        ([[1, 2, 3]], True, 3, [5]),
        ([[1], [], [2, 3], [4, 5, 6]], True, 5, [5, 4, 4, 2]),
        ([[1], [], [2, 3]], False, 1, [5]),
        ([[], [1]], False, 0, [5]),
    ],
)
async def test_gather_reads_as_many_pages_as_needed(
    pages: list[Numbers | Exception], exactly: bool, rows: int, asked: list[int]
) -> None:
    script = Script(pages)
    gathered = await gather(
        script,  # type: ignore[arg-type]
        RowSizes(1 << 20, 10),
        SELECT,
        (),
        rows=5,
        paging_state=None,
        deadline=Deadline.after(LONG),
        exactly=exactly,
    )
    assert (gathered.row_count, script.asked) == (rows, asked)
    assert msgspec.json.decode(b"[%b]" % gathered.json_rows()) == [{"n": n + 1} for n in range(rows)]
