"""Materialized views are read-only. They are off in a fresh Cassandra 5, so these tests boot a node that has them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from helpers.cassandra import connected
from helpers.problems import problem
from helpers.service import settings_for
from starlette.applications import Starlette

from asgi_app.local_node import NodeSpec, local_node
from asgi_app.tables.resource import Resource
from contract.live_service import live_service, served_as
from contract.resource_service import keyspace_with, serving_resources

pytestmark = [pytest.mark.anyio, pytest.mark.long]


class Note(msgspec.Struct):
    """A row of the table and of its view."""

    id: int
    kind: str
    body: str | None = None


NOTES = Resource(Note, "notes", partition_key=("id",))
BY_KIND = Resource(Note, "by_kind", partition_key=("kind",), clustering=("id",), batch="per_row", delete_prefix=True)
VIEW = (
    "CREATE MATERIALIZED VIEW {ks}.by_kind AS SELECT * FROM {ks}.notes"
    " WHERE kind IS NOT NULL AND id IS NOT NULL PRIMARY KEY (kind, id)"
)
ROWS = [{"id": number, "kind": "a" if number < 3 else "b", "body": f"n{number}"} for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[tuple[str, int], str]]:
    """The address of a node, and a keyspace with a table and its view."""
    inserts = [
        f"INSERT INTO {{ks}}.notes (id, kind, body) VALUES ({row['id']}, '{row['kind']}', '{row['body']}')"
        for row in ROWS
    ]
    with local_node(NodeSpec(data=tmp_path_factory.mktemp("views"), throwaway=True)) as node:
        with connected(node.host, node.port) as session, keyspace_with(session, [NOTES], VIEW, *inserts) as name:
            yield (node.host, node.port), name


@pytest.fixture(scope="module")
async def service(
    anyio_backend: Any, served: tuple[tuple[str, int], str]
) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    """A running application, and a client of it."""
    async with serving_resources(settings_for(*served), [NOTES, BY_KIND]) as started:
        yield started


async def test_view_of_the_live_schema_is_read_only(served: tuple[tuple[str, int], str]) -> None:
    async with live_service(*served) as (service, client):
        rows = (await served_as(client, "/by_kind/a", 200)).json()
        assert rows == [{key: row[key] for key in ("kind", "id", "body")} for row in ROWS if row["kind"] == "a"]
        assert service.catalog.offer.notes == {"by_kind": "read-only: it is a materialized view"}
        problem(await client.delete("/by_kind/a/1"), 405, "method_not_allowed")
        assert (await client.patch("/notes/9", json={"body": "new"})).status_code == 204
        assert (await client.delete("/notes/9")).status_code == 204


async def test_view_is_read_as_a_table_is(client: httpx.AsyncClient) -> None:
    assert (await client.get("/by_kind/a")).json() == ROWS[:2]
    assert (await client.get("/by_kind/a?order=-id&limit=1")).json() == ROWS[1:2]
    assert (await client.get("/by_kind/b/3")).json() == ROWS[2]
    assert len((await client.get("/by_kind/-/stream")).json()) == len(ROWS)
    assert len((await client.get("/by_kind/-/pages")).json()["rows"]) == len(ROWS)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/by_kind"),
        ("POST", "/by_kind/-/batch"),
        ("PUT", "/by_kind/a/1"),
        ("DELETE", "/by_kind/a/1"),
        ("DELETE", "/by_kind/a"),
        ("PUT", "/by_kind/-/row?kind=a&id=1"),
    ],
)
async def test_view_is_read_only(client: httpx.AsyncClient, method: str, target: str) -> None:
    refused = await client.request(method, target, json=ROWS[0])
    allow = "" if target.endswith("/batch") else "GET, HEAD"
    assert (refused.status_code, refused.headers.get("allow")) == (405, allow), refused.text
    assert refused.json()["detail"].startswith(f"This resource answers {allow or 'no method'}. ")
    assert (await client.get("/by_kind/a")).json() == ROWS[:2]


async def test_table_of_a_view_is_written(client: httpx.AsyncClient) -> None:
    row = {"id": 4, "kind": "c", "body": None}
    assert (await client.post("/notes", json=row)).status_code == 201
    assert (await client.get("/by_kind/c")).json() == [row]
