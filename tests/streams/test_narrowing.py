"""A page that replicas do not give is asked for in smaller pieces: the rows stay the same, in the same order."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from helpers.exchange import Exchange
from helpers.faulty_node import EXECUTE, FaultyNode, faulty_node, read_failure, read_timeout
from helpers.figures import scrape
from helpers.service import serving, settings_for
from starlette.applications import Starlette

from asgi_app.http.extensions import StreamAborted
from asgi_app.scan.slice_reader import MOST_STEPS
from streams.stored import User, stream, streamed

pytestmark = pytest.mark.anyio

FAULTS = {"timeout": read_timeout(), "failure": read_failure()}
SLICE = "slice=3/7"


@pytest.fixture(scope="module")
def node(node_address: tuple[str, int]) -> Iterator[FaultyNode]:
    with faulty_node(node_address) as proxy:
        yield proxy


@pytest.fixture(scope="module")
async def own(
    anyio_backend: object, node: FaultyNode, crowded: str
) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    async with serving(settings_for(("127.0.0.1", node.port), crowded)) as started:
        await streamed(started[0], f"limit=1&{SLICE}")  # its statements are prepared
        await streamed(started[0], "limit=1")
        yield started


@pytest.mark.parametrize(
    ("fault", "query"),
    [
        ("timeout", f"{SLICE}&fetch_size=500"),
        ("failure", "fetch_size=5000"),
        ("timeout", "parallel=3"),
        ("failure", f"{SLICE}&parallel=4"),
    ],
)
async def test_no_row_is_lost_or_sent_twice_when_pages_fail(
    own: tuple[Starlette, httpx.AsyncClient], node: FaultyNode, crowd: list[User], fault: str, query: str
) -> None:
    app = own[0]
    wanted = await streamed(app, SLICE) if SLICE in query else crowd
    choose = random.Random(query + fault)
    fail_at = set(choose.sample(range(100), 5))

    async def fail(exchange: Exchange) -> None:
        if len(exchange.chunks) in fail_at:
            node.fail(EXECUTE, *[FAULTS[fault]] * choose.randint(1, MOST_STEPS))

    answer = await stream(app, query, on_chunk=fail)
    assert answer.complete
    found = httpx.Response(200, content=b"".join(answer.chunks)).json()
    if "parallel" in query:
        assert sorted(found, key=_id) == sorted(wanted, key=_id)
    else:
        assert found == wanted


@pytest.mark.parametrize("failures", [1, 3, MOST_STEPS])
async def test_the_first_page_is_narrowed_too(
    own: tuple[Starlette, httpx.AsyncClient], node: FaultyNode, crowd: list[User], failures: int
) -> None:
    node.fail(EXECUTE, *[read_timeout()] * failures)
    assert await streamed(own[0], "fetch_size=5000") == crowd
    assert node.asked[EXECUTE] > failures + len(crowd) // 5000
    assert (await scrape(own[1])).of("narrowed_pages_total") >= failures


@pytest.mark.parametrize("part", [{}, {"slice": "3/7"}])
async def test_pages_of_a_walk_are_narrowed_too(
    own: tuple[Starlette, httpx.AsyncClient], node: FaultyNode, crowd: list[User], part: dict[str, str]
) -> None:
    """Some fail once or more, and the next one goes on where the narrowed one ended."""
    app, client = own
    wanted = await streamed(app, SLICE) if part else crowd
    found: list[User] = []
    params: dict[str, str] = {**part, "fetch_size": "5000"}
    for number in range(200):
        failures = number if number <= MOST_STEPS else 0
        node.fail(EXECUTE, *[FAULTS[("timeout", "failure")[number % 2]]] * failures)
        answer = await client.get("/users/stream/pages", params=params)
        assert answer.status_code == 200, answer.text
        found += answer.json()["users"]
        if not answer.json()["has_more"]:
            break
        params = {"page_state": answer.json()["page_state"]}
    assert found == wanted
    node.fail(EXECUTE, *[read_failure()] * (MOST_STEPS + 1))
    refused = await client.get("/users/stream/pages", params=part)
    assert (refused.status_code, refused.json()["code"]) == (503, "read_failed")


@pytest.mark.parametrize("query", [SLICE, "parallel=4"])
async def test_a_stream_breaks_off_if_the_smallest_page_fails_too(
    own: tuple[Starlette, httpx.AsyncClient], node: FaultyNode, query: str
) -> None:
    app, client = own

    async def fail(_: Exchange) -> None:
        node.fail(EXECUTE, read_failure(), always=True)

    with pytest.raises(StreamAborted):
        await stream(app, query, on_chunk=fail)
    assert app.state.database.open_streams == 0
    refused = await client.get(f"/users/stream?{query}")
    assert (refused.status_code, refused.json()["code"]) == (503, "read_failed")
    node.fail(EXECUTE)
    assert (await client.get(f"/users/stream?{query}&fetch_size=5000")).status_code == 200


def _id(user: User) -> str:
    identity: str = user["id"]
    return identity
