"""A user's own CQL: markers, values, pages, streams, writes, failures, declarations."""

from __future__ import annotations

import csv
import datetime
import io
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from cassandra.cluster import Session
from cassandra.protocol import SyntaxException
from helpers.cassandra import own_keyspace
from helpers.problems import problem
from helpers.service import client_of, settings_for
from helpers.waiting import eventually
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount

from asgi_app import Action, Forbidden, Principal, Query, Resource, ResourceError, create_app, lifespan_of
from asgi_app.tables.cql_text import first_word, has_unnamed_markers, marker_names, reserved_markers, table_names
from asgi_app.tables.types import RESERVED_WORDS

pytestmark = pytest.mark.anyio

DAY = "2026-11-28"
ID = "5f0c2a4e-0000-4000-8000-000000000001"
EVENTS = 25

WRITE: dict[str, Any] = {"writes": True, "method": "POST"}

TABLES = (
    "CREATE TYPE {0}.address (street text, zip int)",
    "CREATE TABLE {0}.events (tenant text, day date, at timestamp, id uuid, kind text, amount decimal, "
    "PRIMARY KEY ((tenant, day), at, id))",
    "CREATE TABLE {0}.places (home frozen<address>, tags frozen<set<text>>, v vector<float, 3>, name text, "
    "PRIMARY KEY ((home, tags), v))",
    'CREATE TABLE {0}.notes (id uuid PRIMARY KEY, "Text" text, tags list<text>, home frozen<address>)',
    "CREATE TABLE {0}.images (id int PRIMARY KEY, v vector<float, 3>)",
    "CREATE CUSTOM INDEX ON {0}.images (v) USING 'StorageAttachedIndex'",
)


def queries(keyspace: str) -> list[Query]:
    events, notes = f"{keyspace}.events", f"{keyspace}.notes"
    partition = "WHERE tenant = :tenant AND day = :day"
    return [
        Query("/recent/{tenant}", f"SELECT at, kind FROM {events} {partition} LIMIT 20"),
        Query("/every/{tenant}", f"SELECT at FROM {events} {partition}"),
        Query("/between/{tenant}", f"SELECT at FROM {events} {partition} AND at >= :at AND at <= :at"),
        Query("/count/{tenant}", f"SELECT count(*) AS n FROM {events} {partition}", one=True, name="events"),
        Query("/all", f"SELECT count(*) AS n FROM {events}", one=True),
        Query("/first/{tenant}", f"SELECT at, amount FROM {events} {partition}", one=True),
        Query("/export/{tenant}", f"SELECT at, kind, amount FROM {events} {partition}", stream=True),
        Query("/some/{tenant}/{limit}", f'SELECT at FROM {events} {partition} LIMIT :"limit"'),
        Query(
            "/places",
            f"SELECT name FROM {keyspace}.places WHERE home = :home AND tags = :tags AND v = :v",
        ),
        Query("/near", f"SELECT id FROM {keyspace}.images ORDER BY v ANN OF :v LIMIT 3"),
        Query(
            "/commented/{tenant}",
            f"-- the newest :first\n/* of a tenant? */ // really\n  select at FROM {events} {partition} "
            "ORDER BY at DESC",
        ),
        Query("/notes", f"SELECT id FROM {notes} WHERE id = :id"),
        Query("/notes", f'INSERT INTO {notes} (id, "Text", tags, home) VALUES (:id, :"Text", :tags, :home)', **WRITE),
        Query("/claims/{id}", f'INSERT INTO {notes} (id, "Text") VALUES (:id, :text) IF NOT EXISTS', **WRITE),
        Query("/events", f"INSERT INTO {events} (tenant, day, at, id) VALUES (:tenant, :day, :at, :id)", **WRITE),
        Query("/missing", f"SELECT id FROM {keyspace}.appears WHERE id = :id"),
        Query("/nonsense", f"SELECT FROM {events} WHERE WHERE"),
    ]


def minute_of(number: int) -> datetime.datetime:
    return datetime.datetime(2026, 11, 28, 9, number)


