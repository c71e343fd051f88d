"""A table full of deleted rows, on a node that does not wait long for them: no live row is lost."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from typing import Any

import httpx
import msgspec
import pytest
from cassandra import ReadFailure, ReadTimeout
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.metadata import Murmur3Token
from cassandra.query import SimpleStatement
from contract.resource_service import keyspace_with, serving_resources
from helpers.cassandra import connected
from helpers.service import settings_for
from helpers.waiting import seconds_until_status

from asgi_app import Resource
from asgi_app.local_node import LocalNode, NodeSpec, local_node, server
from asgi_app.tables.slices import slices

pytestmark = [pytest.mark.long, pytest.mark.anyio, pytest.mark.timeout(900)]

PARTITIONS, DELETED = 2_000, 100
"""Partitions, and deleted rows of each: 200,000 together."""
LIVE = 2_000
"""Rows that were not deleted, in partitions of their own and beside deleted ones."""

IMPATIENT = {"range_request_timeout": "60ms", "tombstone_failure_threshold": 50_000}
"""The first is too short for a page over all deleted rows, the second refuses such a page before that."""


class Note(msgspec.Struct):
    """A row."""

    id: uuid.UUID
    n: int
    text: str | None = None


NOTES = Resource(Note, "notes", partition_key=("id",), clustering=("n",))


@pytest.fixture(scope="module", params=sorted(IMPATIENT))
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNode]:
    """Run a node with one of the settings."""
    usual = server.cassandra_yaml
    with pytest.MonkeyPatch.context() as patch:
        changed = {request.param: IMPATIENT[request.param]}
        patch.setattr(server, "cassandra_yaml", lambda spec, ports: usual(spec, ports) | changed)
        with local_node(NodeSpec(data=tmp_path_factory.mktemp("node"), throwaway=True)) as node:
            yield node


@pytest.fixture(scope="module")
def session(node: LocalNode) -> Iterator[Session]:
    with connected(node.host, node.port) as session:
        yield session


@pytest.fixture(scope="module")
def notes(session: Session) -> Iterator[tuple[str, list[str]]]:
    """Create the table; return its keyspace, and the ids of the live rows in the order of their tokens."""
    with keyspace_with(session, [NOTES]) as name:
        ids = [uuid.uuid4() for _ in range(PARTITIONS)]
        delete = f"DELETE FROM {name}.notes WHERE id = ? AND n = "
        batch = f"BEGIN UNLOGGED BATCH {' '.join(f'{delete}{n};' for n in range(DELETED))} APPLY BATCH"
        execute_concurrent_with_args(
            session, session.prepare(batch), [(each,) * DELETED for each in ids], concurrency=8
        )
        live = [*ids[: LIVE // 2], *(uuid.uuid4() for _ in range(LIVE // 2))]
        insert = session.prepare(f"INSERT INTO {name}.notes (id, n, text) VALUES (?, {DELETED}, 'live')")
        execute_concurrent_with_args(session, insert, [(each,) for each in live], concurrency=50)
        yield name, [str(each) for each in sorted(live, key=lambda each: Murmur3Token.hash_fn(each.bytes))]


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, node: LocalNode, notes: tuple[str, list[str]]) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_resources(settings_for((node.host, node.port), notes[0]), [NOTES]) as (_, client):
        await seconds_until_status(client, ["/readyz"], 200, at_most=60)  # the node is impatient with the driver too
        yield client


def test_one_page_of_everything_fails(session: Session, notes: tuple[str, list[str]]) -> None:
    with pytest.raises((ReadTimeout, ReadFailure)):
        session.execute(SimpleStatement(f"SELECT * FROM {notes[0]}.notes", fetch_size=LIVE), timeout=60)


async def test_a_stream_has_every_live_row_in_order(client: httpx.AsyncClient, notes: tuple[str, list[str]]) -> None:
    assert await ids(client, "stream", fetch_size=5000) == notes[1]
    assert await ids(client, "stream", fetch_size=100) == notes[1]


async def test_slices_have_every_live_row_in_order(client: httpx.AsyncClient, notes: tuple[str, list[str]]) -> None:
    found = [await ids(client, "stream", slice=str(part), fetch_size=5000) for part in slices(3)]
    assert list(chain(*found)) == notes[1]


async def test_an_export_has_every_live_row_once(client: httpx.AsyncClient, notes: tuple[str, list[str]]) -> None:
    assert sorted(await ids(client, "export.json", fetch_size=5000, parallel=4)) == sorted(notes[1])


async def ids(client: httpx.AsyncClient, verb: str, **params: Any) -> list[str]:
    answer = await client.get(f"/notes/-/{verb}", params=params)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in json.loads(answer.content)]
