"""The how-tos: their programs run, and the names in their files are the service's."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from cassandra.cluster import Session
from helpers.cassandra import remove, unused_keyspace
from helpers.terminals import environment_of_a_reader, run_page

from asgi_app.app import app
from asgi_app.settings import setting_fields

ROOT = Path(__file__).parents[2]
HOWTOS = sorted((ROOT / "docs" / "howto").glob("*.md"))
FILES = [path for path in sorted((ROOT / "examples").iterdir()) if path.is_file()]

NODE = """#!{python}
import json, os, sys
if sys.argv[1:3] == ["node", "start"]:
    print(json.dumps({{"host": {host!r}, "port": {port}}}))
else:
    os.execv({command!r}, sys.argv)
"""
"""A command in place of asgi-cassandra, for which this run's node is the one that `node start` started."""

FORM = ("What you need", "What to check", "What goes wrong")


def test_testing_an_application(tmp_path: Path, cql: Session, node_address: tuple[str, int]) -> None:
    keyspace = unused_keyspace()
    page = (ROOT / "docs" / "howto" / "testing.md").read_text().replace("shop_tests", keyspace)
    folder = tmp_path / "bin"
    folder.mkdir()
    host, port = node_address
    command = str(Path(sys.executable).with_name("asgi-cassandra"))
    (folder / "asgi-cassandra").write_text(NODE.format(python=sys.executable, host=host, port=port, command=command))
    (folder / "asgi-cassandra").chmod(0o755)
    variables = environment_of_a_reader({})
    variables["PATH"] = f"{folder}:{variables['PATH']}"
    try:
        assert run_page(page, tmp_path, variables, lambda shown: shown) == 1
    finally:
        remove(cql, keyspace)


@pytest.mark.parametrize("page", [*HOWTOS, *FILES], ids=lambda page: page.name)
def test_variables_are_settings(page: Path) -> None:
    known = {field.env for field in setting_fields()}
    named = set(re.findall(r"\b(?:ASGI_CASSANDRA|CASSANDRA|ASTRA_DB)_[A-Z_]+\b", page.read_text()))
    assert named <= known


def test_probes_exist() -> None:
    probes = set(re.findall(r"path: (/\w+)", (ROOT / "examples" / "kubernetes.yaml").read_text()))
    assert probes == {"/livez", "/readyz"}
    assert probes <= {route.path for route in app.routes}  # type: ignore[attr-defined]


def test_howtos_are_short_and_in_one_form() -> None:
    for page in HOWTOS:
        text = page.read_text()
        assert text.startswith("# How to "), page.name
        assert len(text.splitlines()) < 150, page.name
        assert [heading for heading in FORM if f"\n## {heading}\n" not in text] == [], page.name
