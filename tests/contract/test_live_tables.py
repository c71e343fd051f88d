"""Which tables of the live schema are served, and how: names, kinds of tables, types that nobody knows, mistakes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import own_keyspace
from helpers.ports import free_port
from helpers.problems import problem
from helpers.service import client_of, settings_for
from helpers.waiting import eventually

from asgi_app.app import create_app
from asgi_app.http.context import Service
from asgi_app.runtime.deadline import Deadline
from asgi_app.settings import Secret
from asgi_app.tables.resource import Resource
from asgi_app.tables.resource_error import ResourceError
from contract.live_service import keyspace_of, live_service, served_as

pytestmark = pytest.mark.anyio

STRANGE = "'org.apache.cassandra.db.marshal.LexicalUUIDType'"
UUID = "b26b2a23-4d70-41c3-88a7-a9aa9e135a93"

SCHEMA = (
    "CREATE TABLE {ks}.events (tenant text, day date, at timestamp, kind text, owner text STATIC,"
    " PRIMARY KEY ((tenant, day), at)) WITH CLUSTERING ORDER BY (at DESC)",
    'CREATE TABLE {ks}."Events" (id int PRIMARY KEY, "Mixed Case/%é" text)',
    "CREATE TABLE {ks}.health (id int PRIMARY KEY)",
    "CREATE TABLE {ks}.docs (id int PRIMARY KEY)",
    "CREATE TABLE {ks}.service (id int PRIMARY KEY)",
    "CREATE TABLE {ks}.diagnostics (id int PRIMARY KEY)",
    "CREATE TABLE {ks}.users (id int PRIMARY KEY)",
    'CREATE TABLE {ks}.operators (id int PRIMARY KEY, x int, "x.gt" int, "$similarity" float)',
    'CREATE TABLE {ks}.operator_in_key (id int, "x.in" int, PRIMARY KEY (id, "x.in"))',
    'CREATE TABLE {ks}.hyphen_in_key (id int, "-at" int, PRIMARY KEY (id, "-at"))',
    'CREATE TABLE {ks}.unusual (id int PRIMARY KEY, "a\\b" int, "say ""hello""" int, "two\nlines" int, x int)',
    'CREATE TABLE {ks}.unusual_in_key ("a\\b" int PRIMARY KEY)',
    'CREATE TABLE {ks}.parameters (id int, "limit" int, "{}" int, PRIMARY KEY (id, "{}"))',
    f"CREATE TABLE {{ks}}.strange (id int PRIMARY KEY, n int, odd {STRANGE})",
    f"CREATE TABLE {{ks}}.strange_key (odd {STRANGE} PRIMARY KEY, n int)",
    "CREATE TABLE {ks}.compact (id int PRIMARY KEY, n int) WITH COMPACT STORAGE",
    "CREATE TABLE {ks}.dense (a int, b int, PRIMARY KEY (a, b)) WITH COMPACT STORAGE",
    "CREATE TABLE {ks}.only_key (a int, b int, PRIMARY KEY (a, b))",
    "CREATE TABLE {ks}.expiring (id int PRIMARY KEY, n int) WITH default_time_to_live = 600",
    f"INSERT INTO {{ks}}.strange (id, n, odd) VALUES (1, 2, 0x{UUID.replace('-', '')})",
    f"INSERT INTO {{ks}}.strange_key (odd, n) VALUES (0x{UUID.replace('-', '')}, 3)",
    "INSERT INTO {ks}.compact (id, n) VALUES (1, 2)",
    'INSERT INTO {ks}.operators (id, x, "x.gt", "$similarity") VALUES (1, 2, 3, 4)',
)
LEFT_OUT = {
    "health": "the application has a path /health of its own",
    "docs": "the application has a path /docs of its own",
    "service": "the application has a scope service of its own",
    "operator_in_key": "x.in is in its key, and its name ends in .in, which is an operator in queries",
    "hyphen_in_key": "-at is in its key, and a name that begins with a hyphen means descending order",
    "unusual_in_key": r"a\b is in its key, and its name has a quotation mark, a backslash or a control character",
}
COMPACT = "it is WITH COMPACT STORAGE, where a row without values is not stored"
NOTES = {
    "operators": "without the column $similarity: searches give its name to the similarity of a vector; "
    "without the column x.gt: its name ends in .gt, which is an operator in queries",
    "unusual": "; ".join(
        f"without the column {name}: its name has a quotation mark, a backslash or a control character"
        for name in ("a\\b", 'say "hello"', r"two\nlines")
    ),
    "strange": f"the column odd is read-only: this service does not know the type {STRANGE}",
    "strange_key": "read-only: odd is in its key, and has a type that this service does not know",
    "compact": f"read-only: {COMPACT}",
    "dense": f"read-only: {COMPACT}",
}


