"""GET /openapi.json of a running service: kept, made anew when the schema changes, below a prefix, off by a setting."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import own_keyspace
from helpers.ports import free_port
from helpers.service import client_of, settings_for
from helpers.waiting import seconds_until
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_app.app import create_app, lifespan_of
from asgi_app.db import PING
from asgi_app.http.formats import FORMATS
from asgi_app.openapi import serving
from asgi_app.openapi.statements import readable
from asgi_app.resources.query import Query
from asgi_app.runtime.deadline import Deadline
from asgi_app.settings import Secret, Settings
from asgi_app.tables.cql import Statement
from asgi_app.telemetry.statements import StatementObserver
from openapi.documents import operation, operations, parameters, resolved

pytestmark = pytest.mark.anyio

KEYS = (Secret("reader:read.docs:" + "r" * 32), Secret("writer:write:" + "w" * 32))


@pytest.fixture(scope="module")
def shop(cql: Session) -> Iterator[str]:
    """A keyspace with a table, made by CQL alone."""
    with own_keyspace(cql, ()) as name:
        cql.execute(f"CREATE TABLE {name}.orders (shop text, id int, note text, PRIMARY KEY (shop, id))")
        yield name


@pytest.fixture(scope="module")
async def live(anyio_backend: Any, node_address: tuple[str, int], shop: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service of all tables of the live schema, and of two statements; one of them is refused."""
    queries = [
        Query("/notes/{shop}", f"SELECT note FROM {shop}.orders WHERE shop = :shop AND id > :least"),
        Query("/refused", f"SELECT note FROM {shop}.nothing WHERE id = :id"),
    ]
    settings = settings_for(node_address, shop, tables=("*",), writable=("*",))
    app = create_app(settings, queries=queries)
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_live_tables_and_statements(live: httpx.AsyncClient, shop: str) -> None:
    found = await document(live)
    OpenAPIV31SpecValidator(found).validate()
    names = {each["operationId"] for _, _, each in operations(found)}
    assert {"orders_list", "orders_create", "orders_change", "notes_by_shop", "refused"} <= names
    assert not any(name.startswith(("users", "diagnostics")) for name in names)
    assert found["x-cassandra-tables"]["orders"]["keyspace"] == shop
    assert parameters(found, "notes_by_shop")["least"]["schema"]["format"] == "int32"
    assert parameters(found, "refused")["id"]["schema"] == {"type": "string"}  # nobody knows its type


async def test_tables_and_operations_of_the_service_have_tags_of_their_own(
    node_address: tuple[str, int], cql: Session
) -> None:
    with own_keyspace(cql, ()) as keyspace:
        for name in ("service", "diagnostics"):
            cql.execute(f"CREATE TABLE {keyspace}.{name} (id int PRIMARY KEY)")
        app = create_app(settings_for(node_address, keyspace, tables=("*",)), diagnostics=True)
        async with app.router.lifespan_context(app), client_of(app) as client:
            found = await document(client)
    OpenAPIV31SpecValidator(found).validate()
    assert [tag["name"] for tag in found["tags"]] == ["diagnostics", "service"]
    assert {path for path in found["paths"] if "service" in path} == set()
    # Without the built-in tables the demonstrations are not served, and the name is free.
    assert "/performance/async" not in found["paths"]
    assert "/diagnostics" in found["paths"]


async def test_it_follows_the_schema(live: httpx.AsyncClient, cql: Session, shop: str) -> None:
    first = await live.get("/openapi.json")
    assert first.headers["etag"] == (await live.get("/openapi.json")).headers["etag"]
    cql.execute(f"ALTER TABLE {shop}.orders ADD paid boolean")
    cql.execute(f"CREATE TABLE {shop}.parts (id uuid PRIMARY KEY)")

    async def has_changed() -> bool:
        found = await document(live)
        columns = found["components"]["schemas"]["orders_columns"]["properties"]
        return "paid" in columns and "/parts" in found["paths"]

    await seconds_until("the document has the new column and the new table", has_changed, 30)
    etag = {"If-None-Match": first.headers["etag"]}
    assert (await live.get("/openapi.json", headers=etag)).status_code == 200


async def test_it_follows_the_types_of_statements(
    node_address: tuple[str, int], cql: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "ASK_SECONDS", 0)
    with own_keyspace(cql, ()) as keyspace:
        query = Query("/parts/{id}", f"SELECT id FROM {keyspace}.parts WHERE id = :id")
        app = create_app(settings_for(node_address, keyspace, max_prepared=1), queries=[query])
        async with app.router.lifespan_context(app), client_of(app) as client:
            types = []
            for name in ("int", "uuid"):
                cql.execute(f"DROP TABLE IF EXISTS {keyspace}.parts")
                cql.execute(f"CREATE TABLE {keyspace}.parts (id {name} PRIMARY KEY)")
                await app.state.database.execute(PING, deadline=Deadline.after(10))  # takes the place of the statement
                schema = parameters(await document(client), "parts_by_id")["id"]["schema"]
                assert (await client.get(f"/parts/{uuid.uuid4()}")).status_code == (422 if name == "int" else 200)
                types.append(schema.get("format"))
            assert types == ["int32", "uuid"]


