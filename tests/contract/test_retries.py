"""Only idempotent statements are retried, within their deadline: a real node behind a proxy that injects errors."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from cassandra import OperationTimedOut
from cassandra.cluster import Session
from helpers.cassandra import connected, count
from helpers.faulty_node import (
    BATCH,
    EXECUTE,
    FaultyNode,
    faulty_node,
    overloaded,
    read_timeout,
    server_error,
    unavailable,
    write_timeout,
)
from helpers.figures import scrape
from helpers.problems import problem
from helpers.service import client_of, serving, settings_for

from asgi_app.app import create_app
from asgi_app.runtime.retries import MAX_REFUSALS
from asgi_app.settings import Settings
from contract.samples import ADA, BO

pytestmark = pytest.mark.anyio

TIMEOUT = {"X-Request-Timeout": "1.2"}
SOON = 10.0
"""Seconds a request may take, even on a busy machine. The default deadline is three times that."""


@pytest.fixture
def node(node_address: tuple[str, int]) -> Iterator[FaultyNode]:
    with faulty_node(node_address) as proxy:
        yield proxy


@pytest.fixture
async def own(node: FaultyNode, keyspace: str) -> AsyncIterator[httpx.AsyncClient]:
    """A service with its own session, whose statements on `users` are prepared."""
    async with serving(settings_for(("127.0.0.1", node.port), keyspace)) as (_, client):
        await prepare_all(client)
        yield client


@pytest.fixture(params=["own", "borrowed"])
async def either(
    request: pytest.FixtureRequest, anyio_backend: Any, node: FaultyNode, keyspace: str
) -> AsyncIterator[httpx.AsyncClient]:
    """A service with its own session, and one with a session of the caller."""
    settings = settings_for(("127.0.0.1", node.port), keyspace)
    if request.param == "own":
        async with serving(settings) as (_, client):
            await prepare_all(client)
            yield client
        return
    with connected("127.0.0.1", node.port) as session:
        app = create_app(settings, session=session)
        async with app.router.lifespan_context(app), client_of(app) as client:
            await prepare_all(client)
            yield client


async def prepare_all(client: httpx.AsyncClient) -> None:
    user = (await client.post("/users/batch", json=[ADA])).json()["users"][0]
    assert (await client.patch(f"/users/{user['id']}", json={"age": 3})).status_code == 200
    assert (await client.delete(f"/users/{user['id']}")).status_code == 204


async def retries(client: httpx.AsyncClient, reason: str) -> float:
    return (await scrape(client)).of("cassandra_retries_total", reason=reason)


async def test_a_batch_is_retried_after_a_timeout_of_its_log(
    either: httpx.AsyncClient, node: FaultyNode, cql: Session, users: str
) -> None:
    before = count(cql, users)
    node.fail(BATCH, *[write_timeout("BATCH_LOG")] * 2)
    response = await either.post("/users/batch", json=[ADA, BO])
    assert response.status_code == 201, response.text
    assert node.asked[BATCH] == 3
    assert count(cql, users) == before + 2
    assert await retries(either, "write_timeout") >= 2


@pytest.mark.parametrize("write_type", ["SIMPLE", "BATCH", "BATCH_LOG", "UNLOGGED_BATCH"])
async def test_a_creation_is_retried_after_each_type_of_write_timeout(
    own: httpx.AsyncClient, node: FaultyNode, write_type: str
) -> None:
    node.fail(EXECUTE, write_timeout(write_type))
    created = await own.post("/users", json=ADA)
    assert created.status_code == 201, created.text
    assert (await own.get(created.headers["location"])).json() == created.json()


async def test_a_batch_that_always_times_out_ends_with_its_deadline_and_an_unknown_outcome(
    either: httpx.AsyncClient, node: FaultyNode, cql: Session, users: str
) -> None:
    before = count(cql, users)
    node.fail(BATCH, write_timeout("BATCH_LOG"), always=True)
    began = time.monotonic()
    response = await either.post("/users/batch", json=[ADA], headers=TIMEOUT)
    assert time.monotonic() - began < SOON
    problem(response, 504, "write_timeout", outcome="unknown")
    assert 2 <= node.asked[BATCH] <= 6  # the pauses double
    assert count(cql, users) == before


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (read_timeout(), "read_timeout"),
        (unavailable(), "unavailable"),
        (overloaded(), "request_error"),
        (server_error(), "request_error"),
    ],
    ids=["read timeout", "unavailable", "overloaded", "server error"],
)
async def test_a_read_is_retried_after_each_transient_failure(
    own: httpx.AsyncClient, node: FaultyNode, fault: bytes, reason: str
) -> None:
    user = (await own.post("/users", json=ADA)).headers["location"]
    node.fail(EXECUTE, fault, fault)
    assert (await own.get(user)).status_code == 200
    assert node.asked[EXECUTE] == 3
    assert await retries(own, reason) >= 2


async def test_a_list_is_retried_while_replicas_time_out(own: httpx.AsyncClient, node: FaultyNode) -> None:
    await own.get("/users")
    node.fail(EXECUTE, *[read_timeout()] * 4)
    assert (await own.get("/users")).status_code == 200
    assert node.asked[EXECUTE] >= 5


async def test_refusals_end_the_retries_early(own: httpx.AsyncClient, node: FaultyNode) -> None:
    user = (await own.post("/users", json=ADA)).headers["location"]
    node.fail(EXECUTE, overloaded(), always=True)
    began = time.monotonic()
    problem(await own.get(user), 503, "cassandra_unavailable")
    assert time.monotonic() - began < SOON
    assert node.asked[EXECUTE] == MAX_REFUSALS


@pytest.mark.parametrize(
    ("fault", "status", "code", "outcome"),
    [
        (write_timeout("CAS"), 504, "write_timeout", "unknown"),
        (write_timeout("SIMPLE"), 504, "write_timeout", "unknown"),
        (server_error(), 503, "cassandra_unavailable", "unknown"),
        (unavailable(), 503, "consistency_unavailable", None),
    ],
    ids=["timeout CAS", "timeout SIMPLE", "server error", "unavailable"],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_conditional_write_is_never_retried(
    either: httpx.AsyncClient, node: FaultyNode, method: str, fault: bytes, status: int, code: str, outcome: str | None
) -> None:
    user = (await either.post("/users", json=ADA)).headers["location"]
    await either.put(user, json=BO)
    node.fail(EXECUTE, fault, always=True)
    body = None if method == "DELETE" else ADA if method == "PUT" else {"age": 3}
    problem(await either.request(method, user, json=body), status, code, outcome=outcome)
    assert node.asked[EXECUTE] == 1


async def test_the_outcome_stays_unknown_if_the_retry_is_refused(own: httpx.AsyncClient, node: FaultyNode) -> None:
    asked = own.post("/users", json=ADA, headers={"X-Request-Timeout": "5"})
    node.fail(EXECUTE, write_timeout("SIMPLE"), unavailable(), always=True)
    problem(await asked, 503, "consistency_unavailable", outcome="unknown")


@pytest.mark.parametrize(("failures", "status"), [(2, 200), (3, 504)])
async def test_preparing_is_retried_if_a_node_does_not_answer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, failures: int, status: int
) -> None:
    """The driver would wait ten seconds for a node that hangs; here it reports that at once."""
    async with serving(settings) as (app, client):
        session = app.state.database.session
        outcomes = [*[OperationTimedOut] * failures, session.prepare]
        monkeypatch.setattr(session, "prepare", lambda cql: raise_or_call(outcomes.pop(0), cql))
        assert (await client.get("/users?limit=1")).status_code == status


def raise_or_call(outcome: Any, cql: str) -> Any:
    if outcome is OperationTimedOut:
        raise OperationTimedOut
    return outcome(cql)
