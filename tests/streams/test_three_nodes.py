"""Three nodes, three replicas, a quorum: each is killed in turn; no row is lost, no read fails, no write forgotten."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from cassandra import ConsistencyLevel, DriverException
from cassandra.cluster import NoHostAvailable, Session
from cassandra.query import SimpleStatement
from helpers.cassandra import connected, unused_keyspace
from helpers.service import settings_for
from process.running import wait_until

from asgi_app.local_node import LocalNode, NodeSpec, local_node
from asgi_app.schema import create_schema, network_replication
from asgi_app.tables import TABLES
from streams.stored import ids_of, stored_users, write_users
from streams.tcp import Threaded, threaded

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
ROWS = 3_000
NAME = "x" * 3000
"""Rows in megabytes enough that no kernel buffers all of them before a node is killed."""

NEW_USER = {"name": "John", "email": "john@example.com", "age": 30}


def free_port() -> int:
    """A port that is free on every host."""
    with ExitStack() as probes:
        first = probes.enter_context(socket.create_server((HOSTS[0], 0)))
        port: int = first.getsockname()[1]
        for host in HOSTS[1:]:
            probes.enter_context(socket.create_server((host, port)))
        return port


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[LocalNode]]:
    """One cluster of three."""
    data, port, storage_port = tmp_path_factory.mktemp("nodes"), free_port(), free_port()

    def spec(host: str) -> NodeSpec:
        return NodeSpec(data=data / host, host=host, port=port, storage_port=storage_port, seeds=HOSTS[:1], heap="400m")

    with ExitStack() as running:
        first = running.enter_context(local_node(spec(HOSTS[0])))
        others = [local_node(spec(host)) for host in HOSTS[1:]]
        with ThreadPoolExecutor() as booting:
            yield [first, *booting.map(running.enter_context, others)]


@pytest.fixture(scope="module")
def cql(nodes: list[LocalNode]) -> Iterator[Session]:
    with connected(nodes[0].host, nodes[0].port) as session:
        yield session


@pytest.fixture(scope="module")
def users(cql: Session) -> str:
    keyspace = unused_keyspace()
    create_schema(cql, keyspace, network_replication(len(HOSTS)), TABLES)
    table = f"{keyspace}.users"
    wait_until("every node answers", lambda: every_replica_answers(cql, table), 60)
    # Few at once: three nodes share the machine.
    write_users(cql, table, [1] * ROWS, name=NAME, consistency_level=ConsistencyLevel.ALL, at_once=10)
    return table


@pytest.fixture(scope="module")
def server(nodes: list[LocalNode], users: str) -> Iterator[Threaded]:
    """One service for the whole time, which starts with the name of one node."""
    settings = settings_for((nodes[0].host, nodes[0].port), users.partition(".")[0])
    with threaded(settings, "h11") as server:
        yield server


def test_each_node_is_killed_in_turn_and_nobody_notices(
    server: Threaded, nodes: list[LocalNode], cql: Session, users: str
) -> None:
    ids = ids_of(stored_users(cql, users))
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for node in nodes:
            wait_until("every replica answers", lambda: every_replica_answers(cql, users), 90)
            with load(client, ids[0]) as (statuses, written):
                assert streamed_while(client, node.kill) == ids, f"{node.host} killed"
            assert set(statuses) == {200}, f"reads while {node.host} was killed"
            assert len(written) > 0
            for created in written:
                assert client.get(f"/users/{created}").status_code == 200
            node.restart()


def streamed_while(client: httpx.Client, kill: Callable[[], None]) -> list[str]:
    """The ids of a stream that is whole, although a node was killed after its first bytes."""
    with client.stream("GET", "/users/stream?fetch_size=20&format=ndjson") as answer:
        pieces = answer.iter_bytes()
        body = bytearray(next(pieces))
        kill()
        for piece in pieces:
            body += piece
    lines = [json.loads(line) for line in body.splitlines()]
    return [line["id"] for line in lines if line["name"] == NAME]


@contextmanager
def load(client: httpx.Client, user: str) -> Iterator[tuple[list[int], list[str]]]:
    """Reads and writes beside the block: the status of each read, and the id of each user that was created.

    A write that a dying node took is allowed to fail, with a status that says so.
    """
    statuses: list[int] = []
    written: list[str] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            statuses.append(client.get(f"/users/{user}").status_code)
            statuses.append(client.get("/users?limit=3").status_code)

    def write() -> None:
        while not ended.is_set():
            answer = client.post("/users", json=NEW_USER)
            assert answer.status_code in (201, 503, 504), answer.text
            if answer.status_code == 201:
                written.append(answer.json()["id"])

    with ThreadPoolExecutor() as pool:
        running = [pool.submit(read), pool.submit(write)]
        try:
            yield statuses, written
        finally:
            ended.set()
    for half in running:
        half.result()


def every_replica_answers(session: Session, table: str) -> bool:
    statement = SimpleStatement(f"SELECT id FROM {table} LIMIT 1", consistency_level=ConsistencyLevel.ALL)
    try:
        session.execute(statement)
    except (DriverException, NoHostAvailable):
        return False
    return True
