"""The query grammar: what a request becomes, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from helpers.plans import plan_query, plan_search

from asgi_app.errors import FieldError, InvalidInput
from asgi_app.tables.encoding import Encoded, encoder_of
from asgi_app.tables.query_plan import Kind, Plan, QueryPlanner, Rules
from asgi_app.tables.table import Column, Index, Table
from asgi_app.tables.types import UnknownType, parse_type
from asgi_app.tables.wrong_value import MOST_ERRORS

COLUMNS = (
    Column("tenant", parse_type("text"), "partition_key"),
    Column("day", parse_type("date"), "partition_key"),
    Column("at", parse_type("int"), "clustering"),
    Column("id", parse_type("int"), "clustering"),
    Column("kind", parse_type("text")),
    Column("note", parse_type("text")),
    Column("limit", parse_type("int")),
    Column("a.b", parse_type("int")),
    Column("odd", UnknownType("'org.example.Odd'")),
    Column("tags", parse_type("set<text>")),
    Column("embedding", parse_type("vector<float, 2>")),
)
INDEXES = (Index("kind"), Index("limit"), Index("a.b"), Index("embedding", similarity="dot_product"))
EVENTS = Table("Events", COLUMNS, ("tenant", "day"), ("at", "id"), frozenset(("at",)), INDEXES)
EVERY_COLUMN = '"tenant", "day", "at", "id", "kind", "note", "limit", "a.b", "odd", "tags", "embedding"'
FROM = '"ks"."Events"'
PARTITION = [("tenant", "acme"), ("day", "2026-11-28")]
RULES = Rules(keyspace="ks")


def encoded(column: str, text: str) -> Encoded:
    return encoder_of(EVENTS.column(column).type).from_text(text)


KEY = (encoded("tenant", "acme"), encoded("day", "2026-11-28"))


def plan(
    parameters: Sequence[tuple[str, str]] = (),
    kind: Kind = "list",
    prefix: Sequence[Encoded] = (),
    rules: Rules = RULES,
) -> Plan:
    return plan_query(EVENTS, rules, prefix, parameters, kind)


def refusals(parameters: Sequence[tuple[str, str]], kind: Kind = "list", rules: Rules = RULES) -> list[FieldError]:
    with pytest.raises(InvalidInput) as refused:
        plan(parameters, kind, rules=rules)
    return list(refused.value.errors)


def refused_fields(parameters: Sequence[tuple[str, str]], kind: Kind = "list", rules: Rules = RULES) -> list[str]:
    return [error.field for error in refusals(parameters, kind, rules)]


def search(body: Any, rules: Rules = RULES) -> Plan:
    return plan_search(EVENTS, rules, body)


def refused_members(body: Any) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        search(body)
    return [error.field for error in refused.value.errors]


def test_all_rows() -> None:
    found = plan()
    assert (found.cql, found.values) == (f"SELECT {EVERY_COLUMN} FROM {FROM}", ())
    assert (found.limit, found.fetch_size, found.page_state, found.per_row_reads) == (10, None, None, None)


def test_prefix_of_the_key_and_filters() -> None:
    found = plan([("at.gt", "1"), ("at.lte", "5")], prefix=KEY)
    assert found.cql.endswith(' WHERE "tenant" = ? AND "day" = ? AND "at" > ? AND "at" <= ?')
    assert found.values == (*KEY, encoded("at", "1"), encoded("at", "5"))


def test_filters_have_one_order_in_cql() -> None:
    one, other = plan([*PARTITION, ("kind", "a")]), plan([("kind", "a"), *reversed(PARTITION)])
    assert one == other


def test_allow_filtering_only_where_it_is_needed() -> None:
    rules = replace(RULES, allow_filtering=frozenset(("kind", "note", "at")))
    assert "ALLOW" not in plan([("kind", "a")], rules=rules).cql
    assert "ALLOW" not in plan([*PARTITION, ("at", "1")], rules=rules).cql
    assert plan([("note", "a")], rules=rules).cql.endswith('WHERE "note" = ? ALLOW FILTERING')
    assert plan([*PARTITION, ("kind.gt", "a")], rules=rules).cql.endswith('"kind" > ? ALLOW FILTERING')


def test_list_of_values_is_one_marker() -> None:
    found = plan([("tenant", "acme"), ("day.in", "2026-11-28"), ("day.in", "2026-11-29")])
    assert found.cql.endswith(' WHERE "tenant" = ? AND "day" IN ?')
    days = [encoded("day", "2026-11-28"), encoded("day", "2026-11-29")]
    assert found.values[1] == b"\0\0\0\2" + b"".join(b"\0\0\0\4" + day for day in days)


def test_lists_of_whole_keys_are_point_reads_in_the_order_asked() -> None:
    found = plan([("at", "3"), ("id.in", "2"), ("id.in", "1"), ("id.in", "2")], prefix=KEY)
    assert found.cql.endswith(' WHERE "tenant" = ? AND "day" = ? AND "at" = ? AND "id" = ?')
    at = encoded("at", "3")
    assert found.per_row_reads == ((*KEY, at, encoded("id", "2")), (*KEY, at, encoded("id", "1")))
    assert found.limit is None


def test_stream_of_a_list_of_whole_keys_is_one_statement() -> None:
    found = plan([("at", "3"), ("id.in", "2"), ("id.in", "1")], "stream", KEY)
    assert found.per_row_reads is None
    assert found.cql.endswith('"id" IN ?')


def test_too_many_keys() -> None:
    ids = [("id.in", str(n)) for n in range(51)]
    assert refused_fields([*PARTITION, ("at.in", "1"), ("at.in", "2"), *ids]) == ["query.id.in"]
    assert plan([*PARTITION, ("at.in", "1"), ("at.in", "2"), *ids[:50]]).per_row_reads is not None


def test_limit_contradicts_a_list_of_whole_keys() -> None:
    assert refused_fields([*PARTITION, ("at", "1"), ("id.in", "1"), ("limit", "5")]) == ["query.limit"]


@pytest.mark.parametrize(
    ("order", "tail"), [("-at", ""), ("at", ' ORDER BY "at" ASC')], ids=["as stored", "the exact reverse"]
)
def test_order(order: str, tail: str) -> None:
    assert plan([*PARTITION, ("order", order)]).cql.endswith(f'"day" = ?{tail}')


def test_order_by_the_column_after_equalities() -> None:
    assert plan([*PARTITION, ("at", "1"), ("order", "-id")]).cql.endswith(' ORDER BY "id" DESC')
    assert refusals([*PARTITION, ("order", "id")])[0].usable == ("at", "-at")


def test_columns_named_like_an_option_or_with_a_dot() -> None:
    assert plan([("limit.eq", "7")]).cql.endswith('WHERE "limit" = ?')
    assert plan([("limit.gt", "7"), ("limit", "3")]).limit == 3
    assert plan([("a.b", "7")]).cql.endswith('WHERE "a.b" = ?')
    assert plan([("a.b.gte", "7")]).cql.endswith('WHERE "a.b" >= ?')


@pytest.mark.parametrize(
    ("kind", "parameter", "value"),
    [
        ("list", "limit", "0"),
        ("list", "limit", "101"),
        ("list", "limit", "1.0"),
        ("list", "limit", "٣"),
        ("list", "limit", ""),
        ("stream", "limit", "-1"),
        ("pages", "fetch_size", "0"),
        ("pages", "fetch_size", "5001"),
        ("list", "per_partition_limit", "0"),
        ("list", "per_partition_limit", "2147483648"),
        ("list", "select", "kind"),
        ("list", "fetch_size", "10"),
        ("list", "format", "csv"),
        ("stream", "page_state", "x"),
        ("stream", "select", "kind,nothing"),
        ("stream", "select", ""),
        ("partitions", "order", "at"),
        ("list", "order", "kind"),
        ("list", "nothing", "1"),
        ("list", "kind.like", "a"),
        ("list", "kind.", "a"),
        ("list", "", "a"),
        ("list", "odd", "0x00"),
        ("list", "limit.eq", "one"),
    ],
)
def test_one_wrong_parameter(kind: Kind, parameter: str, value: str) -> None:
    assert refused_fields([(parameter, value)], kind) == [f"query.{parameter}"]


def test_every_wrong_parameter_is_named() -> None:
    wrong = [("nothing", "1"), ("limit", "x"), ("kind.gt.", "1"), ("day", "x")]
    assert refused_fields(wrong) == [f"query.{name}" for name, _ in wrong]


def test_option_twice() -> None:
    assert refused_fields([("limit", "1"), ("limit", "1")]) == ["query.limit"]


def test_limits_of_each_kind() -> None:
    assert plan([], "stream").limit is None
    assert plan([("limit", "0")], "stream").limit == 0
    assert plan([("limit", "9007199254740991")], "pages").limit == 9007199254740991
    assert plan([("limit", "100"), ("page_state", "token")]).page_state == "token"
    assert plan([("fetch_size", "5000"), ("format", "csv")], "stream").fetch_size == 5000


def test_select_names_columns_in_the_order_of_the_table() -> None:
    assert plan([("select", "note,at")], "stream").cql == f'SELECT "at", "note" FROM {FROM}'


def test_partitions() -> None:
    assert plan([], "partitions").cql == f'SELECT DISTINCT "tenant", "day" FROM {FROM}'


def test_limit_of_each_partition_is_bound() -> None:
    found = plan([*PARTITION, ("per_partition_limit", "3")])
    assert found.cql.endswith("PER PARTITION LIMIT ?")
    assert found.values[-1] == b"\0\0\0\3"


def test_hidden_and_bound_columns_do_not_exist_for_the_client() -> None:
    rules = Rules(frozenset(("note",)), frozenset(("note",)), {"tenant": KEY[0]}, "ks")
    found = plan([("day", "2026-11-28")], rules=rules)
    assert found.cql == (
        f'SELECT "day", "at", "id", "kind", "limit", "a.b", "odd", "tags", "embedding" FROM {FROM} '
        'WHERE "tenant" = ? AND "day" = ?'
    )
    for parameter in ("note", "tenant"):
        (error,) = refusals([("day", "2026-11-28"), (parameter, "a")], rules=rules)
        assert error.message == "is not a column or an option"
        assert not {parameter, f"{parameter}.in"} & {*error.usable}
    assert refused_fields([("select", "note")], "stream", rules) == ["query.select"]


def test_bound_partition_key_needs_the_rest() -> None:
    (error,) = refusals([], rules=Rules(bound={"tenant": KEY[0]}, keyspace="ks"))
    assert error.field == "query.day"


def test_address_of_bound_columns_begins_with_the_open_ones() -> None:
    rules = Rules(bound={"tenant": KEY[0]}, keyspace="ks")
    assert plan(prefix=KEY[1:], rules=rules).values == KEY


def test_column_of_the_address_is_not_a_parameter() -> None:
    with pytest.raises(InvalidInput, match="given by the address"):
        plan([("day", "2026-11-28")], prefix=KEY)


def test_usable_names_what_would_work() -> None:
    (error,) = refusals([("note", "a")])
    assert error.usable[:4] == ("tenant", "tenant.in", "day", "day.in")
    assert {"at", "at.gt", "at.in", "kind", "limit", "limit.lte"} <= {*error.usable}
    assert not {"note", "kind.gt", "tags", "tags.contains", "odd", "embedding"} & {*error.usable}


def test_unknown_name_is_answered_with_columns_and_options() -> None:
    (error,) = refusals([("limti", "5")], "stream")
    assert {"tenant", "at.gt"} <= {*error.usable}
    assert error.usable[-4:] == ("select", "format", "slice", "parallel")
    assert len({*error.usable}) == len(error.usable)


def test_usable_is_sent_once() -> None:
    first, second = refusals([("no", "1"), ("not", "2")])
    assert first.usable
    assert not second.usable
    assert msgspec.json.encode(second) == b'{"field":"query.not","message":"is not a column or an option"}'


def test_purpose_is_that_of_the_rows_and_their_order() -> None:
    base = plan(PARTITION)
    assert plan([*PARTITION, ("limit", "5"), ("page_state", "x")]).purpose == base.purpose
    others = [
        plan([*PARTITION, ("order", "at")]),
        plan([("tenant", "other"), PARTITION[1]]),
        plan([*PARTITION, ("per_partition_limit", "1")]),
        plan([*PARTITION, ("per_partition_limit", "2")]),
        plan(PARTITION, "pages"),
        plan(PARTITION, rules=replace(RULES, keyspace="other")),
    ]
    assert len({base.purpose, *(other.purpose for other in others)}) == 7


def test_a_slice_is_a_condition_on_the_token_before_all_others() -> None:
    found = plan([("kind", "a"), ("slice", "2/3"), ("parallel", "64"), ("per_partition_limit", "2")], "stream")
    assert (str(found.slice), found.parallel) == ("2/3", 64)
    token = 'token("tenant", "day")'
    conditions = f'{token} > ? AND {token} <= ? AND "kind" = ?'
    assert found.ring_cql == f"SELECT {EVERY_COLUMN} FROM {FROM} WHERE {conditions} PER PARTITION LIMIT ?"
    assert found.values == (b"a", b"\0\0\0\2")
    assert plan(kind="stream").ring_cql == f"SELECT {EVERY_COLUMN} FROM {FROM} WHERE {token} > ? AND {token} <= ?"
    assert plan([("slice", "2/3")], "pages").purpose != plan([("slice", "1/3")], "pages").purpose


@pytest.mark.parametrize("kind", ["stream", "export", "pages"])
def test_a_slice_is_not_for_given_partitions(kind: Kind) -> None:
    for partition in (PARTITION, [*PARTITION, ("at", "1")], [PARTITION[0], ("day.in", "2026-11-28")]):
        assert plan(partition, kind).ring_cql is None
        assert refused_fields([*partition, ("slice", "1/2")], kind) == ["query.slice"]
    assert refused_fields([("slice", "1/2"), ("slice", "2/2")], kind) == ["query.slice"]
    virtual = replace(EVENTS, is_virtual=True)
    assert plan_query(virtual, RULES, (), (), kind).ring_cql is None
    with pytest.raises(InvalidInput, match="virtual"):
        plan_query(virtual, RULES, (), [("slice", "1/2")], kind)


def test_slices_are_options_of_whole_reads_only() -> None:
    assert refused_fields([("slice", "1/2"), ("parallel", "2")]) == ["query.slice", "query.parallel"]
    assert refused_fields([("parallel", "2")], "pages") == ["query.parallel"]
    assert refused_fields([("format", "csv")], "export") == ["query.format"]


def test_values_are_never_in_the_cql() -> None:
    evil = "'; DROP TABLE x; --"
    found = plan([("tenant", evil), ("day", "2026-11-28"), ("kind", evil)])
    assert evil not in found.cql
    assert found.values[0] == evil.encode()


def test_search() -> None:
    found = search({"where": {"tenant": "acme", "day.in": ["2026-11-28"]}, "select": ["at"], "limit": 100})
    assert found.cql == f'SELECT "at" FROM {FROM} WHERE "tenant" = ? AND "day" IN ?'
    assert (found.limit, found.consistency) == (100, None)
    assert search({}).limit == 10


def test_search_of_whole_keys() -> None:
    where = {"tenant": "acme", "day": "2026-11-28", "at": 1, "id.in": [2, 1]}
    assert search({"where": where}).per_row_reads == tuple(
        (*KEY, encoded("at", "1"), encoded("id", text)) for text in ("2", "1")
    )
    assert refused_members({"where": where, "limit": 5}) == ["/limit"]


def test_search_for_the_nearest_vectors() -> None:
    found = search({"where": {"kind": "a"}, "near": {"embedding": [1, 0.5]}, "select": ["id"], "limit": 1000})
    assert found.cql == (
        f'SELECT "id", similarity_dot_product("embedding", ?) AS "$similarity" FROM {FROM} '
        'WHERE "kind" = ? ORDER BY "embedding" ANN OF ? LIMIT ?'
    )
    vector = encoded("embedding", "[1, 0.5]")
    assert found.values == (vector, b"a", vector, b"\0\0\x03\xe8")
    assert (found.limit, found.fetch_size, found.consistency) == (1000, 1000, "LOCAL_ONE")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], ""),
        ({"filter": {}}, "/filter"),
        ({"a/b~": {}}, "/a~1b~0"),
        ({"where": []}, "/where"),
        ({"where": {"kind": 1}}, "/where/kind"),
        ({"where": {"kind": None}}, "/where/kind"),
        ({"where": {"kind.in": "a"}}, "/where/kind.in"),
        ({"where": {"kind.in": ["a", 1]}}, "/where/kind.in/1"),
        ({"where": {"kind.in": []}}, "/where/kind.in"),
        ({"where": {"kind.in": [str(n) for n in range(101)]}}, "/where/kind.in"),
        ({"where": {"no/thing": 1}}, "/where/no~1thing"),
        ({"near": []}, "/near"),
        ({"near": {"embedding": [1, 0], "other": [1, 0]}}, "/near"),
        ({"near": {"kind": [1, 0]}}, "/near/kind"),
        ({"near": {"embedding": [1]}}, "/near/embedding"),
        ({"near": {"embedding": [1, None]}}, "/near/embedding/1"),
        ({"near": {"embedding": None}}, "/near/embedding"),
        ({"near": {"embedding": [1, 0]}, "limit": 1001}, "/limit"),
        ({"near": {"embedding": [1, 0]}, "order": "at"}, "/order"),
        ({"limit": 101}, "/limit"),
        ({"limit": True}, "/limit"),
        ({"limit": "5"}, "/limit"),
        ({"limit": None}, "/limit"),
        ({"select": "at"}, "/select"),
        ({"select": []}, "/select"),
        ({"select": ["nothing"]}, "/select"),
        ({"order": 1}, "/order"),
    ],
)
def test_wrong_member_of_a_search(body: Any, field: str) -> None:
    assert refused_members(body) == [field]


@pytest.mark.parametrize("members", ["where", "search"])
def test_errors_are_bounded(members: str) -> None:
    wrong = {f"x{number}": 1 for number in range(1000)}
    found = refused_members({"where": wrong} if members == "where" else wrong)
    assert len(found) == MOST_ERRORS
    assert found[0] == ("/where/x0" if members == "where" else "/x0")


def test_long_names_are_cut_in_errors() -> None:
    (field,) = refused_fields([("x" * 5000, "1")])
    assert len(field) < 200


@pytest.mark.parametrize("length", [2, 3, 4])
def test_address_and_parameters_plan_alike(length: int) -> None:
    """Values of an address have a faster way to their WHERE clause."""
    texts = [*PARTITION, ("at", "1"), ("id", "2")][:length]
    prefix = [encoded(name, text) for name, text in texts]
    assert plan(prefix=prefix) == plan(texts) == plan(list(reversed(texts)))


@pytest.mark.parametrize("value", ["x" * 65526, "x" * 70000])
def test_address_that_is_too_long(value: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        plan(prefix=[Encoded(value.encode()), KEY[1]])
    assert [error.field for error in refused.value.errors] == ["path.day"]


def test_planner_serves_any_client() -> None:
    planner = QueryPlanner(EVENTS, Rules(bound={"tenant": KEY[0]}, keyspace="ks"))
    for tenant in (b"one", b"two"):
        found = planner.query(KEY[1:], (), "list", {"tenant": Encoded(tenant)})
        assert found.values == (tenant, KEY[1])
