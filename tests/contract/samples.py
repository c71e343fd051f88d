"""Values that the contract's tests send and expect."""

from __future__ import annotations

import re
import uuid
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cassandra.cluster import Session
from helpers.loops import LOOPS

every_loop = pytest.mark.loops(*LOOPS)
"""Marks tests to run on every event loop that the service supports."""

ADA: dict[str, Any] = {"name": "Ada", "email": "ada@example.com", "age": 36}
BO: dict[str, Any] = {"name": "Bo", "email": "bo@example.org", "age": 41}
OWL: dict[str, Any] = {
    "genus": "Strix",
    "species": "aluco",
    "image_url": "https://example.com/owl.jpg",
    "size_cm": 38.5,
    "sightings": 3,
    "taxonomy": ["Animalia", "Chordata", "Aves"],
}

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
USER_FIELDS = ["id", "name", "email", "age", "created_at", "updated_at"]
JSON = {"Content-Type": "application/json"}
LONG_AGO = 1_000_000
"""A write timestamp in microseconds, older than any Paxos ballot: see "Clocks and conditions" in the contract."""


async def create(client: httpx.AsyncClient, *, prefix: str = "", **changes: Any) -> Any:
    """Create a user with POST and return the answer's body. `prefix` is where the service is mounted."""
    response = await client.post(f"{prefix}/users", json=ADA | changes)
    assert response.status_code == 201, response.text
    return response.json()


def insert_users(cql: Session, table: str, ages: list[int]) -> list[str]:
    """Insert users with these ages by the driver, not through the service, and return their ids."""
    statement = cql.prepare(
        f"INSERT INTO {table} (id, name, email, age, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
        f" USING TIMESTAMP {LONG_AGO}"
    )
    ids = [uuid.uuid4() for _ in ages]
    writes = [
        cql.execute_async(statement, (user_id, "n", "n@example.com", age, 0, 0))
        for user_id, age in zip(ids, ages, strict=True)
    ]
    for write in writes:
        write.result()
    return [str(user_id) for user_id in ids]


def token_in(response: httpx.Response) -> str:
    """Return the page token in the Link field of a list, which leads to the next page."""
    return parse_qs(urlsplit(response.links["next"]["url"]).query)["page_state"][0]
