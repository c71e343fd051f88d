"""Every row once and in order: many rows, counts around a page's size, gaps, and concurrent writes."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from anyio import to_thread
from cassandra.cluster import Session
from contract.samples import every_loop
from helpers.exchange import Exchange
from helpers.service import serving
from helpers.waiting import eventually
from starlette.applications import Starlette

from asgi_app.settings import Settings
from asgi_app.tables.builtin import USERS
from asgi_app.tables.cql import Queries
from streams.conftest import MANY
from streams.stored import User, delete_users, ids_of, stored_users, stream, streamed, walk, write_users

pytestmark = pytest.mark.anyio

RARE = 99


@pytest.fixture(scope="module")
async def crowded_service(
    anyio_backend: Any, crowded_settings: Settings
) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    async with serving(crowded_settings) as started:
        yield started


# --- many rows


@pytest.mark.parametrize("query", ["", "fetch_size=5000"])
async def test_a_hundred_thousand_users_are_streamed_in_token_order(
    crowded_service: tuple[Starlette, httpx.AsyncClient], crowd: list[User], query: str
) -> None:
    found = await streamed(crowded_service[0], query)
    assert len(found) == MANY
    assert found == crowd


async def test_a_filtered_stream_of_a_hundred_thousand_users(
    crowded_service: tuple[Starlette, httpx.AsyncClient], crowd: list[User]
) -> None:
    wanted = [user for user in crowd if user["age"] >= 95]
    assert await streamed(crowded_service[0], "age_filter=95") == wanted
    assert await streamed(crowded_service[0], "age_filter=95&limit=4321&fetch_size=100") == wanted[:4321]


async def test_pages_of_a_hundred_thousand_users_equal_the_stream(
    crowded_service: tuple[Starlette, httpx.AsyncClient], crowd: list[User]
) -> None:
    pages = await walk(crowded_service[1], fetch_size=5000)
    assert list(itertools.chain(*pages)) == crowd
    assert {len(page) for page in pages[:-1]} == {5000}


async def test_at_most_one_page_is_requested_ahead(
    crowded_service: tuple[Starlette, httpx.AsyncClient], crowd: list[User]
) -> None:
    app = crowded_service[0]
    read: list[int] = []

    def total() -> int:
        app.state.database.publish_state()
        queries: int = app.state.database.metrics.summary()["total_queries"]
        return queries

    before = total()

    async def keep(exchange: Exchange) -> None:
        read.append(total() - before)

    answer = await stream(app, "fetch_size=1000", on_chunk=keep)
    assert read[0] <= 2  # a page is counted when it arrives
    assert read[-1] >= MANY // 1000
    assert all(asked <= sent + 2 for sent, asked in enumerate(read))
    assert len(answer.chunks) == len(read)


# --- counts around the size of a page


@every_loop
@pytest.mark.parametrize("size", [1, 50])
async def test_every_count_around_a_small_page(
    app: Starlette, client: httpx.AsyncClient, cql: Session, users: str, size: int
) -> None:
    await _every_count(app, client, cql, users, size)


@pytest.mark.parametrize("size", [1000, 5000])
async def test_every_count_around_a_large_page(
    app: Starlette, client: httpx.AsyncClient, cql: Session, users: str, size: int
) -> None:
    await _every_count(app, client, cql, users, size)


async def _every_count(app: Starlette, client: httpx.AsyncClient, cql: Session, users: str, size: int) -> None:
    written = 0
    for count in sorted({0, 1, size - 1, size, size + 1}):
        write_users(cql, users, [1] * (count - written))
        written = count
        expected = stored_users(cql, users)
        assert len(expected) == count
        answer = await stream(app, f"fetch_size={size}")
        assert answer.complete
        assert _users_in(answer) == expected
        assert all(chunk.count(b'"id"') <= size for chunk in answer.chunks)
        pages = await walk(client, fetch_size=size)
        assert list(itertools.chain(*pages)) == expected
        assert all(len(page) <= size for page in pages)
        for limit in (0, size) if count > size else ():
            assert await streamed(app, f"fetch_size={size}&limit={limit}") == expected[:limit]


# --- gaps


@every_loop
@pytest.mark.parametrize("indexed", [False, True], ids=["filtered", "by index"])
async def test_few_matching_users_among_many_and_deleted_ones(
    app: Starlette, client: httpx.AsyncClient, cql: Session, users: str, keyspace: str, indexed: bool
) -> None:
    write_users(cql, users, [1] * 2000)
    order = ids_of(stored_users(cql, users))
    delete_users(cql, users, order[:100] + order[500:1800])
    rare = set(write_users(cql, users, [RARE] * 12))
    doomed = set(list(rare)[:5])
    delete_users(cql, users, list(doomed))
    if indexed:
        await _make_indexes(cql, keyspace, users)
    try:
        left = stored_users(cql, users)
        assert len(left) == 607
        for size in (1, 3, 50):
            wanted = [user for user in left if user["age"] == RARE]
            assert set(ids_of(wanted)) == rare - doomed
            assert await streamed(app, f"age_filter={RARE}&fetch_size={size}") == wanted
            pages = await walk(client, age_filter=RARE, fetch_size=size)
            assert list(itertools.chain(*pages)) == wanted
            assert await streamed(app, f"age_filter={RARE}&fetch_size={size}&limit=4") == wanted[:4]
        for size in (10, 100):
            assert await streamed(app, f"fetch_size={size}") == left
            assert list(itertools.chain(*await walk(client, fetch_size=size))) == left
            assert await streamed(app, f"age_filter=1&fetch_size={size}") == left
    finally:
        cql.execute(f"DROP INDEX IF EXISTS {keyspace}.users_age")


@every_loop
async def test_a_table_with_only_deleted_rows_is_empty(
    app: Starlette, client: httpx.AsyncClient, cql: Session, users: str
) -> None:
    delete_users(cql, users, write_users(cql, users, [1] * 500))
    for query in ("fetch_size=1", "fetch_size=100", "age_filter=0&fetch_size=7"):
        assert b"".join((await stream(app, query)).chunks) == b"[]"
    assert list(itertools.chain(*await walk(client, fetch_size=10))) == []


async def _make_indexes(cql: Session, keyspace: str, users: str) -> None:
    for ddl in Queries(keyspace, USERS).create_indexes():
        cql.execute(ddl)
    await eventually(lambda: _index_is_ready(cql, keyspace), 20)


def _index_is_ready(cql: Session, keyspace: str) -> bool:
    rows = cql.execute("SELECT keyspace_name, table_name, is_queryable FROM system_views.sai_column_indexes")
    states = [row.is_queryable for row in rows if (row.keyspace_name, row.table_name) == (keyspace, "users")]
    return states == [True]


# --- concurrent writes


class Traffic:
    """Writes users all over the table and deletes them again, until cancelled. `came`: the ids written so far."""

    def __init__(self, cql: Session, users: str) -> None:
        self.came: set[str] = set()
        self.rounds = 0
        self._cql = cql
        self._users = users

    async def run(self) -> None:
        doomed: list[str] = []
        while True:
            new = await to_thread.run_sync(write_users, self._cql, self._users, [1] * 40)
            self.came.update(new)
            await to_thread.run_sync(delete_users, self._cql, self._users, doomed)
            doomed = new
            self.rounds += 1


@every_loop
async def test_lasting_users_are_read_once_during_concurrent_writes(
    app: Starlette, client: httpx.AsyncClient, cql: Session, users: str
) -> None:
    lasting = write_users(cql, users, [1] * 600)
    going = write_users(cql, users, [1] * 200)
    traffic = Traffic(cql, users)

    async def pace(_: Exchange) -> None:
        seen = traffic.rounds
        await eventually(lambda: traffic.rounds > seen)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(traffic.run)
        tasks.start_soon(to_thread.run_sync, delete_users, cql, users, going)
        walked = list(itertools.chain(*await walk(client, fetch_size=10)))
        filtered = list(itertools.chain(*await walk(client, fetch_size=10, age_filter=1)))
        answer = await stream(app, "fetch_size=50", on_chunk=pace)
        tasks.cancel_scope.cancel()

    assert answer.complete
    assert traffic.rounds > 10
    for found in (walked, filtered, _users_in(answer)):
        seen = ids_of(found)
        assert len(seen) == len(set(seen))
        assert set(lasting) <= set(seen) <= {*lasting, *going, *traffic.came}
    assert not set(going) & set(ids_of(_users_in(answer)))


def _users_in(answer: Exchange) -> list[User]:
    users: list[User] = httpx.Response(200, content=b"".join(answer.chunks)).json()
    return users
