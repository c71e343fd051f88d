"""Sample rows: deterministic, valid for the service, and written in constant memory."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from asgi_app.cli.sample_data import (
    SAMPLE_ANIMALS,
    SAMPLE_PLANTS,
    WRITTEN_AT,
    row_count,
    sample_user,
    seed,
)
from asgi_app.driver.bulk_writes import BATCHES_IN_FLIGHT
from asgi_app.resources.species import animal_fields
from asgi_app.resources.users import user_fields
from asgi_app.tables import ddl as schema
from asgi_app.tables.builtin import TABLES


def test_sample_animals_and_plants() -> None:
    assert len({(animal.genus, animal.species) for animal in SAMPLE_ANIMALS}) == 5
    assert len({plant.species for plant in SAMPLE_PLANTS}) == 88
    assert {plant.genus for plant in SAMPLE_PLANTS} == {"Plantago"}
    assert row_count(7) == 100


def test_samples_are_valid_request_bodies() -> None:
    for animal in SAMPLE_ANIMALS:
        assert msgspec.structs.asdict(animal_fields.decode(msgspec.json.encode(animal))) == msgspec.structs.asdict(
            animal
        )
    for index in range(3000):
        user = sample_user(index)
        user_fields.decode(msgspec.json.encode({"name": user.name, "email": user.email, "age": user.age}))


def test_sample_users_are_distinct_and_deterministic() -> None:
    users = [sample_user(index) for index in range(3000)]
    assert len({user.id for user in users}) == len({user.email for user in users}) == 3000
    assert {user.age for user in users} == set(range(101))
    assert users == [sample_user(index) for index in range(3000)]
    assert str(sample_user(0).id) == "de2025d2-5921-507f-a6d3-8ecdf33275a3"


class Future:
    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def add_callbacks(self, callback: Callable[[Any], None], errback: Callable[[Exception], None]) -> None:
        if self.error:
            threading.Thread(target=errback, args=(self.error,)).start()
        else:
            callback(None)


class Session:
    """A driver session whose write number `fails_at` fails."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at = fails_at
        self.batches: list[Any] = []
        self.sent = 0

    def prepare(self, cql: str) -> str:
        return cql

    def execute(self, statement: str, values: Any) -> Session:
        return self

    def one(self) -> object:
        return self

    def execute_async(self, batch: Any) -> Future:
        self.sent += 1
        return Future(OSError("gone") if self.sent == self.fails_at else None)


@pytest.fixture(autouse=True)
def without_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a batch just its rows, because binding needs a prepared statement of a real node."""
    monkeypatch.setattr("asgi_app.driver.bulk_writes._batch", lambda _, rows: rows)


def test_progress_counts_every_row() -> None:
    seen: list[int] = []
    report = seed(Session(), "ks", 25, seen.append)
    assert report.rows == seen[-1] == 5 + 88 + 25
    assert seen == sorted(seen)


def test_failed_write_ends_the_run() -> None:
    session = Session(fails_at=5)
    with pytest.raises(OSError, match="gone"):
        seed(session, "ks", 100_000, lambda _: None)
    assert session.sent <= 5 + 2 * BATCHES_IN_FLIGHT


def test_failure_of_the_last_write_is_raised() -> None:
    with pytest.raises(OSError, match="gone"):
        seed(Session(fails_at=9), "ks", 0, lambda _: None)


def test_memory_does_not_grow_with_the_number_of_users() -> None:
    seed(Session(), "ks", 100, lambda _: None)
    tracemalloc.start()
    try:
        seed(Session(), "ks", 20_000, lambda _: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000


def test_write_time_is_fixed() -> None:
    assert WRITTEN_AT.isoformat() == "2024-01-01T00:00:00+00:00"


def test_schema_statements_in_order() -> None:
    statements = schema.schema_statements("Ks", TABLES, schema.network_replication(3, "d'c"))
    assert statements[0] == (
        """CREATE KEYSPACE IF NOT EXISTS "Ks" WITH replication = {'class': 'NetworkTopologyStrategy', 'd''c': 3}"""
    )
    assert [it.split('"')[3] for it in statements[1:]] == ["users", "animals", "plants"]
    assert schema.schema_statements("Ks", TABLES, None) == statements[1:]


@pytest.mark.parametrize("text", ["", "1", "{", "{'a': 1}", "{'class': 'X', 'n': [1]}", "{'class': 'X'}; DROP", "f()"])
def test_bad_replication_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a CQL map"):
        schema.parse_replication(text)


def test_replication_is_normalised() -> None:
    assert schema.parse_replication('{"class":"SimpleStrategy" , "replication_factor":"1"}') == (
        "{'class': 'SimpleStrategy', 'replication_factor': '1'}"
    )
