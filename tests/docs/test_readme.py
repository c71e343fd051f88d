"""README, CONTRIBUTING and the pages in docs/ agree with the code: commands, endpoints, scripts, loggers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click import Context, Group
from helpers.pages import commands

from asgi_app.app import app
from asgi_app.cli.commands import command_line
from asgi_app.cli.examples import examples

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

SOURCES = sorted((ROOT / "asgi_app").rglob("*.py"))
EXAMPLES = [path for path in sorted((ROOT / "examples").iterdir()) if path.is_file()]


def test_readme_shows_commands_of_the_demo() -> None:
    shown = commands((ROOT / "README.md").read_text().partition("## Your own table")[0])
    printed = {tuple(example) for example in examples("http://127.0.0.1:8000", "demo", 1000, 1000)}
    assert shown
    assert {(command, output.rstrip()) for command, output in shown} <= printed


@pytest.mark.parametrize("file", [*PAGES, *EXAMPLES, *SOURCES], ids=lambda file: file.name)
def test_nothing_installs_from_an_index(file: Path) -> None:
    assert not re.search(r"pip install [^`\n]*asgi-cassandra", file.read_text())


def test_scripts_are_listed() -> None:
    listed = set(re.findall(r"`scripts/([a-z-]+)", (ROOT / "scripts" / "README.md").read_text()))
    assert listed == {path.name for path in (ROOT / "scripts").iterdir() if path.suffix != ".md"}


def test_paths_are_documented() -> None:
    page = (DOCS / "http.md").read_text()
    families = {route.path.rsplit("/", 1)[0] for route in app.routes if "context_manager" in route.path}  # type: ignore[attr-defined]
    for route in app.routes:
        path = route.path  # type: ignore[attr-defined]
        family, _, name = path.rpartition("/")
        assert path in page or (family in families and f"`{name}`" in page), path


def test_commands_are_documented_and_have_help() -> None:
    page = (DOCS / "cli.md").read_text()
    assert isinstance(command_line, Group)
    context = Context(command_line)
    names = command_line.list_commands(context)
    assert "serve" in names
    for name in names:
        command = command_line.get_command(context, name)
        assert command is not None
        assert command.help, name
        assert f"| `{name}" in page, name


def test_loggers_are_documented() -> None:
    page = (DOCS / "logging.md").read_text()
    sources = [path.read_text() for path in (ROOT / "asgi_app").rglob("*.py")]
    names = {name for source in sources for name in re.findall(r'getLogger\("(asgi_app\.[a-z_.]+)"\)', source)}
    assert "asgi_app.access" in names
    assert names == set(re.findall(r"`(asgi_app\.[a-z_.]+)`", page.partition("| Logger |")[2].partition("\n\n")[0]))
