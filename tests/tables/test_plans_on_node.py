"""The plans of reads, on a real Cassandra: it must take every plan, and refuse what the grammar refuses."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cassandra.cluster import Session
from helpers.cassandra import create, own_keyspace
from helpers.encoded_statements import run_encoded
from hypothesis import event, given, settings
from hypothesis import strategies as st

from asgi_app.errors import InvalidInput
from asgi_app.tables.cql import Queries, quoted
from asgi_app.tables.encoding import Encoded, encoder_of
from asgi_app.tables.query_plan import Kind, Plan, Rules, plan_query
from asgi_app.tables.relations import OPERATORS, operand_type, parameter
from asgi_app.tables.table import Column, Index, Table
from asgi_app.tables.types import CqlType, parse_type

NATIVE_TEXTS = {
    "ascii": ["", "a", "Z~"],
    "bigint": ["0", "-1", "9223372036854775807"],
    "blob": ["0x", "0x00ff"],
    "boolean": ["true", "false"],
    "date": ["2024-02-29", "1969-12-31"],
    "decimal": ["0", "-1.50", "1E+10"],
    "double": ["0.5", "-1", "NaN", "Infinity"],
    "duration": ["1mo2d3h", "0s"],
    "float": ["0.5", "-1", "NaN"],
    "inet": ["127.0.0.1", "2001:db8::1"],
    "int": ["0", "1", "-2147483648"],
    "smallint": ["0", "7"],
    "text": ["", "a", "ü"],
    "time": ["00:00:00.000000000", "13:14:15.123456789"],
    "timestamp": ["2024-01-02T03:04:05.678Z", "1969-12-31T00:00:00.000Z"],
    "timeuuid": ["50554d6e-29bb-11e5-b345-feff819cdc9f", "6d6b36b0-29bb-11e5-b345-feff819cdc9f"],
    "tinyint": ["0", "-128"],
    "uuid": ["b26b2a23-4d70-41c3-88a7-a9aa9e135a93", "00000000-0000-4000-8000-000000000000"],
    "varint": ["0", "123456789012345678901234567890"],
}
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
        columns.append(Column("s.static", parse_type(chance.choice(list(NATIVE_TEXTS))), "static"))
    columns.append(Column("limit", parse_type("int"), "regular"))
    descending = frozenset(name for name in clustering if chance.random() < 0.5)
    table = Table(f"random_{seed}", tuple(columns), tuple(partition), tuple(clustering), descending)
    indexes = [index for column in columns for index in random_indexes(table, column, chance)]
    return replace(table, indexes=tuple(indexes))


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


TABLES = [random_table(seed) for seed in range(12)]


def encoded(cql_type: CqlType, text: str) -> Encoded:
    return encoder_of(cql_type).from_text(text)


def texts_of(cql_type: CqlType) -> list[str]:
    return TEXTS.get(str(cql_type), ["1"])


@pytest.fixture(scope="module")
def served(cql: Session) -> Iterator[tuple[Session, str]]:
    """A session, and a keyspace with the random tables, their indexes, and some rows."""
    with own_keyspace(cql, ()) as keyspace:
        for table in TABLES:
            create_with_rows(cql, keyspace, table)
        yield cql, keyspace


def create_with_rows(session: Session, keyspace: str, table: Table) -> None:
    create(session, keyspace, [table])
    attached = replace(table, indexes=tuple(index for index in table.indexes if index.kind == "sai"))
    for ddl in Queries(keyspace, attached).create_indexes():
        session.execute(ddl)
    for index in table.indexes:
        if index.kind == "legacy":
            target = f"{index.target}({quoted(index.column)})" if index.target else quoted(index.column)
            session.execute(f"CREATE INDEX ON {keyspace}.{table.name} ({target})")
    chance = random.Random(table.name)
    names = table.column_names
    insert = (
        f"INSERT INTO {keyspace}.{table.name} ({', '.join(map(quoted, names))}) VALUES ({', '.join('?' * len(names))})"
    )
    for _ in range(5):
        row = [encoded(column.type, chance.choice(texts_of(column.type))) for column in table.columns]
        if all(row[: len(table.partition_key)]):
            run_encoded(session, insert, row)


def run(session: Session, plan: Plan) -> list[Any]:
    """Run a plan as the service does."""
    if plan.per_row_reads is not None:
        return [row for key in plan.per_row_reads for row in run_encoded(session, plan.cql, key)]
    return run_encoded(session, plan.cql, plan.values, fetch_size=plan.fetch_size or plan.limit, level=plan.consistency)


@st.composite
def requests(draw: st.DrawFn, table: Table) -> tuple[list[tuple[str, str]], list[Encoded], Kind, Rules]:
    """Return parameters, values of a key prefix, the kind of read, and rules."""
    kind: Kind = draw(st.sampled_from(("list", "stream", "pages", "partitions")))
    parameters: list[tuple[str, str]] = []
    prefix_length = draw(st.sampled_from((0, 0, len(table.partition_key), len(table.primary_key))))
    prefix = [
        encoded(table.column(name).type, draw(st.sampled_from(texts_of(table.column(name).type))))
        for name in table.primary_key[:prefix_length]
    ]
    whole_partition = not prefix and draw(st.booleans())
    for column in table.columns:
        if column.name in table.primary_key[:prefix_length]:
            continue
        wanted = whole_partition and column.kind == "partition_key"
        likely = 0.7 if column.kind == "clustering" else 0.25
        if not wanted and draw(st.floats(0, 1)) > likely:
            continue
        usual = st.sampled_from(("eq", "eq", "in")) if column.kind == "partition_key" else st.sampled_from(OPERATORS)
        parameters += draw(comparisons(column, draw(usual)))
    if kind != "partitions" and draw(st.booleans()):
        parameters += draw(options(table, kind))
    allowed = draw(st.sets(st.sampled_from(table.column_names)) | st.just(set(table.column_names)) | st.just(set()))
    return parameters, prefix, kind, Rules(frozenset(allowed))


@st.composite
def comparisons(draw: st.DrawFn, column: Column, operator: Any) -> list[tuple[str, str]]:
    operand = operand_type(column.type, operator)
    if operand is None:
        return []
    name = "limit.eq" if (column.name, operator) == ("limit", "eq") else parameter(column.name, operator)
    values = st.lists(st.sampled_from(texts_of(operand)), min_size=1, max_size=2 if operator == "in" else 1)
    found = [(name, value) for value in draw(values)]
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
def test_cassandra_takes_every_plan(served: tuple[Session, str], data: st.DataObject) -> None:
    session, keyspace = served
    table = data.draw(st.sampled_from(TABLES))
    parameters, prefix, kind, rules = data.draw(requests(table))
    try:
        plan = plan_query(table, replace(rules, keyspace=keyspace), prefix, parameters, kind)
    except InvalidInput:
        event("refused")
        return
    event("planned")
    run(session, plan)
