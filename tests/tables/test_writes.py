"""The statements that write a resource's table, on a real Cassandra, and the facts about Cassandra that shape them."""

from __future__ import annotations

import datetime
import itertools
import uuid
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
import pytest
from cassandra import InvalidRequest
from cassandra.cluster import NoHostAvailable, Session
from cassandra.protocol import SyntaxException
from helpers.cassandra import create, own_keyspace
from helpers.encoded_statements import run_encoded
from helpers.waiting import wait_until

from asgi_app.tables.cql import create_types
from asgi_app.tables.encoding import Encoded, encoded_list, encoder_of
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import CQLType
from asgi_app.tables.types import Native, UserType
from asgi_app.tables.writes import TIMESTAMP, TTL, VERSIONS, Write, WriteStatements, added, member, removed


class Address(msgspec.Struct):
    street: str
    number: int


class Thing(msgspec.Struct):
    owner: str
    id: int
    Title: str | None = None
    size: int | None = None
    counts: dict[str, int] | None = None
    tags: set[str] | None = None
    steps: list[int] | None = None
    fixed: Annotated[list[int] | None, CQLType("frozen<list<int>>")] = None
    home: Annotated[Address | None, CQLType("address")] = None
    rev: uuid.UUID | None = None
    limits: dict[str, int] | None = None
    plan: str | None = None


class Score(msgspec.Struct):
    player: str
    wins: Annotated[int, CQLType("counter")]
    losses: Annotated[int, CQLType("counter")]


class Seen(msgspec.Struct):
    user: str
    at: datetime.date


THINGS = Resource(
    Thing,
    "Things",
    partition_key=("owner",),
    clustering=("id",),
    static=("limits", "plan"),
    version="rev",
    writes="conditional",
)
SCORES = Resource(Score, "scores", partition_key=("player",), delete_counters=True)
SEEN = Resource(Seen, "seen", partition_key=("user",), clustering=("-at",))

INT, BIGINT = encoder_of(Native("int")), encoder_of(Native("bigint"))
OLD, NEW = uuid.uuid4(), uuid.uuid4()


class Things:
    """A table with every kind of column, in a keyspace of its own, and rows that no other test has."""

    def __init__(self, session: Session, keyspace: str) -> None:
        self.session = session
        self.keyspace = keyspace
        self.name = f'{keyspace}."Things"'
        self.writes = WriteStatements(keyspace, THINGS)
        self._ids = itertools.count()

    def new_key(self) -> dict[str, Any]:
        return {"owner": f"owner {next(self._ids)}", "id": 1}

    def run(self, write: Write, values: Mapping[str, Any]) -> list[Any]:
        """Run a write with JSON values, `bytes` as they are, and return its result."""
        given = {name: encoded(name, value) for name, value in values.items()}
        return run_encoded(self.session, write.statement.cql, write.values(given))

    def applied(self, write: Write, values: Mapping[str, Any]) -> bool:
        (row,) = self.run(write, values)
        return bool(row[0])

    def row(self, key: Mapping[str, Any], columns: str = "*") -> Any:
        """Return the row, or None."""
        rows = self.session.execute(
            f"SELECT {columns} FROM {self.name} WHERE owner = %s AND id = %s", tuple(key.values())
        )
        return rows.one()

    def seconds_left(self, key: Mapping[str, Any], column: str) -> int | None:
        return self.row(key, f"TTL({column})")[0]


def encoded(name: str, value: Any) -> Any:
    """Encode the JSON value of a parameter."""
    if value is None or isinstance(value, bytes):
        return value
    if name == VERSIONS:
        return encoded_list([version.bytes for version in value])
    if name in (TTL, TIMESTAMP):
        return (INT if name == TTL else BIGINT).from_json(value)
    if name.startswith("."):
        _, column, field = name.split(".")
        cql_type = THINGS.table.column(column).type
        assert isinstance(cql_type, UserType)
        return encoder_of(dict(cql_type.fields)[field]).from_json(value)
    if isinstance(value, uuid.UUID):
        return Encoded(value.bytes)
    return encoder_of(THINGS.table.column(name.lstrip("+-")).type).from_json(value)


