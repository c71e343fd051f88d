"""The plans of reads, on a real Cassandra: it must take every plan, and refuse what the grammar refuses."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cassandra.cluster import Session
from helpers.cassandra import create, own_keyspace
from helpers.encoded_statements import run_encoded
from helpers.plans import plan_query, plan_search
from hypothesis import event, given, settings
from hypothesis import strategies as st

from asgi_app.errors import InvalidInput
from asgi_app.tables.cql import Queries, quoted
from asgi_app.tables.encoding import Encoded, encoder_of
from asgi_app.tables.query_plan import Kind, Plan, Rules
from asgi_app.tables.relations import OPERATORS, Operator, operand_type, parameter
from asgi_app.tables.slices import slices
from asgi_app.tables.table import Column, Index, Table
from asgi_app.tables.types import CqlType, parse_type
from asgi_app.tables.where import WherePlanner

NATIVE_TEXTS = {
    "ascii": ["", "Z~", "a"],
    "bigint": ["-1", "0", "9223372036854775807"],
    "blob": ["0x", "0x00ff"],
    "boolean": ["false", "true"],
    "date": ["1969-12-31", "2024-02-29"],
    "decimal": ["-1.50", "0", "1E+10"],
    "double": ["-1", "0.5", "Infinity", "NaN"],
    "duration": ["1mo2d3h", "0s"],
    "float": ["-1", "0.5", "NaN"],
    "inet": ["127.0.0.1", "128.0.0.1"],
    "int": ["-2147483648", "0", "1"],
    "smallint": ["0", "7"],
    "text": ["", "a", "ü"],
    "time": ["00:00:00.000000000", "13:14:15.123456789"],
    "timestamp": ["1969-12-31T00:00:00.000Z", "2024-01-02T03:04:05.678Z"],
    "timeuuid": ["50554d6e-29bb-11e5-b345-feff819cdc9f", "6d6b36b0-29bb-11e5-b345-feff819cdc9f"],
    "tinyint": ["-128", "0"],
    "uuid": ["00000000-0000-4000-8000-000000000000", "b26b2a23-4d70-41c3-88a7-a9aa9e135a93"],
    "varint": ["0", "123456789012345678901234567890"],
}
"""Some values of each type, in Cassandra's order."""

OTHER_TEXTS = {
    "list<int>": ["[]", "[1, 2]"],
    "set<text>": ["[]", '["a", "b"]'],
    "map<text, int>": ["{}", '{"a": 1}'],
    "frozen<list<int>>": ["[]", "[1, 2]"],
    "frozen<set<text>>": ['["a"]'],
    "frozen<map<text, int>>": ['{"a": 1}'],
    "frozen<tuple<int, text>>": ['[1, "a"]', "[null, null]"],
    "frozen<tuple<int, duration>>": ['[1, "1d"]'],
    "vector<float, 3>": ["[1, 0.5, 2]", "[0, 1, 0]"],
    "vector<int, 2>": ["[1, 2]"],
}
TEXTS = {**NATIVE_TEXTS, **OTHER_TEXTS}
KEY_TYPES = [name for name in TEXTS if name not in ("duration", "list<int>", "set<text>", "map<text, int>")]
KEY_TYPES = [name for name in KEY_TYPES if name != "frozen<tuple<int, duration>>"]
UNINDEXED_TYPES = ("blob", "duration", "frozen<tuple<int, duration>>", "vector<int, 2>")


def random_table(seed: int) -> Table:
    """Return a table with keys, columns and indexes that depend on `seed` only."""
    chance = random.Random(seed)
    partition = [f"p{n}" for n in range(chance.choice((1, 1, 2, 3)))]
    clustering = [f"C{n}" for n in range(chance.choice((0, 1, 2, 3)))]
    regular = [f"r{n}" for n in range(chance.randint(1, 6))]
    columns = [Column(name, parse_type(chance.choice(KEY_TYPES)), "partition_key") for name in partition]
    columns += [Column(name, parse_type(chance.choice(KEY_TYPES)), "clustering") for name in clustering]
    columns += [Column(name, parse_type(chance.choice(list(TEXTS))), "regular") for name in regular]
    if clustering and chance.random() < 0.6:
        for name in ("s.static", "sstatic"):  # Cassandra indexes only the second
            columns.append(Column(name, parse_type(chance.choice(list(NATIVE_TEXTS))), "static"))
    columns.append(Column("limit", parse_type("int"), "regular"))
    columns.append(Column("near", parse_type("vector<float, 3>"), "regular"))
    descending = frozenset(name for name in clustering if chance.random() < 0.5)
    table = Table(f"random_{seed}", tuple(columns), tuple(partition), tuple(clustering), descending)
    indexes = [index for column in columns[:-1] for index in random_indexes(table, column, chance)]
    return replace(table, indexes=(*indexes, Index("near", similarity="euclidean")))


