"""The schema changes while it is served: no restart, and no request sees half of a change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from cassandra.cluster import Cluster, Session
from helpers.cassandra import DDL_TIMEOUT, ONE_REPLICA
from helpers.problems import problem
from helpers.service import client_of, settings_for
from helpers.waiting import eventually, in_thread

from asgi_app.app import create_app
from asgi_app.catalog import Catalog
from asgi_app.db import Database
from asgi_app.runtime.deadline import Deadline
from asgi_app.tables.cql import create_keyspace
from asgi_app.tables.resource import Resource
from contract.live_service import keyspace_of, live_service, served_as, until_version
from contract.samples import every_loop

pytestmark = pytest.mark.anyio


class Thing(msgspec.Struct):
    """A row of the declared table."""

    id: int
    kind: str | None = None


TESTS = tuple(f"t{number}" for number in range(13))
"""Prefixes of tables; each test has tables and a type of its own."""

DECLARED = [Resource(Thing, f"{each}_things", partition_key=("id",)) for each in TESTS]


def schema(test: str) -> Iterator[str]:
    """Yield the statements that make the tables of one test."""
    yield f"CREATE TYPE {{ks}}.{test}_address (street text)"
    yield f"CREATE TABLE {{ks}}.{test}_places (id int PRIMARY KEY, kind text, home frozen<{test}_address>, old int)"
    yield f"CREATE TABLE {{ks}}.{test}_things (id int PRIMARY KEY, kind text)"
    yield f"INSERT INTO {{ks}}.{test}_places (id, kind, home, old) VALUES (1, 'a', {{street: 's'}}, 7)"


@dataclass(frozen=True)
class Running:
    """A running service with declared tables and all others, and a session that changes their schema.

    `places` and `things` are the paths of the test's tables, the second a declared one.
    """

    keyspace: str
    catalog: Catalog
    client: httpx.AsyncClient
    database: Database
    cql: Session
    prefix: str = ""

    @property
    def places(self) -> str:
        return f"/{self.prefix}_places"

    @property
    def fresh(self) -> str:
        return f"/{self.prefix}_fresh"

    @property
    def things(self) -> str:
        return f"/{self.prefix}_things"

    def change(self, statement: str) -> None:
        """Run CQL; `{ks}` is the keyspace, and `{t}` the keyspace with the prefix of the test's tables."""
        self.cql.execute(statement.replace("{t}", f"{self.keyspace}.{self.prefix}").replace("{ks}", self.keyspace))


@pytest.fixture(scope="module")
async def shared(anyio_backend: Any, node_address: tuple[str, int], cql: Session) -> AsyncIterator[Running]:
    with keyspace_of(cql, *(statement for test in TESTS for statement in schema(test))) as keyspace:
        async with live_service(node_address, keyspace, options={"resources": DECLARED}) as (service, client):
            yield Running(keyspace, service.catalog, client, service.database, cql)


@pytest.fixture(scope="module")
def prefixes() -> Iterator[str]:
    return iter(TESTS)


@pytest.fixture
async def running(shared: Running, prefixes: Iterator[str]) -> Running:
    await shared.catalog.ensure_read(Deadline.after(10))
    return replace(shared, prefix=next(prefixes))


async def test_column_that_is_added_is_served(running: Running) -> None:
    version = running.catalog.version
    running.change("ALTER TABLE {t}_places ADD new text")
    await until_version(running.catalog, version)
    assert (await running.client.patch(f"{running.places}/1", json={"new": "n"})).status_code == 204
    assert (await running.client.get(f"{running.places}/1")).json() == {
        "id": 1,
        "home": {"street": "s"},
        "kind": "a",
        "new": "n",
        "old": 7,
    }


async def test_requests_right_after_a_dropped_column_are_served(running: Running) -> None:
    assert (await running.client.get(f"{running.places}/1")).json()["old"] == 7
    running.change("ALTER TABLE {t}_places DROP old")
    row = {"id": 1, "home": {"street": "s"}, "kind": "a"}
    answer = await running.client.get(f"{running.places}/1")
    assert (answer.status_code, answer.json()) == (200, row)
    assert (await running.client.get(f"{running.places}/-/stream")).json() == [row]


async def test_write_right_after_a_dropped_column_is_applied_once(running: Running) -> None:
    running.change("ALTER TABLE {t}_places DROP old")
    created = await running.client.post(running.places, json={"id": 2, "kind": "b"})
    assert (created.status_code, created.json()) == (201, {"id": 2, "home": None, "kind": "b"})
    assert (await running.client.get(f"{running.places}/2")).json() == created.json()
    unknown = await running.client.post(running.places, json={"id": 3, "old": 1})
    problem(unknown, 422, "invalid_input", "/old")