def keys(*texts: str) -> Encoded:
    """Return keys of a map, as a set."""
    return encoded_list([text.encode() for text in texts])


@pytest.fixture(scope="module")
def things(cql: Session) -> Iterator[Things]:
    with own_keyspace(cql, ()) as keyspace:
        tables = [resource.table for resource in (THINGS, SCORES, SEEN)]
        for ddl in create_types(keyspace, tables):
            cql.execute(ddl)
        create(cql, keyspace, tables)
        yield Things(cql, keyspace)


FULL = {
    "Title": "a",
    "size": 1,
    "counts": {"a": 1, "b": 2},
    "tags": ["x", "y"],
    "steps": [1, 2, 3],
    "fixed": [1],
    "home": {"street": "High St", "number": 5},
    "rev": OLD,
}


def full_row(things: Things, **changes: Any) -> dict[str, Any]:
    """Write a row with a value in every column, and return its key."""
    key = things.new_key()
    things.run(things.writes.insert, {**key, **FULL, **changes})
    return key


# --- rows


def test_insert_leaves_absent_columns_and_deletes_null_ones(things: Things) -> None:
    key = full_row(things)
    things.run(things.writes.insert, {**key, "Title": None, "steps": [7]})
    row = things.row(key)
    assert (row.Title, row.size, row.steps, row.fixed) == (None, 1, [7], [1])


def test_insert_never_writes_static_columns(things: Things) -> None:
    assert not {"limits", "plan"} & {*things.writes.insert.parameters}


def test_insert_if_not_exists(things: Things) -> None:
    key = things.new_key()
    write = things.writes.insert_if_not_exists
    assert things.applied(write, {**key, "size": 1, TTL: 1000})
    assert not things.applied(write, {**key, "size": 2})
    assert things.row(key).size == 1
    assert things.seconds_left(key, "size") in range(900, 1001)


def test_delete(things: Things) -> None:
    key = full_row(things)
    things.run(things.writes.delete, key)
    assert things.row(key) is None


def test_conditional_delete(things: Things) -> None:
    key = full_row(things)
    assert not things.applied(things.writes.delete_if_version, {**key, VERSIONS: [NEW]})
    assert things.applied(things.writes.delete_if_version, {**key, VERSIONS: [NEW, OLD]})
    assert not things.applied(things.writes.delete_if_exists, key)


@pytest.mark.parametrize(("length", "left"), [(1, 0), (2, 1)])
def test_delete_of_a_prefix(things: Things, length: int, left: int) -> None:
    key = full_row(things)
    things.run(things.writes.insert, {**key, "id": 2})
    write = things.writes.delete_prefix(length)
    assert write.parameters == ("owner", "id")[:length]
    things.run(write, key)
    rows = things.session.execute(f"SELECT id FROM {things.name} WHERE owner = %s", (key["owner"],))
    assert len(list(rows)) == left


# --- replacing under a condition


def test_replacement_of_an_existing_row(things: Things) -> None:
    key = full_row(things)
    nulls = dict.fromkeys(FULL)
    assert things.applied(things.writes.replace_if_exists, {**key, **nulls, "size": 2})
    row = things.row(key)
    assert (row.Title, row.size, row.counts, row.home) == (None, 2, None, None)


def test_replacement_of_an_absent_row_writes_nothing(things: Things) -> None:
    key = things.new_key()
    assert not things.applied(things.writes.replace_if_exists, {**key, "size": 2})
    assert not things.applied(things.writes.replace_if_version, {**key, "size": 2, VERSIONS: [OLD]})
    assert things.row(key) is None


def test_replacement_of_a_version(things: Things) -> None:
    key = full_row(things)
    write = things.writes.replace_if_version
    assert not things.applied(write, {**key, "size": 2, "rev": NEW, VERSIONS: [NEW]})
    assert things.applied(write, {**key, "size": 2, "rev": NEW, VERSIONS: [OLD]})
    assert (things.row(key).size, things.row(key).rev) == (2, NEW)


