"""Use a service that is mounted below a prefix, by following its links only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import unquote_to_bytes

import httpx

ODD_PREFIXES = {
    "euro": "/%E2%82%AC",
    "Latin-1": "/%C3%BC",
    "blank": "/a%20b",
    "what ends a link": "/a%3Eb%3C",
    "quotation mark": "/%22",
    "per cent": "/100%25",
    "per cent twice": "/%25E2%2582%25AC",
    "semicolon and comma": "/a;b,c%3B%2C",
    "line end": "/a%0D%0ASet-Cookie:%20x=y",
    "hash and question mark": "/a%23b%3Fc",
    "no UTF-8": "/%FF%C3",
    "backslash": "/%5C%5Cevil.example",
    "delete and NUL": "/%7F%00",
}
"""Prefixes of one segment, as a client sends them."""

USER = {"name": "Ada", "email": "ada@example.com", "age": 36}

Ask = Callable[[str, str, object], Awaitable[httpx.Response]]
"""Sends a request: method, target as it is sent over the wire, and a JSON body or None."""


async def walk(ask: Ask, prefix: str) -> None:
    """Create two users and an animal below the prefix, and get each by the links in the answers."""
    for _ in range(2):
        created = await ask("POST", f"{prefix}/users", USER)
        assert created.status_code == 201, created.text
        await _leads_to(ask, created, created.json(), prefix)
    listed = await ask("GET", f"{prefix}/users?limit=1", None)
    target = listed.links["next"]["url"]
    assert unquote_to_bytes(target).startswith(unquote_to_bytes(f"{prefix}/users?"))
    assert listed.headers["link"].count(">") == 1
    assert len((await ask("GET", target, None)).json()) == 1
    owl = {"genus": "Strix/€", "species": "..", "image_url": "", "size_cm": 1, "sightings": 1, "taxonomy": ["a"]}
    await _leads_to(ask, await ask("POST", f"{prefix}/animal", owl), owl, prefix)
    welcome = (await ask("GET", f"{prefix}/", None)).json()
    assert welcome["health"] == f"{prefix}/health"
    assert (await ask("GET", welcome["health"], None)).status_code == 200
    missing = await ask("GET", f"{prefix}/users/x", None)
    assert (missing.status_code, missing.json()["instance"]) == (422, f"{prefix}/users/x")


async def _leads_to(ask: Ask, created: httpx.Response, row: object, prefix: str) -> None:
    """Check that the Location of an answer is below the prefix, valid in a header, and leads to `row`."""
    assert created.status_code == 201, created.text
    place = created.headers["location"]
    assert place.startswith(f"{prefix}/")
    assert place.isascii()
    assert place.isprintable()
    assert "set-cookie" not in created.headers
    found = await ask("GET", place, None)
    assert (found.status_code, found.json()) == (200, row)
