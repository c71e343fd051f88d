"""Walks over the rows of a resource: lists by their links, pages by their tokens, and streams in every format."""

from __future__ import annotations

import csv
import gzip
import io
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import msgspec
import pytest
from cassandra.cluster import Session
from helpers.exchange import Exchange
from helpers.problems import problem
from helpers.service import settings_for
from starlette.applications import Starlette

from asgi_app.settings import Secret
from contract.resource_service import (
    EVENT_ROWS,
    EVENT_STATEMENTS,
    EVENTS,
    MINE,
    TODAY,
    keyspace_with,
    numbers,
    serving_resources,
)
from contract.samples import token_in

pytestmark = pytest.mark.anyio

RESOURCES = (EVENTS, MINE, TODAY)
ACME = {"X-User": "acme"}


@pytest.fixture(scope="module")
def keyspace(cql: Session) -> Iterator[str]:
    """The keyspace of this module, with the events."""
    with keyspace_with(cql, (EVENTS,), *EVENT_STATEMENTS) as name:
        yield name


@pytest.fixture(scope="module")
async def service(
    anyio_backend: Any, node_address: tuple[str, int], keyspace: str
) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    """A running application, and a client of it."""
    settings = settings_for(node_address, keyspace, page_keys=(Secret("k" * 40),), gzip=True)
    async with serving_resources(settings, RESOURCES) as started:
        yield started


# Lists


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/events?limit=5", None),
        ("/events?limit=1", None),
        ("/events", None),
        ("/events?kind=login&limit=2", {1, 3, 5, 7, 9, 11}),
        ("/events?n.gte=4&n.lt=8&limit=3", {4, 5, 6, 7}),
        ("/events?tenant=acme&day.in=2026-11-28&day.in=2026-11-29&limit=3", {1, 2, 3, 4, 5, 6, 7, 8}),
        ("/events?per_partition_limit=2&limit=2", {5, 3, 8, 7, 10, 9, 11, 12}),
    ],
)
async def test_links_lead_to_each_row_once(client: httpx.AsyncClient, target: str, expected: set[int] | None) -> None:
    found, sizes, limit = await walk_links(client, target)
    assert sorted(numbers(found)) == sorted(EVENT_ROWS if expected is None else expected)
    assert sizes[:-1] == [limit] * (len(sizes) - 1)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/events/acme/2026-11-28?limit=2", [5, 3, 4, 2, 1]),
        ("/events/acme/2026-11-28?limit=2&order=at", [1, 2, 4, 3, 5]),
        ("/events/acme/2026-11-28?limit=1&at.gte=2026-11-28T10:00:00%2B00:00", [5, 3, 4, 2]),
        ("/events/acme/2026-11-28/2026-11-28T11:00:00Z?limit=1", [3, 4]),
        ("/events?tenant=a/b&day=2026-11-28&limit=1", [11]),
    ],
)
async def test_links_keep_the_order(client: httpx.AsyncClient, target: str, expected: list[int]) -> None:
    found, _, _ = await walk_links(client, target)
    assert numbers(found) == expected


async def walk_links(client: httpx.AsyncClient, target: str) -> tuple[list[Any], list[int], int]:
    """Return the rows, the size of each page, and the limit of a walk by links."""
    rows: list[Any] = []
    sizes = []
    limit = int(parse_qs(urlsplit(target).query).get("limit", ["10"])[0])
    following: str | None = target
    while following is not None:
        found = await client.get(following)
        assert found.status_code == 200, found.text
        rows += found.json()
        sizes.append(len(found.json()))
        assert len(sizes) <= 20
        following = found.links.get("next", {}).get("url")
        assert following is None or urlsplit(following).path == urlsplit(target).path
    return rows, sizes, limit


async def test_partitions_are_paged(client: httpx.AsyncClient) -> None:
    found, sizes, _ = await walk_links(client, "/events/-/partitions?limit=2")
    assert len({(row["tenant"], row["day"]) for row in found}) == len(found) == 5
    assert sizes[:2] == [2, 2]


LISTED = "/events/acme/2026-11-28?limit=1&at.gte=2026-11-28T10:00:00Z"
OTHER_LISTS = [
    ("/events/acme/2026-11-28?limit=1", "without the filter"),
    ("/events/acme/2026-11-28?limit=1&at.gt=2026-11-28T10:00:00Z", "another operator"),
    ("/events/acme/2026-11-28?limit=1&at.gte=2026-11-28T09:00:00Z", "another value"),
    ("/events/acme/2026-11-28?limit=1&at.gte=2026-11-28T10:00:00Z&order=at", "another order"),
    ("/events/acme/2026-11-28?limit=1&at.gte=2026-11-28T10:00:00Z&kind=login", "one more filter"),
    ("/events/acme/2026-11-28?limit=1&at.gte=2026-11-28T10:00:00Z&per_partition_limit=3", "a limit of partitions"),
    ("/events/acme/2026-11-29?limit=1&at.gte=2026-11-28T10:00:00Z", "another partition"),
    ("/events/beta/2026-11-28?limit=1&at.gte=2026-11-28T10:00:00Z", "another tenant"),
    ("/events?limit=1", "all rows"),
    ("/events/-/partitions?limit=1", "partitions"),
    ("/events/-/pages?", "pages"),
    ("/mine/2026-11-28?limit=1&at.gte=2026-11-28T10:00:00Z", "another resource on the same table"),
    ("/today?limit=1&at.gte=2026-11-28T10:00:00Z", "a third resource"),
]