def test_replaced_row_without_values_stays(things: Things) -> None:
    """Even if no INSERT ever made it a row. The UPDATE alone would make it vanish, which the second half shows."""
    nulls = dict.fromkeys(FULL)
    kept, lost = things.new_key(), things.new_key()
    for key in (kept, lost):
        things.run(things.writes.update(), {**key, "size": 1})
    assert things.applied(things.writes.replace_if_exists, {**kept, **nulls})
    assert things.applied(things.writes.update_if_exists(), {**lost, **nulls})
    assert things.row(kept) is not None
    assert things.row(lost) is None


def test_replaced_row_expires_as_one(things: Things) -> None:
    """The UPDATE alone, on a row that was inserted, leaves a row of nulls, which the second half shows."""
    whole, half = things.new_key(), things.new_key()
    nulls = dict.fromkeys(FULL)
    for key in (whole, half):
        things.run(things.writes.insert, {**key, "size": 1})
    assert things.applied(things.writes.replace_if_exists, {**whole, **nulls, "size": 2, TTL: 1})
    assert things.applied(things.writes.update_if_exists(), {**half, **nulls, "size": 2, TTL: 1})
    wait_until("the row expires", lambda: things.row(whole) is None)
    wait_until("its column expires", lambda: things.row(half).size is None)
    assert things.row(half) is not None


def test_replacement_leaves_static_columns(things: Things) -> None:
    key = full_row(things)
    things.run(things.writes.update_static(), {**key, "plan": "gold"})
    assert things.applied(things.writes.replace_if_exists, {**key, **dict.fromkeys(FULL)})
    assert things.row(key).plan == "gold"


# --- changing


def test_update_changes_only_what_is_given(things: Things) -> None:
    key = full_row(things)
    things.run(things.writes.update(), {**key, "size": 2, "Title": None})
    row = things.row(key)
    assert (row.size, row.Title, row.steps, row.home.number) == (2, None, [1, 2, 3], 5)


def test_update_creates_a_row_that_vanishes_with_its_values(things: Things) -> None:
    key = things.new_key()
    things.run(things.writes.update(), {**key, "size": 2})
    assert things.row(key).size == 2
    things.run(things.writes.update(), {**key, "size": None})
    assert things.row(key) is None


def test_update_with_nothing_creates_no_row(things: Things) -> None:
    key = things.new_key()
    things.run(things.writes.update(("counts", "home")), key)
    assert things.row(key) is None


def test_update_of_an_existing_row(things: Things) -> None:
    key, absent = full_row(things), things.new_key()
    assert things.applied(things.writes.update_if_exists(), {**key, "size": 2})
    assert not things.applied(things.writes.update_if_exists(), {**absent, "size": 2})
    assert things.row(absent) is None


def test_update_of_a_version(things: Things) -> None:
    key = full_row(things)
    write = things.writes.update_if_version(("counts",))
    assert not things.applied(write, {**key, added("counts"): {"c": 3}, "rev": NEW, VERSIONS: [NEW]})
    assert things.applied(write, {**key, added("counts"): {"c": 3}, "rev": NEW, VERSIONS: [NEW, OLD]})
    assert dict(things.row(key).counts) == {"a": 1, "b": 2, "c": 3}


def test_row_without_a_version_fails_every_condition(things: Things) -> None:
    key = full_row(things, rev=None)
    assert not things.applied(things.writes.update_if_version(), {**key, "size": 2, VERSIONS: [OLD]})


def test_null_among_versions_would_apply_to_an_absent_row(things: Things) -> None:
    """So a null version is never compared."""
    key = things.new_key()
    cql = f"UPDATE {things.name} SET size = 1 WHERE owner = %s AND id = %s IF rev IN (%s, NULL)"
    assert things.session.execute(cql, (*key.values(), OLD)).was_applied
    assert things.row(key).size == 1