def text_of(number: int) -> str:
    """Return the time of an event as responses have it."""
    return f"2026-11-28T09:{number:02}:00.000Z"


@pytest.fixture(scope="module")
def tables(cql: Session) -> Iterator[str]:
    """The keyspace of this module, with events of one day."""
    with own_keyspace(cql, ()) as name:
        for table in TABLES:
            cql.execute(table.format(name))
        insert = cql.prepare(
            f"INSERT INTO {name}.events (tenant, day, at, id, kind, amount) "
            f"VALUES ('acme', '{DAY}', ?, ?, 'login', 1.50)"
        )
        for minute in range(EVENTS):
            cql.execute(insert, (minute_of(minute), uuid.UUID(int=minute)))
        place = "{street: 'Main', zip: 1}, {'a', 'b'}, [1, 0.5, 0], 'here'"
        cql.execute(f"INSERT INTO {name}.places (home, tags, v, name) VALUES ({place})")
        for number in range(5):
            cql.execute(f"INSERT INTO {name}.images (id, v) VALUES ({number}, [1, {number}, 0])")
        yield name


ASKED: list[Action] = []


def note_action(connection: HTTPConnection, action: Action) -> Principal:
    ASKED.append(action)
    if connection.headers.get("x-user") == "nobody":
        raise Forbidden
    return Principal("somebody")


