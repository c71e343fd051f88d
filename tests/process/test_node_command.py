"""`node start` where another program has Cassandra's port, and the commands in terminals that were not told."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from process.running import COMMAND, run

NOBODY_WAITS = {"CASSANDRA_CONNECTION_TIMEOUT": "1"}


@pytest.fixture
def taken_port() -> Iterator[int]:
    """The port 9042, taken by another program or by this one, which accepts no connection."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", 9042))
            listener.listen(1)
        except OSError:
            pass  # a Cassandra of the developer's
        yield 9042


@pytest.mark.timeout(300)
def test_taken_port_is_told_in_every_terminal(tmp_path: Path, taken_port: int) -> None:
    started = run([COMMAND, "node", "start"], tmp_path, {})
    try:
        assert started.returncode == 0, started.stderr
        told = re.search(rf"^Port {taken_port} is taken, so it listens on (\d+)\. (.*)$", started.stderr, re.MULTILINE)
        assert told, started.stderr
        port, how = told.groups()
        assert how.startswith(f"In every terminal: export CASSANDRA_PORT={port} ")
        assert f"Cassandra 5.0.9 at 127.0.0.1:{port}, " in started.stdout
        again = run([COMMAND, "node", "status"], tmp_path, {})
        assert again.stderr == f"It listens on {port}. {how}\n"
        assert run([COMMAND, "node", "status", "--quiet"], tmp_path, {}).stderr == ""

        for command in ("tables", "check"):
            elsewhere = run([COMMAND, command], tmp_path, NOBODY_WAITS)
            assert elsewhere.stderr.startswith(f"Warning: the node in .cassandra listens on {port}, and no setting")
            assert f"localhost:{taken_port}" in elsewhere.stderr
        (tmp_path / ".env").write_text(f"CASSANDRA_PORT={port}\n")
        made = run([COMMAND, "schema", "--json"], tmp_path, {})
        assert (made.returncode, made.stderr) == (0, "")
        assert json.loads(made.stdout) == {
            "address": f"localhost:{port}",
            "keyspace": "test_keyspace",
            "tables": ["users", "animals", "plants"],
        }
    finally:
        stopped = run([COMMAND, "node", "stop", "--quiet", "--json"], tmp_path, {})
    assert json.loads(stopped.stdout) == {"stopped": True}
