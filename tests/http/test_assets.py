"""Packaged files over HTTP: media types, the security policy, and answers to browsers that have a file already."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asgi_app.errors import NotFound
from asgi_app.http.assets import Assets

pytestmark = pytest.mark.anyio


async def not_found(request: Request, error: Exception) -> Response:
    return Response(status_code=404)


@pytest.fixture
def client(tmp_path: Path) -> httpx.AsyncClient:
    """A client of a page and its files: a folder of its own, and one that it shares with other pages."""
    for name, text in {
        "page/index.html": "<p>page</p>",
        "page/both.js": "own",
        "page/notes.txt": "no",
        "page/deeper/index.html": "no",
        "shared/both.js": "shared",
        "shared/style.css": "p {}",
        "shared/icon.svg": "<svg/>",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assets = Assets(tmp_path / "page", tmp_path / "shared", prefix="page/")
    assert assets.size == len("<p>page</p>" + "own" + "p {}" + "<svg/>")
    routes = [Route("/page", assets.page), Route("/page/{file}", assets.file)]
    app = Starlette(routes=routes, exception_handlers={NotFound: not_found})
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page.example")


async def test_page_names_its_modules_before_they_are_imported(client: httpx.AsyncClient) -> None:
    found = await client.get("/page")
    assert found.headers["link"] == "<page/both.js>; rel=modulepreload"
    assert "link" not in (await client.get("/page/both.js")).headers


@pytest.mark.parametrize(
    ("path", "media_type", "text"),
    [
        ("/page", "text/html; charset=utf-8", "<p>page</p>"),
        ("/page/both.js", "text/javascript; charset=utf-8", "own"),
        ("/page/style.css", "text/css; charset=utf-8", "p {}"),
        ("/page/icon.svg", "image/svg+xml", "<svg/>"),
    ],
)
async def test_files_are_served_with_their_type_and_the_policy(
    client: httpx.AsyncClient, path: str, media_type: str, text: str
) -> None:
    found = await client.get(path)
    assert (found.status_code, found.headers["content-type"], found.text) == (200, media_type, text)
    policy = found.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'"} <= set(policy)
    assert not any("unsafe" in rule or "http" in rule for rule in policy)
    assert found.headers["cache-control"] == "no-cache"
    for field in (found.headers["etag"], f'"x", W/{found.headers["etag"]}', "*"):
        again = await client.get(path, headers={"If-None-Match": field})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", found.headers["etag"])
    assert (await client.get(path, headers={"If-None-Match": '"x"'})).status_code == 200


@pytest.mark.parametrize("name", ["nothing.js", "notes.txt", "deeper", "..%2Fpage%2Fboth.js"])
async def test_nothing_else_is_served(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/page/{name}")).status_code == 404
