"""Detached nodes, which outlive the program that started them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_helpers import alive, wait_gone

from asgi_app.local_node import (
    BootError,
    DataFolderInUseError,
    LocalNodeError,
    NodeSpec,
    detached_status,
    local_node,
    start_detached,
    stop_detached,
)

START = """
import sys
from pathlib import Path
from asgi_app.local_node import NodeSpec, start_detached
print(start_detached(NodeSpec(data=Path(sys.argv[1]), cache=Path(sys.argv[2]), throwaway=True)).pid)
"""


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    stop_detached(tmp_path / "data")


def start_from_another_program(data: Path, cache: Path) -> int:
    program = subprocess.run(
        [sys.executable, "-c", START, str(data), str(cache)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        timeout=120,
        check=True,
    )
    return int(program.stdout)


def test_node_runs_until_it_is_stopped(jar_cache: Path, data: Path) -> None:
    pid = start_from_another_program(data, jar_cache)
    os.kill(pid, signal.SIGHUP)  # the signal that a closed terminal sends

    status = detached_status(data)
    assert status is not None
    assert status.pid == pid
    assert status.answers
    assert start_detached(NodeSpec(data=data, cache=jar_cache)).pid == pid
    with pytest.raises(DataFolderInUseError), local_node(NodeSpec(data=data, cache=jar_cache)):
        pass

    assert stop_detached(data)
    wait_gone(pid, seconds=0)
    assert detached_status(data) is None
    assert not stop_detached(data)
    assert not (data / "node.json").exists()


def test_reused_pid_is_not_mistaken_for_the_node(data: Path) -> None:
    state = {
        "pid": os.getpid(),
        "token": "of-a-node-that-crashed",
        "host": "127.0.0.1",
        "port": 9042,
        "version": "5.0.9",
        "started": 0.0,
        "stop_timeout": 1.0,
    }
    data.mkdir()
    (data / "node.json").write_text(json.dumps(state))

    assert detached_status(data) is None
    assert not (data / "node.json").exists()
    assert not stop_detached(data)
    assert alive(os.getpid())


def test_unreadable_state_file_is_reported_and_kept(tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text("{")

    with pytest.raises(LocalNodeError, match="cannot be read"):
        detached_status(tmp_path)
    assert (tmp_path / "node.json").exists()


def test_failed_start_leaves_no_process(jar_cache: Path, data: Path) -> None:
    with pytest.raises(BootError, match="heap of 1m"):
        start_detached(NodeSpec(data=data, cache=jar_cache, heap="1m"))
    assert detached_status(data) is None
