"""Three nodes with three replicas: while each fails in turn, every read, creation, batch and stream succeeds."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from cassandra import ConsistencyLevel, DriverException
from cassandra.cluster import NoHostAvailable, Session
from cassandra.query import SimpleStatement
from helpers.cassandra import connected, unused_keyspace
from helpers.ports import free_port
from helpers.service import settings_for
from helpers.waiting import wait_until
from process.running import COMMAND, run, started

from asgi_app.local_node import LocalNode, NodeSpec, local_node
from asgi_app.local_node import server as local_server
from asgi_app.tables.builtin import TABLES
from asgi_app.tables.ddl import create_schema, network_replication
from asgi_app.tables.slices import Slice, slices
from streams.stored import stored_users, write_users
from streams.tcp import Threaded, threaded

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
FOURTH = "127.0.0.4"
"""The address of a node that joins the cluster at the end."""
ROWS = 3_000
NAME = "x" * 3000
"""Rows large enough that no kernel buffers all of them before a node is killed."""

BATCH = 10
PAUSE = 0.05
"""Seconds between two requests of one kind, so that a booting node gets processor time."""
BOOT = 300.0
"""Seconds a node may take to boot on a busy machine, beside two other nodes and the load."""


@pytest.fixture(scope="module")
def spec_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], NodeSpec]:
    """Return a function that describes the node at an address."""
    data, every = tmp_path_factory.mktemp("nodes"), (*HOSTS, FOURTH)
    port, storage_port = free_port(*every), free_port(*every)

    def spec(host: str) -> NodeSpec:
        return NodeSpec(
            data=data / host,
            host=host,
            port=port,
            storage_port=storage_port,
            seeds=HOSTS[:1],
            heap="400m",
            boot_timeout=BOOT,
        )

    return spec


@pytest.fixture(scope="module")
def nodes(spec_of: Callable[[str], NodeSpec]) -> Iterator[list[LocalNode]]:
    """Run a cluster of three nodes."""
    with ExitStack() as running:
        first = running.enter_context(local_node(spec_of(HOSTS[0])))
        others = [local_node(spec_of(host)) for host in HOSTS[1:]]
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
    # Few concurrent writes: three nodes share the machine.
    write_users(cql, table, [1] * ROWS, name=NAME, consistency_level=ConsistencyLevel.ALL, at_once=10)
    return table


@pytest.fixture(scope="module")
def server(nodes: list[LocalNode], users: str) -> Iterator[Threaded]:
    """Run one service for all tests, configured with the address of one node."""
    settings = settings_for((nodes[0].host, nodes[0].port), users.partition(".")[0])
    with threaded(settings, "h11") as server:
        yield server


@dataclass(frozen=True)
class Fault:
    """A fault of a node: how it begins and how it ends."""

    name: str
    begin: Callable[[LocalNode], None]
    end: Callable[[LocalNode], None]


KILLED = Fault("killed", LocalNode.kill, LocalNode.restart)
STOPPED = Fault("stopped", LocalNode.pause, LocalNode.resume)


@pytest.mark.parametrize("fault", [KILLED, STOPPED], ids=lambda fault: fault.name)
def test_no_client_notices_a_failing_node(
    fault: Fault, server: Threaded, nodes: list[LocalNode], cql: Session, users: str
) -> None:
    ids = [user["id"] for user in stored_users(cql, users) if user["name"] == NAME]
    with httpx.Client(base_url=server.url, timeout=60) as client, load(client, ids[0]) as load_:
        for node in nodes:
            wait_until("every replica answers", lambda: every_replica_answers(cql, users), 120)
            assert streamed_while(client, partial(fault.begin, node)) == ids, f"{node.host} {fault.name}"
            begun = load_.begun  # every batch after this one begins while the node is away
            wait_until("a batch passes without the node", partial(load_.has_passed, begun), 60)
            fault.end(node)
            assert load_.failures == [], f"while {node.host} was {fault.name}"
        wait_until("every replica answers", lambda: every_replica_answers(cql, users), 120)
    assert load_.failures == []
    assert_stored_whole(cql, users, load_)


@pytest.mark.parametrize("query", ["parallel=8", "parallel=4&slice=1/1", "parallel=1&slice=1/1"])
def test_a_node_that_dies_in_an_export_loses_no_row(
    query: str, server: Threaded, nodes: list[LocalNode], cql: Session, users: str
) -> None:
    ids = sorted(user["id"] for user in stored_users(cql, users) if user["name"] == NAME)
    wait_until("every replica answers", lambda: every_replica_answers(cql, users), 120)
    with httpx.Client(base_url=server.url, timeout=60) as client:
        found = streamed_while(client, nodes[-1].kill, f"/users/export.ndjson?fetch_size=20&{query}")
    nodes[-1].restart()
    assert sorted(found) == ids
    wait_until("every replica answers", lambda: every_replica_answers(cql, users), 120)


def test_a_node_that_dies_while_the_commands_run_loses_no_row(
    nodes: list[LocalNode], cql: Session, users: str, tmp_path: Path
) -> None:
    here, there = users.partition(".")[0], empty_keyspace(cql)
    out = tmp_path / "out"
    for victim, keyspace, first_file, command in (
        (nodes[-1], here, "part-*.ndjson", ["export", "users", "out", "--slices", "1000", "--parallel", "1"]),
        (nodes[1], there, "import-*.json", ["import", "users", "out", "--parallel", "2", "--batch", "1"]),
    ):
        wait_until("every replica answers", lambda: every_replica_answers(cql, users), 120)
        with started([COMMAND, *command], tmp_path, environment_of(nodes, keyspace)) as program:
            wait_until(f"the {command[0]} has begun", partial(has_file, out, first_file), 60)
            victim.kill()
            assert program.process.poll() is None
            assert program.process.wait(300) == 0, program.errors
        victim.restart()
    wait_until("every replica answers", lambda: every_replica_answers(cql, users), 120)
    assert lines_in(out) == whole(cql, users) == whole(cql, f"{there}.users")


def test_a_node_that_joins_in_a_scan_moves_no_row_to_another_slice(
    server: Threaded,
    nodes: list[LocalNode],
    cql: Session,
    users: str,
    spec_of: Callable[[str], NodeSpec],
    tmp_path: Path,
) -> None:
    """Half of the slices are read before the node joins, the others after it; exports and commands run all the time.

    The node fetches the rows of its ranges from the others, as a new one of a real cluster does. This test comes last,
    because the cluster stays without its fourth node.
    """
    ids = [user["id"] for user in stored_users(cql, users) if user["name"] == NAME]
    joined = threading.Event()

    def slice_of(client: httpx.Client, part: Slice) -> list[str]:
        answer = client.get("/users/stream", params={"slice": str(part), "format": "ndjson"})
        assert answer.status_code == 200, answer.text
        return named(answer.content)

    def exports() -> list[list[str]]:
        found = []
        with httpx.Client(base_url=server.url, timeout=120) as client:
            while not found or not joined.is_set():
                found.append(sorted(streamed_while(client, lambda: None, "/users/export.ndjson?fetch_size=20")))
        return found

    here, there = users.partition(".")[0], empty_keyspace(cql)

    def commands() -> list[Path]:
        """Export and import again and again, and return the folders."""
        folders: list[Path] = []
        while not folders or not joined.is_set():
            folders.append(tmp_path / f"{len(folders)}")
            for verb, keyspace in (("export", here), ("import", there)):
                ended = run([COMMAND, verb, "users", str(folders[-1])], tmp_path, environment_of(nodes, keyspace))
                assert ended.returncode == 0, ended.stderr
        return folders

    usual = local_server.cassandra_yaml
    with pytest.MonkeyPatch.context() as patch, httpx.Client(base_url=server.url, timeout=60) as client:
        patch.setattr(local_server, "cassandra_yaml", lambda spec, ports: usual(spec, ports) | {"auto_bootstrap": True})
        before, after = list(slices(64))[:32], list(slices(64))[32:]
        found = [each for part in before for each in slice_of(client, part)]
        with ThreadPoolExecutor() as pool:
            exporting, copying = pool.submit(exports), pool.submit(commands)
            try:
                with local_node(spec_of(FOURTH)):
                    wait_until("the service knows four nodes", lambda: len(nodes_of(cql)) == len(HOSTS) + 1, 120)
                    joined.set()
                    found += [each for part in after for each in slice_of(client, part)]
                    assert found == ids
                    assert all(each == sorted(ids) for each in exporting.result(120))
                    rows = whole(cql, users)
                    assert all(lines_in(folder) == rows for folder in copying.result(240))
                    assert whole(cql, f"{there}.users") == rows
            finally:
                joined.set()


def empty_keyspace(session: Session) -> str:
    """Return the name of a keyspace with empty tables on all nodes."""
    keyspace = unused_keyspace()
    create_schema(session, keyspace, network_replication(len(HOSTS)), TABLES)
    return keyspace


def environment_of(nodes: list[LocalNode], keyspace: str) -> dict[str, str]:
    """Return the settings of a command, which knows the address of one node."""
    return {
        "CASSANDRA_HOSTS": nodes[0].host,
        "CASSANDRA_PORT": str(nodes[0].port),
        "CASSANDRA_KEYSPACE": keyspace,
    }


def has_file(folder: Path, pattern: str) -> bool:
    return any(folder.glob(pattern))


def lines_in(folder: Path) -> list[str]:
    """Return the rows of an export, sorted, as `whole` has them."""
    return sorted(
        f"{row['id']} {row['email']} {row['age']}"
        for path in folder.glob("part-*.ndjson")
        for row in map(json.loads, path.read_text().splitlines())
    )


def whole(session: Session, table: str) -> list[str]:
    """Return every row that a quorum has, sorted."""
    statement = SimpleStatement(
        f"SELECT id, email, age FROM {table}", consistency_level=ConsistencyLevel.QUORUM, fetch_size=500
    )
    return sorted(f"{row.id} {row.email} {row.age}" for row in session.execute(statement))


def nodes_of(session: Session) -> list[str]:
    """Return the addresses of the nodes that the first one knows, and its own."""
    return [row.peer for row in session.execute("SELECT peer FROM system.peers")] + [HOSTS[0]]


def streamed_while(
    client: httpx.Client, fail: Callable[[], None], address: str = "/users/stream?fetch_size=20&format=ndjson"
) -> list[str]:
    """Call `fail` after the first bytes of a stream of NDJSON; return the ids of the complete stream."""
    with client.stream("GET", address) as answer:
        pieces = answer.iter_bytes()
        body = bytearray(next(pieces))
        fail()
        for piece in pieces:
            body += piece
    return named(body)


def named(body: bytes | bytearray) -> list[str]:
    """Return the ids of the users, in NDJSON, who were there before all tests."""
    lines = [json.loads(line) for line in body.splitlines()]
    return [line["id"] for line in lines if line["name"] == NAME]


class Load:
    """Reads and writes, one after another of each kind. `failures`: every response that was not a success."""

    def __init__(self, client: httpx.Client, user: str) -> None:
        self._client = client
        self._user = user
        self._mark = uuid.uuid4().hex
        self.ended = threading.Event()
        self.failures: list[str] = []
        self.begun = 0
        self.passed: set[int] = set()
        self.created: list[str] = []

    def read(self) -> None:
        """Read one user and a page of users, until the load ends."""
        while not self.ended.wait(PAUSE):
            self._check(self._client.get(f"/users/{self._user}"))
            self._check(self._client.get("/users?limit=3"))

    def create(self) -> None:
        """Create one user after another."""
        while not self.ended.wait(PAUSE):
            email = f"{len(self.created)}@{self._mark}.single"
            self._check(self._client.post("/users", json=new_user(email)))
            self.created.append(email)

    def create_many(self) -> None:
        """Create one batch of users after another."""
        while not self.ended.wait(PAUSE):
            number = self.begun = self.begun + 1
            self._check(self._client.post("/users/batch", json=[new_user(email) for email in self.batch(number)]))
            self.passed.add(number)

    def batch(self, number: int) -> list[str]:
        """Return the addresses of one batch."""
        return [f"{number}.{place}@{self._mark}.batch" for place in range(BATCH)]

    def has_passed(self, number: int) -> bool:
        """Return whether a batch that was begun after this one has been answered."""
        return bool(self.passed) and max(self.passed) > number

    def addresses(self) -> list[str]:
        """Return the address of each user whose creation was acknowledged."""
        return self.created + [email for number in self.passed for email in self.batch(number)]

    def is_of(self, email: str | None) -> bool:
        """Return whether this load wrote the address."""
        return email is not None and self._mark in email

    def _check(self, answer: httpx.Response) -> None:
        if not answer.is_success:
            self.failures.append(f"{answer.request.method} {answer.request.url.path} {answer.text}")


@contextmanager
def load(client: httpx.Client, user: str) -> Iterator[Load]:
    """Run a load in threads for the duration of the block."""
    made = Load(client, user)
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(kind) for kind in (made.read, made.create, made.create_many)]
        try:
            yield made
        finally:
            made.ended.set()
    for kind in running:
        kind.result()


def new_user(email: str) -> dict[str, object]:
    return {"name": "John", "email": email, "age": 30}


def assert_stored_whole(session: Session, table: str, load_: Load) -> None:
    """Check that the acknowledged users of the load, and no others, are stored once; so no batch is stored in part."""
    addresses = wait_until("a quorum reads every row", lambda: addresses_in(session, table), 120)
    stored = [email for email in addresses if load_.is_of(email)]
    assert len(load_.passed) > len(HOSTS)
    assert len(load_.created) > len(HOSTS)
    assert sorted(stored) == sorted(load_.addresses())


def addresses_in(session: Session, table: str) -> list[str | None] | None:
    """Return the address of every user, or None if replicas time out because they have just come back."""
    statement = SimpleStatement(f"SELECT email FROM {table}", consistency_level=ConsistencyLevel.QUORUM, fetch_size=500)
    try:
        return [row.email for row in session.execute(statement)]
    except (DriverException, NoHostAvailable):
        return None


def every_replica_answers(session: Session, table: str) -> bool:
    statement = SimpleStatement(f"SELECT id FROM {table} LIMIT 1", consistency_level=ConsistencyLevel.ALL)
    try:
        session.execute(statement)
    except (DriverException, NoHostAvailable):
        return False
    return True
