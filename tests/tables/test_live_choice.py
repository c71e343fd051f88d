"""What becomes a resource of the live schema, and how: without a node, on tables as `live_schema` reads them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from asgi_app.tables.declaration import problems_of
from asgi_app.tables.live_choice import LeftOut, by_keyspace, choose, resource_of
from asgi_app.tables.live_description import described, filter_texts
from asgi_app.tables.live_schema import LiveSchema
from asgi_app.tables.live_table import LiveOptions, LiveTable
from asgi_app.tables.live_wanted import Offer, Wanted, changed_names, offer
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Column, Index, Table
from asgi_app.tables.types import ListOf, Native, UnknownType, UserType, parse_type

INT, TEXT = Native("int"), Native("text")
ADDRESS = UserType("address", (("street", TEXT),), frozen=True)
STRANGE = UnknownType("'org.example.Strange'")


def table(name: str = "events", *more: Column, key: Any = INT, **facts: Any) -> Table:
    columns = (
        Column("id", key, "partition_key"),
        Column("at", Native("timestamp"), "clustering"),
        Column("owner", TEXT, "static"),
        *more,
    )
    return Table(name, columns, ("id",), ("at",), frozenset({"at"}), **{"keyspace": "shop", **facts})


EVENTS = table(
    "events", Column("Home address", ADDRESS), Column("tags", ListOf(TEXT)), indexes=(Index("tags", "values"),)
)


def schema(*tables: Table) -> LiveSchema:
    return LiveSchema("shop", {each.name: each for each in tables}, {})


def test_resource_has_the_table_of_the_live_schema() -> None:
    resource = resource_of(EVENTS, LiveTable("events", path="happenings", allow_filtering=("tags",)))
    assert (resource.name, resource.keyspace, resource.writes) == ("happenings", "shop", "plain")
    assert resource.table.columns == EVENTS.columns
    assert (resource.partition_key, resource.clustering, resource.static) == (("id",), ("-at",), ("owner",))
    assert resource.allow_filtering == ("tags",)
    fields = {field.encode_name: field for field in msgspec.structs.fields(resource.struct)}
    assert [name for name, field in fields.items() if field.required] == ["id", "at"]
    assert problems_of([resource]) == []


def test_unknown_types_are_read_only_columns() -> None:
    odd = table("odd", Column("strange", STRANGE), Column("hidden", STRANGE))
    resource = resource_of(odd, LiveTable("odd", hidden=("hidden",), read_only=("owner",)))
    assert resource.read_only == ("owner", "strange")
    assert problems_of([resource]) == []


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"is_view": True}, "it is a materialized view"),
        ({"is_virtual": True}, "it is a virtual table"),
        ({"is_compact": True}, "it is WITH COMPACT STORAGE, where a row without values is not stored"),
        ({"keyspace": "system_auth"}, "it is one of Cassandra's own tables"),
        ({"key": STRANGE}, "id is in its key, and has a type that this service does not know"),
    ],
)
def test_table_that_nobody_writes_to_is_read_only(facts: dict[str, Any], reason: str) -> None:
    live = table("odd", **facts)
    declaration = LiveTable("odd", batch="per_row", ttl=5, generated={"id": int}, check=list, patch_creates=True)
    resource = resource_of(live, declaration)
    assert (resource.writes, resource.batch, resource.ttl, resource.check) == ("none", None, None, None)
    assert not resource.generated
    choice = choose(LiveSchema(live.keyspace or "", {"odd": live}, {}), ["*"], ["*"])
    assert choice.notes == {"odd": f"read-only: {reason}"}
    assert choose(LiveSchema(live.keyspace or "", {"odd": live}, {}), ["*"], []).notes == {}


def test_choice_by_name_and_of_all() -> None:
    live = schema(EVENTS, table("b"), table("a"), table("health"))
    everything = choose(live, ["*"], ["b"], ["health"])
    assert [(each.name, each.writes) for each in everything.served] == [
        ("a", "none"),
        ("b", "plain"),
        ("events", "none"),
    ]
    assert everything.left_out == (LeftOut("health", "the application has a path /health of its own"),)
    shared = choose(live, ["*"], ["b"], ["health"], ["health", "b"])
    assert shared.left_out == (LeftOut("b", "the application has a scope b of its own"), *everything.left_out)
    some = choose(live, ["b", "nothing", "b"], ["*"])
    assert [(each.name, each.writes) for each in some.served] == [("b", "plain")]
    assert some.left_out == (LeftOut("nothing", "the keyspace shop has no such table"),)
    assert choose(schema(), ["*"], []).served == ()


@pytest.mark.parametrize("name", ["x.gt", "a.contains_key", "$similarity"])
def test_names_that_queries_use(name: str) -> None:
    choice = choose(schema(table("t", Column(name, INT), Column("n", INT))), ["*"], ["*"])
    assert choice.served[0].table.column_names == ("id", "at", "owner", "n")
    assert name in choice.notes["t"]
    in_key = Table("t", (Column(name, INT, "partition_key"),), (name,), keyspace="shop")
    assert choose(schema(in_key), ["*"], []).left_out[0].reason.startswith(f"{name} is in its key, and ")


def test_names_by_keyspace() -> None:
    assert by_keyspace(["a", "shop.b", "shop.*", "c"], "main") == {"main": ("a", "c"), "shop": ("b", "*")}


def test_description() -> None:
    resource = resource_of(EVENTS, LiveTable("events", writes="none"))
    assert described(resource, EVENTS) == "shop.events; key id, at desc; read-only; filters tags.contains"


def test_filters_are_the_parameters_of_requests() -> None:
    columns = (
        Column("id", INT, "partition_key"),
        Column("limit", INT),
        Column("tags", parse_type("set<text>")),
        Column("labels", parse_type("map<text, text>")),
        Column("pair", parse_type("frozen<list<text>>")),
        Column("spot", parse_type("vector<float, 2>")),
        Column("kind", parse_type("text")),
        Column("odd", INT),
        Column("entries", parse_type("map<text, text>")),
    )
    indexes = (
        Index("limit"),
        Index("tags", "values"),
        Index("labels", "keys"),
        Index("pair", "full"),
        Index("spot", similarity="cosine"),
        Index("odd", kind="other"),
        Index("entries", "entries"),
    )
    found = filter_texts(Table("t", columns, ("id",), indexes=indexes), ("kind",), {"pair"})
    assert [*found] == ["limit.eq", "tags.contains", "labels.contains_key", "kind", "near.spot"]


def test_offer_keeps_what_did_not_change() -> None:
    wanted = Wanted.of_settings("shop", [LiveTable("b", path="c")], ["*"], ["*"], ["health"])
    assert wanted.keyspaces == {"shop"}
    assert (wanted.names, wanted.whole_keyspaces) == ({"c"}, {"shop"})
    first = offer(wanted, {"shop": schema(EVENTS, table("b"), table("health"))}, Offer())
    assert first.resources.keys() == {"b", "c", "events"}
    second = offer(wanted, {"shop": schema(EVENTS, table("b", Column("new", INT)))}, first)
    assert set(changed_names(first, second)) == {"b", "c"}
    assert second.resources["events"] is first.resources["events"]
    third = offer(wanted, {"shop": schema(table("c"))}, second)
    assert third.trouble == {"c": "there is no table shop.b"}
    assert third.resources == {}
    assert third.left_out == (LeftOut("c", "the application has a path /c of its own"),)


def test_names_in_scopes_are_taken() -> None:
    wanted = Wanted.of_settings("shop", [], ["service", "b"], ["service"], ["health"], ["health", "service"])
    assert wanted.names == {"b"}
    found = offer(wanted, {"shop": schema(table("service"), table("b"))}, Offer())
    assert (set(found.resources), found.trouble) == ({"b"}, {})
    assert found.left_out == (LeftOut("service", "the application has a scope service of its own", is_wanted=True),)


def test_offer_of_names_says_what_is_wrong_with_each() -> None:
    wanted = Wanted.of_settings("shop", [], ["events", "gone", "health", "other.x"], [], ["health"])
    assert wanted.names == {"events", "gone", "x"}
    found = offer(wanted, {"shop": schema(EVENTS, table("health")), "other": LiveSchema("other", {}, {})}, Offer())
    assert found.resources.keys() == {"events"}
    assert found.trouble == {
        "gone": "the keyspace shop has no such table",
        "x": "the keyspace other has no such table",
    }
    assert [each.name for each in found.left_out] == ["health"]


def test_offer_of_two_keyspaces_says_which_table_has_the_path() -> None:
    wanted = Wanted.of_settings("shop", [], ["*", "other.*"], [], [])
    found = offer(wanted, {"shop": schema(EVENTS), "other": LiveSchema("other", {"events": EVENTS}, {})}, Offer())
    assert found.resources.keys() == {"events"}
    assert found.left_out == (LeftOut("events", "/events serves shop.events"),)


def test_offer_of_all_tables_says_which_writable_one_is_absent() -> None:
    wanted = Wanted.of_settings("shop", [], ["*"], ["event", "events"], [])
    found = offer(wanted, {"shop": schema(EVENTS)}, Offer())
    assert found.resources["events"].writes == "plain"
    absent = "it is to be writable, and the keyspace shop has no such table"
    assert found.left_out == (LeftOut("event", absent, is_wanted=True),)


def test_from_table_has_the_options_of_a_resource() -> None:
    declaration = Resource.from_table("events", keyspace="shop", path="/x", hidden=["owner"])
    assert declaration == LiveTable("events", keyspace="shop", path="/x", hidden=("owner",))
    assert (declaration.name, declaration.segment) == ("x", "x")
    resource_options = {field for field in Resource.__dataclass_fields__ if field != "_"}
    live_options = {field for field in LiveTable.__dataclass_fields__ if field != "_"}
    assert resource_options - live_options == {"struct", "partition_key", "clustering", "static"}
    assert LiveOptions.__annotations__.keys() == live_options - {"table_name", "keyspace"}
