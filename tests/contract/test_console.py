"""The page /console/ as a client gets it: its addresses, its types, its policy, and the settings that turn it off."""

from __future__ import annotations

import pytest
from helpers.service import client_of, settings_for
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_app import create_app, lifespan_of
from asgi_app.http.assets import CONTENT_SECURITY_POLICY
from asgi_app.settings import Secret

pytestmark = [pytest.mark.anyio, pytest.mark.cassandra]

TYPES = {"": "text/html", "main.js": "text/javascript", "console.css": "text/css", "icon.svg": "image/svg+xml"}


async def test_page_below_a_prefix_needs_no_key(node_address: tuple[str, int], keyspace: str) -> None:
    keys = (Secret("reader:read:" + "r" * 32),)
    service = create_app(settings_for(node_address, keyspace, api_keys=keys))
    parent = Starlette(routes=[Mount("/db", service)], lifespan=lifespan_of(service))
    async with parent.router.lifespan_context(parent), client_of(parent) as client:
        moved = await client.get("/db/console")
        assert (moved.status_code, moved.headers["location"]) == (308, "console/")
        for name, media_type in TYPES.items():
            answer = await client.get(f"/db/console/{name}")
            assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, media_type)
            assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        known = {"If-None-Match": answer.headers["etag"]}
        assert (await client.get("/db/console/icon.svg", headers=known)).status_code == 304
        assert (await client.get("/db/console/none.js")).status_code == 404
        assert (await client.post("/db/console/")).status_code == 405


async def test_browser_is_led_to_the_page_and_programs_get_json(node_address: tuple[str, int], keyspace: str) -> None:
    keys = (Secret("reader:read:" + "r" * 32),)
    service = create_app(settings_for(node_address, keyspace, api_keys=keys))
    parent = Starlette(routes=[Mount("/db", service)], lifespan=lifespan_of(service))
    async with parent.router.lifespan_context(parent), client_of(parent) as client:
        for accept in ("text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"):
            led = await client.get("/db/", headers={"Accept": accept})
            assert (led.status_code, led.headers["location"], led.headers["vary"]) == (303, "console/", "Accept")
            assert (await client.head("/db/", headers={"Accept": accept})).status_code == 303
            followed = await client.get("/db/", headers={"Accept": accept}, follow_redirects=True)
            assert (followed.status_code, followed.url.path) == (200, "/db/console/")
            assert (await client.post("/db/", headers={"Accept": accept})).status_code == 401
        key = {"Authorization": f"Bearer {'r' * 32}"}
        for accept in ("*/*", "application/json", "application/json, text/html", "text/html;q=0.5, */*"):
            told = await client.get("/db/", headers={"Accept": accept, **key})
            assert (told.status_code, told.headers["vary"]) == (200, "Accept")
            assert told.json()["message"] == "asgi-cassandra is running"
            assert (await client.get("/db/", headers={"Accept": accept})).status_code == 401


@pytest.mark.parametrize("setting", ["console", "docs"])
async def test_off_by_a_setting(node_address: tuple[str, int], keyspace: str, setting: str) -> None:
    app = create_app(settings_for(node_address, keyspace, **{setting: False}))
    async with app.router.lifespan_context(app), client_of(app) as client:
        for path in ("/console", "/console/", "/console/main.js"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/", headers={"Accept": "text/html"})).json()["version"]
        assert "console/" not in (await client.get("/docs")).text


async def test_docs_lead_to_the_console_and_back(node_address: tuple[str, int], keyspace: str) -> None:
    app = create_app(settings_for(node_address, keyspace))
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert '<a href="console/">' in (await client.get("/docs")).text
        assert '<a href="../docs">' in (await client.get("/console/")).text
