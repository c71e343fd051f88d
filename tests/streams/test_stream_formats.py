"""The four formats of a stream have the same rows, however they are requested."""

from __future__ import annotations

import csv
import io
import json
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import msgspec
import pytest
from helpers.problems import problem
from helpers.service import serving, settings_for
from starlette.applications import Starlette

from asgi_app.http.formats import FORMATS, MEDIA_TYPES
from asgi_app.settings import Settings
from streams.stored import User, stream

pytestmark = pytest.mark.anyio

ROWS = 2500
QUERY = f"limit={ROWS}&fetch_size=400"


def from_json(body: bytes) -> list[User]:
    users: list[User] = json.loads(body)
    return users


def from_ndjson(body: bytes) -> list[User]:
    assert body.endswith(b"}\n")
    return [json.loads(line) for line in body.splitlines()]


def from_msgpack(body: bytes) -> list[User]:
    users: list[User] = msgspec.msgpack.decode(b"\xdd" + struct.pack(">I", ROWS) + body)  # as one array
    return users


def from_csv(body: bytes) -> list[User]:
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    return [{**row, "age": int(row["age"])} for row in rows]


READERS: Mapping[str, tuple[str, Callable[[bytes], list[User]]]] = {
    "json": ("application/json", from_json),
    "ndjson": ("application/x-ndjson", from_ndjson),
    "msgpack": ("application/vnd.msgpack", from_msgpack),
    "csv": ("text/csv; charset=utf-8; header=present", from_csv),
}


@pytest.fixture(scope="module")
async def crowded_service(
    anyio_backend: Any, crowded_settings: Settings
) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    async with serving(crowded_settings) as started:
        yield started


@pytest.fixture
def client(crowded_service: tuple[Starlette, httpx.AsyncClient]) -> httpx.AsyncClient:
    return crowded_service[1]


@pytest.mark.parametrize("form", FORMATS)
async def test_each_format_has_the_same_rows(client: httpx.AsyncClient, crowd: list[User], form: str) -> None:
    media_type, read = READERS[form]
    answer = await client.get(f"/users/stream?{QUERY}&format={form}", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert read(answer.content) == crowd[:ROWS]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", "json"),
        ("application/json", "json"),
        ("application/x-ndjson", "ndjson"),
        ("APPLICATION/X-NDJSON", "ndjson"),
        ("application/vnd.msgpack", "msgpack"),
        ("text/csv", "csv"),
        ("text/*", "csv"),
        ("text/html, */*;q=0.1", "json"),
        ("text/csv;q=0.3, application/x-ndjson;q=0.8", "ndjson"),
        ("text/csv;q=0.8, application/x-ndjson;q=0.3", "csv"),
        ("*/*;q=0.2, application/vnd.msgpack;q=0.3", "msgpack"),
        ("application/json;q=0, */*", "ndjson"),
        ("application/*", "json"),
        ("application/jsonl;q=0, */*;q=0.5", "json"),
        ("application/json;q=0.5, */*;q=0.5", "json"),
    ],
)
async def test_accept_selects_the_preferred_format(
    client: httpx.AsyncClient, crowd: list[User], accept: str, form: str
) -> None:
    media_type, read = READERS[form]
    answer = await client.get(f"/users/stream?{QUERY}", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.headers["vary"] == "Accept"
    assert read(answer.content) == crowd[:ROWS]


@pytest.mark.parametrize("name", MEDIA_TYPES)
async def test_content_type_is_the_name_that_accept_used(client: httpx.AsyncClient, name: str) -> None:
    for accept in (name, f"{name.upper()};q=0.7, text/html, */*;q=0.1"):
        answer = await client.get("/users/stream?limit=2", headers={"Accept": accept})
        assert answer.headers["content-type"] == name + MEDIA_TYPES[name].parameters
        form = next(key for key, kind in FORMATS.items() if kind is MEDIA_TYPES[name])
        assert answer.content == (await client.get(f"/users/stream?limit=2&format={form}")).content


@pytest.mark.parametrize("accept", ["text/html", "application/xml, image/*", "application/json;q=0", "*/*;q=0"])
async def test_accept_without_any_format_is_406(client: httpx.AsyncClient, accept: str) -> None:
    problem(await client.get("/users/stream", headers={"Accept": accept}), 406, "not_acceptable")


@pytest.mark.parametrize("form", ["", "xml", "JSON", "json,csv"])
async def test_an_unknown_format_is_422(client: httpx.AsyncClient, form: str) -> None:
    problem(await client.get("/users/stream", params={"format": form}), 422, "invalid_input", "query.format")


@pytest.mark.parametrize("form", FORMATS)
async def test_gzip_has_the_same_rows_and_is_flushed_after_each_page(
    node_address: tuple[str, int], crowded: str, crowd: list[User], form: str
) -> None:
    read = READERS[form][1]
    async with serving(settings_for(node_address, crowded, gzip=True)) as (app, client):
        query = f"{QUERY}&format={form}"
        plain = await client.get(f"/users/stream?{query}", headers={"Accept-Encoding": "identity"})
        packed = await stream(app, query, headers=[(b"accept-encoding", b"br, gzip;q=0.5")])
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept, Accept-Encoding"
    assert read(plain.content) == crowd[:ROWS]
    assert packed.headers["content-encoding"] == "gzip"
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    pages = [unpacker.decompress(chunk) for chunk in packed.chunks]
    assert unpacker.eof
    assert sum(map(len, packed.chunks)) < len(plain.content) / 2
    assert all(pages)
    assert b"".join(pages) == plain.content
