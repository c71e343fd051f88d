"""Endpoints of animals and plants: a row, a partition, an upsert."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from cassandra.cluster import Session
from helpers.exchange import Exchange
from helpers.problems import problem
from helpers.service import serving
from starlette.applications import Starlette

from asgi_app.settings import Settings
from contract.samples import OWL, every_loop

pytestmark = pytest.mark.anyio

STRANGE = {
    "space": "Quercus robur",
    "unicode": "Ünïcødé 梟 🦉",
    "combining": "e\u0301",
    "quote": 'o\'hara "x"',
    "cql": "'; DROP TABLE animals; --",
    "percent": "100%25",
    "plus": "a+b",
    "question": "who?",
    "hash": "a#b",
    "ampersand": "a&b=c;d",
    "backslash": "a\\b",
    "slash": "a/b",
    "leading slash": "/a",
    "dot": ".",
    "dots": "..",
    "newline": "a\nb",
    "long": "x" * 3000,
}
"""Keys with special characters. Each is valid, and the Location of the row must lead to it."""


@every_loop
async def test_written_animal_is_read_as_sent(client: httpx.AsyncClient) -> None:
    genus = uuid.uuid4().hex
    response = await client.post("/animal", json=OWL | {"genus": genus})

    assert (response.status_code, response.content) == (201, b'{"inserted":true}')
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["location"] == f"/animal/{genus}/aluco"
    read = await client.get(response.headers["location"])
    assert (read.status_code, read.json()) == (200, OWL | {"genus": genus})
    assert list(read.json()) == list(OWL)
    assert (await client.get(f"/animal/{genus}")).content == b"[" + read.content + b"]"


async def test_second_write_overwrites_an_animal(client: httpx.AsyncClient) -> None:
    genus = uuid.uuid4().hex
    other = {"genus": genus, "image_url": "", "size_cm": -1.5, "sightings": -7, "taxonomy": ["x"]}
    for body in (OWL | {"genus": genus}, OWL | other):
        assert (await client.post("/animal", json=body)).status_code == 201
    assert (await client.get(f"/animal/{genus}")).json() == [OWL | other]


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
async def test_location_leads_to_an_animal_of_any_name(client: httpx.AsyncClient, text: str) -> None:
    animal = OWL | {"genus": text + uuid.uuid4().hex, "species": text}
    written = await client.post("/animal", json=animal)
    assert written.status_code == 201
    read = await client.get(written.headers["location"])
    assert (read.status_code, read.json()) == (200, animal)


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
async def test_encoded_genus_leads_to_its_partition(client: httpx.AsyncClient, text: str) -> None:
    animal = OWL | {"genus": text + uuid.uuid4().hex}
    assert (await client.post("/animal", json=animal)).status_code == 201
    read = await client.get(f"/animal/{quote(animal['genus'], safe='')}")
    assert (read.status_code, read.json()) == (200, [animal])


@pytest.mark.parametrize(
    "changes",
    [
        {"size_cm": 0},
        {"size_cm": -0.1},
        {"size_cm": 0.1},
        {"size_cm": 1e-40},
        {"size_cm": 3.4028234663852886e38},
        {"size_cm": -3.4028234663852886e38},
        {"sightings": 2**31 - 1},
        {"sightings": -(2**31)},
        {"taxonomy": [""]},
        {"taxonomy": ["a"] * 1000},
        {"taxonomy": ["'", '"', "\\", "🦉", "\n"]},
        {"image_url": ""},
        {"image_url": "x" * 100_000},
    ],
    ids=lambda changes: ascii(changes)[:30],
)
async def test_extreme_values_are_read_as_sent(client: httpx.AsyncClient, changes: Any) -> None:
    animal = OWL | {"genus": uuid.uuid4().hex} | changes
    assert (await client.post("/animal", json=animal)).status_code == 201
    found = (await client.get(f"/animal/{animal['genus']}/aluco")).json()
    assert found == animal | {"size_cm": pytest.approx(animal["size_cm"], rel=1e-5)}


async def test_size_has_the_digits_of_a_32_bit_float(client: httpx.AsyncClient) -> None:
    genus = uuid.uuid4().hex
    await client.post("/animal", json=OWL | {"genus": genus, "size_cm": 0.1})
    assert b'"size_cm":0.1,' in (await client.get(f"/animal/{genus}")).content


async def test_empty_taxonomy_is_read_as_null(client: httpx.AsyncClient) -> None:
    genus = uuid.uuid4().hex
    assert (await client.post("/animal", json=OWL | {"genus": genus, "taxonomy": []})).status_code == 201
    assert (await client.get(f"/animal/{genus}")).json() == [OWL | {"genus": genus, "taxonomy": None}]


async def test_missing_animal_is_404(client: httpx.AsyncClient) -> None:
    genus = uuid.uuid4().hex
    problem(await client.get(f"/animal/{genus}/aluco"), 404, "not_found")
    await client.post("/animal", json=OWL | {"genus": genus})
    problem(await client.get(f"/animal/{genus}/alucoo"), 404, "not_found")
    problem(await client.get(f"/animal/{genus}/ALUCO"), 404, "not_found")


@pytest.mark.parametrize("table", ["animal", "plant"])
async def test_unknown_genus_is_an_empty_array(client: httpx.AsyncClient, table: str) -> None:
    response = await client.get(f"/{table}/{uuid.uuid4()}")
    assert (response.status_code, response.content) == (200, b"[]")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("table", ["animal", "plant"])
async def test_genus_longer_than_a_key_is_422(settings: Settings, table: str) -> None:
    exchange = Exchange("GET", f"/{table}/{'x' * 65536}")
    async with serving(msgspec.structs.replace(settings, max_url_bytes=100_000)) as (app, _):
        await exchange.run(app)
    assert exchange.status == 422
    assert [error["field"] for error in json.loads(exchange.chunks[0])["errors"]] == ["path.genus"]


@every_loop
@pytest.mark.parametrize("rows", [0, 1, 88, 999, 1000, 1001, 2500])
async def test_plants_are_streamed_page_by_page(app: Starlette, cql: Session, keyspace: str, rows: int) -> None:
    genus = uuid.uuid4().hex
    _plant(cql, keyspace, genus, rows)
    stream = Exchange("GET", f"/plant/{genus}")
    await stream.run(app)

    assert stream.complete
    found = json.loads(b"".join(stream.chunks))
    assert found == [{"genus": genus, "species": f"s{n:05d}", "sightings": n} for n in range(rows)]
    sizes = [chunk.count(b'"species"') for chunk in stream.chunks]
    full, rest = divmod(rows, 1000)
    assert sizes in ([1000] * full + [rest], [1000] * full)


async def test_null_columns_are_null(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    genus = uuid.uuid4().hex
    for table in ("animals", "plants"):
        cql.execute(f"INSERT INTO {keyspace}.{table} (genus, species) VALUES ('{genus}', 's')")
    animal = dict.fromkeys(OWL) | {"genus": genus, "species": "s"}
    assert (await client.get(f"/animal/{genus}")).json() == [animal]
    assert (await client.get(f"/animal/{genus}/s")).json() == animal
    assert (await client.get(f"/plant/{genus}")).json() == [{"genus": genus, "species": "s", "sightings": None}]


async def test_rows_are_in_the_order_of_their_species(client: httpx.AsyncClient) -> None:
    genus = uuid.uuid4().hex
    for species in ("b", "a", "C", "ä", "10", "9"):
        await client.post("/animal", json=OWL | {"genus": genus, "species": species})
    found = (await client.get(f"/animal/{genus}")).json()
    assert [animal["species"] for animal in found] == ["10", "9", "C", "a", "b", "ä"]


async def test_location_has_the_prefix_of_a_mounted_application(app: Starlette) -> None:
    transport = httpx.ASGITransport(app, root_path="/api")
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        response = await client.post("/api/animal", json=OWL)
        assert response.headers["location"] == "/api/animal/Strix/aluco"
        assert (await client.get(response.headers["location"])).json() == OWL


def _plant(cql: Session, keyspace: str, genus: str, rows: int) -> None:
    statement = cql.prepare(f"INSERT INTO {keyspace}.plants (genus, species, sightings) VALUES (?, ?, ?)")
    for write in [cql.execute_async(statement, (genus, f"s{n:05d}", n)) for n in range(rows)]:
        write.result()
