"""Two keyspaces for the run, one with many users that nobody changes and one to write in, and applications on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import connected, own_keyspace
from helpers.service import serving, settings_for
from starlette.applications import Starlette

from asgi_app.seeding import seed
from asgi_app.settings import Settings
from streams.stored import User, stored_users

MANY = 100_000


@pytest.fixture(scope="module")
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """asyncio, unless a test is marked `every_loop`."""
    return getattr(request, "param", ("asyncio", {"use_uvloop": False}))


@pytest.fixture(scope="session")
def cql(node_address: tuple[str, int]) -> Iterator[Session]:
    """The tests' own driver session."""
    with connected(*node_address) as session:
        yield session


@pytest.fixture(scope="session")
def keyspace(cql: Session) -> Iterator[str]:
    """A keyspace to write in."""
    with own_keyspace(cql) as name:
        yield name


@pytest.fixture(scope="session")
def crowded(cql: Session) -> Iterator[str]:
    """A keyspace with `MANY` users, which no test changes."""
    with own_keyspace(cql) as name:
        seed(cql, name, MANY, lambda _: None)
        yield name


@pytest.fixture(scope="session")
def crowd(cql: Session, crowded: str) -> list[User]:
    """The users of the crowded keyspace as the driver reads them, in the order of their tokens."""
    return stored_users(cql, f"{crowded}.users")


@pytest.fixture(scope="session")
def settings(node_address: tuple[str, int], keyspace: str) -> Settings:
    return settings_for(node_address, keyspace)


@pytest.fixture(scope="session")
def crowded_settings(node_address: tuple[str, int], crowded: str) -> Settings:
    return settings_for(node_address, crowded)


@pytest.fixture(scope="module")
async def service(anyio_backend: Any, settings: Settings) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    async with serving(settings) as started:
        yield started


@pytest.fixture
def app(service: tuple[Starlette, httpx.AsyncClient]) -> Starlette:
    return service[0]


@pytest.fixture
def client(service: tuple[Starlette, httpx.AsyncClient]) -> httpx.AsyncClient:
    return service[1]


@pytest.fixture
def users(cql: Session, keyspace: str) -> str:
    """The table's name in CQL; the table is empty."""
    table = f"{keyspace}.users"
    cql.execute(f"TRUNCATE {table}")
    return table