@pytest.mark.parametrize("target", [target for target, _ in OTHER_LISTS], ids=[name for _, name in OTHER_LISTS])
async def test_token_of_a_list_holds_for_its_rows_alone(client: httpx.AsyncClient, target: str) -> None:
    token = token_in(await client.get(LISTED))
    assert (await client.get(f"{LISTED}&page_state={token}")).status_code == 200
    continued = f"{target}&page_state={token}"
    assert (await client.head(continued, headers=ACME)).status_code == 422
    problem(await client.get(continued, headers=ACME), 422, "invalid_page_state", "query.page_state")


async def test_same_list_by_path_and_by_query_is_one_walk(client: httpx.AsyncClient) -> None:
    token = token_in(await client.get(LISTED))
    query = "tenant=acme&day=2026-11-28&at.gte=2026-11-28T11:00:00.000%2B01:00&limit=4"
    found = await client.get(f"/events?{query}&page_state={token}")
    assert numbers(found.json()) == [3, 4, 2]


async def test_token_is_bound_to_the_client_of_a_bound_resource(client: httpx.AsyncClient) -> None:
    target = "/mine/2026-11-28?limit=1"
    token = token_in(await client.get(target, headers=ACME))
    assert (await client.get(f"{target}&page_state={token}", headers=ACME)).status_code == 200
    found = await client.get(f"{target}&page_state={token}", headers={"X-User": "beta"})
    problem(found, 422, "invalid_page_state", "query.page_state")
    pages = "/mine/-/pages?day=2026-11-28&fetch_size=1"
    token = (await client.get(pages, headers=ACME)).json()["page_state"]
    assert (await client.get(f"/mine/-/pages?page_state={token}", headers=ACME)).json()["rows"][0]["n"] == 3
    found = await client.get(f"/mine/-/pages?page_state={token}", headers={"X-User": "beta"})
    problem(found, 422, "invalid_page_state", "query.page_state")


def tampered(token: str) -> list[str]:
    middle = len(token) // 2
    other = "A" if token[middle] != "A" else "B"
    return [
        "",
        token[:-1],
        token + "A",
        token + "=",
        token[:middle] + other + token[middle + 1 :],
        token[::-1],
        token.lower(),
        token + "\u00e9",
        "AQ" + "A" * 60,
        "x" * 5000,
        "0",
        "null",
    ]


@pytest.mark.parametrize("target", ["/events?limit=1", "/events/-/pages?fetch_size=1", "/events/-/partitions?limit=1"])
async def test_tampered_tokens_are_422(client: httpx.AsyncClient, target: str) -> None:
    first = await client.get(target)
    token = first.json()["page_state"] if "pages" in target else token_in(first)
    for text in tampered(token):
        continued = f"{target}&{urlencode({'page_state': text})}"
        assert (await client.head(continued)).status_code == 422
        problem(await client.get(continued), 422, "invalid_page_state", "query.page_state")
    # Garbage never reached Cassandra, which would have closed the connection.
    assert (await client.get(target)).status_code == 200


@pytest.mark.parametrize("target", ["/events?limit=1", "/events/-/pages?fetch_size=1"])
async def test_token_given_twice_is_422(client: httpx.AsyncClient, target: str) -> None:
    first = await client.get(target)
    token = first.json()["page_state"] if "pages" in target else token_in(first)
    twice = await client.get(f"{target}&page_state={token}&page_state={token}")
    problem(twice, 422, "invalid_input", "query.page_state")


async def test_token_is_no_cassandra_state_and_names_no_key(client: httpx.AsyncClient) -> None:
    token = token_in(await client.get("/events/acme/2026-11-28?limit=1"))
    assert "acme" not in token
    assert token.isascii()


async def test_limit_of_a_list_may_change_between_its_pages(client: httpx.AsyncClient) -> None:
    token = token_in(await client.get("/events/acme/2026-11-28?limit=1"))
    found = await client.get(f"/events/acme/2026-11-28?limit=3&page_state={token}")
    assert numbers(found.json()) == [3, 4, 2]


