"""The three ways to read all users: GET /users, /users/stream and /users/stream/pages."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import anyio
import httpx
import pytest
from cassandra.cluster import Session
from helpers.exchange import Exchange
from helpers.waiting import eventually
from starlette.applications import Starlette

from contract.samples import ADA, USER_FIELDS, create, every_loop, insert_users, token_in

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("no_users"),
]

# --- GET /users


async def test_empty_list_has_no_link(client: httpx.AsyncClient) -> None:
    response = await client.get("/users")
    assert (response.status_code, response.content) == (200, b"[]")
    assert "link" not in response.headers


async def test_list_has_users_as_get_returns_them(client: httpx.AsyncClient) -> None:
    user = await create(client)
    response = await client.get("/users")
    assert response.json() == [user]
    assert list(response.json()[0]) == USER_FIELDS
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "expected"), [("", 10), ("?limit=1", 1), ("?limit=99", 99), ("?limit=100", 100), ("?limit=3&limit=7", 7)]
)
async def test_list_has_as_many_users_as_its_limit(
    client: httpx.AsyncClient, cql: Session, users: str, query: str, expected: int
) -> None:
    insert_users(cql, users, [1] * 101)
    response = await client.get(f"/users{query}")
    assert len(response.json()) == expected
    assert 'rel="next"' in response.headers["link"]


@every_loop
@pytest.mark.parametrize(("rows", "limit"), [(25, 10), (20, 10), (21, 7), (5, 1), (10, None), (11, None), (3, 100)])
async def test_links_lead_to_each_user_once(
    client: httpx.AsyncClient, cql: Session, users: str, rows: int, limit: int | None
) -> None:
    ids = insert_users(cql, users, [1] * rows)
    seen: list[str] = []
    target: str | None = "/users" if limit is None else f"/users?limit={limit}"
    sizes = []
    while target is not None:
        response = await client.get(target)
        assert response.status_code == 200
        sizes.append(len(response.json()))
        seen += [user["id"] for user in response.json()]
        target = _next(response)
        assert len(sizes) <= rows + 2
    assert sorted(seen) == sorted(ids)
    assert sizes[:-1] == [limit or 10] * (len(sizes) - 1)


async def test_page_state_alone_keeps_the_limit(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    ids = insert_users(cql, users, [1] * 9)
    first = await client.get("/users?limit=4")
    second = await client.get("/users", params={"page_state": token_in(first)})
    assert (len(first.json()), len(second.json())) == (4, 4)
    assert len({user["id"] for user in first.json() + second.json()} & set(ids)) == 8


async def test_link_has_the_prefix_of_a_mounted_application(app: Starlette, cql: Session, users: str) -> None:
    insert_users(cql, users, [1] * 2)
    transport = httpx.ASGITransport(app, root_path="/api")
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        link = (await client.get("/api/users?limit=1")).headers["link"]
    assert link.startswith("</api/users?")


async def test_unknown_query_parameters_are_ignored(client: httpx.AsyncClient) -> None:
    user = await create(client)
    old = {"allow_filtering": "1", "timeout": "x", "max_pages": "-1", "": "", "limit[]": "0", "LIMIT": "0"}
    assert (await client.get("/users", params=old)).json() == [user]
    assert (await client.get("/users/stream", params=old)).json() == [user]
    assert (await client.get("/users/stream/pages", params=old)).json()["users"] == [user]
    assert (await client.get(f"/users/{user['id']}", params=old)).json() == user


# --- GET /users/stream


@every_loop
@pytest.mark.parametrize(("rows", "page"), [(0, 4), (1, 4), (3, 4), (4, 4), (5, 4), (8, 4), (9, 4), (3, 1), (2, 5000)])
async def test_stream_is_a_json_array_with_one_chunk_per_page(
    app: Starlette, cql: Session, users: str, rows: int, page: int
) -> None:
    ids = insert_users(cql, users, [1] * rows)
    stream = await _streamed(app, f"fetch_size={page}")

    assert stream.status == 200
    assert stream.headers["content-type"] == "application/json"
    assert stream.headers["cache-control"] == "no-store"
    assert "content-length" not in stream.headers
    body = b"".join(stream.chunks)
    assert sorted(user["id"] for user in json.loads(body)) == sorted(ids)
    assert b"\n" not in body
    assert stream.complete
    sizes = [chunk.count(b'"id"') for chunk in stream.chunks]
    full, rest = divmod(rows, page)
    assert sizes in ([page] * full + [rest], [page] * full + [rest] * bool(rest) or [0])


@every_loop
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", 12),
        ("limit=0", 0),
        ("limit=1", 1),
        ("limit=5&fetch_size=5", 5),
        ("limit=6&fetch_size=5", 6),
        ("limit=12&fetch_size=5", 12),
        ("limit=13&fetch_size=5", 12),
        ("limit=9007199254740991", 12),
        ("age_filter=0", 12),
        ("age_filter=9", 3),
        ("age_filter=11", 1),
        ("age_filter=12", 0),
        ("age_filter=150", 0),
        ("age_filter=4&limit=5&fetch_size=2", 5),
        ("age_filter=9&limit=5&fetch_size=2", 3),
        ("age_filter=4&limit=0&fetch_size=1", 0),
        ("fetch_size=5000", 12),
    ],
)
async def test_limit_fetch_size_and_age_filter_combine(
    app: Starlette, cql: Session, users: str, query: str, expected: int
) -> None:
    ids = insert_users(cql, users, list(range(12)))
    found = json.loads(b"".join((await _streamed(app, query)).chunks))

    assert len({user["id"] for user in found} & set(ids)) == len(found) == expected
    minimum = int(parse_qs(query).get("age_filter", ["0"])[0])
    assert all(user["age"] >= minimum for user in found)


async def test_stream_has_users_as_get_returns_them(client: httpx.AsyncClient) -> None:
    user = await create(client, name="🦉 \"'\\\b")
    for query in ("", "?age_filter=1", "?limit=1"):
        response = await client.get(f"/users/stream{query}")
        assert response.content == b"[" + (await client.get(f"/users/{user['id']}")).content + b"]"


@every_loop
async def test_client_disconnect_ends_the_stream(app: Starlette, cql: Session, users: str) -> None:
    insert_users(cql, users, [1] * 40)

    async def leave(exchange: Exchange) -> None:
        exchange.disconnect()

    stream = Exchange("GET", "/users/stream", query=b"fetch_size=1", on_chunk=leave)
    await stream.run(app)
    assert not stream.complete
    assert 1 <= len(stream.chunks) < 10
    await eventually(lambda: app.state.database.dispatcher.slots.in_flight == 0)
    assert len(json.loads(b"".join((await _streamed(app, "")).chunks))) == 40


@every_loop
async def test_disconnects_of_a_hundred_clients_leave_nothing_open(app: Starlette, cql: Session, users: str) -> None:
    insert_users(cql, users, [1] * 20)

    async def leave(exchange: Exchange) -> None:
        exchange.disconnect()

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            exchange = Exchange("GET", "/users/stream", query=b"fetch_size=1", on_chunk=leave)
            tasks.start_soon(exchange.run, app)
    await eventually(lambda: app.state.database.dispatcher.slots.in_flight == 0)
    assert len(json.loads(b"".join((await _streamed(app, "fetch_size=3")).chunks))) == 20


@every_loop
async def test_concurrent_streams_with_different_page_sizes(app: Starlette, cql: Session, users: str) -> None:
    ids = insert_users(cql, users, [1] * 30)
    streams = [(size, Exchange("GET", "/users/stream", query=f"fetch_size={size}".encode())) for size in (1, 7, 30, 31)]
    async with anyio.create_task_group() as tasks:
        for _, stream in streams:
            tasks.start_soon(stream.run, app)
    for size, stream in streams:
        assert sorted(user["id"] for user in json.loads(b"".join(stream.chunks))) == sorted(ids)
        assert stream.chunks[0].count(b'"id"') == min(size, 30)


# --- GET /users/stream/pages


async def test_pages_of_no_users_are_one_empty_page(client: httpx.AsyncClient) -> None:
    response = await client.get("/users/stream/pages")
    assert response.content == b'{"users":[],"has_more":false,"page_state":null}'
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


async def test_limit_of_zero_is_one_empty_page(client: httpx.AsyncClient) -> None:
    await create(client)
    response = await client.get("/users/stream/pages?limit=0")
    assert response.content == b'{"users":[],"has_more":false,"page_state":null}'


@every_loop
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("fetch_size=1", 12),
        ("fetch_size=5", 12),
        ("fetch_size=6", 12),
        ("fetch_size=12", 12),
        ("", 12),
        ("limit=7&fetch_size=3", 7),
        ("limit=6&fetch_size=3", 6),
        ("limit=12&fetch_size=4", 12),
        ("limit=100&fetch_size=5", 12),
        ("limit=3&fetch_size=5", 3),
        ("age_filter=4&fetch_size=3", 8),
        ("age_filter=4&fetch_size=3&limit=5", 5),
        ("age_filter=12&fetch_size=3", 0),
    ],
)
@pytest.mark.parametrize("repeat", [False, True], ids=["token alone", "parameters repeated"])
async def test_pages_lead_to_each_user_once(
    client: httpx.AsyncClient, cql: Session, users: str, query: str, expected: int, repeat: bool
) -> None:
    insert_users(cql, users, list(range(12)))
    pages = await _walk(client, query, repeat)

    found = [user for page in pages for user in page["users"]]
    asked = {name: int(values[0]) for name, values in parse_qs(query).items()}
    assert len({user["id"] for user in found}) == len(found) == expected
    assert all(user["age"] >= asked.get("age_filter", 0) for user in found)
    assert all(len(page["users"]) <= asked.get("fetch_size", 1000) for page in pages)
    assert [page["has_more"] for page in pages] == [True] * (len(pages) - 1) + [False]
    assert pages[-1]["page_state"] is None
    assert all(page["page_state"] for page in pages[:-1])


async def test_fetch_size_may_change_between_pages(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    insert_users(cql, users, [1] * 12)
    first = (await client.get("/users/stream/pages?fetch_size=2&limit=9")).json()
    second = await _page(client, page_state=first["page_state"], fetch_size=5)
    third = await _page(client, page_state=second["page_state"])
    assert [len(page["users"]) for page in (first, second, third)] == [2, 5, 2]
    assert not third["has_more"]


async def test_token_used_twice_gives_the_same_page(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    insert_users(cql, users, [1] * 6)
    token = (await client.get("/users/stream/pages?fetch_size=2")).json()["page_state"]
    again = [(await _page(client, page_state=token))["users"] for _ in range(2)]
    assert again[0] == again[1] != []


async def test_pages_while_rows_are_created_and_deleted(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    ids = set(insert_users(cql, users, [1] * 12))
    first = await _page(client, fetch_size=4)
    doomed = next(iter(ids - {user["id"] for user in first["users"]}))
    assert (await client.delete(f"/users/{doomed}")).status_code == 204
    assert (await client.post("/users", json=ADA)).status_code == 201
    rest = []
    page = first
    while page["has_more"]:
        page = await _page(client, page_state=page["page_state"])
        rest += page["users"]
    seen = [user["id"] for user in first["users"] + rest]
    assert ids - {doomed} <= set(seen)
    assert len(seen) == len(set(seen))
    assert doomed not in seen


# --- helpers


async def _streamed(app: Starlette, query: str) -> Exchange:
    exchange = Exchange("GET", "/users/stream", query=query.encode())
    await exchange.run(app)
    return exchange


async def _page(client: httpx.AsyncClient, **params: Any) -> Any:
    response = await client.get("/users/stream/pages", params=params)
    assert response.status_code == 200, response.text
    return response.json()


async def _walk(client: httpx.AsyncClient, query: str, repeat: bool) -> list[Any]:
    asked = {name: values[0] for name, values in parse_qs(query).items()}
    pages = [await _page(client, **asked)]
    while pages[-1]["has_more"]:
        pages.append(await _page(client, **(asked if repeat else {}), page_state=pages[-1]["page_state"]))
        assert len(pages) < 30
    return pages


def _next(response: httpx.Response) -> str | None:
    return response.links.get("next", {}).get("url")
