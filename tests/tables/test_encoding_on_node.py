"""A real Cassandra stores the encodings, and reads of them give the values that were written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Session
from helpers.cassandra import connected, own_keyspace
from helpers.cql_values import cells_of, driver_type
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_app.driver.codec import codec_for
from asgi_app.driver.protocol import RawProtocolHandler, keep_page
from asgi_app.tables.encoding import decode_json, encoder_of
from asgi_app.tables.types import (
    NATIVE_TYPES,
    CqlType,
    ListOf,
    MapOf,
    Native,
    SetOf,
    TupleOf,
    UserType,
    VectorOf,
    is_frozen,
    parse_type,
)

POINT = UserType("point", (("x", Native("int")), ("y", Native("text"))))
HOME = UserType("home", (("street", Native("text")), ("Flat", parse_type("frozen<point>", {"point": POINT}))))
USER_TYPES = {"point": POINT, "home": HOME}

TEXTS = [
    *sorted(NATIVE_TYPES - {"counter"}),
    "list<int>",
    "frozen<list<duration>>",
    "set<text>",
    "frozen<set<int>>",
    "map<text, double>",
    "map<int, text>",
    "map<boolean, blob>",
    "map<timestamp, varint>",
    "map<float, inet>",
    "frozen<map<date, time>>",
    "map<uuid, frozen<set<text>>>",
    "map<frozen<tuple<int, text>>, int>",
    "map<frozen<point>, frozen<list<int>>>",
    "map<vector<int, 2>, text>",
    "frozen<tuple<int, text, frozen<set<bigint>>, duration>>",
    "home",
    "frozen<home>",
    "list<frozen<map<text, frozen<list<frozen<tuple<int, frozen<point>>>>>>>>",
    "vector<float, 3>",
    "vector<tinyint, 2>",
    "vector<boolean, 2>",
    "vector<date, 2>",
    "vector<decimal, 2>",
    "vector<text, 2>",
    "vector<frozen<point>, 2>",
    "vector<vector<smallint, 2>, 2>",
    "vector<list<text>, 1>",
]
TYPES = {f"c{at}": parse_type(text, USER_TYPES) for at, text in enumerate(TEXTS)}


def canonical(cql_type: CqlType, value: Any) -> Any:
    """Return a value in a form that does not depend on the order of the elements of sets and maps."""
    if value is None:
        return None
    match cql_type:
        case ListOf(element) | VectorOf(element):
            return [canonical(element, member) for member in value]
        case SetOf(element):
            return sorted({msgspec.json.encode(canonical(element, member)) for member in value})
        case MapOf(Native(), inner):
            return {name: canonical(inner, member) for name, member in value.items()}
        case MapOf(key, inner):
            pairs = [[canonical(key, name), canonical(inner, member)] for name, member in value]
            return sorted(pairs, key=msgspec.json.encode)
        case TupleOf(elements):
            return [canonical(element, member) for element, member in zip(elements, value, strict=True)]
        case UserType(_, fields):
            return {name: canonical(field, value[name]) for name, field in fields}
        case _:
            return value


def stored(cql_type: CqlType, value: Any) -> Any:
    """Return what Cassandra makes of a column: it has no empty collections, or user types, that are not frozen."""
    parts = value.values() if isinstance(value, dict) and isinstance(cql_type, UserType) else value
    empty = value is not None and not is_frozen(cql_type) and (not any(part is not None for part in parts))
    return None if empty else canonical(cql_type, value)


@pytest.fixture(scope="module")
def session(node_address: tuple[str, int]) -> Iterator[Session]:
    with connected(*node_address) as session, own_keyspace(session, ()) as keyspace:
        session.set_keyspace(keyspace)
        session.execute("CREATE TYPE point (x int, y text)")
        session.execute('CREATE TYPE home (street text, "Flat" frozen<point>)')
        columns = ", ".join(f"{name} {text}" for name, text in zip(TYPES, TEXTS, strict=True))
        session.execute(f"CREATE TABLE everything (id int PRIMARY KEY, {columns})")
        session.client_protocol_handler = RawProtocolHandler
        yield session


def execute(session: Session, statement: Any, values: list[bytes | None]) -> Any:
    """Execute a prepared statement with encoded values. Returns its page of rows, if it has one."""
    bound = statement.bind([1] + [None] * (len(values) - 1))
    bound.values = values
    profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=keep_page)
    return session.execute(bound, execution_profile=profile).one()


def write_and_read(session: Session, row: dict[str, Any]) -> dict[str, Any]:
    """Write JSON values into a row, and return the row as it is read."""
    names, marks = ", ".join(row), ", ".join("?" for _ in row)
    key = encoder_of(Native("int")).from_json(1)
    values = [encoder_of(TYPES[name]).from_json(decode_json(msgspec.json.encode(value))) for name, value in row.items()]
    execute(session, session.prepare(f"INSERT INTO everything (id, {names}) VALUES (?, {marks})"), [key, *values])
    page = execute(session, session.prepare(f"SELECT {names} FROM everything WHERE id = ?"), [key])
    (read,) = page.dicts()
    return dict(read)


ROWS = st.fixed_dictionaries(
    {
        name: st.none() | cells_of(cql_type).map(codec_for(driver_type(cql_type)).cell)
        for name, cql_type in TYPES.items()
    }
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(row=ROWS)
def test_what_was_written_is_what_is_read(session: Session, row: dict[str, Any]) -> None:
    read = write_and_read(session, row)
    assert {name: canonical(TYPES[name], value) for name, value in read.items()} == {
        name: stored(TYPES[name], value) for name, value in row.items()
    }


def test_the_types_are_what_cassandra_says_they_are(session: Session) -> None:
    plain = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=keep_page)
    rows = session.execute(
        "SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = %s AND table_name = 'everything'",
        [session.keyspace],
        execution_profile=plain,
    )
    texts = {row["column_name"]: row["type"] for row in rows.one().dicts() if row["column_name"] != "id"}
    assert {name: parse_type(text, USER_TYPES) for name, text in texts.items()} == TYPES
    assert {name: str(parse_type(text, USER_TYPES)) for name, text in texts.items()} == texts


@pytest.mark.parametrize(
    ("text", "written", "read"),
    [
        ("set<text>", ["b", "a", "b"], ["a", "b"]),
        ("frozen<set<int>>", [3, 1, 3], [1, 3]),
        ("map<int, text>", {"2": "b", "1": "a"}, {"1": "a", "2": "b"}),
        ("set<text>", ["a" * 70_000], ["a" * 70_000]),
        ("list<int>", [], None),
        ("decimal", "1E+2147483648", "1E+2147483648"),
        ("varint", "9" * 4000, "9" * 4000),
    ],
)
def test_what_cassandra_does_with_a_value(session: Session, text: str, written: Any, read: Any) -> None:
    name = f"c{TEXTS.index(text)}"
    assert write_and_read(session, {name: written}) == {name: read}