async def test_column_that_is_back_at_once_is_no_mistake_of_the_client(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cassandra refuses the statement, and has the column again when the service looks for it."""
    look = Database.missing_columns
    missing: list[str] = []

    async def add_and_look(database: Database, table: Any, deadline: Deadline) -> set[str]:
        if missing:
            running.change(missing.pop())
        return await look(database, table, deadline)

    monkeypatch.setattr(Database, "missing_columns", add_and_look)
    requests = (("GET", None, 200), ("PUT", {"kind": "k"}, 204))
    for method, body, _ in requests:
        await running.client.request(method, f"{running.places}/1", json=body)  # prepares its statement
    for method, body, status in requests:
        running.change("ALTER TABLE {t}_places DROP old")
        missing.append("ALTER TABLE {t}_places ADD old int")
        answer = await running.client.request(method, f"{running.places}/1", json=body)
        assert (answer.status_code, missing) == (status, []), answer.text


async def test_field_that_a_type_gets_is_served(running: Running) -> None:
    version = running.catalog.version
    running.change("ALTER TYPE {t}_address ADD zip text")
    await until_version(running.catalog, version)
    assert (await running.client.get(f"{running.places}/1")).json()["home"] == {"street": "s", "zip": None}
    home = {"street": "t", "zip": "z"}
    assert (await running.client.patch(f"{running.places}/1", json={"home": home})).status_code == 204
    assert (await running.client.get(f"{running.places}/1")).json()["home"] == home


async def test_column_of_another_type_is_served(running: Running) -> None:
    assert (await running.client.patch(f"{running.places}/1", json={"old": 8})).status_code == 204
    version = running.catalog.version
    running.change("DROP TABLE {t}_places")
    running.change("CREATE TABLE {t}_places (id int PRIMARY KEY, kind text, home frozen<{t}_address>, old text)")
    await until_version(running.catalog, version)
    await served_as(running.client, running.places, 200)
    assert (await running.client.patch(f"{running.places}/1", json={"old": "text"})).status_code == 204
    assert (await running.client.get(f"{running.places}/1")).json() == {
        "id": 1,
        "home": None,
        "kind": None,
        "old": "text",
    }


async def test_index_decides_what_may_be_filtered(running: Running) -> None:
    for path in (running.places, running.things):
        refused = problem(await running.client.get(f"{path}?kind=a"), 422, "invalid_input", "query.kind")
        assert "has no index" in refused["detail"]
        running.change(f"CREATE INDEX ON {{ks}}.{path[1:]} (kind)")
    for path in (running.places, running.things):
        await served_as(running.client, f"{path}?kind=a", 200)
        running.change(f"DROP INDEX {{ks}}.{path[1:]}_kind_idx")
        problem(await running.client.get(f"{path}?kind=a"), 422, "invalid_input", "query.kind")


async def test_tables_come_and_go(running: Running) -> None:
    problem(await running.client.get(running.fresh), 404, "not_found")
    running.change("CREATE TABLE {t}_fresh (id int PRIMARY KEY)")
    assert (await served_as(running.client, running.fresh, 200)).json() == []
    assert (await running.client.post(running.fresh, json={"id": 1})).status_code == 201
    running.change("DROP TABLE {t}_fresh")
    problem(await running.client.get(running.fresh), 404, "not_found")
    problem(await running.client.post(running.fresh, json={"id": 1}), 404, "not_found")
    assert running.fresh[1:] not in running.catalog.current


async def test_declared_table_is_missing_while_it_is_dropped(running: Running) -> None:
    assert (await running.client.get(running.things)).json() == []
    version = running.catalog.version
    running.change("DROP TABLE {t}_things")
    await until_version(running.catalog, version)
    problem(await running.client.get(running.things), 503, "schema_missing")
    assert (await running.client.get("/readyz")).json()["unserved"] == {running.things[1:]: ["id", "kind"]}
    running.change("CREATE TABLE {t}_things (id int PRIMARY KEY, kind text)")
    assert (await served_as(running.client, running.things, 200)).json() == []
    assert "unserved" not in (await running.client.get("/readyz")).json()


async def test_keyspace_that_is_dropped_serves_nothing_until_it_is_back(
    node_address: tuple[str, int], cql: Session
) -> None:
    with keyspace_of(cql, "CREATE TABLE {ks}.places (id int PRIMARY KEY)") as keyspace:
        async with live_service(node_address, keyspace) as (_, client):
            assert (await served_as(client, "/places/1", 404)).json()["detail"] == "There is no such row in places."
            cql.execute(f"DROP KEYSPACE {keyspace}")
            await served_as(client, "/places", 404)
            cql.execute(create_keyspace(keyspace, ONE_REPLICA))
            cql.execute(f"CREATE TABLE {keyspace}.places (id text PRIMARY KEY)")
            assert (await served_as(client, "/places", 200)).json() == []
            assert (await client.post("/places", json={"id": "x"})).status_code == 201


async def test_changes_are_followed_after_the_control_connection_was_lost(running: Running) -> None:
    version = running.catalog.version
    control = running.database.session.cluster.control_connection
    lost = control._connection
    lost.close()
    running.change("ALTER TABLE {t}_places ADD new text")
    control.reconnect()
    await until_version(running.catalog, version)
    await eventually(lambda: control._connection not in (None, lost))  # another read may have found the change
    version = running.catalog.version
    running.change("ALTER TABLE {t}_places DROP new")
    await until_version(running.catalog, version)


async def test_every_request_sees_the_old_table_or_the_new_one(running: Running) -> None:
    """Readers and writers never stop while a column comes and goes."""
    old, new = ("id", "home", "kind", "old"), ("id", "home", "kind", "new", "old")
    statuses: set[int] = set()
    columns: list[tuple[str, ...]] = []
    done = anyio.Event()

    async def read() -> None:
        while not done.is_set():
            answer = await running.client.get(f"{running.places}/1")
            statuses.add(answer.status_code)
            columns.append(tuple(answer.json()))

    async def write() -> None:
        while not done.is_set():
            statuses.add((await running.client.put(f"{running.places}/2", json={"kind": "k"})).status_code)

    async with anyio.create_task_group() as tasks:
        for task in (read, read, write):
            tasks.start_soon(task)
        for number in range(3):
            version = running.catalog.version
            verb = "DROP" if number % 2 else "ADD"
            await in_thread(running.change, f"ALTER TABLE {{t}}_places {verb} new{' text' * (verb == 'ADD')}")
            await until_version(running.catalog, version)
            await eventually(lambda verb=verb: columns[-1:] == [new if verb == "ADD" else old])
        done.set()
    assert statuses == {200, 204}
    assert set(columns) == {old, new}


async def next_of(client: httpx.AsyncClient, pages: str, answer: httpx.Response) -> tuple[list[Any], httpx.Response]:
    """Return the rows of a page, and the answer with the next one."""
    if "pages" in pages:
        body = answer.json()
        return body["rows"], await client.get(f"{pages}?page_state={body['page_state']}")
    return answer.json(), await client.get(answer.links["next"]["url"])


@pytest.mark.parametrize("pages", ["", "/-/pages"])
async def test_walk_goes_on_when_columns_come_and_go(running: Running, pages: str) -> None:
    for number in range(2, 7):
        running.change(f"INSERT INTO {{t}}_places (id, kind) VALUES ({number}, 'k')")
    client, path = running.client, f"{running.places}{pages}"
    answer = await client.get(f"{path}?{'fetch_size' if pages else 'limit'}=2")
    ids, columns = [], []
    for statement in ("ALTER TABLE {t}_places ADD new text", "ALTER TABLE {t}_places DROP old"):
        version = running.catalog.version
        running.change(statement)
        await until_version(running.catalog, version)
        rows, answer = await next_of(client, path, answer)
        assert answer.status_code == 200, answer.text
        ids += [row["id"] for row in rows]
        columns.append(set(rows[0]))
    rows = answer.json()["rows"] if pages else answer.json()
    assert sorted(ids + [row["id"] for row in rows]) == [1, 2, 3, 4, 5, 6]
    columns.append(set(rows[0]))
    both = {"id", "home", "kind", "old"}
    assert columns == [both, both | {"new"}, (both | {"new"}) - {"old"}]


@pytest.fixture
def own_session(node_address: tuple[str, int]) -> Iterator[Session]:
    """A session as a caller has it, which listens to changes of the schema."""
    cluster = Cluster([node_address[0]], port=node_address[1], control_connection_timeout=DDL_TIMEOUT)
    yield cluster.connect()
    cluster.shutdown()


@every_loop
async def test_session_of_the_caller_is_listened_to_and_left_as_it_was(
    node_address: tuple[str, int], own_session: Session, cql: Session
) -> None:
    with keyspace_of(cql, "CREATE TABLE {ks}.places (id int PRIMARY KEY)") as keyspace:
        watchers = own_session.cluster.control_connection._connection._push_watchers
        before = {name: set(found) for name, found in watchers.items()}
        app = create_app(settings_for(node_address, keyspace, tables=("*",)), session=own_session)
        async with app.router.lifespan_context(app), client_of(app) as client:
            catalog = app.state.service.catalog
            await served_as(client, "/places", 200)
            version = catalog.version
            cql.execute(f"ALTER TABLE {keyspace}.places ADD new text")
            await until_version(catalog, version)
        assert {name: set(found) for name, found in watchers.items()} == before