def random_indexes(table: Table, column: Column, chance: random.Random) -> list[Index]:
    """Return no index on a column, or one that Cassandra can create."""
    text = str(column.type)
    plain = column.name.isalnum()  # Cassandra indexes no others
    if chance.random() < 0.4 or not plain or text in UNINDEXED_TYPES or (column.name,) == table.partition_key:
        return []
    is_vector = text.startswith("vector")
    if is_vector and column.kind != "regular":  # Cassandra 5.0 has a fault with a descending one
        return []
    kind: Any = "sai" if is_vector or chance.random() < 0.75 else "legacy"
    if text.startswith(("frozen<list", "frozen<set", "frozen<map")):
        return [Index(column.name, "full", kind)]
    if text.startswith("map"):
        return [Index(column.name, chance.choice(("keys", "values", "entries")), kind)]
    if text.startswith(("list", "set")):
        return [Index(column.name, chance.choice(("values", "")), kind)]
    similarity: Any = chance.choice((None, "euclidean", "dot_product")) if is_vector else None
    return [Index(column.name, "", kind, similarity)]


INT = parse_type("int")
TABLES = [random_table(seed) for seed in range(8)]


def encoded(cql_type: CqlType, text: str) -> Encoded:
    return encoder_of(cql_type).from_text(text)


def texts_of(cql_type: CqlType) -> list[str]:
    return TEXTS.get(str(cql_type), ["1"])


Row = dict[str, str]
"""The text of each column of a row."""


@dataclass(frozen=True)
class Served:
    """A keyspace with the random tables and their indexes, and the rows of each table."""

    session: Session
    keyspace: str
    rows: dict[str, list[Row]]


@pytest.fixture(scope="module")
def served(cql: Session) -> Iterator[Served]:
    with own_keyspace(cql, ()) as keyspace:
        yield Served(cql, keyspace, {table.name: create_with_rows(cql, keyspace, table) for table in TABLES})


def create_with_rows(session: Session, keyspace: str, table: Table) -> list[Row]:
    create(session, keyspace, [table])
    attached = replace(table, indexes=tuple(index for index in table.indexes if index.kind == "sai"))
    for ddl in Queries(keyspace, attached).create_indexes():
        session.execute(ddl)
    for index in table.indexes:
        if index.kind == "legacy":
            target = f"{index.target}({quoted(index.column)})" if index.target else quoted(index.column)
            session.execute(f"CREATE INDEX ON {keyspace}.{table.name} ({target})")
    rows = random_rows(table)
    columns = ", ".join(map(quoted, table.column_names))
    insert = f"INSERT INTO {keyspace}.{table.name} ({columns}) VALUES ({', '.join('?' * len(table.columns))})"
    for row in rows:
        run_encoded(session, insert, [encoded(column.type, row[column.name]) for column in table.columns])
    return rows


def random_rows(table: Table) -> list[Row]:
    """Return rows with different keys. Those of a partition have the same static values."""
    chance = random.Random(table.name)
    rows: dict[tuple[str, ...], Row] = {}
    static: dict[tuple[str, ...], Row] = {}
    for _ in range(8):
        row = {column.name: chance.choice(texts_of(column.type)) for column in table.columns}
        if len(table.partition_key) == 1 and row[table.partition_key[0]] in ("", "0x"):
            continue  # Cassandra has no empty partition key
        partition = tuple(row[name] for name in table.partition_key)
        row |= static.setdefault(partition, {column.name: row[column.name] for column in table.static_columns})
        rows[tuple(row[name] for name in table.primary_key)] = row
    return list(rows.values())


