"""The name of the imported driver, and whether the fast path serves it."""

import tomllib
from pathlib import Path

import cassandra
import pytest
from cassandra import connection

from asgi_app.driver.installed_driver import TESTED, driver_name, is_tested

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_the_installed_driver_is_tested() -> None:
    assert is_tested()
    assert driver_name() == f"cassandra-driver {cassandra.__version__}"


@pytest.mark.parametrize(
    ("version", "tested"),
    [
        ("3.29.2", False),
        ("3.29.3", True),
        ("3.30.0rc1", True),
        ("3.30.12", True),
        ("3.31.0", False),
        ("3.100", False),
        ("4.0", False),
        ("", False),
    ],
)
def test_tested_versions(monkeypatch: pytest.MonkeyPatch, version: str, tested: bool) -> None:
    monkeypatch.setattr(cassandra, "__version__", version)
    assert is_tested() == tested


def test_fork_is_recognized_by_its_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cassandra, "__version__", "3.29.12")
    assert is_tested()
    monkeypatch.setattr(connection, "ProtocolFeatures", object, raising=False)
    assert not is_tested()
    assert driver_name() == "scylla-driver 3.29.12"


def test_versions_match_pyproject() -> None:
    dependencies = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    assert TESTED in dependencies
