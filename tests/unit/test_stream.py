"""What Cassandra cannot be made to do on demand: empty pages in the middle, failures between two pages, stalls.

The pages here are scripted; the same reader and response run on the real node in the contract suite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.types import Message

from asgi_app.cql import Statement
from asgi_app.deadline import Deadline
from asgi_app.errors import ReadFailed
from asgi_app.stream import JSONArrayStream, PageReader, StreamAborted

pytestmark = pytest.mark.anyio

SELECT = Statement("SELECT n FROM numbers", idempotent=True, writes=False)
LONG = 20.0


@dataclass
class Page:
    """A page as the stream sees it."""

    numbers: Sequence[int]
    paging_state: bytes | None
    page: None = None

    @property
    def row_count(self) -> int:
        return len(self.numbers)

    def json_rows(self) -> bytes:
        return b",".join(b"%d" % number for number in self.numbers)


@dataclass
class Script:
    """Stands for the database: answers each request for a page with the next of `pages`, an error raised as one."""

    pages: list[Sequence[int] | Exception]
    asked: list[int] = field(default_factory=list)
    open_streams: int = 0
    stall_at: int | None = None
    stalled: anyio.Event = field(default_factory=anyio.Event)

    async def execute(
        self, statement: Statement, values: Any, *, deadline: Deadline, fetch_size: int, paging_state: bytes | None
    ) -> Page:
        position = int(paging_state or b"0")
        self.asked.append(fetch_size)
        if position == self.stall_at:
            self.stalled.set()
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()
        answer = self.pages[position]
        if isinstance(answer, Exception):
            raise answer
        last = position + 1 == len(self.pages)
        return Page(answer[:fetch_size], None if last else b"%d" % (position + 1))


def reader(script: Script, *, fetch_size: int = 10, limit: int | None = None) -> PageReader:
    return PageReader(
        script,  # type: ignore[arg-type]
        SELECT,
        (),
        fetch_size=fetch_size,
        limit=limit,
        first_page=Deadline.after(LONG),
        page_timeout=LONG,
        whole=Deadline.after(LONG),
    )


@dataclass
class Client:
    """The other end: keeps what was sent, and disconnects after so many chunks."""

    leaves_after: int | None = None
    status: int | None = None
    chunks: list[bytes] = field(default_factory=list)
    complete: bool = False
    gone: anyio.Event = field(default_factory=anyio.Event)

    async def receive(self) -> Message:
        if not self.gone.is_set():
            await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.chunks.append(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        if len(self.chunks) == self.leaves_after:
            self.gone.set()


async def respond(script: Script, client: Client, *, method: str = "GET", **bounds: Any) -> None:
    with anyio.fail_after(LONG):
        await JSONArrayStream(reader(script, **bounds))({"type": "http", "method": method}, client.receive, client.send)


@pytest.mark.parametrize(
    ("pages", "chunks"),
    [
        ([[]], [b"[]"]),
        ([[1, 2]], [b"[1,2]"]),
        ([[1, 2], [3]], [b"[1,2", b",3]"]),
        ([[1, 2], []], [b"[1,2", b"]"]),
        ([[1, 2], [], [3, 4]], [b"[1,2", b"", b",3,4]"]),
        ([[], [], [1]], [b"[", b"", b"1]"]),
        ([[], [1], [], [2], []], [b"[", b"1", b"", b",2", b"]"]),
        ([[], []], [b"[", b"]"]),
    ],
)
async def test_each_page_is_a_chunk_and_an_empty_one_is_not_the_end(
    pages: list[Sequence[int] | Exception], chunks: list[bytes]
) -> None:
    client = Client()
    await respond(Script(pages), client)
    assert client.chunks == chunks
    assert (client.status, client.complete) == (200, True)


@pytest.mark.parametrize(
    ("limit", "asked", "body"),
    [
        (0, [], b"[]"),
        (1, [1], b"[1]"),
        (2, [2], b"[1,2]"),
        (3, [2, 1], b"[1,2,3]"),
        (4, [2, 2], b"[1,2,3,4]"),
        (5, [2, 2, 1], b"[1,2,3,4,5]"),
        (99, [2, 2, 2], b"[1,2,3,4,5,6]"),
        (None, [2, 2, 2], b"[1,2,3,4,5,6]"),
    ],
)
async def test_the_limit_is_the_rows_in_total_and_no_page_asks_for_more(
    limit: int | None, asked: list[int], body: bytes
) -> None:
    script, client = Script([[1, 2], [3, 4], [5, 6]]), Client()
    await respond(script, client, fetch_size=2, limit=limit)
    assert b"".join(client.chunks) == body
    assert script.asked == asked


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
    assert b"".join(client.chunks) == b"[1,2"
    assert not client.complete
    assert script.open_streams == 0


async def test_a_page_is_requested_before_the_one_before_it_is_sent_and_never_two() -> None:
    script, client = Script([[1], [2], [3], [4]]), Client()
    asked_by_chunk: list[int] = []

    async def send(message: Message) -> None:
        await client.send(message)
        for _ in range(10):  # whatever runs beside the response has had its turn
            await anyio.lowlevel.checkpoint()
        if message["type"] == "http.response.body":
            asked_by_chunk.append(len(script.asked))

    await JSONArrayStream(reader(script))({"type": "http", "method": "GET"}, client.receive, send)
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
    await respond(script, client, method="HEAD")
    assert (client.status, client.chunks, script.asked) == (200, [b""], [])


async def test_leaving_an_open_reader_closes_it() -> None:
    script = Script([[1], [2], [3]])
    async with reader(script).open() as pages:
        await anext(pages)
        assert script.open_streams == 1
    assert script.open_streams == 0
