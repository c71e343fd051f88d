"""`serve` and other servers as processes, over TCP."""

from __future__ import annotations

import signal
import socket
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from helpers.ports import free_port
from helpers.waiting import wait_until

from process.running import COMMAND, PYTHON, alive, run, started

ADA = {"name": "Ada Lovelace", "email": "ada@example.org", "age": 36}

Settings = Mapping[str, str]


def write_and_read_a_user(url: str) -> None:
    with httpx.Client(base_url=url, timeout=30) as client:
        written = client.post("/users", json=ADA)
        assert written.status_code == 201
        assert written.json().items() >= ADA.items()
        assert "server" not in written.headers
        read = client.get(written.headers["location"])
        assert (read.status_code, read.json()) == (200, written.json())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_and_end_on_a_signal(tmp_path: Path, settings: Settings, number: signal.Signals) -> None:
    port = free_port()
    with started([COMMAND, "serve", "--port", str(port)], tmp_path, settings) as program:
        program.answers(f"http://127.0.0.1:{port}/readyz")
        write_and_read_a_user(f"http://127.0.0.1:{port}")
        assert program.end(number) == 0
        assert f"INFO asgi_app.cli: serving on http://127.0.0.1:{port}" in program.errors
        assert "Traceback" not in program.errors


def test_open_connection_does_not_delay_the_end(tmp_path: Path, settings: Settings) -> None:
    port = free_port()
    with (
        started([COMMAND, "serve", "--port", str(port)], tmp_path, settings) as program,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        program.answers(f"http://127.0.0.1:{port}/readyz")
        assert client.get("/livez").status_code == 200
        assert program.end(seconds=10) == 0


def test_options_win_over_the_environment(tmp_path: Path, settings: Settings) -> None:
    port = free_port()
    options = ["--cassandra-keyspace", "nowhere", "--log-level", "error"]
    with started([COMMAND, "serve", "--port", str(port), *options], tmp_path, settings) as program:
        program.answers(f"http://127.0.0.1:{port}/health")
        assert httpx.get(f"http://127.0.0.1:{port}/health").json()["keyspace"] == "nowhere"
        program.answers(f"http://127.0.0.1:{port}/readyz", 503)
        assert program.end() == 0
        assert program.errors == ""


def test_workers_share_page_keys_and_end_together(tmp_path: Path, settings: Settings) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with started([COMMAND, "serve", "--port", str(port), "--workers", "2"], tmp_path, settings) as program:
        program.answers(f"{url}/readyz")
        for _ in range(3):
            write_and_read_a_user(url)
        token = httpx.get(f"{url}/users/stream/pages?fetch_size=1").json()["page_state"]
        # Every request is a connection of its own, so that both workers get some.
        pages = [httpx.get(f"{url}/users/stream/pages", params={"page_state": token}) for _ in range(20)]
        assert {page.status_code for page in pages} == {200}
        family = program.family()
        assert len(family) >= 3
        assert program.end() == 0
        wait_until("every process has ended", lambda: not alive(family))


def test_workers_may_start_slowly(tmp_path: Path, settings: Settings) -> None:
    """The imports take longer than uvicorn waits for an answer, as in a container with a tenth of a processor."""
    slow = "import sys, time\nif 'spawn_main' in ' '.join(sys.orig_argv): time.sleep(7)\n"
    (tmp_path / "sitecustomize.py").write_text(slow)
    port = free_port()
    variables = {**settings, "PYTHONPATH": str(tmp_path)}
    with started([COMMAND, "serve", "--port", str(port), "--workers", "2"], tmp_path, variables) as program:
        program.answers(f"http://127.0.0.1:{port}/readyz")
        assert program.end() == 0
        assert "died" not in program.errors


def test_serve_starts_without_cassandra(tmp_path: Path) -> None:
    port = free_port()
    away = {"CASSANDRA_HOSTS": f"127.0.0.1:{free_port()}"}
    with started([COMMAND, "serve", "--port", str(port)], tmp_path, away) as program:
        program.answers(f"http://127.0.0.1:{port}/livez")
        program.answers(f"http://127.0.0.1:{port}/readyz", 503)
        assert program.end() == 0


def test_every_wrong_setting_is_reported(tmp_path: Path) -> None:
    wrong = {"CASSANDRA_PORT": "many", "ASGI_CASSANDRA_MAX_WAIT": "-1", "ASGI_CASSANDRA_MAX_WEIGHT": "1"}
    ended = run([COMMAND, "serve", "--request-timeout", "soon"], tmp_path, wrong)
    assert ended.returncode == 2
    assert all(name in ended.stderr for name in (*wrong, "ASGI_CASSANDRA_REQUEST_TIMEOUT"))
    assert "Traceback" not in ended.stderr


def test_invalid_certificate_is_reported(tmp_path: Path) -> None:
    wrong = {"CASSANDRA_SSL_ENABLED": "true", "CASSANDRA_SSL_CA_CERTS": __file__}
    ended = run([COMMAND, "serve"], tmp_path, wrong)
    assert ended.returncode == 2
    assert ended.stderr.startswith("Error: CASSANDRA_SSL_CA_CERTS: ")


def test_port_in_use_is_reported(tmp_path: Path, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ended = run([COMMAND, "serve", "--port", str(port)], tmp_path, settings)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"Error: Cannot listen on port {port} of 127.0.0.1 (Address already in use); choose another port with --port.\n"
    )


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("uvicorn", ["--port", "{port}"]),
        ("hypercorn", ["--bind", "127.0.0.1:{port}"]),
    ],
)
def test_other_servers(tmp_path: Path, settings: Settings, name: str, address: list[str]) -> None:
    port = free_port()
    where = [part.format(port=port) for part in address]
    with started([PYTHON, "-m", name, "asgi_app.app:app", *where], tmp_path, settings) as program:
        program.answers(f"http://127.0.0.1:{port}/readyz")
        assert httpx.post(f"http://127.0.0.1:{port}/users", json=ADA).status_code == 201
        program.end()
        assert "Traceback" not in program.errors


def test_import_has_no_side_effects(tmp_path: Path) -> None:
    ended = run([PYTHON, "-c", _IMPORT_AND_LOOK], tmp_path, {"CASSANDRA_PORT": "many"})
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


_IMPORT_AND_LOOK = """
import sys, threading
from asgi_app.settings import Settings

seen = []
Settings.load = lambda *_: seen.append("settings")
sys.addaudithook(lambda event, _: seen.append(event) if event in ("socket.connect", "socket.bind") else None)

import asgi_app.app

assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
assert not seen, seen
"""
