"""pandas, polars and DuckDB read exports from their addresses, as docs/export.md shows."""

from __future__ import annotations

import json
import re
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_app.settings import Settings
from streams.conftest import MANY
from streams.tcp import Threaded, threaded

pytestmark = [pytest.mark.network, pytest.mark.timeout(900)]  # pip downloads the readers

PACKAGES = ("duckdb==1.4.4", "duckdb-ext-httpfs==1.4.4.20260205", "pandas", "polars")
PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text()

# DuckDB downloads the extension for HTTP when it is first used; here a package has it.
START = """
import glob, json, sys
import duckdb, pandas, polars
from urllib.request import urlopen
extension = glob.glob(sys.prefix + "/lib/python*/site-packages/duckdb_ext/extensions/*/*/httpfs.duckdb_extension")[0]
duckdb.sql(f"LOAD '{extension}'")
"""

COUNTS = {
    "duckdb": "[len(rows), len(rows.unique('id').fetchall()), len(rows.columns)]",
    "pandas": "[len(rows), rows['id'].nunique(), len(rows.columns)]",
    "polars": "[len(rows), rows['id'].n_unique(), len(rows.columns)]",
}
"""The numbers of rows, of different ids and of columns, in Python."""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the readers into an environment of their own, and return its Python."""
    folder = tmp_path_factory.mktemp("readers")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


@pytest.fixture(scope="module")
def server(crowded_settings: Settings) -> Iterator[Threaded]:
    with threaded(crowded_settings, "h11") as server:
        yield server


def shown(reader: str) -> list[str]:
    """Return the lines of the page that use a reader."""
    lines = re.findall(rf"^    ({reader}\..*)$", PAGE, re.MULTILINE)
    assert lines
    return lines


@pytest.mark.parametrize("reader", ["duckdb", "pandas", "polars"])
@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_a_reader_gets_every_row_once(python: Path, server: Threaded, reader: str, form: str) -> None:
    *settings, line = [each for each in shown(reader) if form in each or "SET" in each]
    line = line.replace("http://127.0.0.1:8000/events/-/", f"{server.url}/users/")
    program = "\n".join((START, *settings, f"rows = {line}", f"print(json.dumps({COUNTS[reader]}))"))
    ended = subprocess.run([python, "-c", program], capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [MANY, MANY, 6]
