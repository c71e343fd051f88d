"""What Cassandra cannot be made to do on demand: empty pages in the middle, failures between two pages, stalls.

The answers here are scripted, their rows are real pages; the same code runs on the real node in the contract suite.
"""

from __future__ import annotations

import csv
import io
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
from helpers.loops import EVERY_LOOP
from helpers.properties import given
from hypothesis import strategies as st
from starlette.types import Message

from asgi_app.driver.page import RowPage
from asgi_app.driver.result import Result
from asgi_app.errors import (
    CassandraUnavailable,
    ConsistencyUnavailable,
    QueueFull,
    ReadFailed,
    TooManyStreams,
)
from asgi_app.http.extensions import ABORT, StreamAborted
from asgi_app.http.formats import CSV, NDJSON, Gzip, JSONArray, MessagePack, RowFormat
from asgi_app.paging import PageReader, PageTimes, RowSizes, gather
from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.drain import Drain
from asgi_app.runtime.scheduler import Lane
from asgi_app.stream import RowStream, accepts_gzip
from asgi_app.tables.builtin import PLANTS
from asgi_app.tables.cql import Statement
from asgi_app.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


@pytest.fixture(params=EVERY_LOOP)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Return every event loop that the service supports, one after another."""
    return request.param


SELECT = Statement("SELECT n FROM numbers", idempotent=True, writes=False)
LONG = 20.0
Numbers = Sequence[int]


def result(numbers: Numbers, paging_state: bytes | None = None) -> Result:
    body = b"".join(struct.pack(">ii", 4, number) for number in numbers)
    return Result(RowPage(("n",), (Int32Type,), len(numbers), body), paging_state)


@dataclass
class Script:
    """Stands for the database: answers each request for a page with the next of `pages`, an error by raising it.

    `passing` holds errors that a page gives before it is there.
    """

    pages: Sequence[Numbers | Exception]
    passing: dict[int, list[Exception]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    lanes: set[Lane] = field(default_factory=set)
    open_streams: int = 0
    company: list[bool] = field(default_factory=list)
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
        if self.passing.get(position):
            raise self.passing[position].pop()
        answer = self.pages[position]
        if isinstance(answer, Exception):
            raise answer
        last = position + 1 == len(self.pages)
        return result(answer[:fetch_size], None if last else b"%d" % (position + 1))

    @property
    def dispatcher(self) -> Any:
        """Whether others read is told anew for each page, by `company`."""
        return SimpleNamespace(pages_make_room=bool(self.company) and self.company.pop(0))

    @property
    def scope(self) -> dict[str, Any]:
        app = SimpleNamespace(state=SimpleNamespace(service=SimpleNamespace(database=self)))
        return {"type": "http", "method": "GET", "path": "/", "app": app}


@dataclass
class Client:
    """The other end: keeps what was sent, disconnects after so many chunks, or stops taking any."""

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
    """One that does not begin."""
    return Drain(LONG, 0, lambda: None)


async def respond(
    script: Script,
    client: Client,
    *,
    form: RowFormat | None = None,
    gzip: Gzip | None = None,
    scope: dict[str, Any] | None = None,
    most: int = 10,
    patience: float = LONG,
    **bounds: Any,
) -> None:
    stream = RowStream(
        reader(script, **bounds), form or JSONArray(), gzip, drain(), vary="Accept", most=most, patience=patience
    )
    with anyio.fail_after(LONG):
        await stream({**script.scope, **(scope or {})}, client.receive, client.send)


def array(*numbers: int) -> bytes:
    """Objects as the rows of an array have them, without its brackets."""
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
async def test_each_page_is_a_chunk_and_an_empty_one_is_not_the_end(
    pages: list[Numbers | Exception], chunks: list[bytes]
) -> None:
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
async def test_the_limit_is_the_rows_in_total_and_no_page_asks_for_more(
    limit: int | None, asked: list[int], numbers: list[int]
) -> None:
    script, client = Script([[1, 2], [3, 4], [5, 6]]), Client()
    await respond(script, client, fetch_size=2, limit=limit)
    assert client.body == b"[%b]" % array(*numbers)
    assert script.asked == asked


PAGES = [[1, 2], [], [3]]


async def test_ndjson_is_an_object_a_line() -> None:
    client = Client()
    await respond(Script(PAGES), client, form=NDJSON())
    assert client.body == b'{"n":1}\n{"n":2}\n{"n":3}\n'
    assert client.headers[b"content-type"] == b"application/x-ndjson"


async def test_messagepack_is_a_map_a_row() -> None:
    client = Client()
    await respond(Script(PAGES), client, form=MessagePack())
    assert client.body == b"".join(msgspec.msgpack.encode({"n": number}) for number in (1, 2, 3))
    assert client.headers[b"content-type"] == b"application/vnd.msgpack"


async def test_csv_has_a_header_line_once() -> None:
    client = Client()
    await respond(Script(PAGES), client, form=CSV())
    assert client.body == b"n\r\n1\r\n2\r\n3\r\n"
    assert client.headers[b"content-type"] == b"text/csv; charset=utf-8; header=present"


@pytest.mark.parametrize("form", [NDJSON, MessagePack])
async def test_no_rows_are_no_bytes(form: Callable[[], RowFormat]) -> None:
    client = Client()
    await respond(Script([[]]), client, form=form())
    assert (client.body, client.status, client.complete) == (b"", 200, True)


async def test_csv_without_a_page_has_the_header_of_the_table() -> None:
    script, client = Script([[1]]), Client()
    statement = Statement("SELECT …", idempotent=True, writes=False, table=PLANTS)
    times = PageTimes(Deadline.after(LONG), LONG, Deadline.after(LONG))
    empty = PageReader(script, RowSizes(1, 1), statement, (), times, fetch_size=1, limit=0)  # type: ignore[arg-type]
    stream = RowStream(empty, CSV(), None, drain(), vary="Accept", most=1, patience=LONG)
    await stream(script.scope, client.receive, client.send)
    assert client.body == b"genus,species,sightings\r\n"


def test_csv_writes_what_a_spreadsheet_reads_back() -> None:
    values = ("a,b", 'say "hi"', "line\r\nbreak", None, True, 0.1, [1, "x"], {"k": None})
    page = SimpleNamespace(tuples=lambda: [values])
    (row,) = csv.reader(io.StringIO(CSV().rows(page).decode(), newline=""))  # type: ignore[arg-type]
    assert row == ["a,b", 'say "hi"', "line\r\nbreak", "", "true", "0.1", '[1,"x"]', '{"k":null}']


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ((None, ""), b',""\r\n'),
        (("", None), b'"",\r\n'),
        (("", ""), b'"",""\r\n'),
        ((None, None), b",\r\n"),
        ((None,), b'""\r\n'),  # a reader would skip an empty line, and with it the row
        (("",), b'""\r\n'),
        (([], {}), b"[],{}\r\n"),
    ],
)
def test_csv_tells_null_from_an_empty_text(row: Sequence[Any], line: bytes) -> None:
    assert CSV().rows(SimpleNamespace(tuples=lambda: [row])) == line  # type: ignore[arg-type]


@given(st.lists(st.none() | st.text(min_size=1) | st.integers() | st.floats(allow_nan=False), min_size=2))
def test_csv_writes_everything_else_as_python_does(row: list[Any]) -> None:
    expected = io.StringIO()
    csv.writer(expected, lineterminator="\r\n").writerow(row)
    assert CSV().rows(SimpleNamespace(tuples=lambda: [row])) == expected.getvalue().encode()  # type: ignore[arg-type]


async def test_gzip_lets_every_page_be_read_as_it_comes() -> None:
    client = Client()
    await respond(Script(PAGES), client, gzip=Gzip())
    assert client.headers[b"content-encoding"] == b"gzip"
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    pages = [decompressor.decompress(chunk) for chunk in client.chunks]
    assert pages == [b"[" + array(1, 2), b"", b"," + array(3) + b"]"]
    assert decompressor.eof


async def test_what_a_client_gets_of_a_compressed_stream_that_is_broken_off_can_be_read() -> None:
    client = Client(stalls_after=1)
    with pytest.raises(StreamAborted):
        await respond(Script([[1], [2], [3]]), client, form=NDJSON(), gzip=Gzip(), whole=0.05)
    read = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(client.body)
    assert read == b'{"n":1}\n'  # of the second page nobody knows; a word behind it could not be read


async def test_the_last_word_of_a_compressed_stream_can_be_read() -> None:
    client = Client()
    with pytest.raises(StreamAborted):
        await respond(Script([[1], ReadFailed()]), client, form=NDJSON(), gzip=Gzip())
    first, last = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(client.body).splitlines()
    assert first == b'{"n":1}'
    assert json.loads(last)["error"]["code"] == "read_failed"


async def test_a_client_that_does_not_take_the_last_word_is_dropped() -> None:
    dropped: list[bool] = []
    extensions = {"extensions": {ABORT: lambda: dropped.append(True)}}
    with pytest.raises(StreamAborted):
        await respond(Script([[1], ReadFailed()]), Client(stalls_after=1), form=NDJSON(), scope=extensions)
    assert dropped == [True]


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("gzip;q=0.1, identity", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("gzip;q=nonsense", True),
        ("br", False),
        ("*", False),
    ],
)
def test_gzip_is_sent_only_to_those_who_name_it(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


async def test_an_error_of_the_first_page_comes_before_anything_is_sent() -> None:
    script, client = Script([ReadFailed()]), Client()
    with pytest.raises(ReadFailed):
        await respond(script, client)
    assert (client.status, client.chunks, script.open_streams) == (None, [], 0)


async def test_a_later_error_leaves_the_array_open_and_the_body_incomplete() -> None:
    script, client = Script([[1], [2], ReadFailed()]), Client()
    with pytest.raises(StreamAborted, match="after 2 rows") as caught:
        await respond(script, client)
    assert isinstance(caught.value.__cause__, ReadFailed)
    assert client.body == b"[" + array(1, 2)
    assert not client.complete
    assert script.open_streams == 0
    assert b'broken_streams_total{code="read_failed"} 1.0' in script.metrics.text()


@pytest.mark.parametrize("failure", [CassandraUnavailable, ConsistencyUnavailable, QueueFull])
async def test_a_failure_that_passes_is_not_seen_by_the_reader_of_a_stream(failure: type[Exception]) -> None:
    script, client = Script([[1], [2], [3]], passing={1: [failure()], 2: [failure(), failure()]}), Client()
    await respond(script, client, limit=3)
    assert client.body == b"[" + array(1, 2, 3) + b"]"
    assert script.asked == [3, 2, 2, 1, 1, 1]


async def test_a_failure_that_does_not_pass_breaks_the_stream_off_when_its_page_is_due() -> None:
    script, client = Script([[1], [2]], passing={1: [CassandraUnavailable() for _ in range(100)]}), Client()
    began = time.monotonic()
    with pytest.raises(StreamAborted) as caught:
        await respond(script, client, each=0.3)
    assert isinstance(caught.value.__cause__, CassandraUnavailable)
    assert time.monotonic() - began < 2
    assert len(script.asked) > 2


async def test_the_first_page_does_not_wait_for_absent_nodes() -> None:
    with pytest.raises(CassandraUnavailable):
        await respond(Script([[1]], passing={0: [CassandraUnavailable()]}), Client())


async def test_ndjson_tells_the_error_in_its_last_line() -> None:
    client = Client()
    with pytest.raises(StreamAborted):
        await respond(Script([[1], ReadFailed()]), client, form=NDJSON())
    first, last = client.body.splitlines()
    assert first == b'{"n":1}'
    assert json.loads(last)["error"]["code"] == "read_failed"
    assert not client.complete


async def test_a_stream_that_takes_too_long_is_broken_off() -> None:
    script, client = Script([[1], [2], [3]], stall_at=2), Client()
    with pytest.raises(StreamAborted):
        await respond(script, client, whole=0.05)
    assert not client.complete
    assert script.open_streams == 0


async def test_a_client_that_takes_nothing_is_dropped_with_what_is_buffered_for_it() -> None:
    script, client = Script([[1], [2], [3]]), Client(stalls_after=1)
    dropped: list[bool] = []
    with pytest.raises(StreamAborted):
        await respond(script, client, patience=0.05, scope={"extensions": {ABORT: lambda: dropped.append(True)}})
    assert dropped == [True]
    assert script.open_streams == 0


async def test_one_stream_too_many_is_refused() -> None:
    script, client = Script([[1]], open_streams=3), Client()
    with pytest.raises(TooManyStreams):
        await respond(script, client, most=3)
    assert (client.status, script.asked) == (None, [])


async def test_a_page_is_requested_before_the_one_before_it_is_sent_and_never_two() -> None:
    script, client = Script([[1], [2], [3], [4]]), Client()
    asked_by_chunk: list[int] = []
    keep = client.send

    async def send(message: Message) -> None:
        await keep(message)
        for _ in range(10):  # whatever runs beside the response has had its turn
            await anyio.lowlevel.checkpoint()
        if message["type"] == "http.response.body":
            asked_by_chunk.append(len(script.asked))

    client.send = send  # type: ignore[method-assign]
    await respond(script, client)
    assert asked_by_chunk == [2, 3, 4, 4]


async def test_a_client_that_leaves_ends_the_paging_at_once_even_while_a_page_is_awaited() -> None:
    script, client = Script([[1], [2], [3], [4]], stall_at=2), Client(leaves_after=2)
    await respond(script, client)
    assert script.stalled.is_set()
    assert len(script.asked) == 3
    assert (client.complete, script.open_streams) == (False, 0)


async def test_a_client_that_leaves_is_noticed_where_the_server_never_waits() -> None:
    script, client = Script([[number] for number in range(1000)]), Client(leaves_after=3)
    await respond(script, client)
    assert len(client.chunks) < 10
    assert script.open_streams == 0


async def test_head_sends_the_headers_and_reads_no_page() -> None:
    script, client = Script([[1]]), Client()
    await respond(script, client, scope={"method": "HEAD"})
    assert (client.status, client.chunks, script.asked) == (200, [b""], [])


async def test_leaving_an_open_reader_closes_it() -> None:
    script = Script([[1], [2], [3]])
    async with reader(script).open() as pages:
        await anext(pages)
        assert script.open_streams == 1
    assert script.open_streams == 0


def fat(rows: int, weight: int) -> Result:
    return Result(RowPage(("n",), (Int32Type,), rows, b"x" * rows * weight), None)


def test_where_rows_are_fat_fewer_are_asked_for() -> None:
    sizes = RowSizes(1_000_000, 10)
    assert sizes.rows_a_page(SELECT, 5000) == 100  # nothing is known yet
    sizes.saw(SELECT, fat(10, 100))
    assert sizes.rows_a_page(SELECT, 5000) == 5000
    sizes.saw(SELECT, fat(10, 100_000))
    assert sizes.rows_a_page(SELECT, 5000) == 10
    sizes.saw(SELECT, fat(1, 5_000_000))
    assert sizes.rows_a_page(SELECT, 5000) == 1
    for _ in range(30):
        sizes.saw(SELECT, fat(1, 100))
    assert sizes.rows_a_page(SELECT, 5000) == 5000
    sizes.saw(SELECT, fat(0, 0))
    assert sizes.rows_a_page(SELECT, 7) == 7


@pytest.mark.parametrize(
    ("beside", "alone", "in_company"), [(10_000, 1000, 100), (None, 1000, 1000), (1 << 20, 1000, 1000)]
)
def test_a_page_that_others_wait_behind_is_asked_to_weigh_less(beside: int | None, alone: int, in_company: int) -> None:
    sizes = RowSizes(100_000, 10, page_bytes_beside=beside)
    sizes.saw(SELECT, fat(10, 100))
    assert sizes.rows_a_page(SELECT, 5000) == alone
    assert sizes.rows_a_page(SELECT, 5000, beside=True) == in_company


@pytest.mark.parametrize(
    ("company", "asked"),
    [([], [100, 500, 500]), ([True] * 3, [100, 10, 10]), ([True, True, False], [100, 10, 500])],
)
async def test_pages_are_small_while_others_read(company: list[bool], asked: list[int]) -> None:
    script = Script([range(100), range(500), range(500)], company=list(company))
    ten_rows = 10 * 8  # of one integer
    async with reader(script, fetch_size=500, beside=ten_rows).open() as found:
        async for _ in found:
            pass
    assert script.asked == asked


def test_only_so_many_statements_are_remembered() -> None:
    sizes = RowSizes(1000, 2)
    for name in ("a", "b", "c"):
        sizes.saw(Statement(name, idempotent=True, writes=False), fat(1, 1000))
    known = [sizes.rows_a_page(Statement(name, idempotent=True, writes=False), 50) for name in ("a", "b", "c")]
    assert known == [50, 1, 1]


@pytest.mark.parametrize(
    ("pages", "exactly", "rows", "asked"),
    [
        ([[1, 2, 3]], True, 3, [5]),
        ([[1], [], [2, 3], [4, 5, 6]], True, 5, [5, 4, 4, 2]),
        ([[1], [], [2, 3]], False, 1, [5]),
        ([[], [1]], False, 0, [5]),
    ],
)
async def test_gathering_rows_takes_as_many_pages_as_it_must(
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
