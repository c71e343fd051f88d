"""Shared fixtures and hooks: one real Cassandra for the whole run, event loops, markers, hypothesis."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import hypothesis
import pytest
from cassandra.cluster import Session
from helpers.budgets import TimeBudgets
from helpers.cassandra import NODE_VARIABLE, connected, own_keyspace
from helpers.loops import LOOPS
from helpers.service import serving, settings_for
from starlette.applications import Starlette

from asgi_app.local_node import NodeSpec, local_node
from asgi_app.settings import Settings

WORKERS_NODE = "cassandra_node"
HEAP = "768m"
"""Java's heap: more than the demo's, because all tests of a run share the node."""

NodeAddress = tuple[str, int]
_SHARED = pytest.StashKey[NodeAddress]()


@pytest.fixture(scope="session")
def node_address(request: pytest.FixtureRequest) -> Iterator[NodeAddress]:
    """Host and port of a running node, which all tests share. A test that needs a keyspace to itself creates one."""
    named = os.environ.get(NODE_VARIABLE)
    shared = getattr(request.config, "workerinput", {}).get(WORKERS_NODE)
    if named:
        yield _running_node(named)
    elif shared:
        yield shared
    else:
        with own_node() as address:
            yield address


@contextmanager
def own_node() -> Iterator[NodeAddress]:
    """Run a node for this run, and return its address."""
    with TemporaryDirectory() as data, local_node(NodeSpec(data=Path(data), heap=HEAP, throwaway=True)) as node:
        yield node.host, node.port


@pytest.hookimpl(optionalhook=True)  # it is a hook of pytest-xdist
def pytest_configure_node(node: Any) -> None:
    """Give each worker process of pytest-xdist the address of the node that they share; start it before the first."""
    if NODE_VARIABLE not in os.environ:
        node.workerinput[WORKERS_NODE] = _shared_node(node.config)


def _shared_node(config: pytest.Config) -> NodeAddress:
    """Return the address of this run's node, which ends with the run."""
    if _SHARED not in config.stash:
        running = ExitStack()
        config.add_cleanup(running.close)
        config.stash[_SHARED] = running.enter_context(own_node())
    return config.stash[_SHARED]


def _running_node(named: str) -> NodeAddress:
    """Return the address `named`. Fails the run if nothing listens there, rather than booting another node."""
    host, _, port = named.rpartition(":")
    if not host or not port.isdigit():
        pytest.fail(f"{NODE_VARIABLE} must be host:port.")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        pytest.fail(f"{NODE_VARIABLE}: nothing answers at {named} ({error}).")
    return host, int(port)


EVERY_LOOP_FOLDERS = frozenset({"driver", "http", "runtime", "tables", "telemetry"})
"""Folders whose async tests run on every event loop, unless a test or module has the marker `loops`."""


def pytest_configure(config: pytest.Config) -> None:
    """Report the time of each suite; make property tests independent of other load and of what other threads do."""
    config.pluginmanager.register(TimeBudgets(), "time budgets")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts its background jobs so, and tests inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    profile = hypothesis.settings.register_profile
    profile("tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    profile("fast", hypothesis.settings.get_profile("tests"), max_examples=10)  # for scripts/test-fast
    hypothesis.settings.load_profile("tests")
    # Hypothesis compares the global random state before and after each draw. The driver's threads use it too.
    config.addinivalue_line("filterwarnings", "ignore:Do not use the `random` module inside strategies")


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that needs a Cassandra node as `cassandra`."""
    for item in items:
        if "node_address" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cassandra)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run an async test on the event loops that its marker `loops` names, in `EVERY_LOOP_FOLDERS` on all of them."""
    if "anyio_backend" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("loops")
    in_every_loop_folder = metafunc.definition.path.parent.name in EVERY_LOOP_FOLDERS
    names = marker.args if marker is not None else tuple(LOOPS) if in_every_loop_folder else ()
    if names:
        loops = [LOOPS[name] for name in names]
        metafunc.parametrize("anyio_backend", loops, ids=names, scope="module", indirect=True)


@pytest.fixture(scope="module")
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The event loop of an async test: asyncio, unless it is parametrized by the marker `loops` or its folder."""
    return getattr(request, "param", LOOPS["asyncio"])


@pytest.fixture(scope="session")
def cql(node_address: tuple[str, int]) -> Iterator[Session]:
    """A driver session of the tests, beside the application's."""
    with connected(*node_address) as session:
        yield session


@pytest.fixture(scope="session")
def keyspace(cql: Session) -> Iterator[str]:
    """The name of this run's keyspace, which has the three tables."""
    with own_keyspace(cql) as name:
        yield name


@pytest.fixture(scope="session")
def settings(node_address: tuple[str, int], keyspace: str) -> Settings:
    """Settings for the node and this run's keyspace."""
    return settings_for(node_address, keyspace)


@pytest.fixture(scope="module")
async def service(anyio_backend: Any, settings: Settings) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    """A running application and a client of it, shared by the tests of a module."""
    async with serving(settings) as started:
        yield started


@pytest.fixture
def app(service: tuple[Starlette, httpx.AsyncClient]) -> Starlette:
    """The running application."""
    return service[0]


@pytest.fixture
def client(service: tuple[Starlette, httpx.AsyncClient]) -> httpx.AsyncClient:
    """A client of the running application."""
    return service[1]
