"""Columns that list their values, by an `Enum` or a `Literal`: what comes in is one of them, what is stored is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import count
from helpers.problems import problem

from asgi_app.settings import Settings
from contract.written import rides, serving_resources

pytestmark = pytest.mark.anyio

NOTHING = dict.fromkeys(("stars", "level", "paid", "kinds", "counts", "stop", "host"))


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, settings: Settings, cql: Session) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_resources(cql, settings, rides) as started:
        yield started


async def test_listed_values_come_in_and_out(client: httpx.AsyncClient) -> None:
    created = await client.post("/rides", json={"kind": "car", "id": 1})
    assert created.status_code == 201, created.text
    assert created.json() == {"kind": "car", "id": 1, "state": "new", **NOTHING}
    row = {
        "state": "done",
        "stars": 2,
        "level": 3,
        "paid": "cash",
        "kinds": ["bike", "car"],
        "counts": {"car": 1},
        "stop": {"place": "Lyon", "kind": "bike"},
        "host": "192.0.2.1",
    }
    put = await client.put("/rides/bike/2", json=row)
    assert put.status_code == 204, put.text
    assert (await client.get("/rides/bike/2")).json() == {"kind": "bike", "id": 2, **row}


KINDS = ("must be one of car, bike", ["car", "bike"])

WRONG: list[tuple[dict[str, Any], str, tuple[str, list[str]]]] = [
    ({"kind": "spaceship"}, "/kind", KINDS),
    ({"kind": "CAR"}, "/kind", KINDS),
    ({"kind": ""}, "/kind", KINDS),
    ({"state": "old"}, "/state", ("must be one of done, new", ["done", "new"])),
    ({"stars": 3}, "/stars", ("must be one of 1, 2", ["1", "2"])),
    ({"level": 0}, "/level", ("must be one of 1, 2, 3", ["1", "2", "3"])),
    ({"paid": "gold"}, "/paid", ("must be one of card, cash", ["card", "cash"])),
    ({"kinds": ["car", "boat"]}, "/kinds/1", KINDS),
    ({"counts": {"car": 1, "boat": 2}}, "/counts/boat", KINDS),
    ({"stop": {"place": "Lyon", "kind": "boat"}}, "/stop/kind", KINDS),
]


@pytest.mark.parametrize(("wrong", "field", "expected"), WRONG, ids=[str(wrong) for wrong, _, _ in WRONG])
async def test_value_that_is_not_listed_is_refused(
    client: httpx.AsyncClient, cql: Session, keyspace: str, wrong: dict[str, Any], field: str, expected: Any
) -> None:
    body = {"kind": "car", "id": 99, **wrong}
    refused = [
        await client.post("/rides", json=body),
        await client.post("/rides/-/batch", json=[{"kind": "car", "id": 98}, body]),
    ]
    fields = [field, f"/1{field}"]
    if "kind" not in wrong:
        refused += [await client.put("/rides/car/99", json=wrong), await client.patch("/rides/car/99", json=wrong)]
        fields += [field, field]
    for response, place in zip(refused, fields, strict=True):
        (error,) = problem(response, 422, "invalid_input", place)["errors"]
        assert (error["message"], error["usable"]) == expected
    assert count(cql, f"{keyspace}.rides WHERE kind = 'car' AND id IN (98, 99)") == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kinds": {"$add": ["boat"]}}, "/kinds/$add/0"),
        ({"counts": {"boat": 1}}, "/counts/boat"),
        ({"stop": {"kind": "boat"}}, "/stop/kind"),
    ],
)
async def test_value_that_is_not_listed_is_not_merged(
    client: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    (error,) = problem(await client.patch("/rides/car/3", json=change), 422, "invalid_input", field)["errors"]
    assert error["usable"] == ["car", "bike"]


async def test_other_types_than_the_columns(client: httpx.AsyncClient) -> None:
    body = {"kind": 1, "id": 1, "stars": "1", "level": True, "host": "::1"}
    fields = ("/kind", "/stars", "/level", "/host")
    errors = problem(await client.post("/rides", json=body), 422, "invalid_input", *fields)["errors"]
    assert errors[-1]["message"] == "must be an IPv4 address"


async def test_key_of_a_new_row_is_listed(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    for address, place in (("/rides/boat/5", "path.kind"), ("/rides/-/row?kind=boat&id=5", "query.kind")):
        for response in (await client.put(address, json={}), await client.patch(address, json={"state": "new"})):
            (error,) = problem(response, 422, "invalid_input", place)["errors"]
            assert error["usable"] == ["car", "bike"]
    assert count(cql, f"{keyspace}.rides WHERE kind = 'boat'") == 0


async def test_row_of_another_program_is_read_filtered_and_deleted(
    client: httpx.AsyncClient, cql: Session, keyspace: str
) -> None:
    problem(await client.get("/rides/ship/7"), 404, "not_found")
    cql.execute(
        f"INSERT INTO {keyspace}.rides (kind, id, state, stars, level, kinds, counts, stop, host)"
        " VALUES ('ship', 7, 'lost', 9, 9, {'ship', 'car'}, {'ship': 1}, {place: 'sea', kind: 'ship'}, '::1')"
    )
    row = {
        "kind": "ship",
        "id": 7,
        "state": "lost",
        "stars": 9,
        "level": 9,
        "paid": None,
        "kinds": ["car", "ship"],
        "counts": {"ship": 1},
        "stop": {"place": "sea", "kind": "ship"},
        "host": "::1",
    }
    assert (await client.get("/rides/ship/7")).json() == row
    assert (await client.get("/rides?kind=ship&state=lost&stars=9")).json() == [row]
    found = await client.post("/rides/-/search", json={"where": {"kind": "ship"}})
    assert found.json() == [row]
    assert (await client.delete("/rides/ship/7")).status_code == 204
    problem(await client.get("/rides/ship/7"), 404, "not_found")


async def test_value_of_another_program_is_taken_out(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    cql.execute(f"INSERT INTO {keyspace}.rides (kind, id, kinds, counts) VALUES ('car', 8, {{'ship'}}, {{'ship': 1}})")
    change = {"kinds": {"$remove": ["ship"], "$add": ["car"]}, "counts": {"ship": None, "bike": 2}}
    assert (await client.patch("/rides/car/8", json=change)).status_code == 204
    row = (await client.get("/rides/car/8")).json()
    assert (row["kinds"], row["counts"]) == (["car"], {"bike": 2})
