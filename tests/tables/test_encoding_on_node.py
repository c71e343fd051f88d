"""A real Cassandra stores the encodings, and reads of them give the values that were written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Session
from helpers.cassandra import connected, own_keyspace
from helpers.cql_values import ANY_TYPE, cells_of, counted, disordered, driver_type
from helpers.every_type import CREATE_USER_TYPES, TEXTS, TYPES, USER_TYPES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_app.driver.codec import codec_for
from asgi_app.driver.protocol import RawProtocolHandler, keep_page
from asgi_app.tables.encoding import WrongValue, decode_json, encoder_of
from asgi_app.tables.types import (
    CqlType,
    MapOf,
    Native,
    SetOf,
    UserType,
    is_frozen,
    parse_type,
    types_inside,
)


def stored(cql_type: CqlType, value: Any) -> Any:
    """Return what Cassandra makes of a column: it has no empty collections, or user types, that are not frozen."""
    parts = value.values() if isinstance(value, dict) and isinstance(cql_type, UserType) else value
    empty = value is not None and not is_frozen(cql_type) and (not any(part is not None for part in parts))
    return None if empty else value


@pytest.fixture(scope="module")
def session(node_address: tuple[str, int]) -> Iterator[Session]:
    with connected(*node_address) as session, own_keyspace(session, ()) as keyspace:
        session.set_keyspace(keyspace)
        for statement in CREATE_USER_TYPES:
            session.execute(statement)
        create_table(session, "everything", TYPES)
        session.client_protocol_handler = RawProtocolHandler
        yield session


def create_table(session: Session, table: str, types: Mapping[str, CqlType]) -> None:
    columns = ", ".join(f"{name} {cql_type}" for name, cql_type in types.items())
    session.execute(f"DROP TABLE IF EXISTS {table}")
    session.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, {columns})")


def execute(session: Session, statement: Any, values: list[bytes | None]) -> Any:
    """Execute a prepared statement with encoded values. Returns its page of rows, if it has one."""
    bound = statement.bind([1] + [None] * (len(values) - 1))
    bound.values = values
    profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=keep_page)
    return session.execute(bound, execution_profile=profile).one()


def write_and_read(session: Session, row: dict[str, Any]) -> dict[str, Any]:
    """Write JSON values into a row, and return the row as it is read."""
    return write_cells_and_read(session, {name: encoded(TYPES[name], value) for name, value in row.items()})


def encoded(cql_type: CqlType, value: Any) -> bytes | None:
    """Return the encoding of a JSON value, sent with its sets and maps in another order."""
    return encoder_of(cql_type).from_json(decode_json(msgspec.json.encode(disordered(cql_type, value))))


def write_cells_and_read(
    session: Session, row: Mapping[str, bytes | None], table: str = "everything"
) -> dict[str, Any]:
    names, marks, values = ", ".join(row), ", ".join("?" for _ in row), row.values()
    key = encoder_of(Native("int")).from_json(1)
    execute(session, session.prepare(f"INSERT INTO {table} (id, {names}) VALUES (?, {marks})"), [key, *values])
    page = execute(session, session.prepare(f"SELECT {names} FROM {table} WHERE id = ?"), [key])
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
    assert read == {name: stored(TYPES[name], value) for name, value in row.items()}


def can_be_a_column(cql_type: CqlType) -> bool:
    """Return whether a table of this file can have a column of the type: it has two user types and no counters."""
    if isinstance(cql_type, UserType) or cql_type == Native("counter"):
        return False
    sorted_types = {SetOf: types_inside(cql_type), MapOf: types_inside(cql_type)[:1]}.get(type(cql_type), ())
    return all(map(can_be_a_column, types_inside(cql_type))) and not any(map(holds_durations, sorted_types))


def holds_durations(cql_type: CqlType) -> bool:
    """Return whether the type is or holds one that Cassandra cannot sort."""
    return cql_type == Native("duration") or any(map(holds_durations, types_inside(cql_type)))


@settings(max_examples=4, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_columns_of_random_types(session: Session, data: st.DataObject) -> None:
    drawn = data.draw(st.lists(ANY_TYPE.filter(can_be_a_column), min_size=12, max_size=12))
    types = {f"c{at}": cql_type for at, cql_type in enumerate(drawn)}
    create_table(session, "nested", types)
    cells = data.draw(st.fixed_dictionaries({name: cells_of(cql_type) for name, cql_type in types.items()}))
    row = {name: codec_for(driver_type(types[name])).cell(cell) for name, cell in cells.items()}
    values = {name: encoded(types[name], value) for name, value in row.items()}
    read = write_cells_and_read(session, values, "nested")
    assert read == {name: stored(types[name], value) for name, value in row.items()}


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


def test_cassandra_merges_decimal_keys_of_the_same_value(session: Session) -> None:
    """So a map that has both is refused before: one of its values would vanish."""
    decimal, number = encoder_of(Native("decimal")), encoder_of(Native("int"))
    entries = [("1.0", 1), ("1.00", 2)]
    parts = [part for key, value in entries for part in (decimal.from_json(key), number.from_json(value))]
    name = f"c{TEXTS.index('map<decimal, int>')}"
    assert write_cells_and_read(session, {name: counted(parts, 2)}) == {name: {"1.0": 2}}
    with pytest.raises(WrongValue, match="same key"):
        encoder_of(TYPES[name]).from_json(dict(entries))
