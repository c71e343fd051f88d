"""What the README and the pages in docs say of commands, endpoints and each other is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click import Group

from asgi_app.app import app
from asgi_app.cli import main
from asgi_app.cli.examples import examples

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_readme_shows_examples_that_the_demo_prints_and_its_test_runs() -> None:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shown = re.findall(r"^\$ (curl .*)\n(.*)$", "".join(blocks), re.MULTILINE)
    printed = {tuple(example) for example in examples("http://127.0.0.1:8000", "demo", 1000)}
    assert len(shown) >= 2
    assert set(shown) <= printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "examples").glob("*.*"))], ids=lambda page: page.name)
def test_nothing_is_installed_by_a_name_that_no_index_has(page: Path) -> None:
    assert not re.search(r"pip install [^`\n]*asgi-cassandra", page.read_text())


def test_every_script_is_there_and_in_its_list() -> None:
    listed = set(re.findall(r"`scripts/([a-z-]+)", (ROOT / "scripts" / "README.md").read_text()))
    assert listed == {path.name for path in (ROOT / "scripts").iterdir() if path.suffix != ".md"}


def test_every_path_that_is_served_is_documented() -> None:
    page = (ROOT / "docs" / "http.md").read_text()
    families = {route.path.rsplit("/", 1)[0] for route in app.routes if "context_manager" in route.path}  # type: ignore[attr-defined]
    for route in app.routes:
        path = route.path  # type: ignore[attr-defined]
        family, _, name = path.rpartition("/")
        assert path in page or (family in families and f"`{name}`" in page), path


def test_every_command_is_documented_and_explains_itself() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    assert isinstance(main, Group)
    for name, command in main.commands.items():
        assert f"`{name}" in page
        assert command.help
