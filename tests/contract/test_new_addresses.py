"""Every node gets a new address behind the same name, as when containers are restarted elsewhere.

The node is real. Its addresses are forwarders to it, and the test resolves the name.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import httpx
import psutil
import pytest
from cassandra.cluster import Cluster
from helpers.cassandra import DDL_TIMEOUT
from helpers.figures import scrape
from helpers.forwarder import Forwarder, forwarder
from helpers.ports import free_port
from helpers.problems import problem
from helpers.service import client_of, settings_for
from helpers.waiting import eventually, in_thread, seconds_until_status
from starlette.applications import Starlette

from asgi_app.app import create_app
from asgi_app.driver import session as connection
from contract.samples import ADA, every_loop

pytestmark = pytest.mark.anyio

NAME = "cassandra.test"
OLD, NEW = "127.0.0.2", "127.0.0.3"

SLACK = 5.0
"""Seconds that a busy machine may take to connect."""

Address = tuple[str, int]


class Names:
    """Resolves `NAME` to `address` in this process and counts how often. Other names are resolved by the system."""

    def __init__(self, resolve: Callable[..., Any]) -> None:
        self._resolve = resolve
        self.address: str | None = OLD
        self.asked = 0

    def __call__(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != NAME:
            return self._resolve(host, *args, **kwargs)
        self.asked += 1
        if self.address is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._resolve(self.address, *args, **kwargs)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    made = Names(socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", made)
    return made


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def old(port: int, node_address: Address, names: Names) -> Iterator[Forwarder]:
    with forwarder((OLD, port), node_address) as running:
        yield running


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start renewals at once, for tests that do not measure when they start."""
    monkeypatch.setattr(connection, "FIRST_RENEWAL", 0.3)


@pytest.fixture
async def service(
    anyio_backend: Any, old: Forwarder, port: int, keyspace: str
) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    changes = {"health_ttl": 0, "cassandra_idle_heartbeat_interval": 1.0, "cassandra_connection_timeout": 2.0}
    app = create_app(settings_for((NAME, port), keyspace, **changes))
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield app, client


async def nodes_up(app: Starlette, client: httpx.AsyncClient) -> set[str]:
    """Return the nodes in the metrics. Fails if one of them is down."""
    app.state.database.publish_state()
    found = await scrape(client)
    nodes = found.values_of("cassandra_node_up", "node")
    assert found.sum("cassandra_node_up") == len(nodes)
    return nodes


def is_closed(session: Any) -> bool:
    return bool(session.is_shutdown and session.cluster.is_shutdown)


@every_loop
async def test_nodes_are_found_at_their_new_addresses(
    service: tuple[Starlette, httpx.AsyncClient], old: Forwarder, names: Names, port: int, node_address: Address
) -> None:
    app, client = service
    user = (await client.post("/users", json=ADA)).json()
    assert await nodes_up(app, client) == {f"{OLD}:{port}"}
    before, connections = app.state.database.session, old.connections
    threads, descriptors = threading.active_count(), psutil.Process().num_fds()
    await in_thread(old.close)
    names.address = None
    assert (await client.get("/livez")).status_code == 200
    problem(await client.get(f"/users/{user['id']}"), 503, "cassandra_unavailable")
    await seconds_until_status(client, ["/readyz"], 503, SLACK)
    with forwarder((NEW, port), node_address) as new:
        names.address = NEW
        assert await seconds_until_status(client, ["/readyz"], 200, 60) < connection.FIRST_RENEWAL + SLACK
        assert (await client.get(f"/users/{user['id']}")).json() == user
        assert (await client.post("/users/batch", json=[ADA, ADA])).status_code == 201
        assert (await client.get("/users/stream")).text.count(user["id"]) == 1
        assert app.state.database.session is not before
        await eventually(lambda: is_closed(before))
        await eventually(lambda: new.connections == connections)
        assert await nodes_up(app, client) == {f"{NEW}:{port}"}
        mine = connections * 2  # threads of the new forwarder; those of the old one have ended
        await eventually(lambda: threading.active_count() <= threads + mine + 1)
        await eventually(lambda: psutil.Process().num_fds() <= descriptors + 2)


