"""The option `--resources module:name` of the command `schema`, without a node."""

from __future__ import annotations

import uuid
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from asgi_app.cli.commands import command_line
from asgi_app.cli.declared import check_application

DECLARATIONS = """
import msgspec
from asgi_app import Resource, create_app

class Thing(msgspec.Struct):
    id: int
    name: str | None

one = Resource(Thing, "things", partition_key=("id",))
several = [one, Resource(Thing, "others", partition_key=("id",), keyspace="shop")]
live = Resource.from_table("made_by_cql")
beside_live = [live, one]
wrong = (Resource(Thing, "things", partition_key=("ident",), hidden=("nmae",)),)
nothing = []
app = create_app(resources=beside_live)
empty_app = create_app()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working directory, of a name that no other test has imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/"])
    name = f"declared_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(DECLARATIONS)
    return name


def dry_run(reference: str) -> Result:
    return CliRunner().invoke(command_line, ["schema", "--dry-run", "--resources", reference])


def test_tables_of_resources_come_in_place_of_the_built_in_ones(module: str) -> None:
    built_in = CliRunner().invoke(command_line, ["schema", "--dry-run"]).output.splitlines()
    shown = dry_run(f"{module}:one").output.splitlines()
    assert shown == [
        built_in[0],
        'CREATE TABLE IF NOT EXISTS "test_keyspace"."things" ("id" int, "name" text, PRIMARY KEY (("id")));',
    ]


def test_tables_of_the_live_schema_are_not_created(module: str) -> None:
    assert dry_run(f"{module}:beside_live").output == dry_run(f"{module}:one").output


def test_resources_may_be_those_of_an_application(module: str) -> None:
    assert dry_run(f"{module}:app").output == dry_run(f"{module}:one").output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (":one", "Serve them with app = create_app(resources=[one])."),
        (":several", "Serve them with app = create_app(resources=several)."),
        (":nothing", "must be an application made by create_app."),
        ("", "must be module:name, such as shop:app, not"),
    ],
)
def test_serve_says_what_it_takes_instead(module: str, name: str, message: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        check_application(module + name)
    assert message in error.value.message


def test_resources_may_be_in_several_keyspaces(module: str) -> None:
    shown = dry_run(f"{module}:several").output
    assert 'CREATE KEYSPACE IF NOT EXISTS "shop" ' in shown
    assert 'CREATE TABLE IF NOT EXISTS "test_keyspace"."things" ' in shown
    assert 'CREATE TABLE IF NOT EXISTS "shop"."others" ' in shown


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("{}", "must be module:name, such as shop.tables:resources, not"),
        (":one", "must be module:name"),
        ("{}:absent", "has no absent."),
        ("{}:live", "has no Resource with a struct, so it says nothing about tables to create."),
        ("{}:nothing", "must be a Resource, a list or tuple of them, or an application with some."),
        ("{}:Thing", "must be a Resource, a list or tuple of them, or an application with some."),
        ("{}:empty_app", "is an application without resources."),
        ("{}_absent:one", "there is no module"),
        ("{}.absent:one", "there is no module"),
    ],
)
def test_wrong_reference_is_refused(module: str, reference: str, message: str) -> None:
    ended = dry_run(reference.format(module))
    assert ended.exit_code == 2
    assert "--resources" in ended.stderr
    assert message in ended.stderr


def test_every_mistake_of_the_declarations_is_shown(module: str) -> None:
    ended = dry_run(f"{module}:wrong")
    assert ended.exit_code == 2
    assert "things: partition_key names ident, but Thing has no such field.\n" in ended.stderr
    assert "things: hidden names nmae, but Thing has no such field.\n" in ended.stderr


def test_mistakes_that_create_app_finds_at_import_are_shown(module: str, tmp_path: Path) -> None:
    application = "\nfrom asgi_app import create_app\napp = create_app(resources=wrong)\n"
    (tmp_path / f"{module}.py").write_text(DECLARATIONS + application)
    ended = dry_run(f"{module}:one")
    assert ended.exit_code == 2
    assert "Invalid value for --resources: " in ended.stderr
    assert "things: partition_key names ident, but Thing has no such field.\n" in ended.stderr
    assert "things: hidden names nmae, but Thing has no such field.\n" in ended.stderr


@pytest.mark.parametrize("code", ["import nowhere_at_all", "raise ValueError('broken')", "None.nothing"])
def test_error_of_the_module_itself_is_not_hidden(module: str, tmp_path: Path, code: str) -> None:
    (tmp_path / f"{module}.py").write_text(code)
    ended = dry_run(f"{module}:one")
    assert ended.exit_code == 1
    assert ended.stderr.startswith("Error: ")
    for word in ("nowhere_at_all", "broken", "nothing"):
        assert (word in ended.stderr) == (word in code)
