"""Cassandra refuses what the role of the service may not do: a table, or the schema. Never a 500."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from cassandra.cluster import Session
from helpers.faulty_node import EXECUTE, FaultyNode, faulty_node, not_permitted
from helpers.problems import problem
from helpers.waiting import eventually

from contract.live_service import keyspace_of, live_service, served_as

pytestmark = pytest.mark.anyio


@pytest.fixture
def node(node_address: tuple[str, int]) -> Iterator[FaultyNode]:
    with faulty_node(node_address) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def keyspace(cql: Session) -> Iterator[str]:
    with keyspace_of(cql, "CREATE TABLE {ks}.things (id int PRIMARY KEY, n int)") as name:
        yield name


async def test_statement_that_is_not_permitted_is_sent_once(node: FaultyNode, keyspace: str) -> None:
    async with live_service(("127.0.0.1", node.port), keyspace) as (service, client):
        await served_as(client, "/things", 200)
        assert (await client.get("/things/1")).status_code == 404
        assert (await client.put("/things/1", json={"n": 1})).status_code == 204
        node.fail(EXECUTE, not_permitted())
        problem(await client.get("/things/1"), 503, "not_permitted")
        node.fail(EXECUTE, not_permitted())
        problem(await client.put("/things/1", json={"n": 2}), 503, "not_permitted")
        assert (await client.get("/things/1")).json() == {"id": 1, "n": 1}
        assert service.catalog.live.keys() == {"things"}


async def test_schema_that_may_not_be_read(node: FaultyNode, keyspace: str, caplog: pytest.LogCaptureFixture) -> None:
    def warnings() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.name == "asgi_app.catalog"]

    node.fail(EXECUTE, not_permitted(), always=True)
    with caplog.at_level(logging.WARNING, "asgi_app.catalog"):
        async with live_service(("127.0.0.1", node.port), keyspace) as (service, client):
            await eventually(lambda: bool(warnings()))
            problem(await client.get("/things"), 503, "not_permitted")
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/readyz")).status_code == 503
            assert not service.catalog.was_read
            node.fail(EXECUTE)
            await served_as(client, "/things", 200)
    (warning,) = warnings()
    assert "code=2100" in warning