def test_unset_cannot_be_compared(things: Things) -> None:
    """So what a condition compares is always bound."""
    cql = f"UPDATE {things.name} SET size = 1 WHERE owner = ? AND id = ? IF rev IN ?"
    with pytest.raises(InvalidRequest, match="unset"):
        run_encoded(things.session, cql, [b"a", INT.from_json(1), msgspec.UNSET])
    with pytest.raises(InvalidRequest, match="unset"):
        run_encoded(things.session, cql.replace("IN ?", "= ?"), [b"a", INT.from_json(1), msgspec.UNSET])


# --- merging


def test_map_is_merged(things: Things) -> None:
    key = full_row(things)
    write = things.writes.update(("counts",))
    things.run(write, {**key, added("counts"): {"c": 3}, removed("counts"): keys("a")})
    assert dict(things.row(key).counts) == {"b": 2, "c": 3}
    things.run(write, {**key, removed("counts"): keys("b")})
    things.run(write, {**key, added("counts"): {"d": 4}})
    things.run(write, {**key, "size": 9})
    assert dict(things.row(key).counts) == {"c": 3, "d": 4}
    assert things.row(key).size == 9


def test_set_is_merged(things: Things) -> None:
    key = full_row(things)
    write = things.writes.update(("tags",))
    things.run(write, {**key, added("tags"): ["z"], removed("tags"): ["x"]})
    things.run(write, {**key, added("tags"): ["z"]})
    assert set(things.row(key).tags) == {"y", "z"}


def test_fields_of_a_user_type_are_merged(things: Things) -> None:
    key = full_row(things)
    write = things.writes.update(("home",))
    things.run(write, {**key, member("home", "number"): 7})
    assert tuple(things.row(key).home) == ("High St", 7)
    things.run(write, {**key, member("home", "street"): None})
    assert tuple(things.row(key).home) == (None, 7)


def test_list_is_merged(things: Things) -> None:
    key = full_row(things)
    plus, minus = added("steps"), removed("steps")
    things.run(things.writes.update((plus,)), {**key, plus: [4]})
    things.run(things.writes.update((minus,)), {**key, minus: [1, 2]})
    assert things.row(key).steps == [3, 4]
    things.run(things.writes.update((plus, minus)), {**key, plus: [5], minus: [3]})
    assert things.row(key).steps == [4, 5]


def test_unset_cannot_be_appended_to_a_list(things: Things) -> None:
    """So the text that appends is used only for requests that append."""
    write = things.writes.update((added("steps"),))
    with pytest.raises(NoHostAvailable, match="ClassCastException"):
        things.run(write, {**things.new_key(), "size": 1})


def test_frozen_value_cannot_be_merged(things: Things) -> None:
    write = things.writes.update(("fixed",))
    assert "fixed" in write.parameters
    with pytest.raises(InvalidRequest):
        things.session.execute(
            f"UPDATE {things.keyspace}.\"Things\" SET fixed = fixed + [1] WHERE owner = 'a' AND id = 1"
        )


def test_column_cannot_be_replaced_and_merged_by_one_text(things: Things) -> None:
    assignments = "tags = {'a'}, tags = tags + {'b'}"
    with pytest.raises(SyntaxException, match="incompatible"):
        things.session.execute(f"UPDATE {things.name} SET {assignments} WHERE owner = 'a' AND id = 1")


def test_list_that_is_appended_again_doubles(things: Things) -> None:
    key = full_row(things)
    plus = added("steps")
    for _ in range(2):
        things.run(things.writes.update((plus,)), {**key, plus: [4], TIMESTAMP: 2_000_000_000_000_000})
    assert things.row(key).steps == [1, 2, 3, 4, 4]


def test_only_the_merged_columns_change_the_text(things: Things) -> None:
    writes = things.writes
    assert writes.update(("tags", "home")) is writes.update(["home", "tags"])
    assert writes.update() is not writes.update(("tags",))


# --- time to live and timestamps


