"""A keyspace for the run, an application for each module, and what a test needs to look behind its back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import connected, own_keyspace
from helpers.service import serving, settings_for
from starlette.applications import Starlette

from asgi_app.settings import Settings


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
    """This run's keyspace, with the three tables."""
    with own_keyspace(cql) as name:
        yield name


@pytest.fixture(scope="session")
def settings(node_address: tuple[str, int], keyspace: str) -> Settings:
    return settings_for(node_address, keyspace)


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
def users(keyspace: str) -> str:
    """The table's name in CQL."""
    return f"{keyspace}.users"


@pytest.fixture
def no_users(cql: Session, users: str) -> None:
    """The table, emptied."""
    cql.execute(f"TRUNCATE {users}")