@pytest.fixture(scope="module")
def keyspace(cql: Session) -> Iterator[str]:
    with keyspace_of(cql, *SCHEMA) as name:
        yield name


@pytest.fixture(scope="module")
async def started(
    anyio_backend: Any, node_address: tuple[str, int], keyspace: str
) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    async with live_service(node_address, keyspace) as started:
        await served_as(started[1], "/events", 200)
        yield started


@pytest.fixture
def client(started: tuple[Service, httpx.AsyncClient]) -> httpx.AsyncClient:
    return started[1]


async def test_each_table_is_served_or_left_out_with_its_reason(started: tuple[Service, httpx.AsyncClient]) -> None:
    service, client = started
    offer = service.catalog.offer
    assert {each.name: each.reason for each in offer.left_out} == LEFT_OUT
    assert offer.notes == NOTES
    assert set(service.resources) == set(service.catalog.live) == set(service.catalog.current)
    assert len(service.resources) == len(SCHEMA) - 4 - len(LEFT_OUT)
    for name in service.resources:
        answer = await client.get(f"/{name}")
        assert answer.status_code == 200, answer.text
    for name in ("operator_in_key", "hyphen_in_key", "unusual_in_key", "nothing"):
        problem(await client.get(f"/{name}"), 404, "not_found")


async def test_read_without_a_change_leaves_all_as_it_is(started: tuple[Service, httpx.AsyncClient]) -> None:
    catalog = started[0].catalog
    version, live, current = catalog.version, dict(catalog.live), dict(catalog.current)
    await catalog.read_again(Deadline.after(10))
    assert catalog.version == version
    assert all(catalog.live[name] is live[name] and catalog.current[name] is current[name] for name in live)


async def test_names_that_differ_by_case_are_two_tables(client: httpx.AsyncClient) -> None:
    row = {"id": 1, "Mixed Case/%é": "x"}
    assert (await client.post("/Events", json=row)).status_code == 201
    assert (await client.get("/Events/1")).json() == row
    assert (await client.get("/events")).json() == []
    problem(await client.get("/EVENTS"), 404, "not_found")


async def test_rows_partitions_and_static_columns(client: httpx.AsyncClient) -> None:
    key = {"tenant": "a/b", "day": "2026-11-28", "at": "2026-11-28T09:00:00.000Z"}
    created = await client.post("/events", json={**key, "kind": "login"})
    assert created.status_code == 201, created.text
    assert (await client.patch("/events/a%2Fb/2026-11-28", json={"owner": "o"})).status_code == 204
    assert (await client.get("/events/a%2Fb/2026-11-28")).json() == [{**key, "kind": "login", "owner": "o"}]
    assert (await client.get("/events/-/partitions")).json() == [{"tenant": "a/b", "day": "2026-11-28"}]
    upserted = await client.patch("/events/c/2026-11-28/2026-11-28T09:00:00Z", json={"kind": "new"})
    assert upserted.status_code == 204
    assert (await client.get("/events/c/2026-11-28")).json()[0]["kind"] == "new"
    for address in (created.headers["location"], "/events/c/2026-11-28/2026-11-28T09:00:00Z"):
        assert (await client.delete(address)).status_code == 204


async def test_columns_with_names_of_operators_are_not_served(client: httpx.AsyncClient, cql: Session) -> None:
    assert (await client.get("/operators/1")).json() == {"id": 1, "x": 2}
    assert problem(await client.get("/operators/7"), 404, "not_found")["detail"] == "There is no such row in operators."
    problem(await client.patch("/operators/1", json={"x.gt": 5}), 422, "invalid_input", "/x.gt")
    assert (await client.put("/operators/1", json={"x": 9})).status_code == 204
    assert (await client.get("/operators")).json() == [{"id": 1, "x": 9}]