def test_ttl_and_timestamp_of_plain_writes(things: Things) -> None:
    key = things.new_key()
    things.run(things.writes.insert, {**key, "size": 1, TTL: 1000, TIMESTAMP: 5})
    assert things.row(key, "WRITETIME(size)")[0] == 5
    assert things.seconds_left(key, "size") in range(900, 1001)


def test_change_of_a_row_that_expires_leaves_the_other_columns_expiring(things: Things) -> None:
    key = full_row(things, **{TTL: 1000})
    things.run(things.writes.update(), {**key, "size": 2})
    assert things.seconds_left(key, "size") is None
    assert things.seconds_left(key, "fixed") is not None


@pytest.mark.parametrize(("ttl", "expires"), [(msgspec.UNSET, True), (None, False), (0, False)])
def test_default_ttl_of_a_table_holds_unless_a_statement_has_one(things: Things, ttl: Any, expires: bool) -> None:
    session, name = things.session, f"{things.keyspace}.expiring"
    session.execute(f"CREATE TABLE IF NOT EXISTS {name} (k int PRIMARY KEY, v int) WITH default_time_to_live = 1000")
    value = INT.from_json(ttl) if ttl == 0 else ttl
    run_encoded(session, f"INSERT INTO {name} (k, v) VALUES (1, 1) USING TTL ?", [value])
    (row,) = session.execute(f"SELECT TTL(v) FROM {name} WHERE k = 1")
    assert (row[0] is not None) is expires


@pytest.mark.parametrize("condition", ["IF EXISTS", "IF size = 1"])
def test_conditional_write_takes_no_timestamp(things: Things, condition: str) -> None:
    with pytest.raises(InvalidRequest, match="custom timestamp"):
        things.session.prepare(
            f"UPDATE {things.name} USING TIMESTAMP ? SET size = 1 WHERE owner = 'a' AND id = 1 {condition}"
        )


def test_only_plain_writes_bind_a_timestamp(things: Things) -> None:
    writes = things.writes
    plain = [writes.insert, writes.update(), writes.update_static()]
    conditional = [writes.insert_if_not_exists, writes.update_if_exists(), writes.update_if_version()]
    conditional += [writes.replace_if_exists, writes.replace_if_version]
    assert all(TIMESTAMP in write.parameters and TTL in write.parameters for write in plain)
    assert all(TIMESTAMP not in write.parameters and TTL in write.parameters for write in conditional)


# --- static columns


def test_static_columns_of_a_partition(things: Things) -> None:
    key = full_row(things)
    things.run(things.writes.update_static(), {"owner": key["owner"], "limits": {"a": 1}, "plan": "gold"})
    things.run(things.writes.update_static(("limits",)), {"owner": key["owner"], added("limits"): {"b": 2}})
    row = things.row(key)
    assert (dict(row.limits), row.plan, row.size) == ({"a": 1, "b": 2}, "gold", 1)


def test_partition_of_only_static_columns_has_a_row_without_a_key(things: Things) -> None:
    owner = things.new_key()["owner"]
    things.run(things.writes.update_static(), {"owner": owner, "plan": "gold"})
    (row,) = things.session.execute(f"SELECT * FROM {things.name} WHERE owner = %s", (owner,))
    assert (row.id, row.plan) == (None, "gold")


def test_static_value_of_an_insert_with_a_past_timestamp_is_lost(things: Things) -> None:
    """So static columns are never written along with a row."""
    key = full_row(things)
    things.run(things.writes.update_static(), {"owner": key["owner"], "plan": "gold"})
    cql = f"INSERT INTO {things.name} (owner, id, plan) VALUES (%s, %s, 'lead') USING TIMESTAMP 5"
    things.session.execute(cql, tuple(key.values()))
    assert things.row(key).plan == "gold"


