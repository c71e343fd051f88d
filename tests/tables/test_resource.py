"""The declaration of a resource as data: its table, its name, and that nothing can change it."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from typing import Annotated

import msgspec
import pytest

from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Column, CQLType, Index
from asgi_app.tables.types import Native


class Event(msgspec.Struct):
    tenant: str
    at: datetime.datetime
    id: uuid.UUID
    kind: Annotated[str, Index()] | None
    owner: str | None
    strange: Annotated[int, CQLType("bigint")] = msgspec.field(name="Strange name")


EVENTS = Resource(
    Event, "events", partition_key=("tenant",), clustering=("-at", "id"), static=("owner",), keyspace="shop"
)


def test_table_of_a_resource() -> None:
    table = EVENTS.table
    assert table is EVENTS.table
    assert table.columns == (
        Column("tenant", Native("text"), "partition_key"),
        Column("at", Native("timestamp"), "clustering"),
        Column("id", Native("uuid"), "clustering"),
        Column("kind", Native("text")),
        Column("owner", Native("text"), "static"),
        Column("Strange name", Native("bigint")),
    )
    assert table.primary_key == ("tenant", "at", "id") == EVENTS.primary_key
    assert table.descending == {"at"}
    assert table.keyspace == "shop"
    assert table.indexes == (Index("kind"),)
    assert table.column("owner") in table.static_columns
    assert [column.name for column in table.value_columns] == ["kind", "Strange name"]
    with pytest.raises(KeyError):
        table.column("nothing")


def test_name_and_segment() -> None:
    assert (EVENTS.name, EVENTS.segment) == ("events", "events")
    moved = dataclasses.replace(EVENTS, path="/happenings")
    assert (moved.name, moved.segment) == ("happenings", "happenings")


def test_server_makes_keys_only_with_a_generated_unique_key_column() -> None:
    assert not EVENTS.makes_keys
    assert dataclasses.replace(EVENTS, generated={"id": uuid.uuid4}).makes_keys
    assert not dataclasses.replace(EVENTS, generated={"at": datetime.datetime.now, "kind": str}).makes_keys


def test_nothing_changes_a_declaration() -> None:
    hidden, generated = ["kind"], {"id": uuid.uuid4}
    resource = dataclasses.replace(EVENTS, hidden=hidden, generated=generated)
    hidden.append("owner")
    generated.clear()
    assert resource.hidden == ("kind",)
    assert resource.generated == {"id": uuid.uuid4}
    with pytest.raises(TypeError):
        resource.generated["id"] = uuid.uuid1  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        resource.ttl = 5  # type: ignore[misc]


def test_equal_declarations_are_equal() -> None:
    again = dataclasses.replace(EVENTS, generated={"id": uuid.uuid4})
    assert again == dataclasses.replace(EVENTS, generated={"id": uuid.uuid4}) != EVENTS
    assert len({EVENTS, dataclasses.replace(EVENTS)}) == 1
