"""The token in a paging state is that of the last row's partition, for every kind of key and of page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cassandra.cluster import Session
from cassandra.query import SimpleStatement
from helpers.cassandra import own_keyspace
from hypothesis import given
from hypothesis import strategies as st

from asgi_app.driver.paging_position import token_of

TYPES = {
    "uuid": "uuid()",
    "text": "cast(uuid() as text)",
    "blob": "uuidAsBlob(uuid())",
    "timeuuid": "now()",
}


@pytest.fixture(scope="module")
def tables(cql: Session) -> Iterator[str]:
    with own_keyspace(cql, ()) as name:
        for cql_type, value in TYPES.items():
            cql.execute(f"CREATE TABLE {name}.of_{cql_type} (k {cql_type} PRIMARY KEY, v int)")
            for _ in range(40):
                cql.execute(f"INSERT INTO {name}.of_{cql_type} (k, v) VALUES ({value}, 1)")
        cql.execute(f"CREATE TABLE {name}.wide (a int, b text, c int, s int static, v int, PRIMARY KEY ((a, b), c))")
        cql.execute(f"CREATE INDEX ON {name}.wide (v)")
        for a in range(16):
            cql.execute(f"INSERT INTO {name}.wide (a, b, s) VALUES ({a}, 'static', 1)")
            for c in range(5):
                cql.execute(f"INSERT INTO {name}.wide (a, b, c, v) VALUES ({a}, '{'x' * 300 * a}', {c}, {c})")
        yield name


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize(
    ("key", "rest"),
    [
        *((f"token(k), v FROM {{ks}}.of_{cql_type}", "") for cql_type in TYPES),
        ("token(a, b), a, b, c FROM {ks}.wide", ""),
        ("token(a, b), a, b, c FROM {ks}.wide", " WHERE v = 3"),
        ("token(a, b), a, b, c FROM {ks}.wide", " WHERE c >= 2 ALLOW FILTERING"),
        ("token(a, b), a, b, c FROM {ks}.wide", " WHERE token(a, b) > 0"),
        ("token(a, b), a, b, c FROM {ks}.wide", " PER PARTITION LIMIT 2"),
    ],
)
def test_it_is_the_token_of_the_last_row(cql: Session, tables: str, key: str, rest: str, size: int) -> None:
    statement = SimpleStatement(f"SELECT {key.replace('{ks}', tables)}{rest}", fetch_size=size)
    page, pages = cql.execute(statement), 0
    while page.paging_state is not None:
        assert token_of(page.paging_state) == page.current_rows[-1][0]
        page, pages = cql.execute(statement, paging_state=page.paging_state), pages + 1
    assert pages


@given(st.binary(max_size=64))
def test_other_bytes_have_a_token_or_none(state: bytes) -> None:
    token = token_of(state)
    assert token is None or -(2**63) < token < 2**63


@pytest.mark.parametrize(
    "state", [b"", b"\0", b"\xff", b"\x01k\0\0", b"\x01k\0\0\0more", b"\x01k\0\xf0\xff\xff\xff\xff\0"]
)
def test_other_forms_have_none(state: bytes) -> None:
    assert token_of(state) is None