async def test_column_with_the_name_of_a_parameter(client: httpx.AsyncClient) -> None:
    assert (await client.post("/parameters", json={"id": 1, "{}": 2, "limit": 3})).status_code == 201
    assert (await client.get("/parameters/1/2")).json() == {"id": 1, "{}": 2, "limit": 3}


async def test_unknown_type_is_shown_and_not_accepted(client: httpx.AsyncClient) -> None:
    assert (await client.get("/strange/1")).json() == {"id": 1, "n": 2, "odd": f"0x{UUID.replace('-', '')}"}
    assert (await client.patch("/strange/1", json={"n": 3})).status_code == 204
    assert (await client.put("/strange/1", json={"n": 4})).status_code == 204
    assert (await client.get("/strange/-/stream")).json()[0] == {"id": 1, "n": 4, "odd": f"0x{UUID.replace('-', '')}"}
    problem(await client.patch("/strange/1", json={"odd": "0x00"}), 422, "invalid_input", "/odd")
    problem(await client.get("/strange?odd=0x00"), 422, "invalid_input", "query.odd")


async def test_key_of_an_unknown_type_is_listed_only(client: httpx.AsyncClient) -> None:
    assert (await client.get("/strange_key")).json() == [{"odd": f"0x{UUID.replace('-', '')}", "n": 3}]
    problem(await client.get(f"/strange_key/0x{UUID.replace('-', '')}"), 422, "invalid_input", "path.odd")
    problem(await client.post("/strange_key", json={"n": 1}), 405, "method_not_allowed")


async def test_compact_tables_are_read_only(client: httpx.AsyncClient) -> None:
    assert (await client.get("/compact/1")).json() == {"id": 1, "n": 2}
    problem(await client.patch("/compact/1", json={"n": 1}), 405, "method_not_allowed")


async def test_keys_alone_and_rows_that_expire(client: httpx.AsyncClient) -> None:
    assert (await client.put("/only_key/1/2", json={})).status_code == 204
    assert (await client.get("/only_key/1")).json() == [{"a": 1, "b": 2}]
    problem(await client.patch("/only_key/1/2", json={}), 405, "method_not_allowed")
    assert (await client.post("/expiring", json={"id": 1, "n": 1})).status_code == 201
    problem(await client.patch("/expiring/1", json={"n": 1}), 405, "method_not_allowed")


async def test_read_only_unless_writable(node_address: tuple[str, int], keyspace: str) -> None:
    tables = ("events", "expiring", "nothing", "health")
    async with live_service(node_address, keyspace, tables=tables, writable=("expiring",)) as (service, client):
        await served_as(client, "/events", 200)
        found = problem(await client.post("/events", json={}), 405, "method_not_allowed")
        assert found["detail"].startswith("This resource answers GET, HEAD. This table is only read here.")
        for method in ("PUT", "PATCH", "DELETE"):
            answer = await client.request(method, "/events/a/2026-11-28/2026-11-28T09:00:00Z", json={})
            assert "`--writable`" in problem(answer, 405, "method_not_allowed")["detail"]
            assert answer.headers["allow"] == "GET, HEAD"
        assert (await client.put("/expiring/2", json={"n": 1})).status_code == 204
        problem(await client.get("/Events"), 404, "not_found")
        problem(await client.get("/nothing"), 503, "schema_missing")
        assert (await client.get("/readyz")).json()["unserved"] == {"nothing": []}
        assert (await client.get("/health")).json()["status"] == "healthy"
        assert set(service.resources) == {"events", "expiring"}


async def test_virtual_tables_are_read_only(node_address: tuple[str, int]) -> None:
    async with live_service(node_address, "system_views") as (service, client):
        assert (await served_as(client, "/clients", 200)).json()
        assert all(resource.writes == "none" for resource in service.catalog.live.values())
        assert (await client.get("/settings?limit=1")).json()
        found = problem(await client.delete("/settings/auto_snapshot"), 405, "method_not_allowed")
        assert found["detail"].endswith("This table is only read here.")
        assert service.catalog.offer.unwritten == frozenset()


async def test_own_tables_of_cassandra_are_read_only(node_address: tuple[str, int]) -> None:
    async with live_service(node_address, "system_schema") as (service, client):
        assert (await served_as(client, "/tables/system/local", 200)).json()["table_name"] == "local"
        problem(await client.delete("/tables/system/local"), 405, "method_not_allowed")
        assert service.catalog.offer.notes["tables"] == "read-only: it is one of Cassandra's own tables"