# Pages


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", len(EVENT_ROWS)),
        ("fetch_size=1", len(EVENT_ROWS)),
        ("fetch_size=5", len(EVENT_ROWS)),
        ("fetch_size=4&limit=8", 8),
        ("fetch_size=3&limit=7", 7),
        ("fetch_size=5&limit=3", 3),
        ("limit=0", 0),
        ("limit=500&fetch_size=5", len(EVENT_ROWS)),
        ("kind=login&fetch_size=2", 6),
        ("kind=login&fetch_size=2&limit=5", 5),
        ("tenant=acme&day=2026-11-28&order=at&fetch_size=2", 5),
        ("n.gte=3&n.lt=9&fetch_size=2&limit=5", 5),
        ("per_partition_limit=1&fetch_size=2", 5),
    ],
)
@pytest.mark.parametrize("repeat", [False, True], ids=["token alone", "parameters repeated"])
async def test_pages_lead_to_each_row_once(client: httpx.AsyncClient, query: str, expected: int, repeat: bool) -> None:
    pages = [(await client.get(f"/events/-/pages?{query}")).json()]
    while pages[-1]["has_more"]:
        asked = f"{query}&" if repeat else ""
        pages.append((await client.get(f"/events/-/pages?{asked}page_state={pages[-1]['page_state']}")).json())
        assert len(pages) < 30
    rows = [row for page in pages for row in page["rows"]]
    assert len(set(numbers(rows))) == len(rows) == expected
    assert all(list(page) == ["rows", "has_more", "page_state"] for page in pages)
    size = int(parse_qs(query).get("fetch_size", ["1000"])[0])
    assert all(len(page["rows"]) <= size for page in pages)
    assert pages[-1]["page_state"] is None
    if "order=at" in query:
        assert [row["n"] for row in rows] == [1, 2, 4, 3, 5]


async def test_pages_keep_the_selected_columns(client: httpx.AsyncClient) -> None:
    first = (await client.get("/events/-/pages?select=n,kind&fetch_size=2&kind=login")).json()
    second = (await client.get(f"/events/-/pages?page_state={first['page_state']}")).json()
    assert all(list(row) == ["kind", "n"] for row in first["rows"] + second["rows"])
    assert {row["kind"] for row in second["rows"]} == {"login"}
    assert not {row["n"] for row in first["rows"]} & {row["n"] for row in second["rows"]}


async def test_fetch_size_may_change_between_pages(client: httpx.AsyncClient) -> None:
    first = (await client.get("/events/-/pages?fetch_size=2&limit=9")).json()
    second = (await client.get(f"/events/-/pages?fetch_size=5&page_state={first['page_state']}")).json()
    third = (await client.get(f"/events/-/pages?page_state={second['page_state']}")).json()
    assert [len(page["rows"]) for page in (first, second, third)] == [2, 5, 2]
    assert not third["has_more"]


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ("kind=logout", ["query.kind"]),
        ("limit=8", ["query.limit"]),
        ("order=at", ["query.order"]),
        ("select=kind", ["query.select"]),
        ("n=1&none=2", ["query.n", "query.none"]),
        ("kind=login&limit=9", []),
        ("fetch_size=3", []),
        ("fetch_size=0", ["query.fetch_size"]),
    ],
)
async def test_parameters_that_contradict_the_token_are_named(
    client: httpx.AsyncClient, more: str, fields: list[str]
) -> None:
    first = (await client.get("/events/-/pages?kind=login&limit=9&fetch_size=2")).json()
    found = await client.get(f"/events/-/pages?{more}&page_state={first['page_state']}")
    if fields:
        problem(found, 422, "invalid_input", *fields)
    else:
        assert found.status_code == 200, found.text


async def test_walk_goes_on_after_a_change_of_the_schema(
    client: httpx.AsyncClient, cql: Session, keyspace: str
) -> None:
    """Cassandra continues, whatever has become of the table; an answer has the declared columns."""
    walks = ("/events/-/pages?fetch_size=4&tenant=acme&day=2026-11-28", "/events/-/pages?fetch_size=4")
    before = [(await client.get(walk)).json() for walk in walks]
    for change in ("ADD more text", "DROP more"):
        cql.execute(f"ALTER TABLE {keyspace}.events {change}")
        for first in before:
            page = (await client.get(f"/events/-/pages?page_state={first['page_state']}")).json()
            assert numbers(page["rows"])
            assert not {*numbers(page["rows"])} & {*numbers(first["rows"])}


async def test_token_used_twice_gives_the_same_page(client: httpx.AsyncClient) -> None:
    token = (await client.get("/events/-/pages?fetch_size=3")).json()["page_state"]
    again = [(await client.get(f"/events/-/pages?page_state={token}")).json()["rows"] for _ in range(2)]
    assert again[0] == again[1] != []


