"""The programs and the commands of README.md and of pages in docs/ run, and print what the pages show."""

from __future__ import annotations

import importlib.util
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from click.testing import CliRunner
from helpers.cassandra import ONE_REPLICA, remove, unused_keyspace
from helpers.curl import curl
from helpers.pages import Shown, commands, matches, printed, program
from helpers.service import client_of
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from asgi_app import Query, Resource, create_app
from asgi_app.cli.commands import command_line
from asgi_app.errors import StatementRefused

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text().partition("## Your own table")[2].partition("\n## ")[0]
TABLES = (ROOT / "docs" / "tables.md").read_text()
QUERIES = (ROOT / "docs" / "queries.md").read_text()
EMBEDDING = (ROOT / "docs" / "embedding.md").read_text()
OPENAPI = (ROOT / "docs" / "openapi.md").read_text()
CLI = (ROOT / "docs" / "cli.md").read_text()

BEFORE_QUERIES = commands(TABLES)[:2]
"""The commands that write the rows of which docs/queries.md reads."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def shop(cql: Session, node_address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A keyspace in place of the pages' `shop` or `store`, and the settings for it in the environment."""
    name = unused_keyspace()
    monkeypatch.setenv("CASSANDRA_HOSTS", ":".join(map(str, node_address)))
    monkeypatch.setenv("CASSANDRA_KEYSPACE", name)
    yield name
    remove(cql, name)


def load(folder: Path, source: str, keyspace: str) -> ModuleType:
    """Save a page's program as a module with a name of its own, and import it."""
    name = f"shop_{uuid.uuid4().hex}"
    file = folder / f"{name}.py"
    file.write_text(re.sub(r"\b(?:shop|store)\.(?=[a-z])", f"{keyspace}.", source))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared(module: ModuleType, kind: type[Any]) -> list[Any]:
    return [value for value in vars(module).values() if isinstance(value, kind)]


def create_tables(module: ModuleType) -> None:
    """Run the command that the pages show, for each resource of the program."""
    for name, value in vars(module).items():
        if isinstance(value, Resource):
            ended = CliRunner().invoke(
                command_line, ["schema", "--replication", ONE_REPLICA, "--resources", f"{module.__name__}:{name}"]
            )
            assert ended.exit_code == 0, ended.output


async def run(app: Starlette, shown: list[Shown]) -> None:
    """Run the commands in order, and compare what they print with the page."""
    async with app.router.lifespan_context(app), client_of(app, raise_app_exceptions=False) as client:
        for example in shown:
            response = await curl(client, example.command.removeprefix("curl "))
            text = printed(example.command, response)
            assert matches(example, text), f"{example.command}\n{text}\n--- and not\n{example.output}"


def whole(module: ModuleType) -> Starlette:
    """Return an application with all that a page declares."""
    routes: list[BaseRoute] = getattr(module, "routes", [])
    return create_app(resources=declared(module, Resource), queries=declared(module, Query), routes=routes)


async def test_readme(folder: Path, shop: str) -> None:
    source = program(README)
    assert len([line for line in source.splitlines() if line.strip()]) < 15
    module = load(folder, source, shop)
    assert "\n    asgi-cassandra schema --resources shop:events\n    asgi-cassandra serve shop:app\n" in README
    create_tables(module)
    shown = commands(README)
    assert len(shown) >= 3
    await run(module.app, shown)


async def test_tables(folder: Path, shop: str) -> None:
    module = load(folder, program(TABLES), shop)
    create_tables(module)
    assert isinstance(module.app, Starlette)
    assert "asgi-cassandra schema --resources store:events" in TABLES
    shown = commands(TABLES)
    assert len(shown) >= 20
    await run(whole(module), shown)


async def test_queries(folder: Path, shop: str) -> None:
    events = load(folder, program(TABLES.partition("## Declare")[0]), shop)
    create_tables(events)
    await run(events.app, BEFORE_QUERIES)
    module = load(folder, program(QUERIES), shop)
    create_tables(module)
    assert isinstance(module.app, Starlette)
    shown = commands(QUERIES)
    assert len(shown) >= 15
    await run(whole(module), shown)


async def test_route_of_a_parent(folder: Path, shop: str) -> None:
    section = EMBEDDING.partition("## From a route of the parent")[2].partition("\n## ")[0]
    module = load(folder, program(section), shop)
    create_tables(module)
    shown = commands(section)
    assert len(shown) == 4
    await run(module.app, shown)


async def test_route_of_a_parent_hides_no_wrong_statement(folder: Path, shop: str) -> None:
    source = program(EMBEDDING.partition("## From a route of the parent")[2].partition("\n## ")[0])
    module = load(folder, source.replace("SELECT *", "SELECT of_none, city, at, id, meters"), shop)
    create_tables(module)
    async with module.app.router.lifespan_context(module.app), client_of(module.app) as client:
        with pytest.raises(StatementRefused) as raised:
            await client.get("/total/lyon")
    assert "of_none" in str(raised.value.__cause__)


def test_cql_for_the_local_node(cql: Session, shop: str) -> None:
    statements = re.findall(r"cqlsh .* -e \"(.+)\"", CLI)
    assert len(statements) == 2
    for statement in statements:
        cql.execute(re.sub(r"\bshop\b", shop, statement))


async def test_openapi(app: Starlette, client: httpx.AsyncClient) -> None:
    for example in commands(OPENAPI):
        response = await curl(client, example.command.removeprefix("curl "))
        assert matches(example, printed(example.command, response)), example.command


def test_tables_page_has_every_option_of_a_resource() -> None:
    table = TABLES.partition("| option | default |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(Resource.__dataclass_fields__.keys() - {"_"})


def test_matches_finds_a_difference() -> None:
    shown = Shown("curl -i x", 'HTTP/1.1 200 OK\netag: "…"\n\n{"a":…}\n')
    assert matches(shown, 'HTTP/1.1 200 OK\ncontent-type: x\netag: "1"\n\n{"a":1}')
    assert not matches(shown, 'HTTP/1.1 200 OK\ncontent-type: x\n\n{"a":1}')
    assert not matches(Shown("curl x", "[1]\n"), "[2]")
    assert not matches(Shown("curl x", "[1]\n"), "[1]\n[2]")
    assert matches(Shown("x", "…\nend\n"), "1\n2\nend")
    assert not matches(Shown("x", "…\nend\n"), "1\nend\n2")
