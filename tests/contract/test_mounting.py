"""Mounted in a parent application: below a prefix, beside a second service, on the parent's session."""

from __future__ import annotations

import gc
import re
import runpy
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cassandra import ConsistencyLevel
from cassandra.cluster import Cluster, Session
from cassandra.query import dict_factory
from helpers.cassandra import DDL_TIMEOUT, own_keyspace
from helpers.problems import problem
from helpers.service import client_of, settings_for
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.routing import Mount
from uvicorn.lifespan.on import LifespanOn

from asgi_app.app import create_app, lifespan_of
from asgi_app.driver.execution import Query, SessionExecutor
from asgi_app.driver.session import borrow
from asgi_app.settings import Settings
from asgi_app.telemetry.metrics import Metrics
from contract.samples import ADA, create

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def environment(node_address: tuple[str, int], keyspace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment variables that the examples read."""
    monkeypatch.setenv("CASSANDRA_HOSTS", f"{node_address[0]}:{node_address[1]}")
    monkeypatch.setenv("CASSANDRA_KEYSPACE", keyspace)


@pytest.fixture(scope="module")
def archive(cql: Session) -> Iterator[str]:
    """Yield the name of a second keyspace."""
    with own_keyspace(cql) as name:
        yield name


@asynccontextmanager
async def running(app: Any, **transport: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an ASGI application; run the lifespan as uvicorn does."""
    config = uvicorn.Config(app, lifespan="on", log_config=None)
    config.load()
    lifespan = LifespanOn(config)
    await lifespan.startup()
    assert not lifespan.should_exit
    try:
        async with client_of(app, **transport) as client:
            yield client
    finally:
        await lifespan.shutdown()


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


async def walks(client: httpx.AsyncClient, prefix: str) -> None:
    """Create, list and delete a user below the prefix, using only links of the responses."""
    created = [(await client.post(f"{prefix}/users", json=ADA)).headers["location"] for _ in range(3)]
    assert all(place.startswith(f"{prefix}/users/") for place in created)
    for place in created:
        assert (await client.get(place)).status_code == 200
    listed = await client.get(f"{prefix}/users?limit=1")
    assert listed.links["next"]["url"].startswith(f"{prefix}/users?")
    assert len((await client.get(listed.links["next"]["url"])).json()) == 1
    assert len((await client.get(f"{prefix}/users/stream")).json()) >= 3
    missing = problem(await client.get(f"{prefix}/users/{'0' * 8}-0000-4000-8000-{'0' * 12}"), 404, "not_found")
    assert missing["instance"].startswith(f"{prefix}/users/")
    for place in created:
        assert (await client.delete(place)).status_code == 204


@pytest.mark.usefixtures("environment")
async def test_example_starlette_parent() -> None:
    async with running(example("mount_in_starlette")["app"]) as client:
        assert (await client.get("/")).text == "the parent's own page"
        await walks(client, "/db")


@pytest.mark.usefixtures("environment")
async def test_example_fastapi_parent_with_own_session() -> None:
    async with running(example("mount_in_fastapi")["app"]) as client:
        await walks(client, "/db")
        assert (await client.get("/release")).json()["release"]


@pytest.mark.usefixtures("environment")
async def test_example_plain_asgi_parent() -> None:
    async with running(example("bare_router")["app"]) as client:
        assert (await client.get("/elsewhere")).text == "nothing here"
        await walks(client, "/db")


@pytest.mark.usefixtures("environment")
async def test_example_two_databases(archive: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIVE_KEYSPACE", archive)
    async with running(example("two_databases")["build"]()) as client:
        kept = [await create(client, prefix="/archive") for _ in range(2)]
        assert (await client.get(f"/archive/users/{kept[0]['id']}")).status_code == 200
        problem(await client.get(f"/shop/users/{kept[0]['id']}"), 404, "not_found")
        token = (await client.get("/archive/users/stream/pages?fetch_size=1")).json()["page_state"]
        elsewhere = await client.get("/shop/users/stream/pages", params={"page_state": token})
        problem(elsewhere, 422, "invalid_page_state", "query.page_state")


async def test_links_have_proxy_prefix(settings: Settings) -> None:
    app = create_app(settings)
    async with running(app), client_of(app, root_path="/behind") as client:
        created = await client.post("/behind/users", json=ADA)
        assert created.headers["location"].startswith("/behind/users/")
        assert (await client.get(created.headers["location"])).status_code == 200


async def test_links_have_proxy_and_mount_prefix(settings: Settings) -> None:
    app = create_app(settings)
    inner = Starlette(routes=[Mount("/inner", app)])
    outer = Starlette(routes=[Mount("/outer", inner)], lifespan=lifespan_of(app))
    async with running(outer) as client:
        await walks(client, "/outer/inner")


# --- a parent's own session


def named_tuples(session: Session) -> None:
    """Yield a session with the driver's defaults."""


def dictionaries(session: Session) -> None:
    """Yield a session with a setting of its own, after which its cluster refuses execution profiles."""
    session.row_factory = dict_factory


@pytest.fixture
def own_session(node_address: tuple[str, int]) -> Iterator[Session]:
    cluster = Cluster([node_address[0]], port=node_address[1], control_connection_timeout=DDL_TIMEOUT)
    yield cluster.connect()
    cluster.shutdown()


@pytest.mark.parametrize("use", [named_tuples, dictionaries])
async def test_borrowed_session_is_unchanged(
    node_address: tuple[str, int], keyspace: str, own_session: Session, use: Callable[[Session], None]
) -> None:
    use(own_session)
    query = "SELECT key, release_version FROM system.local"
    before = own_session.execute(query).one()
    handler, connections = own_session.client_protocol_handler, own_session.get_pool_state()
    elsewhere = settings_for(("203.0.113.1", 1), keyspace)  # nobody connects there
    app = create_app(elsewhere, session=own_session, diagnostics=True)
    async with running(app) as client:
        await walks(client, "")
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get("/context_manager_safety/status")).json()["session_open"] is True
        batch = await client.post("/users/batch", json=[ADA, ADA])
        assert batch.status_code == 201
        assert own_session.execute(query).one() == before
    assert not own_session.is_shutdown
    assert own_session.execute(query).one() == before
    assert own_session.client_protocol_handler is handler
    assert set(own_session.get_pool_state()) == set(connections)


@pytest.mark.parametrize("use", [named_tuples, dictionaries])
async def test_borrowed_session_outlives_the_application(
    keyspace: str, own_session: Session, use: Callable[[Session], None]
) -> None:
    """The driver's sessions close their connections when they are freed, and so would a copy of one."""
    use(own_session)
    for _ in range(2):
        app = create_app(Settings(cassandra_keyspace=keyspace), session=own_session)
        async with running(app) as client:
            assert (await client.get("/users?limit=1")).status_code == 200
        del app, client
        gc.collect()
        assert own_session.execute("SELECT key FROM system.local").one()


@pytest.mark.parametrize("use", [named_tuples, dictionaries])
def test_statements_have_the_asked_consistency_on_a_borrowed_session(
    keyspace: str, own_session: Session, use: Callable[[Session], None]
) -> None:
    use(own_session)
    executor = SessionExecutor(borrow(own_session, Settings(cassandra_consistency="QUORUM"), Metrics()))
    prepared = own_session.prepare(f"SELECT id FROM {keyspace}.users WHERE id = ?")
    sent = {
        executor.send(prepared, query, 30, lambda *_: None).message.consistency_level
        for consistency in ("ONE", None)
        for query in (Query([uuid.uuid4()], consistency=consistency),)
    }
    assert sent == {ConsistencyLevel.ONE, ConsistencyLevel.QUORUM}


async def test_two_applications_share_session(keyspace: str, archive: str, own_session: Session) -> None:
    apps = [create_app(Settings(cassandra_keyspace=name), session=own_session) for name in (keyspace, archive)]
    parent = Starlette(routes=[Mount("/a", apps[0]), Mount("/b", apps[1])], lifespan=lifespan_of(*apps))
    async with running(parent) as client:
        kept = await create(client, prefix="/b")
        assert (await client.get(f"/b/users/{kept['id']}")).status_code == 200
        problem(await client.get(f"/a/users/{kept['id']}"), 404, "not_found")


async def test_wrong_session_type_fails_startup(settings: Settings) -> None:
    app = create_app(settings, session=object())
    with pytest.raises(TypeError, match=r"must be a cassandra\.cluster\.Session, not object"):
        async with app.router.lifespan_context(app):
            pytest.fail("it started")


async def test_closed_borrowed_session_is_503(settings: Settings, own_session: Session) -> None:
    async with running(create_app(settings, session=own_session)) as client:
        assert (await client.get("/users")).status_code == 200
        own_session.shutdown()
        problem(await client.get("/users"), 503, "cassandra_unavailable")
        assert (await client.get("/readyz")).status_code == 503


# --- a parent's middleware


async def pass_on(request: Request, call_next: Any) -> Any:
    response = await call_next(request)
    response.headers["x-parent"] = "was here"
    return response


@pytest.mark.parametrize(
    "middleware",
    [Middleware(BaseHTTPMiddleware, dispatch=pass_on), Middleware(GZipMiddleware, minimum_size=1)],
    ids=["BaseHTTPMiddleware", "GZipMiddleware"],
)
async def test_streams_through_parent_middleware(
    settings: Settings, cql: Session, users: str, middleware: Middleware
) -> None:
    app = create_app(settings)
    parent = Starlette(routes=[Mount("/db", app)], middleware=[middleware], lifespan=lifespan_of(app))
    async with running(parent) as client:
        for _ in range(5):
            await create(client, prefix="/db")
        streamed = await client.get("/db/users/stream?fetch_size=2")
        stored = [str(row.id) for row in cql.execute(f"SELECT id FROM {users}")]
        assert [user["id"] for user in streamed.json()] == stored
        assert app.state.database.open_streams == 0


def test_every_example_is_tested() -> None:
    here = Path(sys.modules[__name__].__file__ or "").parents[1]
    tests = "".join(
        file.read_text() for folder in ("contract", "process") for file in (here / folder).glob("test_*.py")
    )
    for file in EXAMPLES.glob("*.py"):
        assert re.search(rf"\b{file.stem}\b", tests), file.name