@asynccontextmanager
async def serving(settings: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings, **options)
    async with app.router.lifespan_context(app), client_of(app, raise_app_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, node_address: tuple[str, int], tables: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with the queries above."""
    async with serving(settings_for(node_address, tables), queries=queries(tables), authorize=note_action) as started:
        yield started


# --- values


async def test_markers_are_read_from_path_and_query_as_their_types(client: httpx.AsyncClient) -> None:
    found = await client.get("/between/acme", params={"day": DAY, "at": text_of(3)})
    assert (found.status_code, found.json()) == (200, [{"at": text_of(3)}])
    assert found.headers["content-type"] == "application/json"
    assert found.headers["cache-control"] == "no-store"


async def test_path_is_percent_decoded(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/every/%61cme?day={DAY}&limit=1")).json() == [{"at": text_of(0)}]
    assert (await client.get(f"/every/a%2Fb?day={DAY}")).json() == []


async def test_every_mistake_of_the_url_is_named(client: httpx.AsyncClient) -> None:
    found = problem(
        await client.get("/between/acme", params={"day": "2026-13-01", "dai": DAY, "limit": "5"}),
        422,
        "invalid_input",
        "query.day",
        "query.dai",
        "query.at",
    )
    by_field = {error["field"]: error for error in found["errors"]}
    assert by_field["query.dai"]["usable"] == ["day", "at", "limit", "page_state"]
    assert by_field["query.at"]["message"] == "is required"
    assert by_field["query.day"]["message"].startswith("must be a date")


async def test_wrong_path_value_is_named(client: httpx.AsyncClient) -> None:
    sent = await client.get(f"/some/acme/many?day={DAY}")
    problem(sent, 422, "invalid_input", "path.limit")


async def test_bytes_that_are_not_utf_8_are_no_other_text(client: httpx.AsyncClient) -> None:
    query = "home=%7B%22street%22:%22%FF%22,%22zip%22:1%7D&tags=[%22%FF%22]&v=[1,2,3]&%FF=1"
    problem(await client.get(f"/places?{query}"), 422, "invalid_input", "query.home", "query.tags", "query.\ufffd")


async def test_marker_of_the_path_is_no_query_parameter(client: httpx.AsyncClient) -> None:
    sent = await client.get(f"/every/acme?day={DAY}&tenant=acme")
    problem(sent, 422, "invalid_input", "query.tenant")


async def test_values_of_nested_types_are_json(client: httpx.AsyncClient) -> None:
    values = {"home": '{"street": "Main", "zip": 1}', "tags": '["b", "a"]', "v": "[1, 0.5, 0]"}
    assert (await client.get("/places", params=values)).json() == [{"name": "here"}]
    assert (await client.get("/places", params=values | {"tags": '["b"]'})).json() == []


@pytest.mark.parametrize(
    ("name", "text", "field"),
    [
        ("home", '{"street": "Main", "zip": "1"}', "query.home/zip"),
        ("home", '{"street": "Main", "town": 1}', "query.home/town"),
        ("home", "Main", "query.home"),
        ("tags", '["a", null]', "query.tags/1"),
        ("tags", "a,b", "query.tags"),
        ("v", "[1, 0.5]", "query.v"),
        ("v", '[1, 0.5, "x"]', "query.v/2"),
    ],
)
async def test_wrong_nested_value_is_named(client: httpx.AsyncClient, name: str, text: str, field: str) -> None:
    values = {"home": "{}", "tags": "[]", "v": "[0, 0, 0]", name: text}
    problem(await client.get("/places", params=values), 422, "invalid_input", field)


async def test_marker_may_be_the_vector_to_search_for(client: httpx.AsyncClient) -> None:
    found = await client.get("/near", params={"v": "[1, 0, 0]"})
    assert found.json() == [{"id": 0}, {"id": 1}, {"id": 2}]


async def test_comments_hide_no_select_and_make_no_markers(client: httpx.AsyncClient) -> None:
    found = await client.get(f"/commented/acme?day={DAY}&limit=1")
    assert found.json() == [{"at": text_of(EVENTS - 1)}]


@pytest.mark.parametrize(
    ("method", "path", "headers", "field"),
    [
        ("GET", f"/every/acme?day={DAY}", {"Cassandra-Consistency": "ONE"}, "header.Cassandra-Consistency"),
        ("GET", f"/export/acme?day={DAY}", {"Cassandra-TTL": "5"}, "header.Cassandra-TTL"),
        ("POST", "/notes", {"Cassandra-TTL": "5"}, "header.Cassandra-TTL"),
        ("POST", "/notes", {"If-Match": "*"}, "header.If-Match"),
    ],
)
async def test_header_that_cannot_be_honoured_is_400(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], field: str
) -> None:
    problem(await client.request(method, path, headers=headers, json={}), 400, "invalid_header", field)


# --- pages


async def test_links_lead_over_every_row_once(client: httpx.AsyncClient) -> None:
    rows, page = [], await client.get("/every/acme", params={"day": DAY, "limit": 7})
    while True:
        rows += page.json()
        if "link" not in page.headers:
            break
        assert len(page.json()) == 7
        page = await client.get(page.links["next"]["url"])
    assert rows == [{"at": text_of(number)} for number in range(EVENTS)]


async def test_page_has_ten_rows_by_default_and_the_limit_of_the_cql_holds_for_the_walk(
    client: httpx.AsyncClient,
) -> None:
    first = await client.get(f"/recent/acme?day={DAY}")
    second = await client.get(first.links["next"]["url"])
    assert [row["at"] for row in first.json() + second.json()] == [text_of(number) for number in range(20)]
    assert "link" not in second.headers


async def test_limit_in_the_path_is_a_marker(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/some/acme/3?day={DAY}")).json() == [{"at": text_of(number)} for number in range(3)]
    assert len((await client.get(f"/some/acme/3?day={DAY}&limit=2")).json()) == 2  # the page's own


@pytest.mark.parametrize("limit", ["0", "101", "-1", "many", ""])
async def test_limit_out_of_bounds_is_422(client: httpx.AsyncClient, limit: str) -> None:
    problem(await client.get("/every/acme", params={"day": DAY, "limit": limit}), 422, "invalid_input", "query.limit")


async def test_token_is_bound_to_the_query_and_its_values(client: httpx.AsyncClient) -> None:
    url = (await client.get(f"/every/acme?day={DAY}&limit=2")).links["next"]["url"]
    assert (await client.get(url)).json() == [{"at": text_of(2)}, {"at": text_of(3)}]
    for other in (url.replace("/every/", "/recent/"), url.replace("acme", "other"), url.replace("11-28", "11-27")):
        assert other != url
        problem(await client.get(other), 422, "invalid_page_state", "query.page_state")


async def test_links_have_the_prefix_of_a_mount(node_address: tuple[str, int], tables: str) -> None:
    app = create_app(settings_for(node_address, tables), queries=queries(tables))
    parent = Starlette(routes=[Mount("/db", app)], lifespan=lifespan_of(app))
    async with parent.router.lifespan_context(parent), client_of(parent) as client:
        first = await client.get(f"/db/every/acme?day={DAY}&limit=2")
        assert first.headers["link"].startswith(f"</db/every/acme?day={DAY}&limit=2&page_state=")
        assert (await client.get(first.links["next"]["url"])).json() == [{"at": text_of(2)}, {"at": text_of(3)}]


# --- one row


async def test_one_is_an_object_or_404(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/first/acme?day={DAY}")).json() == {"at": text_of(0), "amount": "1.50"}
    assert (await client.get(f"/count/acme?day={DAY}")).json() == {"n": EVENTS}
    problem(await client.get(f"/first/nobody?day={DAY}"), 404, "not_found")


async def test_head_is_get_without_a_body(client: httpx.AsyncClient) -> None:
    for path, status in [("/first/acme", 200), ("/first/nobody", 404), ("/every/acme", 200), ("/export/acme", 200)]:
        found = await client.head(f"{path}?day={DAY}")
        assert (found.status_code, found.content) == (status, b""), path
    found = await client.head(f"/every/acme?day={DAY}")
    assert not {"content-length", "link"} & set(found.headers)  # no row was read
    assert (await client.head("/every/acme")).status_code == 422


# --- streams


def from_csv(body: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(body)))


READERS: dict[str, Callable[[httpx.Response], Any]] = {
    "json": lambda response: response.json(),
    "ndjson": lambda response: [json.loads(line) for line in response.text.splitlines()],
    "csv": lambda response: from_csv(response.text),
}


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "msgpack"])
async def test_stream_has_all_rows_in_each_format(client: httpx.AsyncClient, form: str) -> None:
    found = await client.get("/export/acme", params={"day": DAY, "format": form, "fetch_size": 4})
    wanted = [{"at": text_of(number), "kind": "login", "amount": "1.50"} for number in range(EVENTS)]
    assert found.status_code == 200
    if form == "msgpack":
        assert found.content == b"".join(map(msgspec.msgpack.encode, wanted))
    else:
        assert READERS[form](found) == wanted


async def test_stream_ends_at_its_limit(client: httpx.AsyncClient) -> None:
    assert len((await client.get(f"/export/acme?day={DAY}&limit=3&fetch_size=2")).json()) == 3
    assert (await client.get(f"/export/acme?day={DAY}&limit=0")).json() == []
    assert (await client.get(f"/export/nobody?day={DAY}")).json() == []


async def test_mistakes_of_a_stream_have_a_status(client: httpx.AsyncClient) -> None:
    wrong = {"limit": "-1", "fetch_size": "5001"}
    sent = await client.get("/export/acme", params={"day": DAY, **wrong})
    problem(sent, 422, "invalid_input", "query.limit", "query.fetch_size")
    sent = await client.get("/export/acme", params={"day": DAY, "page_state": "x"})
    problem(sent, 422, "invalid_input", "query.page_state")
    problem(await client.get(f"/export/acme?day={DAY}&format=xml"), 422, "invalid_input", "query.format")
    sent = await client.get(f"/export/acme?day={DAY}", headers={"Accept": "image/png"})
    problem(sent, 406, "not_acceptable")


# --- writes


async def test_write_takes_its_values_from_the_body(client: httpx.AsyncClient, cql: Session, tables: str) -> None:
    body = {"id": ID, "Text": "naïve", "tags": ["a", "b"], "home": None}
    sent = await client.post("/notes", json=body)
    assert (sent.status_code, sent.content, sent.headers["cache-control"]) == (204, b"", "no-store")
    row = cql.execute(f'SELECT "Text", tags, home FROM {tables}.notes WHERE id = {ID}').one()
    assert tuple(row) == ("naïve", ["a", "b"], None)
    assert (await client.get(f"/notes?id={ID}")).json() == [{"id": ID}]


async def test_every_mistake_of_a_body_is_named_and_nothing_is_written(
    client: httpx.AsyncClient, cql: Session, tables: str
) -> None:
    absent = str(uuid.uuid4())
    body = {"id": absent, "tags": ["a", None, 3], "home": {"zip": 2**31}, "a/b": 1}
    found = problem(
        await client.post("/notes?id=1", json=body),
        422,
        "invalid_input",
        "query.id",
        "/a~1b",
        "/Text",
        "/tags/1",
        "/tags/2",
        "/home/zip",
    )
    (unknown,) = [error for error in found["errors"] if error["field"] == "/a~1b"]
    assert unknown["usable"] == ["id", "Text", "tags", "home"]
    assert not cql.execute(f"SELECT id FROM {tables}.notes WHERE id = {absent}").all()


async def test_null_in_a_key_is_422(client: httpx.AsyncClient) -> None:
    """The driver cannot send one in a partition key. Of clustering columns Cassandra says so."""
    body = {"tenant": "nulls", "day": DAY, "at": text_of(0), "id": ID}
    for names, fields in ((("tenant",), ["/tenant"]), (("tenant", "day", "at"), ["/tenant", "/day"])):
        sent = await client.post("/events", json={**body, **dict.fromkeys(names)})
        problem(sent, 422, "invalid_input", *fields)
    problem(await client.post("/events", json={**body, "at": None}), 422, "rejected_by_cassandra")


async def test_body_must_be_a_json_object(client: httpx.AsyncClient) -> None:
    problem(await client.post("/notes", json=[1]), 422, "invalid_input", "")
    is_json = {"Content-Type": "application/json"}
    problem(await client.post("/notes", content=b"{", headers=is_json), 400, "malformed_json")
    problem(await client.post("/notes", content=b"id=1"), 415, "unsupported_media_type")


async def test_condition_that_does_not_hold_is_409(client: httpx.AsyncClient, cql: Session, tables: str) -> None:
    address = f"/claims/{uuid.uuid4()}"
    assert (await client.post(address, json={"text": "first"})).status_code == 204
    problem(await client.post(address, json={"text": "second"}), 409, "conflict")
    assert (await client.get("/notes", params={"id": address.rpartition("/")[2]})).status_code == 200
    row = cql.execute(f'SELECT "Text" FROM {tables}.notes WHERE id = {address.rpartition("/")[2]}').one()
    assert row[0] == "first"


@pytest.mark.parametrize("tenant", ["", "k" * 70_000])
async def test_value_that_only_cassandra_refuses_is_422(client: httpx.AsyncClient, tenant: str) -> None:
    body = {"tenant": tenant * 2, "day": DAY, "at": text_of(0), "id": ID}
    sent = await client.post("/events", json=body)
    if tenant:
        problem(sent, 422, "rejected_by_cassandra")
    else:
        assert sent.status_code == 204  # a part of a composite partition key may be empty


async def test_other_methods_are_405(client: httpx.AsyncClient) -> None:
    both, one = await client.delete("/notes"), await client.post("/every/acme")
    problem(both, 405, "method_not_allowed")
    assert {name.strip() for name in both.headers["allow"].split(",")} == {"GET", "HEAD", "POST"}
    problem(one, 405, "method_not_allowed")
    assert {name.strip() for name in one.headers["allow"].split(",")} == {"GET", "HEAD"}


def test_only_reads_and_declared_writes_are_repeated() -> None:
    read, write = Query("/a", "SELECT x FROM k.t"), Query("/b", "UPDATE k.t SET x = :x WHERE a = :a", **WRITE)
    again = Query("/b", write.cql, idempotent=True, **WRITE)
    assert (read.statement.idempotent, read.statement.writes) == (True, False)
    assert (write.statement.idempotent, write.statement.writes) == (False, True)
    assert (again.statement.idempotent, again.statement.writes) == (True, True)


# --- failures


async def test_statement_that_cassandra_refuses_is_500_without_its_text(client: httpx.AsyncClient) -> None:
    found = problem(await client.get("/nonsense"), 500, "statement_refused")
    assert "refused the statement" in found["detail"]


async def test_missing_table_is_503_whenever_it_is_not_there(
    client: httpx.AsyncClient, cql: Session, tables: str
) -> None:
    for _ in range(2):
        found = problem(await client.get("/missing?id=1"), 503, "schema_missing")
        assert found["detail"] == f"There is no table {tables}.appears."
        cql.execute(f"CREATE TABLE {tables}.appears (id int PRIMARY KEY)")
        assert (await client.get("/missing?id=1")).json() == []
        cql.execute(f"DROP TABLE {tables}.appears")  # the statement stays prepared


async def test_values_are_never_stored_as_another_type(
    node_address: tuple[str, int], cql: Session, tables: str
) -> None:
    table = f"{tables}.changing"
    write = Query("/changing", f"INSERT INTO {table} (id, n) VALUES (:id, :n)", idempotent=True, **WRITE)
    app = create_app(settings_for(node_address, tables), queries=[write])
    cql.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, n int)")
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert (await client.post("/changing", json={"id": 1, "n": 65})).status_code == 204
        cql.execute(f"DROP TABLE {table}")
        cql.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, n text)")
        problem(await client.post("/changing", json={"id": 1, "n": 65}), 503, "schema_missing")
        assert not cql.execute(f"SELECT * FROM {table}").all()
        problem(await client.post("/changing", json={"id": 1, "n": 65}), 422, "invalid_input", "/n")
        assert (await client.post("/changing", json={"id": 1, "n": "text"})).status_code == 204
    assert cql.execute(f"SELECT n FROM {table}").one().n == "text"


async def test_refused_statements_are_told_at_start(
    node_address: tuple[str, int], tables: str, caplog: pytest.LogCaptureFixture
) -> None:
    own = [query for query in queries(tables) if query.path in ("/notes", "/missing", "/nonsense")]
    app = create_app(settings_for(node_address, tables), queries=own)

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "asgi_app.start"]

    async with app.router.lifespan_context(app):
        await eventually(lambda: len(lines()) == 2)
    assert lines()[0] == f"GET /missing is not served: There is no table {tables}.appears."
    assert lines()[1].startswith("GET /nonsense is not served: Cassandra refuses its statement: ")


async def test_deadline_is_that_of_the_request(client: httpx.AsyncClient) -> None:
    sent = await client.get(f"/every/acme?day={DAY}", headers={"X-Request-Timeout": "0.000000001"})
    problem(sent, 504, "deadline_exceeded")


async def test_warning_of_cassandra_is_logged_and_not_sent(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    found = await client.get("/all")
    assert (found.status_code, found.json()["n"] >= EVENTS) == (200, True)
    assert "without partition key" in caplog.text


# --- authorization and metrics


async def test_hook_gets_the_name_and_the_verb(client: httpx.AsyncClient) -> None:
    for method, path, verb, name in [
        ("GET", "/every/acme", "read", "every"),
        ("GET", "/count/acme", "read", "events"),
        ("POST", "/claims/1", "write", "claims"),
    ]:
        problem(await client.request(method, path, headers={"X-User": "nobody"}), 403, "forbidden")
        assert ASKED[-1] == Action(verb, name)  # type: ignore[arg-type]


async def test_metrics_count_by_the_path_as_declared(client: httpx.AsyncClient) -> None:
    await client.get(f"/every/acme?day={DAY}")
    text = (await client.get("/metrics", headers={"Accept": "text/plain"})).text
    assert 'route="/every/{tenant}"' in text
    assert "acme" not in text


# --- declarations


class Row(msgspec.Struct):
    id: int


def test_every_mistake_of_every_declaration_is_reported_at_once() -> None:
    resource = Resource(Row, "rows", partition_key=("id",))
    mistaken = [
        Query("recent", "SELECT x FROM k.t"),
        Query("/{tenant}/x", "SELECT x FROM k.t WHERE tenant = :tenant"),
        Query("/a b/{x", "SELECT x FROM k.t"),
        Query("/c/{x}/{x}", "SELECT x FROM k.t WHERE x = :x"),
        Query("/d/{Tenant}", "SELECT x FROM k.t WHERE tenant = :Tenant"),
        Query("/e", "SELECT x FROM k.t WHERE x = ?"),
        Query("/f", 'SELECT x FROM k.t LIMIT :"limit"'),
        Query("/ff", "SELECT x FROM k.t WHERE at >= :From AND at <= :to"),
        Query("/g", "SELECT x FROM k.t WHERE f = :format", stream=True),
        Query("/gg", "SELECT x FROM k.t", stream=True, one=True),
        Query("/h", "UPDATE k.t SET x = :x WHERE a = :a"),
        Query("/i", "/* no */ SELECT x FROM k.t", **WRITE),
        Query("/j", "DELETE FROM k.t WHERE a = :a", writes=True),
        Query("/k", "SELECT x FROM k.t", idempotent=True),
        Query("/health", "SELECT x FROM k.t"),
        Query("/service", "SELECT x FROM k.t"),
        Query("/o", "SELECT x FROM k.t", name="metrics"),
        Query("/rows/{a}", "SELECT x FROM k.t WHERE a = :a"),
        Query("/l/{a}", "SELECT x FROM k.t WHERE a = :a"),
        Query("/l/{b}", "DELETE FROM k.t WHERE b = :b", **WRITE),
        Query("/m", "SELECT x FROM k.t"),
        Query("/m", "SELECT y FROM k.t"),
        Query("/n", "SELECT x FROM k.t"),
        Query("/n", "DELETE FROM k.t WHERE a = :a", name="other", **WRITE),
    ]
    with pytest.raises(ResourceError) as caught:
        create_app(resources=[resource, Resource(Row, "rows", partition_key=("no",))], queries=mistaken)
    text = str(caught.value)
    expected = [
        "Query recent: the path must begin with a slash.",
        "Query /{tenant}/x: the first segment of the path cannot be a parameter",
        "not 'a b', '{x'.",
        "Query /c/{x}/{x}: a parameter is in the path more than once.",
        "Query /d/{Tenant}: the path has Tenant, and the CQL has no such marker.",
        "Query /e: a marker needs a name",
        "Query /f: limit cannot be a marker",
        'Query /ff: from, to cannot name a marker: CQL has this word. Write :"from", :"to"',
        "Query /g: format cannot be a marker",
        "Query /gg: `stream` and `one` exclude each other.",
        "Query /h: only a SELECT can be served without `writes=True`.",
        "Query /i: a SELECT does not write",
        'Query /j: a SELECT answers GET, and a statement that writes answers POST: writes=True, method="POST".',
        "Query /k: `idempotent` is for a statement that writes",
        "Query /health: the service has paths that begin with /health.",
        "Query /service: the service has a scope service of its own. Give another with name=.",
        "Query /o: the service has a scope metrics of its own. Give another with name=.",
        "Query /rows/{a}: paths that begin with /rows are those of a resource.",
        "Query /l/{a}: 2 queries have this path.",
        "Query /m: 2 queries have this path.",
        "Query /n: the GET and the POST of one path need the same `name`.",
        "rows: 2 resources have this path.",
        "partition_key",
    ]
    assert [line for line in expected if line not in text] == []


def test_sound_declarations_have_no_problems() -> None:
    sound = [
        *queries("k"),
        Query("/o/{limit}", 'SELECT x FROM k.t LIMIT :"limit"'),
        Query("/p", 'SELECT x FROM k.t WHERE l = :"limit"', one=True),
    ]
    assert [problem for query in sound for problem in query.problems()] == []
    create_app(queries=sound)


@pytest.mark.parametrize(
    ("cql", "names", "unnamed"),
    [
        ("SELECT a FROM t WHERE b = :b AND c IN :C LIMIT :n", ("b", "c", "n"), False),
        ('SELECT a FROM t WHERE b = :"B c" AND "x:y" = :b', ("B c", "b"), False),
        ("SELECT a FROM t WHERE b = 'it''s :no ?' AND c = $$:no ?$$ AND d=:d", ("d",), False),
        ("-- :no ?\n// :no ?\n/* :no\n? */ SELECT a FROM t WHERE b = :b AND c = :b", ("b",), False),
        ("INSERT INTO t (m, u) VALUES ({'a':true, 'b': :v}, {street: :s, zip:now()})", ("v", "s"), False),
        ("SELECT a FROM t WHERE b = ?", (), True),
    ],
)
def test_markers_in_cql(cql: str, names: tuple[str, ...], unnamed: bool) -> None:
    assert (marker_names(cql), has_unnamed_markers(cql)) == (names, unnamed)


@pytest.mark.parametrize(
    ("cql", "names"),
    [
        ("SELECT a FROM Shop . Events WHERE b = ':from x.y' -- from x.y", [("shop", "events")]),
        ('select "from x.y" from "My Shop"."say ""hi""" where a = $$from x.y$$', [("My Shop", 'say "hi"')]),
        ("SELECT a FROM t", [(None, "t")]),
        ("UPDATE k.t USING TTL 5 SET a = :a WHERE b = :b", [("k", "t")]),
        (
            "BEGIN BATCH INSERT INTO k.a (b) VALUES (:b); DELETE c FROM k.b WHERE d = :d;"
            "UPDATE k.a SET c = 1 WHERE b = 2; APPLY BATCH",
            [("k", "a"), ("k", "b")],
        ),
    ],
)
def test_tables_in_cql(cql: str, names: list[tuple[str | None, str]]) -> None:
    assert list(table_names(cql)) == names


