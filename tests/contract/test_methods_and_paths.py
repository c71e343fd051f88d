"""Methods of each path, and the responses to other methods and paths."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.exchange import Exchange
from helpers.problems import problem
from starlette.applications import Starlette

from contract.samples import ADA, OWL, create, insert_users

pytestmark = pytest.mark.anyio

UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
METHODS = {
    "/": {"GET", "HEAD"},
    "/health": {"GET", "HEAD"},
    "/livez": {"GET", "HEAD"},
    "/readyz": {"GET", "HEAD"},
    "/users": {"GET", "HEAD", "POST"},
    "/users/batch": {"POST"},
    "/users/stream": {"GET", "HEAD"},
    "/users/stream/pages": {"GET", "HEAD"},
    f"/users/{UNKNOWN_ID}": {"GET", "HEAD", "PUT", "PATCH", "DELETE"},
    "/animal": {"POST"},
    "/animal/Strix": {"GET", "HEAD"},
    "/animal/Strix/aluco": {"GET", "HEAD"},
    "/plant/Quercus": {"GET", "HEAD"},
}
EVERY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "BREW"]
REFUSED = [(path, method) for path, known in METHODS.items() for method in EVERY_METHOD if method not in known]

READABLE = [path for path, known in METHODS.items() if "GET" in known]
MORE_READABLE = [
    "/users?limit=1",
    "/users?limit=0",
    "/users?page_state=x",
    "/users/x",
    "/users/stream?limit=0",
    "/users/stream?limit=x",
    "/users/stream/pages?limit=1",
    "/users/stream/pages?limit=0",
    "/users/stream/pages?page_state=x",
    "/animal/nobody",
    "/nowhere",
    "/users/",
]


@pytest.mark.parametrize(("path", "method"), REFUSED)
async def test_method_not_allowed(client: httpx.AsyncClient, path: str, method: str) -> None:
    response = await client.request(method, path)
    if method == "HEAD":
        assert (response.status_code, response.content) == (405, b"")
    else:
        problem(response, 405, "method_not_allowed")
    assert sorted(response.headers["allow"].split(", ")) == sorted(METHODS[path])


@pytest.mark.parametrize("path", READABLE + MORE_READABLE)
async def test_head_is_get_without_body(client: httpx.AsyncClient, cql: Session, users: str, path: str) -> None:
    insert_users(cql, users, [1] * 3)
    got = await client.get(path)
    asked = await client.head(path)

    assert (asked.status_code, asked.content) == (got.status_code, b"")
    assert asked.headers["content-type"] == got.headers["content-type"]
    assert asked.headers["cache-control"] == got.headers["cache-control"]
    # RFC 9110 section 8.6: if the response to HEAD has a length, it must be that of GET. Times and ids may differ.
    if "content-length" in asked.headers and got.status_code < 300:
        assert asked.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize("path", ["/users/{id}", "/animal/{genus}/aluco"])
async def test_head_of_row_has_headers_of_get(client: httpx.AsyncClient, path: str) -> None:
    user = await create(client)
    genus = uuid.uuid4().hex
    await client.post("/animal", json=OWL | {"genus": genus})
    path = path.format(id=user["id"], genus=genus)
    got, asked = await client.get(path), await client.head(path)
    assert (asked.status_code, asked.content) == (200, b"")
    assert _without_id(asked) == _without_id(got)


NOWHERE = [
    "/nowhere",
    "/users/",
    "/users//",
    "//users",
    f"/users/{UNKNOWN_ID}/",
    f"/users/{UNKNOWN_ID}/more",
    "/users/stream/",
    "/users/stream/pages/",
    "/users/stream/other",
    "/users/batch/",
    "/health/",
    "/livez/x",
    "/animal/",
    "/animal/a/b/c",
    "/animal/a/",
    "/animal//b",
    "/plant",
    "/plant/",
    "/plant/a/b",
    "/Users",
    "/index.html",
    "/.env",
    "/users;x=1",
    "/%00",
    "/%ff%fe",
    "/%E2%80%AE%0a%0d%1b[31m",
    "/\u00fc" * 50,
]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", NOWHERE, ids=ascii)
async def test_unknown_path_is_404(client: httpx.AsyncClient, path: str, method: str) -> None:
    problem(await client.request(method, f"http://localhost:8000{path}", json=ADA), 404, "not_found")


@pytest.mark.parametrize("path", READABLE)
async def test_range_is_ignored(client: httpx.AsyncClient, path: str) -> None:
    plain, ranged = await client.get(path), await client.get(path, headers={"Range": "bytes=0-3"})
    assert ranged.status_code == plain.status_code
    assert "content-range" not in ranged.headers


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
async def test_no_cors_by_default(client: httpx.AsyncClient, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for method in ("GET", "OPTIONS"):
        response = await client.request(method, "/users", headers=asked)
        assert not [name for name in response.headers if name.startswith("access-control")]


def _without_id(response: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in response.headers.items() if name != "x-request-id"}


@pytest.mark.parametrize("path", ["/livez/", "/readyz/", "/health/", "/metrics/", "/users/", "/animal/Strix/"])
async def test_trailing_slash_hint(client: httpx.AsyncClient, path: str) -> None:
    found = problem(await client.get(path), 404, "not_found")
    assert "without the slash at the end" in found["detail"]


@pytest.mark.parametrize("path", ["/nowhere/", "/livez//", "/users%2F", "/a/b/c/d/"])
async def test_no_trailing_slash_hint_for_unknown_path(client: httpx.AsyncClient, path: str) -> None:
    found = problem(await client.get(path), 404, "not_found")
    assert "slash" not in found["detail"]


async def test_options_hint_names_probes(client: httpx.AsyncClient, app: Starlette) -> None:
    found = problem(await client.request("OPTIONS", "/"), 405, "method_not_allowed")
    assert "GET /livez" in found["detail"]
    assert "livez" not in problem(await client.request("OPTIONS", "/users"), 405, "method_not_allowed")["detail"]
    assert "livez" not in problem(await client.request("PUT", "/"), 405, "method_not_allowed")["detail"]
    asterisk = Exchange("OPTIONS", "*")  # RFC 9110 section 9.3.7
    await asterisk.run(app)
    assert asterisk.status == 404
    assert b"GET /livez" in asterisk.chunks[0]