# Streams


async def test_stream_is_an_array_by_default(client: httpx.AsyncClient) -> None:
    found = await client.get("/events/-/stream")
    assert found.headers["content-type"] == "application/json"
    assert found.headers["cache-control"] == "no-store"
    assert "Accept" in found.headers["vary"]
    assert "content-length" not in found.headers
    assert sorted(numbers(found.json())) == sorted(EVENT_ROWS)


SELECTED = {"tenant": "acme", "day": "2026-11-28", "select": "at,kind,n,tags,owner", "order": "at"}
NAMES = ("at", "kind", "n", "tags", "owner")
STREAMED = [{name: EVENT_ROWS[number][name] for name in NAMES} for number in (1, 2, 4, 3, 5)]


@pytest.mark.parametrize("by_accept", [False, True])
async def test_stream_in_each_format(client: httpx.AsyncClient, by_accept: bool) -> None:
    async def ask(name: str, media_type: str) -> bytes:
        query = SELECTED if by_accept else {**SELECTED, "format": name}
        headers = {"Accept": media_type if by_accept else "text/html"}
        found = await client.get("/events/-/stream", params=query, headers=headers)
        assert found.status_code == 200, found.text
        assert found.headers["content-type"].startswith(media_type)
        return found.content

    assert json.loads(await ask("json", "application/json")) == STREAMED
    lines = (await ask("ndjson", "application/x-ndjson")).splitlines()
    assert [json.loads(line) for line in lines] == STREAMED
    packed = await ask("msgpack", "application/vnd.msgpack")
    assert packed == b"".join(map(msgspec.msgpack.encode, STREAMED))
    table = list(csv.DictReader(io.StringIO((await ask("csv", "text/csv")).decode())))
    as_text = [{**row, "n": str(row["n"]), "tags": json.dumps(row["tags"])} for row in STREAMED]
    assert table == as_text


async def test_stream_without_an_accepted_format_is_406(client: httpx.AsyncClient) -> None:
    problem(await client.get("/events/-/stream", headers={"Accept": "image/png"}), 406, "not_acceptable")


async def test_stream_is_compressed_on_request(app: Starlette) -> None:
    exchange = Exchange("GET", "/events/-/stream", headers=[(b"accept-encoding", b"gzip")])
    await exchange.run(app)
    assert exchange.headers["content-encoding"] == "gzip"
    assert sorted(numbers(json.loads(gzip.decompress(b"".join(exchange.chunks))))) == sorted(EVENT_ROWS)


@pytest.mark.parametrize(
    ("size", "limit", "chunks"), [(4, None, [4, 4, 4]), (5, None, [5, 5, 2]), (5, 7, [5, 2]), (1, 3, [1, 1, 1])]
)
async def test_stream_has_one_chunk_for_each_page(
    app: Starlette, size: int, limit: int | None, chunks: list[int]
) -> None:
    query = f"fetch_size={size}" + (f"&limit={limit}" if limit is not None else "")
    exchange = Exchange("GET", "/events/-/stream", query=query.encode())
    await exchange.run(app)
    assert [count for chunk in exchange.chunks if (count := chunk.count(b'"tenant"'))] == chunks
    assert exchange.complete
    assert len(json.loads(b"".join(exchange.chunks))) == sum(chunks)


@pytest.mark.parametrize("names", [["kind"], ["owner", "n"], ["n", "tenant", "id"]])
async def test_selected_columns_are_in_the_tables_order(client: httpx.AsyncClient, names: list[str]) -> None:
    found = (await client.get(f"/events/-/stream?n=3&select={','.join(names)}")).json()
    assert found == [{name: value for name, value in EVENT_ROWS[3].items() if name in names}]
    assert list(found[0]) == [name for name in EVENT_ROWS[3] if name in names]


async def test_stream_of_a_bound_resource(client: httpx.AsyncClient) -> None:
    found = await client.get("/mine/-/stream?day=2026-11-28&format=csv", headers={"X-User": "beta"})
    assert found.text.splitlines()[0] == "day,at,id,kind,n,tags,owner"
    assert [line.split(",")[2] for line in found.text.splitlines()[1:]] == [str(uuid.UUID(int=n)) for n in (10, 9)]


async def test_wrong_stream_is_refused_before_it_begins(client: httpx.AsyncClient) -> None:
    problem(await client.get("/events/-/stream?limit=-1"), 422, "invalid_input", "query.limit")
    problem(await client.get("/events/-/stream?limit=9007199254740992"), 422, "invalid_input", "query.limit")
    problem(await client.get("/events/-/stream?at.gt=x"), 422, "invalid_input", "query.at.gt")
    problem(await client.get("/events/-/stream?select="), 422, "invalid_input", "query.select")
