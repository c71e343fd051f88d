"""The warning for commands that connect to another Cassandra than the node of the working directory."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from asgi_app.cli.local_hint import missed_node
from asgi_app.local_node.processes import token_option
from asgi_app.settings import Settings, setting_fields


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working directory, without the developer's settings."""
    for field in setting_fields():
        monkeypatch.delenv(field.env, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def state(folder: Path) -> Iterator[dict[str, object]]:
    """The state of a node: a process that runs and has its token. It stands for Cassandra, which takes long to boot."""
    token = uuid.uuid4().hex
    with subprocess.Popen(
        [sys.executable, "-c", "input()", token_option(token)], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        yield {
            "pid": process.pid,
            "token": token,
            "host": "127.0.0.1",
            "port": 41559,
            "version": "5.0.9",
            "started": 0.0,
            "stop_timeout": 1.0,
        }
        process.kill()


def save(state: Mapping[str, object], folder: Path) -> None:
    (folder / ".cassandra").mkdir(exist_ok=True)
    (folder / ".cassandra" / "node.json").write_text(json.dumps(state))


def warning(**options: str) -> str | None:
    return missed_node(Settings.load(overrides=options), options)


def test_node_on_another_port(state: dict[str, object], folder: Path) -> None:
    assert warning() is None
    save(state, folder)
    assert warning() == (
        "the node in .cassandra listens on 41559, and no setting names that port, so this connects to localhost:9042. "
        "In every terminal: export CASSANDRA_PORT=41559 "
        "(or once, in this folder: echo CASSANDRA_PORT=41559 >> .env)"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("CASSANDRA_PORT", "41559"), ("CASSANDRA_PORT", "9042"), ("CASSANDRA_HOSTS", "10.0.0.1")]
)
def test_a_named_cassandra_is_meant(
    state: dict[str, object], folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    save(state, folder)
    assert warning(**{name: value}) is None
    with monkeypatch.context() as environment:
        environment.setenv(name, value)
        assert warning() is None
    assert warning() is not None
    (folder / ".env").write_text(f"{name}={value}\n")
    assert warning() is None


def test_node_on_the_default_port_and_node_that_ended(state: dict[str, object], folder: Path) -> None:
    save({**state, "port": 9042}, folder)
    assert warning() is None
    save({**state, "token": "of-a-node-that-ended"}, folder)
    assert warning() is None
    (folder / ".cassandra" / "node.json").write_text("{")
    assert warning() is None