async def test_tables_of_two_keyspaces(node_address: tuple[str, int], keyspace: str, cql: Session) -> None:
    with keyspace_of(cql, "CREATE TABLE {ks}.other (id int PRIMARY KEY)") as second:
        names = ("events", f"{second}.other")
        async with live_service(node_address, keyspace, tables=names, writable=(f"{second}.other",)) as (_, client):
            assert (await served_as(client, "/other", 200)).json() == []
            assert (await client.put("/other/1", json={})).status_code == 204
            assert (await client.get("/events")).status_code == 200


async def test_examples_are_served_beside_tables_only_if_asked(
    node_address: tuple[str, int], keyspace: str, cql: Session
) -> None:
    with own_keyspace(cql) as own:
        async with live_service(node_address, own) as (service, client):
            row = (await served_as(client, "/users", 200)).json()
            assert (row, "missing_tables" in (await client.get("/readyz")).json()) == ([], True)
            assert service.catalog.live.keys() == {"users", "animals", "plants"}
            problem(await client.get("/animal/a"), 404, "not_found")
        async with live_service(node_address, own, options={"examples": True}) as (service, client):
            await served_as(client, "/animals", 200)
            assert (await client.get("/animal/a")).json() == []
            assert (await client.post("/users", json={})).status_code == 422
            assert service.catalog.live.keys() == {"animals", "plants"}


async def test_paths_of_the_examples_return_with_the_next_start(node_address: tuple[str, int], keyspace: str) -> None:
    app = create_app(settings_for(node_address, keyspace, tables=("events",)))
    before = list(app.router.routes)
    async with app.router.lifespan_context(app), client_of(app) as client:
        problem(await client.get("/users"), 404, "not_found")
        problem(await client.get("/animal/a"), 404, "not_found")
    assert {id(route) for route in app.router.routes} == {id(route) for route in before}


async def test_declared_live_table_has_its_options(node_address: tuple[str, int], keyspace: str) -> None:
    mine = Resource.from_table(
        "events", path="mine", bound={"tenant": lambda _: "me"}, hidden=("kind",), allow_filtering=("owner",)
    )
    compact = Resource.from_table("compact", keyspace=keyspace, batch="per_row", patch_creates=True)
    options = {"resources": [mine, compact, Resource.from_table("strange_key")]}
    async with live_service(node_address, keyspace, tables=(), writable=(), options=options) as (service, client):
        await served_as(client, "/compact", 200)
        problem(await client.get("/mine"), 401, "unauthorized")
        assert service.resources["mine"].visible == ("day", "at", "owner")
        problem(await client.post("/compact/-/batch", json=[]), 404, "not_found")
        problem(await client.get("/events"), 404, "not_found")
        assert len((await client.get("/strange_key")).json()) == 1
        problem(await client.post("/strange_key", json={}), 405, "method_not_allowed")


async def test_options_that_do_not_fit_the_table_are_trouble_of_that_resource_alone(
    node_address: tuple[str, int], keyspace: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = Resource.from_table("events", hidden=("nothing",), version="kind", writes="conditional")
    options = {"resources": [wrong, Resource.from_table("expiring")]}
    with caplog.at_level(logging.WARNING, "asgi_app.catalog"):
        async with live_service(node_address, keyspace, tables=(), writable=(), options=options) as (_, client):
            await served_as(client, "/expiring", 200)
            problem(await client.get("/events"), 503, "schema_missing")
            problem(await client.put("/events/a", json={}), 503, "schema_missing")
            assert (await client.get("/readyz")).json()["unserved"] == {"events": []}
    (line,) = {record.getMessage() for record in caplog.records if record.name == "asgi_app.catalog"}
    assert line == (
        "events is not served: hidden names nothing, but Events has no such field. "
        "version names kind, whose type is text and must be uuid or timeuuid."
    )


MISTAKES = {
    "a b": "a b: table_name must be 1 to 222 letters, digits or underscores, not 'a b'.",
    "health": "health: the service has a path of this name of its own. Give another with path=.",
    "service": "service: the service has a scope of this name of its own. Give another with path=.",
}
WRONG_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"hidden": "x"}, "hidden must be a tuple of names, such as (\"x\",), not the text 'x'."),
    ({"writes": "none", "ttl": 5}, 'writes="none" rules out ttl.'),
    ({"keyspace": "system"}, 'system is one of Cassandra\'s own keyspaces, which needs writes="none".'),
]


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        *(([Resource.from_table(name)], text) for name, text in MISTAKES.items()),
        *(([Resource.from_table("t", **options)], f"t: {text}") for options, text in WRONG_OPTIONS),
        ([Resource.from_table("t")] * 2, "t: 2 resources have this path. Give another with path=."),
    ],
)
def test_mistakes_are_told_when_the_application_is_made(resources: list[Any], problem: str) -> None:
    with pytest.raises(ResourceError) as caught:
        create_app(resources=resources)
    assert caught.value.problems == (problem,)