def test_condition_on_static_columns_looks_only_at_the_static_row(things: Things) -> None:
    """So a resource with conditional writes has no PATCH of a partition."""
    key = full_row(things)
    cql = f"UPDATE {things.name} SET plan = 'gold' WHERE owner = %s IF EXISTS"
    assert not things.session.execute(cql, (key["owner"],)).was_applied
    things.run(things.writes.update_static(), {"owner": key["owner"], "plan": "lead"})
    assert things.session.execute(cql, (key["owner"],)).was_applied


# --- other kinds of tables


def wins(things: Things, player: str) -> Any:
    rows = things.session.execute(f"SELECT wins, losses FROM {things.keyspace}.scores WHERE player = %s", (player,))
    return rows.one()


def add(things: Things, player: str, **counters: int) -> None:
    write = WriteStatements(things.keyspace, SCORES).add_to_counters
    given = {added(name): BIGINT.from_json(value) for name, value in counters.items()}
    run_encoded(things.session, write.statement.cql, write.values({"player": player.encode(), **given}))


def test_counters(things: Things) -> None:
    add(things, "ann", wins=2)
    add(things, "ann", wins=-5, losses=1)
    assert tuple(wins(things, "ann")) == (-3, 1)


def test_counter_wraps_around(things: Things) -> None:
    add(things, "max", wins=2**63 - 1)
    add(things, "max", wins=1)
    assert wins(things, "max").wins == -(2**63)


def test_counters_are_deleted(things: Things) -> None:
    add(things, "gone", wins=1)
    write = WriteStatements(things.keyspace, SCORES).delete
    run_encoded(things.session, write.statement.cql, write.values({"player": b"gone"}))
    assert wins(things, "gone") is None


@pytest.mark.parametrize(
    "refused",
    [
        "INSERT INTO {} (player, wins) VALUES ('a', 1)",
        "UPDATE {} SET wins = 1 WHERE player = 'a'",
        "UPDATE {} USING TTL 5 SET wins = wins + 1 WHERE player = 'a'",
        "UPDATE {} USING TIMESTAMP 5 SET wins = wins + 1 WHERE player = 'a'",
        "UPDATE {} SET wins = wins + 1 WHERE player = 'a' IF EXISTS",
    ],
)
def test_counters_take_nothing_else(things: Things, refused: str) -> None:
    with pytest.raises(InvalidRequest):
        things.session.execute(refused.format(f"{things.keyspace}.scores"))


def test_row_that_is_only_a_key(things: Things) -> None:
    writes = WriteStatements(things.keyspace, SEEN)
    day = encoder_of(Native("date")).from_json("2026-11-28")
    values = writes.insert.values({"user": b"ann", "at": day})
    run_encoded(things.session, writes.insert.statement.cql, values)
    (row,) = things.session.execute(f"SELECT * FROM {things.keyspace}.seen")
    assert (row.user, str(row.at)) == ("ann", "2026-11-28")


# --- what may be repeated


def test_what_may_be_repeated(things: Things) -> None:
    """Neither conditions, counters nor lists: a second write of a list leaves every member twice."""
    writes, seen = things.writes, WriteStatements(things.keyspace, SEEN)
    scores = WriteStatements(things.keyspace, SCORES)
    repeatable = [writes.delete, writes.delete_prefix(1), seen.insert, seen.delete]
    once = [
        writes.insert,
        writes.insert_if_not_exists,
        writes.update(),
        writes.update((added("steps"),)),
        writes.update_if_exists(),
        writes.update_if_version(),
        writes.replace_if_exists,
        writes.replace_if_version,
        writes.delete_if_exists,
        writes.delete_if_version,
        scores.add_to_counters,
        seen.insert_if_not_exists,
    ]
    assert all(write.statement.idempotent and write.statement.writes for write in repeatable)
    assert not any(write.statement.idempotent for write in once)
    assert all(write.statement.writes for write in once)


def test_list_that_is_inserted_again_doubles(things: Things) -> None:
    key = things.new_key()
    for _ in range(2):
        things.run(things.writes.insert, {**key, "steps": [1], TIMESTAMP: 2_000_000_000_000_000})
    assert things.row(key).steps == [1, 1]