@pytest.mark.usefixtures("soon")
async def test_unresolvable_name_is_resolved_again(
    service: tuple[Starlette, httpx.AsyncClient], old: Forwarder, names: Names, port: int, node_address: Address
) -> None:
    _, client = service
    await in_thread(old.close)
    names.address, asked = None, names.asked
    await seconds_until_status(client, ["/readyz"], 503, SLACK)
    await eventually(lambda: names.asked >= asked + 2)
    with forwarder((NEW, port), node_address):
        names.address = NEW
        await seconds_until_status(client, ["/readyz"], 200, SLACK)


@pytest.mark.usefixtures("soon")
async def test_nodes_that_fall_silent_are_found_again(
    service: tuple[Starlette, httpx.AsyncClient], old: Forwarder, names: Names, port: int, node_address: Address
) -> None:
    """No connection is closed. The driver's heartbeat, here every second, notices."""
    app, client = service
    before = app.state.database.session
    ended: list[int] = []

    async def ask() -> None:
        """Send a request that runs on the old session and ends when that is closed, long before its deadline."""
        ended.append((await client.get("/users", headers={"X-Request-Timeout": "200"})).status_code)

    old.freeze()
    with forwarder((NEW, port), node_address):
        names.address = NEW
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await seconds_until_status(client, ["/readyz"], 503, SLACK)
            await seconds_until_status(client, ["/readyz"], 200, 4 * SLACK)
            assert app.state.database.session is not before
            await eventually(lambda: is_closed(before))
            await eventually(lambda: ended == [503])


@pytest.mark.usefixtures("soon")
async def test_returning_old_nodes_end_the_renewal(
    service: tuple[Starlette, httpx.AsyncClient], old: Forwarder, names: Names, port: int, node_address: Address
) -> None:
    app, client = service
    before = app.state.database.session
    with forwarder((NEW, port), node_address) as new:
        new.freeze()
        names.address = NEW
        await in_thread(old.close)
        await seconds_until_status(client, ["/readyz"], 503, SLACK)
        await eventually(lambda: new.accepted > 0)
        with forwarder((OLD, port), node_address):
            await seconds_until_status(client, ["/readyz"], 200, SLACK)
            new.thaw()
            await eventually(lambda: new.connections == 0)
            await seconds_until_status(client, ["/readyz"], 200, SLACK)
            assert app.state.database.session is before
            assert not is_closed(before)


@pytest.mark.usefixtures("soon")
async def test_shutdown_during_a_renewal_leaves_nothing_open(
    old: Forwarder, names: Names, port: int, node_address: Address, keyspace: str
) -> None:
    app = create_app(settings_for((NAME, port), keyspace, health_ttl=0))
    with forwarder((NEW, port), node_address) as new:
        new.freeze()
        async with app.router.lifespan_context(app), client_of(app) as client:
            before, names.address = app.state.database.session, NEW
            await in_thread(old.close)
            await seconds_until_status(client, ["/readyz"], 503, SLACK)
            await eventually(lambda: new.accepted > 0)
            new.thaw()
        assert is_closed(before)
        await eventually(lambda: new.connections == 0)


@pytest.mark.usefixtures("soon")
async def test_borrowed_session_is_not_renewed(old: Forwarder, names: Names, port: int, keyspace: str) -> None:
    cluster = Cluster([NAME], port=port, control_connection_timeout=DDL_TIMEOUT)
    try:
        session = cluster.connect()
        app = create_app(settings_for((NAME, port), keyspace, health_ttl=0), session=session)
        async with app.router.lifespan_context(app), client_of(app) as client:
            await seconds_until_status(client, ["/readyz"], 200, SLACK)
            asked = names.asked
            await in_thread(old.close)
            await seconds_until_status(client, ["/readyz"], 503, SLACK)
            await anyio.sleep(4 * connection.FIRST_RENEWAL)  # longer than until a renewal would begin
            assert names.asked == asked
            assert not is_closed(session)
    finally:
        cluster.shutdown()
