"""PROMETHEUS_MULTIPROC_DIR: empty counts as not set, and an unusable directory is an error at the start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from helpers.ports import free_port

from process.running import COMMAND, PYTHON, run, started

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
IMPORTS_FIRST = """
import prometheus_client
from asgi_app.app import app
"""


@pytest.mark.parametrize(
    ("variable", "application"),
    [
        ({DIRECTORY: ""}, "asgi_app.app:app"),
        ({DIRECTORY: " "}, "asgi_app.app:app"),
        ({DIRECTORY: "", DIRECTORY.lower(): "/nowhere"}, "asgi_app.app:app"),
        ({DIRECTORY: ""}, "parent:app"),
        ({DIRECTORY.lower(): ""}, "parent:app"),
    ],
    ids=["empty", "blank", "empty hides the old name", "imported by a parent before", "old name"],
)
def test_empty_variable_counts_as_unset(
    variable: Mapping[str, str], application: str, tmp_path: Path, settings: Mapping[str, str]
) -> None:
    (tmp_path / "parent.py").write_text(IMPORTS_FIRST)
    before = _names(tmp_path)
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [PYTHON, "-B", "-m", "uvicorn", "--port", str(port), application]
    with started(command, tmp_path, {**settings, **variable}) as program:
        program.answers(f"{url}/readyz")
        figures = httpx.get(f"{url}/metrics", headers={"Accept": "text/plain"}).raise_for_status().text
        assert "http_requests_total{" in figures
        assert _names(tmp_path) == before
        assert "Traceback" not in program.errors


def test_workers_share_metrics_if_the_variable_is_empty(tmp_path: Path, settings: Mapping[str, str]) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [COMMAND, "serve", "--port", str(port), "--workers", "2"]
    with started(command, tmp_path, {**settings, DIRECTORY: ""}) as program:
        program.answers(f"{url}/metrics")
        assert _names(tmp_path) == set()
        assert program.end() == 0


@pytest.fixture(params=["a file", "below a file"])
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a path that cannot be a directory, not even for root."""
    (tmp_path / "file").touch()
    return str(tmp_path / "file") if request.param == "a file" else str(tmp_path / "file" / "directory")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_refuses_unusable_directory(
    workers: str, unusable: str, tmp_path: Path, settings: Mapping[str, str]
) -> None:
    ended = run([COMMAND, "serve", "--port", "0", "--workers", workers], tmp_path, {**settings, DIRECTORY: unusable})
    assert ended.returncode == 2
    assert f"{DIRECTORY}: is not a directory that can be created and written to (" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_application_refuses_unusable_directory_under_another_server(
    unusable: str, tmp_path: Path, settings: Mapping[str, str]
) -> None:
    command = [PYTHON, "-m", "uvicorn", "--port", str(free_port()), "asgi_app.app:app"]
    ended = run(command, tmp_path, {**settings, DIRECTORY: unusable})
    assert ended.returncode != 0
    assert f"{DIRECTORY}: is not a directory that can be created and written to (" in ended.stderr


def test_missing_directory_is_created(tmp_path: Path, settings: Mapping[str, str]) -> None:
    directory = tmp_path / "not" / "there"
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [COMMAND, "serve", "--port", str(port)]
    with started(command, tmp_path, {**settings, DIRECTORY: str(directory)}) as program:
        program.answers(f"{url}/metrics")
        assert list(directory.glob("counter_*.db"))


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
