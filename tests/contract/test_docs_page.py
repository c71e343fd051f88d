"""The page /docs over HTTP: open to all, unless it is turned off. tests/browser shows it in a browser."""

from __future__ import annotations

import httpx
import pytest
from helpers.problems import problem
from helpers.service import serving
from msgspec.structs import replace

from asgi_app.settings import Secret, Settings

pytestmark = pytest.mark.anyio

ADDRESSES = ("/docs", "/docs/", "/docs/main.js")


async def test_page_needs_no_key_but_the_document_does(settings: Settings) -> None:
    keys = (Secret("reader:read:" + "R" * 40),)
    async with serving(replace(settings, api_keys=keys)) as (_, client):
        assert [(await client.get(address)).status_code for address in ADDRESSES] == [200, 308, 200]
        assert (await client.head("/docs")).status_code == 200
        problem(await client.get("/openapi.json"), 401, "unauthorized")
        problem(await client.get("/docs/nothing.js"), 404, "not_found")


async def test_address_with_a_slash_leads_to_the_page_below_any_prefix(client: httpx.AsyncClient) -> None:
    redirect = await client.get("/docs/")
    assert (redirect.status_code, redirect.headers["location"]) == (308, "../docs")
    assert str(httpx.URL("https://proxy.example/hidden/docs/").join("../docs")) == "https://proxy.example/hidden/docs"
    assert (await client.get("/")).json()["docs"] == "/docs"


async def test_page_can_be_turned_off(settings: Settings) -> None:
    async with serving(replace(settings, docs=False)) as (_, client):
        for address in ADDRESSES:
            problem(await client.get(address), 404, "not_found")
        assert (await client.get("/")).json()["docs"] == "docs/http.md"
