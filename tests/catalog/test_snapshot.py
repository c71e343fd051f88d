"""What a read of the schema means for resources, and what is logged of it; on schemas of any size, without a node."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from asgi_app.catalog.report import MOST_LINES, report
from asgi_app.catalog.snapshot import Snapshot, compared
from asgi_app.tables.builtin import PLANTS
from asgi_app.tables.live_schema import LiveSchema
from asgi_app.tables.live_table import LiveTable
from asgi_app.tables.live_wanted import Wanted
from asgi_app.tables.table import Column, Index, Table
from asgi_app.tables.types import Native

WANTED = Wanted.of_settings("shop", [], ["*"], [], ["health"])


def table(name: str, *columns: str, indexes: tuple[Index, ...] = ()) -> Table:
    made = (Column("id", Native("int"), "partition_key"), *(Column(each, Native("text")) for each in columns))
    return Table(name, made, ("id",), indexes=indexes, keyspace="shop")


def schemas(*tables: Table) -> dict[str, LiveSchema]:
    return {"shop": LiveSchema("shop", {each.name: each for each in tables}, {})}


def lines(before: Snapshot, after: Snapshot, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.INFO, "asgi_app.catalog"):
        report(before, after)
    return [record.getMessage() for record in caplog.records]


def test_many_tables_have_a_summary_and_a_change_has_one_line(caplog: pytest.LogCaptureFixture) -> None:
    many = [table(f"t{number:03}", "kind") for number in range(500)]
    first = compared({}, WANTED, schemas(*many), Snapshot())
    assert len(first.live) == 500
    told = lines(Snapshot(), first, caplog)
    assert told[0] == "/t000 serves shop.t000; key id; read-only"
    assert len(told) == MOST_LINES + 1
    assert told[-1].startswith("480 more resources of the live schema are served or have changed")
    changed = [table("t000", "kind", "new"), *many[1:-1]]
    second = compared({}, WANTED, schemas(*changed), first)
    assert not second.serves_as(first)
    assert all(second.live[each.name] is first.live[each.name] for each in many[1:-1])
    assert sorted(lines(first, second, caplog)) == [
        "/t000 serves shop.t000; key id; read-only",
        "/t499 is not served any more: its table was dropped",
    ]
    third = compared({}, WANTED, schemas(*changed), second)
    assert third.serves_as(second)
    assert lines(second, third, caplog) == []


def test_declared_table_has_the_indexes_of_cassandra_and_only_its_own_columns() -> None:
    declared = {"things": table("things", "kind")}
    first = compared(declared, Wanted(), schemas(table("things", "kind", "other")), Snapshot())
    assert first.sound["things"] == declared["things"]
    indexed = compared(declared, Wanted(), schemas(table("things", "kind", indexes=(Index("kind"),))), first)
    assert indexed.sound["things"].indexes == (Index("kind"),)
    assert not indexed.serves_as(first)
    again = compared(declared, Wanted(), schemas(table("things", "kind", indexes=(Index("kind"),))), indexed)
    assert again.sound["things"] is indexed.sound["things"]


def test_what_is_missing_is_told_once_and_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    declared = {"plants": replace(PLANTS, keyspace="shop")}
    wanted = Wanted.of_settings("shop", [LiveTable("live")], [], [], [])
    first = compared(declared, wanted, schemas(), Snapshot())
    assert first.missing == {"plants": ("genus", "species", "sightings"), "live": ()}
    assert first.absent == {"plants"}
    assert lines(Snapshot(), first, caplog) == [
        "live is not served: there is no table shop.live",
        "plants is not served: there is no table shop.plants: `asgi-cassandra schema` creates it",
    ]
    assert lines(first, compared(declared, wanted, schemas(), first), caplog) == []
    second = compared(declared, wanted, schemas(declared["plants"], table("live")), first)
    assert second.missing == {}
    assert sorted(lines(first, second, caplog)) == [
        "/live serves shop.live; key id; plain writes",
        "live is served again",
        "plants is served again",
    ]
