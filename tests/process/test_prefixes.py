"""Prefixes that must be percent-encoded in headers, over TCP, under each server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from helpers.ports import free_port
from helpers.prefixes import ODD_PREFIXES, Ask, walk

from process.running import COMMAND, PYTHON, started

pytestmark = pytest.mark.anyio

PARENT = """
from starlette.applications import Starlette
from starlette.routing import Mount
from asgi_app.app import create_app, lifespan_of

database = create_app()


class Renaming:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["path"].startswith("/old"):
            scope = {**scope, "path": scope["path"].replace("/old", "/new/users")}
        await self.app(scope, receive, send)


app = Renaming(Starlette(routes=[Mount("/{tenant}", database)], lifespan=lifespan_of(database)))
"""

SERVERS = {
    "uvicorn h11": ("uvicorn", "--http", "h11"),
    "uvicorn httptools": ("uvicorn", "--http", "httptools"),
    "hypercorn": ("hypercorn",),
}


def command_of(server: str, port: int, application: str, *options: str) -> list[str]:
    module, *more = SERVERS[server]
    where = ["--bind", f"127.0.0.1:{port}"] if module == "hypercorn" else ["--port", str(port)]
    return [PYTHON, "-m", module, *more, *where, *options, application]


@asynccontextmanager
async def asking(port: int, hidden: str = "") -> AsyncIterator[Ask]:
    """Yield a client that removes the prefix `hidden` from each path, as a proxy does."""
    async with httpx.AsyncClient(timeout=30) as client:

        async def ask(method: str, target: str, body: object) -> httpx.Response:
            assert target.startswith(hidden)
            sent = target.removeprefix(hidden).encode()
            url = httpx.URL(f"http://127.0.0.1:{port}").copy_with(raw_path=sent)
            return await client.request(method, url, json=body)

        yield ask


@pytest.fixture
def parent(tmp_path: Path, settings: Mapping[str, str]) -> Mapping[str, str]:
    """Return settings with which a server can import `parent:app`."""
    Path(tmp_path, "parent.py").write_text(PARENT, "utf-8")
    return {**settings, "PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize("server", SERVERS)
async def test_links_below_a_mount(server: str, tmp_path: Path, parent: Mapping[str, str]) -> None:
    port = free_port()
    with started(command_of(server, port, "parent:app"), tmp_path, parent) as program:
        program.answers(f"http://127.0.0.1:{port}/x/readyz")
        async with asking(port) as ask:
            for prefix in ODD_PREFIXES.values():
                await walk(ask, prefix)
            assert (await ask("GET", "/old", None)).status_code == 200
        assert "Traceback" not in program.errors


@pytest.mark.parametrize(
    ("server", "root_path", "prefix"),
    [
        ("uvicorn h11", "/%E2%82%AC", "/%E2%82%AC"),
        ("uvicorn httptools", "/a%20b/", "/a%20b"),
        ("uvicorn httptools", "db", "/db"),
        ("hypercorn", "/%E2%82%AC", "/%E2%82%AC"),
        ("hypercorn", "/€ b", "/%E2%82%AC%20b"),
    ],
)
async def test_links_with_a_root_path_of_the_server(
    server: str, root_path: str, prefix: str, tmp_path: Path, settings: Mapping[str, str]
) -> None:
    port = free_port()
    command = command_of(server, port, "asgi_app.app:app", "--root-path", root_path)
    with started(command, tmp_path, settings) as program:
        program.answers(f"http://127.0.0.1:{port}/readyz")
        async with asking(port, hidden=prefix) as ask:
            await walk(ask, prefix)
        assert "Traceback" not in program.errors


async def test_serve_with_a_percent_encoded_root_path(tmp_path: Path, settings: Mapping[str, str]) -> None:
    port = free_port()
    command = [COMMAND, "serve", "--port", str(port), "--root-path", "/%E2%82%AC/a"]
    with started(command, tmp_path, settings) as program:
        program.answers(f"http://127.0.0.1:{port}/readyz")
        async with asking(port, hidden="/%E2%82%AC/a") as ask:
            await walk(ask, "/%E2%82%AC/a")
