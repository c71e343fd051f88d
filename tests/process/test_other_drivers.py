"""The service with the lowest allowed version of its driver, and with the fork that has the same import name."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from helpers.ports import free_port

from process.running import run, started

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.long, pytest.mark.network]

ADA = {"name": "Ada", "email": "ada@example.org", "age": 36}

BORROWED_SESSION = """
from cassandra.cluster import Cluster
from starlette.testclient import TestClient
from asgi_app.app import create_app
from asgi_app.settings import Settings
settings = Settings.load()
point, = settings.cassandra_hosts
cluster = Cluster([point.host], port=settings.cassandra_port, protocol_version=4, control_connection_timeout=60)
with TestClient(create_app(settings, session=cluster.connect())) as client:
    made = client.post("/users", json={"name": "Ada", "email": "ada@example.org", "age": 36}).json()
    assert client.get(f"/users/{made['id']}").json() == made
    assert made in client.get("/users/stream").json()
cluster.shutdown()
"""


def interpreter_with(driver: str, folder: Path) -> str:
    """Return the Python of a new virtual environment with `driver` and the other dependencies of the service."""
    venv.create(folder, with_pip=True)
    python = str(folder / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    others = [it for it in dependencies if not it.startswith("cassandra-driver")]
    subprocess.run([python, "-m", "pip", "install", "--quiet", driver, "httpx", *others], check=True)
    return python


@pytest.mark.timeout(600)  # includes an installation
@pytest.mark.parametrize(
    ("driver", "is_tested"),
    [("cassandra-driver==3.29.3", True), ("scylla-driver", False)],
    ids=["lowest", "scylla"],
)
def test_create_read_list_and_stream(
    driver: str, is_tested: bool, tmp_path: Path, node_settings: Mapping[str, str], fresh_keyspace: str
) -> None:
    python = interpreter_with(driver, tmp_path / "venv")
    settings = {**node_settings, "CASSANDRA_KEYSPACE": fresh_keyspace, "PYTHONPATH": str(ROOT)}
    for command in (["schema"], ["seed", "--users", "3"]):
        ended = run([python, "-m", "asgi_app", *command], tmp_path, settings)
        assert ended.returncode == 0, ended.stderr
    port = free_port()
    with started([python, "-m", "asgi_app", "serve", "--port", str(port)], tmp_path, settings) as service:
        base = f"http://127.0.0.1:{port}"
        service.answers(f"{base}/readyz")
        made = httpx.post(f"{base}/users", json=ADA).json()
        assert httpx.get(f"{base}/users/{made['id']}").json() == made
        assert made in httpx.get(f"{base}/users?limit=100").json()
        assert made in httpx.get(f"{base}/users/stream").json()
        assert httpx.post(f"{base}/users/batch", json=[ADA, ADA]).status_code == 201
        assert service.end() == 0
        assert service.errors.count("is used by its public methods") == (0 if is_tested else 1)
    ended = run([python, "-c", BORROWED_SESSION], tmp_path, settings)
    assert ended.returncode == 0, ended.stderr
