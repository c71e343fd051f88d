"""What the query grammar refuses because Cassandra refuses it: each form once, by both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cassandra import InvalidRequest, ReadFailure, WriteFailure
from cassandra.cluster import Session
from cassandra.query import ConsistencyLevel, SimpleStatement
from helpers.cassandra import own_keyspace
from helpers.encoded_statements import run_encoded
from helpers.plans import plan_query, plan_search

from asgi_app.errors import InvalidInput
from asgi_app.tables.encoding import encoder_of
from asgi_app.tables.query_plan import Kind, Rules
from asgi_app.tables.table import Column, ColumnKind, Index, Table
from asgi_app.tables.types import UserType, parse_type
from asgi_app.tables.vectors import vector_fault

TYPES = {
    "tenant": "text",
    "day": "date",
    "at": "timestamp",
    "id": "uuid",
    "owner": "text",
    "kind": "text",
    "level": "int",
    "ok": "boolean",
    "note": "blob",
    "code": "text",
    "took": "duration",
    "labels": "map<text, int>",
    "attributes": "map<text, int>",
    "tags": "set<text>",
    "place": "place",
    "direction": "vector<float, 3>",
    "spot": "vector<float, 3>",
    "free": "vector<float, 3>",
}
KINDS: dict[str, ColumnKind] = {
    "tenant": "partition_key",
    "day": "partition_key",
    "at": "clustering",
    "id": "clustering",
    "owner": "static",
}
INDEXES = (
    Index("kind"),
    Index("level"),
    Index("ok"),
    Index("code", kind="legacy"),
    Index("labels", "keys"),
    Index("attributes", "entries"),
    Index("tags", "values"),
    Index("direction"),
    Index("spot", similarity="euclidean"),
)
DDL = (
    "CREATE TYPE {}.place (street text)",
    "CREATE TABLE {}.events ("
    + ", ".join(f"{name} {cql_type}{' STATIC' * (name == 'owner')}" for name, cql_type in TYPES.items())
    + ", PRIMARY KEY ((tenant, day), at, id)) WITH CLUSTERING ORDER BY (at DESC, id ASC)",
    "CREATE CUSTOM INDEX ON {}.events (kind) USING 'StorageAttachedIndex'",
    "CREATE CUSTOM INDEX ON {}.events (level) USING 'StorageAttachedIndex'",
    "CREATE CUSTOM INDEX ON {}.events (ok) USING 'StorageAttachedIndex'",
    "CREATE INDEX ON {}.events (code)",
    "CREATE CUSTOM INDEX ON {}.events (keys(labels)) USING 'StorageAttachedIndex'",
    "CREATE CUSTOM INDEX ON {}.events (entries(attributes)) USING 'StorageAttachedIndex'",
    "CREATE CUSTOM INDEX ON {}.events (values(tags)) USING 'StorageAttachedIndex'",
    "CREATE CUSTOM INDEX ON {}.events (direction) USING 'StorageAttachedIndex'",
    "CREATE CUSTOM INDEX ON {}.events (spot) USING 'StorageAttachedIndex' "
    "WITH OPTIONS = {{'similarity_function': 'euclidean'}}",
    "CREATE TABLE {}.things (key text PRIMARY KEY, value int)",
    "CREATE TABLE {}.places (p int, c1 int, c2 int, PRIMARY KEY (p, c1, c2))",
    "CREATE CUSTOM INDEX ON {}.places (c2) USING 'StorageAttachedIndex'",
    "CREATE TABLE {}.mixed (p int, c1 int, c2 int, c3 int, PRIMARY KEY (p, c1, c2, c3))",
    "CREATE INDEX ON {}.mixed (c1)",
    "CREATE CUSTOM INDEX ON {}.mixed (c2) USING 'StorageAttachedIndex'",
    "CREATE CUSTOM INDEX ON {}.mixed (c3) USING 'StorageAttachedIndex'",
    "CREATE TABLE {}.odd (p1 int, p2 int, c1 frozen<set<int>>, c2 int, s int STATIC, "
    "PRIMARY KEY ((p1, p2), c1, c2)) "
    "WITH CLUSTERING ORDER BY (c1 DESC, c2 ASC)",
    "CREATE INDEX ON {}.odd (p1)",
    "INSERT INTO {}.odd (p1, p2, c1, c2, s) VALUES (1, 1, {{1}}, 1, 1)",
    "CREATE TABLE {}.shared (p int, c int, s text STATIC, n int, v vector<float, 2>, PRIMARY KEY (p, c))",
    *(f"CREATE CUSTOM INDEX ON {{}}.shared ({name}) USING 'StorageAttachedIndex'" for name in "snv"),
    *(f"INSERT INTO {{}}.shared (p, c, s, n, v) VALUES (1, {c}, 'me', 1, [1, {c}])" for c in (1, 2)),
)


def column(name: str, cql_type: str, kind: ColumnKind = "regular") -> Column:
    place = UserType("place", (("street", parse_type("text")),))
    return Column(name, parse_type(cql_type, {"place": place}), kind)


EVENTS = Table(
    "events",
    tuple(column(name, cql_type, KINDS.get(name, "regular")) for name, cql_type in TYPES.items()),
    ("tenant", "day"),
    ("at", "id"),
    frozenset(("at",)),
    INDEXES,
)
THINGS = Table("things", (column("key", "text", "partition_key"), column("value", "int")), ("key",))
PLACES = Table(
    "places",
    (column("p", "int", "partition_key"), column("c1", "int", "clustering"), column("c2", "int", "clustering")),
    ("p",),
    ("c1", "c2"),
    indexes=(Index("c2"),),
)

MIXED = Table(
    "mixed",
    (column("p", "int", "partition_key"), *(column(name, "int", "clustering") for name in ("c1", "c2", "c3"))),
    ("p",),
    ("c1", "c2", "c3"),
    indexes=(Index("c1", kind="legacy"), Index("c2"), Index("c3")),
)
ODD = Table(
    "odd",
    (
        column("p1", "int", "partition_key"),
        column("p2", "int", "partition_key"),
        column("c1", "frozen<set<int>>", "clustering"),
        column("c2", "int", "clustering"),
        column("s", "int", "static"),
    ),
    ("p1", "p2"),
    ("c1", "c2"),
    frozenset(("c1",)),
    (Index("p1", kind="legacy"),),
)

SHARED = Table(
    "shared",
    (
        column("p", "int", "partition_key"),
        column("c", "int", "clustering"),
        column("s", "text", "static"),
        column("n", "int"),
        column("v", "vector<float, 2>"),
    ),
    ("p",),
    ("c",),
    indexes=(Index("s"), Index("n"), Index("v")),
)

PARTITION = (("tenant", "acme"), ("day", "2026-11-28"))
OF_PARTITION = "tenant = 'acme' AND day = '2026-11-28'"
NOW = "2026-11-28T09:00:00.000Z"
ID = "b26b2a23-4d70-41c3-88a7-a9aa9e135a93"


@dataclass(frozen=True)
class Refused:
    """A request, the parameter that is refused with some words of the reason, and the same in CQL."""

    parameters: tuple[tuple[str, str], ...]
    field: str
    words: str
    cql: str
    table: Table = EVENTS
    kind: Kind = "list"


REFUSED = {
    "no index": Refused((("note", "0x00"),), "note", "has no index", "note = 0x00"),
    "range without an index": Refused((("note.gt", "0x00"),), "note.gt", "has no index", "note > 0x00"),
    "static without an index": Refused((("owner", "me"),), "owner", "has no index", "owner = 'me'"),
    "part of the partition key": Refused((("tenant", "acme"),), "tenant", "needs day too", "tenant = 'acme'"),
    "part of the partition key beside an index": Refused(
        (("tenant", "acme"), ("level", "1")), "tenant", "needs day too", "tenant = 'acme' AND level = 1"
    ),
    "range on the partition key": Refused(
        (("tenant", "acme"), ("day.gt", "2026-11-28")),
        "day.gt",
        "only `=` and `.in`",
        "tenant = 'acme' AND day > '2026-11-28'",
    ),
    "clustering column without the partition": Refused(
        (("at", NOW),), "at", "needs tenant and day too", f"at = '{NOW}'"
    ),
    "clustering column without the one before": Refused(
        (*PARTITION, ("id", ID)), "id", "so at must be given", f"{OF_PARTITION} AND id = {ID}"
    ),
    "clustering column after a range": Refused(
        (*PARTITION, ("at.gt", NOW), ("id", ID)),
        "id",
        "so at must be given",
        f"{OF_PARTITION} AND at > '{NOW}' AND id = {ID}",
    ),
    "index on a clustering column out of order": Refused(
        (("p", "1"), ("c1.gt", "1"), ("c2", "1")), "c2", "order", "p = 1 AND c1 > 1 AND c2 = 1", PLACES
    ),
    "index on a clustering column beside one of another kind": Refused(
        (("p", "1"), ("c1", "1"), ("c2.gt", "1"), ("c3", "1")),
        "c3",
        "order",
        "p = 1 AND c1 = 1 AND c2 > 1 AND c3 = 1",
        MIXED,
    ),
    "order beside an index": Refused(
        (*PARTITION, ("level", "1"), ("order", "at")),
        "order",
        "an index serves",
        f"{OF_PARTITION} AND level = 1 ORDER BY at",
    ),
    "order of no partition": Refused((("order", "at"),), "order", "one partition", "ORDER BY at"),
    "order of several partitions": Refused(
        (("tenant", "acme"), ("day.in", "2026-11-28"), ("day.in", "2026-11-29"), ("order", "at")),
        "order",
        "one partition",
        "tenant = 'acme' AND day IN ('2026-11-28', '2026-11-29') ORDER BY at",
    ),
    "order by a later clustering column": Refused(
        (*PARTITION, ("order", "id")), "order", "stored in", f"{OF_PARTITION} ORDER BY id"
    ),
    "order by another column": Refused(
        (*PARTITION, ("order", "level")), "order", "stored in", f"{OF_PARTITION} ORDER BY level"
    ),
    "several partitions beside an index": Refused(
        (("tenant", "acme"), ("day.in", "2026-11-28"), ("day.in", "2026-11-29"), ("level", "1")),
        "day.in",
        "index",
        "tenant = 'acme' AND day IN ('2026-11-28', '2026-11-29') AND level = 1",
    ),
    "list of values of an indexed column": Refused(
        (("level.in", "1"), ("level.in", "2")),
        "level.in",
        "this operator",
        "level IN (1, 2)",
    ),
    "range of an indexed text": Refused((("kind.gt", "a"),), "kind.gt", "this operator", "kind > 'a'"),
    "range of an indexed boolean": Refused((("ok.gte", "true"),), "ok.gte", "this operator", "ok >= true"),
    "range of a secondary index": Refused((("code.lt", "a"),), "code.lt", "this operator", "code < 'a'"),
    "two indexes of different kinds": Refused(
        (("code", "a"), ("level", "1")), "code", "no second index", "code = 'a' AND level = 1"
    ),
    "value of a map with an index on entries": Refused(
        (("attributes.contains", "1"),), "attributes.contains", "this operator", "attributes CONTAINS 1"
    ),
    "value of a map with an index on keys": Refused(
        (("labels.contains", "1"),), "labels.contains", "this operator", "labels CONTAINS 1"
    ),
    "key of a set": Refused((("tags.contains_key", "a"),), "tags.contains_key", "only maps", "tags CONTAINS KEY 'a'"),
    "member of a text": Refused((("kind.contains", "a"),), "kind.contains", "only lists", "kind CONTAINS 'a'"),
    "member of a descending clustering column": Refused(
        (("c1.contains", "1"),), "c1.contains", "descending", "c1 CONTAINS 1 ALLOW FILTERING", ODD
    ),
    "a collection as a whole": Refused((("tags", "[]"),), "tags", "not frozen", "tags = {}"),
    "a user-defined type": Refused((("place", "{}"),), "place", "not frozen", "place = {street: 'a'}"),
    "range of durations": Refused((("took.gt", "1d"),), "took.gt", "no order", "took > 1d ALLOW FILTERING"),
    "an indexed vector": Refused(
        (("direction", "[1, 0, 0]"),), "direction", "nearest", "direction = [1, 0, 0] ALLOW FILTERING"
    ),
    "a value and a range": Refused(
        (("level", "1"), ("level.gt", "0")), "level.gt", "combined with level", "level = 1 AND level > 0"
    ),
    "a value twice": Refused((("level", "1"), ("level", "2")), "level", "more than once", "level = 1 AND level = 2"),
    "two lower bounds": Refused(
        (("level.gt", "1"), ("level.gte", "1")), "level.gte", "combined with level.gt", "level > 1 AND level >= 1"
    ),
    "an empty partition key": Refused((("key", ""),), "key", "must not be empty", "key = ''", THINGS),
    "an empty partition key in a list": Refused(
        (("key.in", "a"), ("key.in", "")), "key.in", "must not be empty", "key IN ('a', '')", THINGS
    ),
    "a long partition key": Refused((("key", "x" * 65536),), "key", "65535", f"key = '{'x' * 65536}'", THINGS),
    "a long composite partition key": Refused(
        (("tenant", "x" * 65526), ("day", "2026-11-28")),
        "day",
        "65535",
        f"tenant = '{'x' * 65526}' AND day = '2026-11-28'",
    ),
    "a long value of a secondary index": Refused((("code", "x" * 65536),), "code", "65535", f"code = '{'x' * 65536}'"),
    "partitions by a clustering column": Refused(
        (*PARTITION, ("at", NOW)), "at", "partitions", f"{OF_PARTITION} AND at = '{NOW}'", kind="partitions"
    ),
    "partitions with a limit of each": Refused(
        (("per_partition_limit", "1"),), "per_partition_limit", "option", "PER PARTITION LIMIT 1", kind="partitions"
    ),
}


@pytest.fixture(scope="module")
def keyspace_of_events(cql: Session) -> Iterator[str]:
    with own_keyspace(cql, ()) as keyspace:
        for statement in DDL:
            cql.execute(statement.format(keyspace))
        yield keyspace


@pytest.mark.parametrize("name", REFUSED)
def test_form_is_refused_by_the_grammar_and_by_cassandra(cql: Session, keyspace_of_events: str, name: str) -> None:
    form = REFUSED[name]
    with pytest.raises(InvalidInput) as refused:
        plan_query(form.table, Rules(keyspace=keyspace_of_events), (), form.parameters, form.kind)
    errors = {error.field: error.message for error in refused.value.errors}
    assert form.words in errors[f"query.{form.field}"]
    head = "SELECT DISTINCT tenant, day" if form.kind == "partitions" else "SELECT *"
    where = "" if form.cql.startswith(("ORDER", "PER")) else "WHERE "
    with pytest.raises(InvalidRequest):
        cql.execute(f"{head} FROM {keyspace_of_events}.{form.table.name} {where}{form.cql}")


def test_secondary_index_on_a_partition_key_beside_a_later_clustering_column(
    cql: Session, keyspace_of_events: str
) -> None:
    """Cassandra 5.0.9 fails with a NullPointerException, because the partition has a static value."""
    rules = Rules(frozenset(("c2",)), keyspace=keyspace_of_events)
    with pytest.raises(InvalidInput) as refused:
        plan_query(ODD, rules, (), [("p1", "1"), ("c2", "1")], "list")
    assert [error.field for error in refused.value.errors] == ["query.c2"]
    with pytest.raises(ReadFailure):
        cql.execute(f"SELECT p1 FROM {keyspace_of_events}.odd WHERE p1 = 1 AND c2 = 1 ALLOW FILTERING")


def test_selecting_only_static_columns_of_a_row_is_refused_by_both(cql: Session, keyspace_of_events: str) -> None:
    parameters = [*PARTITION, ("at", NOW), ("select", "owner,tenant")]
    with pytest.raises(InvalidInput) as refused:
        plan_query(EVENTS, Rules(keyspace=keyspace_of_events), (), parameters, "stream")
    assert [error.field for error in refused.value.errors] == ["query.select"]
    with pytest.raises(InvalidRequest):
        cql.execute(f"SELECT owner, tenant FROM {keyspace_of_events}.events WHERE {OF_PARTITION} AND at = '{NOW}'")


@pytest.mark.parametrize(
    "parameter", sorted({form.field for form in REFUSED.values()} - {"order", "per_partition_limit"})
)
def test_refusal_lists_what_can_be_used(parameter: str) -> None:
    form = next(form for form in REFUSED.values() if form.field == parameter)
    with pytest.raises(InvalidInput) as refused:
        plan_query(form.table, Rules(keyspace="k"), (), form.parameters, form.kind)
    for error in refused.value.errors[:1]:
        assert form.kind == "partitions" or set(form.table.partition_key) <= set(error.usable)


NEAREST = {
    "more than a thousand": ({"limit": 1001}, "/limit", "LIMIT 1001"),
    "a limit of each partition": ({"per_partition_limit": 1}, "/per_partition_limit", "PER PARTITION LIMIT 1 LIMIT 10"),
}


@pytest.mark.parametrize("name", NEAREST)
def test_option_of_a_search_for_vectors_is_refused_by_both(cql: Session, keyspace_of_events: str, name: str) -> None:
    members, field, tail = NEAREST[name]
    with pytest.raises(InvalidInput) as refused:
        search({"near": {"direction": [1, 0, 0]}, **members})
    assert [error.field for error in refused.value.errors] == [field]
    with pytest.raises(InvalidRequest):
        cql.execute(f"SELECT id FROM {keyspace_of_events}.events ORDER BY direction ANN OF [1, 0, 0] {tail}")


FILTERS_OF_NEAREST = {
    "no index": ({"note": "0x00"}, "/where/note", "note = 0x00"),
    "an index of another kind": ({"code": "a"}, "/where/code", "code = 'a'"),
    "an index that does not serve": ({"kind.gt": "a"}, "/where/kind.gt", "kind > 'a'"),
    "several partitions": (
        {"tenant": "acme", "day.in": ["2026-11-28", "2026-11-29"]},
        "/where/day.in",
        "tenant = 'acme' AND day IN ('2026-11-28', '2026-11-29')",
    ),
    "part of the partition key": ({"tenant": "acme"}, "/where/tenant", "tenant = 'acme'"),
}


@pytest.mark.parametrize("name", FILTERS_OF_NEAREST)
def test_filter_of_a_search_for_vectors_is_refused_by_both(cql: Session, keyspace_of_events: str, name: str) -> None:
    where, field, conditions = FILTERS_OF_NEAREST[name]
    with pytest.raises(InvalidInput) as refused:
        search({"near": {"direction": [1, 0, 0]}, "where": where}, allow_filtering=frozenset(TYPES))
    assert {error.field for error in refused.value.errors} == {field}
    with pytest.raises(InvalidRequest):
        order = "ORDER BY direction ANN OF [1, 0, 0] LIMIT 10"
        cql.execute(f"SELECT id FROM {keyspace_of_events}.events WHERE {conditions} {order}")


def search(body: Any, keyspace: str = "k", allow_filtering: frozenset[str] = frozenset()) -> Any:
    return plan_search(EVENTS, Rules(allow_filtering, keyspace=keyspace), body)


@pytest.mark.parametrize(
    ("column_name", "vector"),
    [
        ("direction", ["NaN", 0, 0]),
        ("direction", ["Infinity", 0, 0]),
        ("direction", [1.1e17, 0, 0]),
        ("direction", [0, 0, 0]),
        ("spot", [-1.1e17, 0, 0]),
    ],
)
def test_vector_is_refused_by_both(cql: Session, keyspace_of_events: str, column_name: str, vector: list[Any]) -> None:
    encoded = encoder_of(EVENTS.column(column_name).type).from_json(vector)
    assert encoded is not None
    with pytest.raises(InvalidInput) as refused:
        search({"near": {column_name: vector}})
    assert [error.field for error in refused.value.errors] == [f"/near/{column_name}"]
    events = f"{keyspace_of_events}.events"
    with pytest.raises(ReadFailure):
        run_encoded(cql, f"SELECT id FROM {events} ORDER BY {column_name} ANN OF ? LIMIT 1", [encoded])
    with pytest.raises(WriteFailure):
        key = f"tenant, day, at, id, {column_name}"
        run_encoded(cql, f"INSERT INTO {events} ({key}) VALUES ('a', '2026-01-01', 0, {ID}, ?)", [encoded])


def test_small_vector_is_refused_although_cassandra_takes_it(cql: Session, keyspace_of_events: str) -> None:
    """Its square is zero in 32 bits, so under cosine its similarity to any other vector is Infinity."""
    events = f"{keyspace_of_events}.events"
    small, index = encoder_of(EVENTS.column("direction").type).from_json([1e-30, 0, 0]), Index("direction")
    assert small is not None
    assert vector_fault(index, small) is not None
    assert vector_fault(Index("spot", similarity="euclidean"), small) is None
    key = "tenant, day, at, id, direction"
    run_encoded(cql, f"INSERT INTO {events} ({key}) VALUES ('small', '2026-01-01', 0, {ID}, ?)", [small])
    try:
        similarity = "similarity_cosine(direction, [1, 1, 0]) AS similarity"
        (row,) = cql.execute(f"SELECT tenant, {similarity} FROM {events} ORDER BY direction ANN OF [1, 1, 0] LIMIT 1")
        assert (row.tenant, row.similarity) == ("small", math.inf)
    finally:
        cql.execute(f"DELETE FROM {events} WHERE tenant = 'small' AND day = '2026-01-01'")


def test_nearest_rows_are_read_with_all_static_columns(cql: Session, keyspace_of_events: str) -> None:
    """Cassandra 5.0.9 fails without them, if the partition has static values and a column has several cells."""
    events, near = f"{keyspace_of_events}.events", {"near": {"direction": [1, 0, 0]}, "select": ["tags"]}
    key = f"'static', '2026-01-01', 0, {ID}"
    cql.execute(f"INSERT INTO {events} (tenant, day, at, id, owner, direction) VALUES ({key}, 'me', [1, 0, 0])")
    try:
        with pytest.raises(ReadFailure):
            cql.execute(f"SELECT tags FROM {events} ORDER BY direction ANN OF [1, 0, 0] LIMIT 10")
        plan = search(near, keyspace_of_events)
        assert plan.unshown == ("owner",)
        (row,) = run_encoded(cql, plan.cql, plan.values, fetch_size=plan.fetch_size, level=plan.consistency)
        assert (row.tags, row.owner) == (None, "me")
    finally:
        cql.execute(f"DELETE FROM {events} WHERE tenant = 'static' AND day = '2026-01-01'")


def test_static_column_beside_the_nearest_is_refused_although_cassandra_takes_it(
    cql: Session, keyspace_of_events: str
) -> None:
    """It finds nothing then, and says nothing."""
    events, table = f"{keyspace_of_events}.shared", replace(SHARED, keyspace=keyspace_of_events)
    assert [row.c for row in cql.execute(f"SELECT c FROM {events} WHERE s = 'me'")] == [1, 2]
    nearest = f"SELECT c FROM {events} WHERE s = 'me' ORDER BY v ANN OF [1, 0] LIMIT 10"
    assert cql.execute(nearest).all() == []
    with pytest.raises(InvalidInput) as refused:
        plan_search(table, Rules(keyspace=keyspace_of_events), {"near": {"v": [1, 0]}, "where": {"s": "me", "n": 1}})
    assert [error.field for error in refused.value.errors] == ["/where/s"]
    plan = plan_query(table, Rules(keyspace=keyspace_of_events), (), [("s", "me"), ("n", "1")], "list")
    assert [row.c for row in run_encoded(cql, plan.cql, plan.values)] == [1, 2]


def test_level_above_local_one_is_not_kept_for_the_nearest_rows(cql: Session, keyspace_of_events: str) -> None:
    """Cassandra reads at LOCAL_ONE and only warns, so the plan says so openly."""
    assert search({"near": {"direction": [1, 0, 0]}}).consistency == "LOCAL_ONE"
    statement = SimpleStatement(
        f"SELECT id FROM {keyspace_of_events}.events ORDER BY direction ANN OF [1, 0, 0] LIMIT 10",
        consistency_level=ConsistencyLevel.QUORUM,
    )
    future = cql.execute_async(statement)
    future.result()
    assert any("consistency" in warning.lower() for warning in future.warnings)


def test_largest_vector_is_taken_by_both(cql: Session, keyspace_of_events: str) -> None:
    plan = search({"near": {"direction": [9.9999998e16, 0, 0]}}, keyspace_of_events)
    run_encoded(cql, plan.cql, plan.values, fetch_size=plan.fetch_size, level=plan.consistency)
