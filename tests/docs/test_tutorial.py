"""docs/tutorial.md is done step by step, in real terminals: each command runs and prints what the page shows."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cassandra.cluster import Session
from helpers.cassandra import remove, unused_keyspace
from helpers.pages import Shown
from helpers.ports import free_port
from helpers.terminals import Command, File, environment_of_a_reader, run_page, steps

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
PORT = 8000

OF_THE_INSTALLATION = ("scripts/install", "pip install", "asgi-cassandra node")
"""Commands that the ordinary run leaves out: this environment and this run's Cassandra stand for them."""

COPIED = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "asgi_app", "scripts")


@pytest.fixture
def keyspace(cql: Session) -> Iterator[str]:
    """The name of a keyspace in place of the page's."""
    name = unused_keyspace()
    yield name
    remove(cql, name)


def on_port(shown: Shown, port: int) -> Shown:
    """Let the page's servers listen on another port, because something else may use the one of the page."""
    command = re.sub(r"^(asgi-cassandra serve|uvicorn) .*", rf"\g<0> --port {port}", shown.command)
    return Shown(*(text.replace(f":{PORT}", f":{port}") for text in (command, shown.output)))


@pytest.mark.timeout(120)
def test_tutorial(tmp_path: Path, keyspace: str, node_address: tuple[str, int]) -> None:
    port = free_port()

    def adapt(shown: Shown) -> Shown | None:
        if shown.command.startswith(OF_THE_INSTALLATION):
            return None
        return on_port(Shown(*(re.sub(r"\btutorial\b", keyspace, text) for text in shown)), port)

    page = TUTORIAL.replace(f":{PORT}/readings/-/batch", f":{port}/readings/-/batch")
    page = page.replace("FROM tutorial.", f"FROM {keyspace}.")
    settings = {"CASSANDRA_HOSTS": node_address[0], "CASSANDRA_PORT": str(node_address[1])}
    assert run_page(page, tmp_path, environment_of_a_reader(settings), adapt) >= 15


@pytest.mark.network
@pytest.mark.timeout(900)
def test_tutorial_from_nothing(tmp_path: Path) -> None:
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    port, cql_port = free_port(), free_port()

    def adapt(shown: Shown) -> Shown:
        command = shown.command.replace("node start", f"node start --port {cql_port}")
        output = shown.output.replace(":9042", f":{cql_port}") + ("…\n" if "node start" in command else "")
        return on_port(Shown(command, output), port)

    page = TUTORIAL.replace(f":{PORT}/readings/-/batch", f":{port}/readings/-/batch")
    run_page(page, tmp_path, environment_of_a_reader({"CASSANDRA_PORT": str(cql_port)}), adapt)


def test_steps_of_a_page() -> None:
    page = "```python\n# a.py\nx = 1\n```\n\n```console second\n$ one\n1\n$ two\n```\n\n```python\nno_file = 1\n```\n"
    assert list(steps(page)) == [
        File("a.py", "# a.py\nx = 1\n"),
        Command("second", Shown("one", "1\n")),
        Command("second", Shown("two", "")),
    ]


def test_a_difference_is_found(tmp_path: Path) -> None:
    page = "```console\n$ x=1\n$ echo $x y\n1 …\n```\n"
    assert run_page(page, tmp_path, environment_of_a_reader({}), lambda shown: shown) == 2
    for wrong in ("1 z", "2 …", "", "1 y\n1 y"):
        with pytest.raises(AssertionError, match="echo"):
            run_page(page.replace("1 …", wrong), tmp_path, environment_of_a_reader({}), lambda shown: shown)
