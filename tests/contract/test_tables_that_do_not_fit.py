"""Resources whose tables are missing or differ: the service says which and why, and serves all others."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from cassandra.cluster import Session
from helpers.cassandra import own_keyspace
from helpers.problems import problem
from helpers.service import client_of, settings_for
from helpers.waiting import eventually

from asgi_app import Resource, create_app

pytestmark = pytest.mark.anyio


class Thing(msgspec.Struct):
    id: int
    name: str | None = None


NAMES = ("absent", "differing", "sound")


@pytest.fixture(scope="module")
def tables(cql: Session) -> Iterator[str]:
    with own_keyspace(cql, ()) as name:
        cql.execute(f"CREATE TABLE {name}.differing (id int PRIMARY KEY, name blob)")
        cql.execute(f"CREATE TABLE {name}.sound (id int PRIMARY KEY, name text, more int)")
        yield name


@pytest.fixture
async def client(anyio_backend: Any, node_address: tuple[str, int], tables: str) -> AsyncIterator[httpx.AsyncClient]:
    resources = [Resource(Thing, name, partition_key=("id",)) for name in NAMES]
    app = create_app(settings_for(node_address, tables), resources=resources)
    async with app.router.lifespan_context(app), client_of(app) as started:
        yield started


async def test_log_says_what_is_not_served_and_why(
    caplog: pytest.LogCaptureFixture, client: httpx.AsyncClient, tables: str
) -> None:
    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "asgi_app.catalog"]

    with caplog.at_level(logging.WARNING):
        await eventually(lambda: len(lines()) == 2)
    assert sorted(lines()) == [
        f"absent is not served: there is no table {tables}.absent: "
        "`asgi-cassandra schema --resources module:name` creates it",
        f"differing is not served: columns are missing or of another type or place in {tables}.differing: "
        "name (is blob, declared as text)",
    ]


async def test_answers_name_the_columns_and_all_others_are_served(client: httpx.AsyncClient) -> None:
    absent = problem(await client.get("/absent"), 503, "schema_missing")
    assert absent["detail"] == "The table of this resource does not exist. Its declaration has the columns: id, name."
    differing = problem(await client.get("/differing"), 503, "schema_missing")
    assert differing["detail"] == "The table of this resource does not fit its declaration in the columns: name."
    assert (await client.get("/sound")).json() == []
    ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["unserved"] == {"absent": ["id", "name"], "differing": ["name"]}