async def test_what_the_client_has_is_304(live: httpx.AsyncClient) -> None:
    first = await live.get("/openapi.json")
    assert first.headers["cache-control"] == "no-cache"
    again = await live.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    head = await live.head("/openapi.json")
    assert (head.status_code, head.content) == (200, b"")
    plain = await live.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    assert (plain.content, "content-encoding" in plain.headers) == (first.content, False)
    assert first.headers["content-encoding"] == "gzip"
    assert plain.headers["etag"] != first.headers["etag"]
    assert plain.headers["vary"] == first.headers["vary"] == "Accept-Encoding"
    assert int(head.headers["content-length"]) < int(plain.headers["content-length"])
    assert (await live.post("/openapi.json")).status_code == 405


USER = {"name": "Ada", "email": "ada@example.org", "age": 36}
ANIMAL = {"genus": "Vulpes", "species": "lagopus", "image_url": "", "size_cm": 55.0, "sightings": 1, "taxonomy": []}


async def test_cql_of_the_built_in_tables_is_what_their_handlers_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    ended = StatementObserver.end

    def end(self: StatementObserver, statement: Statement, *rest: Any) -> None:
        ran.append(readable(statement.cql))
        ended(self, statement, *rest)

    monkeypatch.setattr(StatementObserver, "end", end)
    app = create_app(settings)
    async with app.router.lifespan_context(app), client_of(app) as client:
        described = {each["operationId"]: each for _, _, each in operations(await document(client))}
        user = (await client.post("/users", json=USER)).headers["location"]
        sent = {
            "users_create": ("POST", "/users", USER),
            "users_batch": ("POST", "/users/batch", [USER]),
            "users_list": ("GET", "/users", None),
            "users_stream": ("GET", "/users/stream", None),
            "users_pages": ("GET", "/users/stream/pages", None),
            "users_read": ("GET", user, None),
            "users_replace": ("PUT", user, USER),
            "users_change": ("PATCH", user, USER),
            "users_delete": ("DELETE", user, None),
            "animals_create": ("POST", "/animal", ANIMAL),
            "animals_stream": ("GET", "/animal/Vulpes", None),
            "animals_read": ("GET", "/animal/Vulpes/lagopus", None),
            "plants_stream": ("GET", "/plant/Rosa", None),
        }
        for name, (method, path, body) in sent.items():
            ran.clear()
            answer = await client.request(method, path, json=body)
            assert answer.status_code in (200, 201, 204), answer.text
            assert ran[0] == described.pop(name)["x-cassandra"]["cql"]
    rest = {name for name, each in described.items() if "x-cassandra" in each}
    assert rest == {
        f"users_export_{form}" for form in FORMATS
    }  # they read slices: the condition on tokens is not shown


async def test_conditional_delete_of_a_user(settings: Settings) -> None:
    app = create_app(settings)
    async with app.router.lifespan_context(app), client_of(app) as client:
        found = await document(client)
        assert parameters(found, "users_delete")["If-Match"]["schema"] == {"type": "string", "enum": ["*"]}
        answer = await client.delete(f"/users/{uuid.uuid4()}", headers={"If-Match": "*"})
        assert str(answer.status_code) in operation(found, "users_delete")["responses"]
        assert answer.status_code == 412


async def test_addresses_are_below_the_prefix(settings: Settings) -> None:
    service = create_app(settings)
    parent = Starlette(routes=[Mount("/{tenant}/db", service)], lifespan=lifespan_of(service))
    async with parent.router.lifespan_context(parent), client_of(parent) as client:
        etags = set()
        for prefix in ("/x/db", "/y%3Fz/db"):
            answer = await client.get(f"{prefix}/openapi.json")
            assert answer.json()["servers"] == [{"url": prefix}]
            etags.add(answer.headers["etag"])
        assert len(etags) == 2


async def test_off_by_a_setting(node_address: tuple[str, int], keyspace: str) -> None:
    app = create_app(settings_for(node_address, keyspace, docs=False))
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert (await client.get("/openapi.json")).status_code == 404


async def test_a_key_for_it(node_address: tuple[str, int], keyspace: str) -> None:
    app = create_app(settings_for(node_address, keyspace, api_keys=KEYS, admin_token=Secret("a" * 32)))
    async with app.router.lifespan_context(app), client_of(app) as client:
        unknown = await client.get("/openapi.json")
        assert unknown.status_code == 401
        assert (await client.get("/openapi.json", headers={"X-API-Key": "w" * 32})).status_code == 403
        answer = await client.get("/openapi.json", headers={"X-API-Key": "r" * 32})
        found = answer.json()
        assert [*found["components"]["securitySchemes"]] == ["bearer", "apiKey", "adminToken"]
        described = resolved(found, operation(found, "users_list")["responses"]["401"])["headers"]
        assert {name for name in described if name not in unknown.headers} == set()
        assert "www-authenticate" in {name.lower() for name in described}


async def test_before_cassandra_answers() -> None:
    app = create_app(settings_for(("127.0.0.1", free_port()), "ks"))
    async with app.router.lifespan_context(app), client_of(app) as client:
        answer = await client.get("/openapi.json")
        assert answer.status_code == 200
        assert "/users/{user_id}" in json.loads(answer.content)["paths"]