def matches(row: Row, column: Column, operator: str, texts: list[str]) -> bool:
    """Return whether a row has one of the values, or lies beyond the value on the side of the operator."""
    order = texts_of(column.type)
    value, other = order.index(row[column.name]), order.index(texts[0])
    beyond = {"gt": value > other, "gte": value >= other, "lt": value < other, "lte": value <= other}
    return beyond[operator] if operator in beyond else row[column.name] in texts


def run(session: Session, plan: Plan) -> list[Any]:
    """Run a plan as the service does."""
    if plan.per_row_reads is not None:
        return [row for key in plan.per_row_reads for row in run_encoded(session, plan.cql, key)]
    return run_encoded(session, plan.cql, plan.values, fetch_size=plan.fetch_size or plan.limit, level=plan.consistency)


def run_slices(session: Session, plan: Plan, count: int) -> list[Any]:
    """Run the plan of a stream slice by slice."""
    assert plan.ring_cql is not None
    bounds = [part.bounds.cells() for part in slices(count)]
    return [row for cells in bounds for row in run_encoded(session, plan.ring_cql, (*cells, *plan.values))]


Condition = tuple[str, Column, str, list[str]]
"""The name of a parameter, its column and operator, and the texts of its values."""

Request = tuple[list[Condition], list[tuple[str, str]], list[tuple[Column, str]], Kind, Rules]
"""Conditions, options, the columns and texts of an address, the kind of read, and rules."""


@st.composite
def requests(draw: st.DrawFn, table: Table) -> Request:
    kind: Kind = draw(st.sampled_from(("list", "stream", "stream", "pages", "partitions")))
    conditions: list[Condition] = []
    length = draw(st.sampled_from((0, 0, len(table.partition_key), len(table.primary_key))))
    key = [table.column(name) for name in table.primary_key[:length]]
    prefix = [(column, draw(st.sampled_from(texts_of(column.type)))) for column in key]
    names = st.sampled_from(table.column_names)
    allowed = draw(st.sets(names) | st.just(set(table.column_names)) | st.just(set()))
    usable = WherePlanner(table, allowed, ()).usable
    wanted = draw(key_columns(table)) if draw(st.booleans()) else []
    for column in table.columns:
        if column in key or (column not in wanted and draw(st.floats(0, 1)) > 0.15):
            continue
        good = [operator for operator in OPERATORS if parameter(column.name, operator) in usable]
        usual = ["eq", "eq", "eq", "in"] if column in wanted[:-1] or column.kind == "partition_key" else good
        conditions += draw(comparisons(column, draw(st.sampled_from(usual or OPERATORS))))
    extra = draw(options(table, kind)) if kind != "partitions" and draw(st.booleans()) else []
    return conditions, extra, prefix, kind, Rules(frozenset(allowed))


@st.composite
def key_columns(draw: st.DrawFn, table: Table) -> list[Column]:
    """Return the partition key and some of the clustering columns, from the first."""
    length = draw(st.integers(len(table.partition_key), len(table.primary_key)))
    return [table.column(name) for name in table.primary_key[:length]]


@st.composite
def comparisons(draw: st.DrawFn, column: Column, operator: Operator) -> list[Condition]:
    operand = operand_type(column.type, operator)
    if operand is None:
        return []
    name = "limit.eq" if (column.name, operator) == ("limit", "eq") else parameter(column.name, operator)
    several = st.lists(st.sampled_from(texts_of(operand)), min_size=1, max_size=2 if operator == "in" else 1)
    found: list[Condition] = [(name, column, operator, draw(several))]
    if operator == "gt" and draw(st.booleans()):
        found += draw(comparisons(column, "lte"))
    return found


@st.composite
def options(draw: st.DrawFn, table: Table, kind: Kind) -> list[tuple[str, str]]:
    found = []
    if table.clustering_columns and draw(st.booleans()):
        found.append(("order", draw(st.sampled_from(("", "-"))) + draw(st.sampled_from(table.clustering_columns[:2]))))
    if draw(st.booleans()):
        found.append(("per_partition_limit", "2"))
    if kind != "list" and draw(st.booleans()):
        found.append(("select", ",".join(draw(st.lists(st.sampled_from(table.column_names), min_size=1)))))
    return found