def test_the_scope_of_the_demonstrations_is_taken_while_they_are_served() -> None:
    resource = Resource.from_table("diagnostics")
    create_app(resources=[resource])
    with pytest.raises(ResourceError) as caught:
        create_app(resources=[resource], examples=True)
    assert caught.value.problems == (
        "diagnostics: the service has a scope of this name of its own. Give another with path=.",
    )


async def test_scopes_of_the_service_open_no_table(node_address: tuple[str, int], keyspace: str) -> None:
    key = "k" * 32
    options: dict[str, Any] = {"options": {"examples": True}, "tables": ("*",)}
    keys = (Secret(f"operator:read.service+read.diagnostics+operate.diagnostics:{key}"),)
    async with live_service(node_address, keyspace, api_keys=keys, **options) as (service, client):
        client.headers["x-api-key"] = key
        assert (await client.get("/")).status_code == 200
        await service.catalog.ensure_read(Deadline.after(10))
        for name in ("service", "diagnostics"):
            problem(await client.get(f"/{name}"), 404, "not_found")
        left_out = {each.name: each.reason for each in service.catalog.offer.left_out}
        assert left_out["diagnostics"] == "the application has a scope diagnostics of its own"


def test_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="partition_key"):
        Resource.from_table("t", partition_key=("id",))


async def test_lines_at_the_start_say_what_is_served(
    node_address: tuple[str, int], keyspace: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "asgi_app.catalog"):
        async with live_service(node_address, keyspace, tables=("events", "strange"), writable=("strange",)):
            await eventually(lambda: any("strange" in each.getMessage() for each in caplog.records))
    assert [record.getMessage() for record in caplog.records if record.name == "asgi_app.catalog"] == [
        f"/events serves {keyspace}.events; key (tenant, day), at desc; read-only",
        f"/strange serves {keyspace}.strange; key id; plain writes ({NOTES['strange']})",
        "read-only tables: 1; `--writable NAME` (ASGI_CASSANDRA_WRITABLE) lets clients write",
    ]


async def test_empty_keyspace_is_told(
    node_address: tuple[str, int], cql: Session, caplog: pytest.LogCaptureFixture
) -> None:
    def lines() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.name == "asgi_app.catalog"]

    with own_keyspace(cql, ()) as empty, caplog.at_level(logging.WARNING, "asgi_app.catalog"):
        async with live_service(node_address, empty) as (_, client):
            await eventually(lambda: bool(lines()))
            problem(await client.get("/events"), 404, "not_found")
            assert (await client.get("/readyz")).status_code == 200
    assert lines() == [f"the keyspace {empty} has no tables; they are served as soon as there are some"]


KEY = "k" * 40


async def test_while_cassandra_is_away(keyspace: str) -> None:
    nobody = ("127.0.0.1", free_port())
    keys = (Secret(f"reader:read.events:{KEY}"),)
    async with live_service(nobody, keyspace, api_keys=keys) as (_, client):
        with_key = {"x-api-key": KEY}
        problem(await client.get("/events", headers=with_key), 503, "not_connected")
        problem(await client.get("/events/-/stream", headers=with_key), 503, "not_connected")
        problem(await client.get("/events"), 401, "unauthorized")
        problem(await client.get("/other", headers=with_key), 403, "forbidden")
        problem(await client.delete("/events/a", headers=with_key), 403, "forbidden")
        problem(await client.get("/docs/x"), 404, "not_found")
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
    async with live_service(nobody, keyspace, tables=("events",), writable=()) as (_, client):
        problem(await client.get("/events/a/2026-11-28"), 503, "not_connected")
        problem(await client.get("/other"), 404, "not_found")
