"""Ctrl-C and SIGTERM end every command with a sentence and its exit code, in each of its phases."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.ports import free_port

from process.running import COMMAND, environment

SIGNALLED_AT_IMPORT = """
import signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            signal.raise_signal({number})

sys.meta_path.insert(0, Finder())
from asgi_app.cli import main
main({arguments!r})
"""


@pytest.mark.parametrize(
    ("arguments", "module", "number"),
    [
        (["--version"], "click", signal.SIGINT),
        (["export", "t", "out"], "asgi_app.cli.export", signal.SIGTERM),
        (["import", "t", "-"], "cassandra", signal.SIGINT),
        (["check"], "cassandra.cluster", signal.SIGTERM),
        (["serve", "--port", "0"], "uvicorn", signal.SIGINT),
        (["demo"], "rich.progress", signal.SIGTERM),
    ],
)
def test_while_a_command_starts(arguments: list[str], module: str, number: signal.Signals, tmp_path: Path) -> None:
    code = SIGNALLED_AT_IMPORT.format(module=module, number=int(number), arguments=arguments)
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment({}), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "Error: Interrupted.\n")


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["export", "t", "-"], signal.SIGINT),
        (["check"], signal.SIGTERM),
        (["seed"], signal.SIGINT),
    ],
)
def test_while_it_connects(arguments: list[str], number: signal.Signals, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        port = silent.getsockname()[1]
        settings = {"CASSANDRA_HOSTS": f"127.0.0.1:{port}", "CASSANDRA_CONNECT_TIMEOUT": "1", "PYTHONWARNINGS": ""}
        process = subprocess.Popen(
            [COMMAND, *arguments],
            cwd=tmp_path,
            env=environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with silent.accept()[0]:
            process.send_signal(number)
            output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (1, b"", b"Error: Interrupted.\n")


def test_after_a_command_has_told_its_end(tmp_path: Path) -> None:
    code = (
        "import atexit, signal\n"
        "from asgi_app.cli import main\n"
        "atexit.register(signal.raise_signal, signal.SIGTERM)\n"
        "main(['node', 'status', '--json'])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, '{"running": false}\n', "")


def test_a_process_that_ignores_ctrl_c_goes_on(tmp_path: Path) -> None:
    """A shell starts the jobs in its background so."""
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + SIGNALLED_AT_IMPORT.format(
        module="asgi_app.cli.node", number=int(signal.SIGINT), arguments=["node", "status", "--json"]
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, '{"running": false}\n', "")


@pytest.mark.parametrize(
    ("arguments", "closed", "sentence"),
    [
        (["export", "t", "-"], ">&-", "Standard output is closed, and the rows would go there"),
        (
            ["import", "t", "-"],
            "<&-",
            "Standard input is closed, and the rows would come from there",
        ),
    ],
)
def test_a_stream_that_is_closed(arguments: list[str], closed: str, sentence: str, tmp_path: Path) -> None:
    ended = shell(f'"$0" "$@" {closed}', tmp_path, *arguments)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(f"Error: {sentence}; name a f")


def test_output_that_takes_no_more(tmp_path: Path) -> None:
    ended = shell('"$0" "$@" > /dev/full', tmp_path, "node", "status", "--json")
    assert (ended.returncode, ended.stderr) == (1, "Error: The output could not be written: No space left on device.\n")
    ended = shell('"$0" "$@" 2>&-', tmp_path, "node", "status", "--json")
    assert (ended.returncode, ended.stdout) == (3, '{"running": false}\n')


def shell(script: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script, COMMAND, *arguments],
        cwd=folder,
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
