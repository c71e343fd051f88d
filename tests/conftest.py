"""One real Cassandra for the whole run, booted by the first test that asks for it, and what most tests need on it."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import connected, own_keyspace
from helpers.loops import EVERY_LOOP
from helpers.service import serving, settings_for
from starlette.applications import Starlette

from asgi_app.local_node import NodeSpec, local_node
from asgi_app.settings import Settings

NODE_VARIABLE = "TEST_CASSANDRA_NODE"
"""Names a node to use (host:port) in place of a fresh one, which saves its boot while you work on the tests."""

NodeAddress = tuple[str, int]


@pytest.fixture(scope="session")
def node_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeAddress]:
    """Host and port of a running node, the same for every test: give each suite a keyspace of its own."""
    named = os.environ.get(NODE_VARIABLE)
    if named:
        yield _running_node(named)
        return
    # More heap than a demo has: the suites of the whole run share this node.
    spec = NodeSpec(data=tmp_path_factory.mktemp("cassandra"), heap="768m")
    with local_node(spec) as node:
        yield node.host, node.port


def _running_node(named: str) -> NodeAddress:
    """The address that the variable names. Fails the run where nothing listens, which is what was asked for."""
    host, _, port = named.rpartition(":")
    if not host or not port.isdigit():
        pytest.fail(f"{NODE_VARIABLE} must be host:port.")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        pytest.fail(f"{NODE_VARIABLE}: nothing answers at {named} ({error}).")
    return host, int(port)


ROOMS = frozenset({"driver", "http", "runtime", "tables", "telemetry"})
"""Folders of tests whose async tests run on every event loop that the service supports."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the async tests of `ROOMS` on every event loop, except those of a module that chooses its own."""
    chooses = hasattr(metafunc.module, "anyio_backend")
    if "anyio_backend" in metafunc.fixturenames and metafunc.definition.path.parent.name in ROOMS and not chooses:
        metafunc.parametrize("anyio_backend", EVERY_LOOP, indirect=True)


@pytest.fixture(scope="module")
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Return the event loop of an async test: asyncio, unless the test asks for another one."""
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
