"""Where keys are required, a client without one does not learn which tables there are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from cassandra.cluster import Session
from helpers.problems import problem
from starlette.requests import HTTPConnection

from asgi_app.errors import Unauthorized
from asgi_app.http.auth import Action, Principal
from asgi_app.settings import Secret
from asgi_app.tables.resource import Resource
from contract.live_service import keyspace_of, live_service, served_as

pytestmark = pytest.mark.anyio

EVERYTHING, OTHER = "E" * 40, "O" * 40
KEYS = (Secret(f"all:read+write:{EVERYTHING}"), Secret(f"other:read.other+write.other:{OTHER}"))
READER = {"x-api-key": EVERYTHING}

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "STRANGE")
PATHS = ("", "/", "/1", "/1/2/3", "/-/stream", "/-/row?id=1", "/-/nothing", "/-/export.csv")


class Word(msgspec.Struct):
    id: int
    n: int | None = None


@pytest.fixture(scope="module")
def keyspace(cql: Session) -> Iterator[str]:
    tables = [f"CREATE TABLE {{ks}}.{name} (id int PRIMARY KEY, n int)" for name in ("things", "words", "seen")]
    with keyspace_of(cql, *tables) as name:
        yield name


@asynccontextmanager
async def service_with(
    node: tuple[str, int], keyspace: str, *, own_hook: bool = False, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the live tables, a declared one, and a live one that can only be read."""
    options: dict[str, Any] = {"resources": [Resource(Word, "words", partition_key=("id",))]}
    if own_hook:
        options["authorize"] = hook
    else:
        settings["api_keys"] = KEYS
    async with live_service(node, keyspace, options=options, **({"writable": ("things",)} | settings)) as (_, client):
        client.headers.update(READER)
        for name in ("things", "words"):
            await served_as(client, f"/{name}", 200)
        del client.headers["x-api-key"]
        yield client


def hook(connection: HTTPConnection, action: Action) -> Principal:
    if connection.headers.get("x-api-key") != EVERYTHING:
        raise Unauthorized
    return Principal("all")


@pytest.mark.parametrize("own_hook", [False, True])
@pytest.mark.parametrize("method", METHODS)
async def test_without_a_key_every_name_has_the_same_answer(
    node_address: tuple[str, int], keyspace: str, method: str, own_hook: bool
) -> None:
    async with service_with(node_address, keyspace, own_hook=own_hook) as client:
        for path in PATHS:
            for name in ("things", "seen", "words", "nothing"):
                answer = await client.request(method, f"/{name}{path}")
                assert answer.status_code == 401, (method, name, path)
                if method != "HEAD":
                    problem(answer, 401, "unauthorized")


@pytest.mark.parametrize("method", METHODS)
async def test_a_key_for_another_table_does_not_tell_either(
    node_address: tuple[str, int], keyspace: str, method: str
) -> None:
    async with service_with(node_address, keyspace) as client:
        for path in PATHS:
            for name in ("things", "seen", "words", "nothing"):
                answer = await client.request(method, f"/{name}{path}", headers={"x-api-key": OTHER})
                assert answer.status_code == 403, (method, name, path)


async def test_who_may_know_is_told(node_address: tuple[str, int], keyspace: str) -> None:
    async with service_with(node_address, keyspace) as client:
        client.headers.update(READER)
        problem(await client.get("/nothing"), 404, "not_found")
        problem(await client.put("/nothing/1", json={}), 404, "not_found")
        refused = await client.put("/seen/1", json={})
        problem(refused, 405, "method_not_allowed")
        assert refused.headers["allow"] == "GET, HEAD"
        assert (await client.get("/things/")).json()["detail"].endswith("without the slash at the end of this path.")


async def test_names_of_settings_are_not_told_either(node_address: tuple[str, int], keyspace: str) -> None:
    async with service_with(node_address, keyspace, tables=("things", "absent"), writable=()) as client:
        for name in ("things", "absent", "seen", "nothing"):
            problem(await client.get(f"/{name}"), 401, "unauthorized")


async def test_without_keys_nothing_is_asked_for(node_address: tuple[str, int], keyspace: str) -> None:
    async with live_service(node_address, keyspace) as (_, client):
        await served_as(client, "/things", 200)
        problem(await client.get("/nothing"), 404, "not_found")
        problem(await client.request("STRANGE", "/things"), 405, "method_not_allowed")