def test_reserved_words_are_those_that_cassandra_refuses(cql: Session) -> None:
    words = [*RESERVED_WORDS, "ttl", "key", "count", "values", "timestamp", "type", "contains", "like", "writetime"]
    for word in words:
        statement = f"SELECT rpc_port FROM system.local WHERE key = :{word}"
        try:
            cql.prepare(statement)
            refused: tuple[str, ...] = ()
        except SyntaxException:
            refused = (word,)
        assert reserved_markers(statement) == refused
    assert reserved_markers('SELECT a FROM t WHERE b = :ttl AND c = :TO AND d = :"from"') == ("to",)


@pytest.mark.parametrize(
    ("cql", "word"),
    [("select x", "SELECT"), ("  -- no\n/* a\nb */ //c\nInsert", "INSERT"), ("", ""), ("-- SELECT", ""), ("(", "")],
)
def test_first_word_of_cql(cql: str, word: str) -> None:
    assert first_word(cql) == word


ROWS = Resource(Row, "rows", partition_key=("id",))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"resources": ROWS}, "resources must be a list or tuple, not a Resource: write resources=[...]."),
        ({"resources": [Row]}, "resources must be a list or tuple of Resource, and has the class Row in it."),
        ({"queries": Query("/a", "SELECT x FROM k.t")}, "queries must be a list or tuple, not a Query: write "),
        ({"queries": "SELECT x FROM k.t"}, "queries must be a list or tuple, not a str: write queries=[...]."),
        ({"routes": [ROWS]}, "routes must be a list or tuple of BaseRoute, and has a Resource in it."),
    ],
    ids=["resource", "struct", "query", "text", "route"],
)
def test_what_is_no_list_of_declarations_is_named(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ResourceError) as caught:
        create_app(**given)
    assert str(caught.value).startswith(problem)
