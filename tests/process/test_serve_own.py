"""`serve shop:app`: an application of the user's own, as a process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from helpers.ports import free_port

from process.running import COMMAND, run, started

SHOP = """
import uuid
import msgspec
from asgi_app import Resource, create_app

class Note(msgspec.Struct):
    id: uuid.UUID
    text: str

notes = Resource(Note, "serve_notes", partition_key=("id",), generated={"id": uuid.uuid4})
app = create_app(resources=[notes])
other = object()
"""


@pytest.fixture
def shop(tmp_path: Path, settings: Mapping[str, str]) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    made = run([COMMAND, "schema", "--no-keyspace", "--resources", "shop:notes"], tmp_path, settings)
    assert made.returncode == 0, made.stderr
    return tmp_path


@pytest.mark.parametrize("workers", ["1", "2"])
def test_own_application_is_served(shop: Path, settings: Mapping[str, str], workers: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with started([COMMAND, "serve", "shop:app", "--port", str(port), "--workers", workers], shop, settings) as program:
        program.answers(f"{url}/readyz")
        created = httpx.post(f"{url}/serve_notes", json={"text": "hello"}, timeout=30)
        assert created.status_code == 201, created.text
        assert httpx.get(url + created.headers["location"], timeout=30).json() == created.json()
        assert httpx.get(f"{url}/users").status_code == 404
        assert program.end() == 0


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("shop", "must be module:name"),
        ("shop:nothing", "the module shop has no nothing"),
        ("shop:other", "must be an application made by create_app"),
        ("nowhere:app", "there is no module nowhere"),
    ],
)
def test_wrong_application_is_reported(tmp_path: Path, settings: Mapping[str, str], reference: str, why: str) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    ended = run([COMMAND, "serve", reference], tmp_path, settings)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert why in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