@given(st.data())
@settings(max_examples=150)
def test_cassandra_answers_every_plan(served: Served, data: st.DataObject) -> None:
    """Also with the right rows, where the test can say which these are."""
    table = data.draw(st.sampled_from(TABLES))
    conditions, extra, prefix, kind, rules = data.draw(requests(table))
    parameters = [(name, text) for name, _, _, texts in conditions for text in texts] + extra
    key = [encoded(column.type, text) for column, text in prefix]
    try:
        plan = plan_query(table, replace(rules, keyspace=served.keyspace), key, parameters, kind)
    except InvalidInput:
        event("refused")
        return
    found = run(served.session, plan)
    if plan.ring_cql is not None:
        event("sliced")
        assert str(run_slices(served.session, plan, 3)) == str(found)
    comparable = [(c, o, t) for _, c, o, t in conditions if o == "eq" or str(c.type) in NATIVE_TEXTS]
    if kind == "partitions" or len(comparable) < len(conditions) or "PER PARTITION" in plan.cql:
        event("answered")
        return
    event("compared")
    wanted = [
        row
        for row in served.rows[table.name]
        if all(row[column.name] == text for column, text in prefix) and all(matches(row, *c) for c in comparable)
    ]
    assert len(found) == len(wanted)


@given(st.data())
@settings(max_examples=100)
def test_cassandra_answers_every_search(served: Served, data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(TABLES))
    conditions, _, _, _, rules = data.draw(requests(table))
    where = {name: json_value(column.type, operator, texts) for name, column, operator, texts in conditions}
    body: dict[str, Any] = {"where": where}
    is_near = data.draw(st.booleans())
    if is_near:
        body |= {"near": {"near": [1, 0.5, 2]}, "limit": data.draw(st.sampled_from((1, 1000)))}
    try:
        plan = plan_search(table, replace(rules, keyspace=served.keyspace), body)
    except InvalidInput:
        event("refused")
        return
    event("nearest" if is_near else "answered")
    rows = run(served.session, plan)
    if is_near:
        similarities = [row[-1] for row in rows]
        assert similarities == sorted(similarities, reverse=True)
    if is_near and not conditions:
        assert len(rows) == min(body["limit"], len(served.rows[table.name]))


def json_value(cql_type: CqlType, operator: Operator, texts: list[str]) -> Any:
    operand = operand_type(cql_type, operator)
    values = [json.loads(text) if is_json(str(operand)) else text for text in texts]
    return values if operator == "in" else values[0]


def is_json(cql_type: str) -> bool:
    """Return whether the text of a value is its JSON too."""
    return cql_type in OTHER_TEXTS or cql_type in ("bigint", "boolean", "int", "smallint", "tinyint")


def test_rows_come_in_the_order_asked(cql: Session) -> None:
    key = [Column("p", INT, "partition_key"), Column("a", INT, "clustering"), Column("b", INT, "clustering")]
    table = Table("ordered", tuple(key), ("p",), ("a", "b"), frozenset(("a",)))
    with own_keyspace(cql, [table]) as keyspace:
        for a, b in ((1, 1), (1, 2), (2, 1), (2, 2)):
            cql.execute(f"INSERT INTO {keyspace}.ordered (p, a, b) VALUES (0, %s, %s)", (a, b))

        def rows(*parameters: tuple[str, str]) -> list[tuple[int, int]]:
            plan = plan_query(table, Rules(keyspace=keyspace), (), [("p", "0"), *parameters], "list")
            return [(row.a, row.b) for row in run(cql, plan)]

        stored = [(2, 1), (2, 2), (1, 1), (1, 2)]
        assert rows() == rows(("order", "-a")) == stored
        assert rows(("order", "a")) == stored[::-1]
        assert rows(("a", "1"), ("order", "b")) == [(1, 1), (1, 2)]
        assert rows(("a", "1"), ("order", "-b")) == [(1, 2), (1, 1)]
        assert rows(("per_partition_limit", "3")) == stored[:3]
        asked = [("a.in", "1"), ("a.in", "2"), ("b.in", "2"), ("b.in", "7"), ("b.in", "1")]
        assert rows(*asked) == [(1, 2), (1, 1), (2, 2), (2, 1)]
