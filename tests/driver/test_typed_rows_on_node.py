"""Typed rows of a real Cassandra: what msgspec alone would read in another way, or not at all."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal

import msgspec
import pytest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Session
from helpers.cassandra import connected, own_keyspace

from asgi_app.driver.protocol import RawProtocolHandler, keep_page
from asgi_app.driver.result import Result
from asgi_app.tables.table import CQLType

LAST = datetime.time(23, 59, 59, 999_999)
"""What Python has of 23:59:59.999999999."""


class Host(msgspec.Struct, frozen=True):
    """A user type with a value of each kind that needs care."""

    at: datetime.time | None
    address: IPv4Address | IPv6Address | None
    photo: bytes | None


HOST = Host(LAST, IPv6Address("::1"), b"\x01")

COLUMNS: list[tuple[str, str, Any, Any]] = [
    ("time", "'23:59:59.999999999'", datetime.time | None, LAST),
    ("time", "'00:00:00.000001999'", datetime.time, datetime.time(0, 0, 0, 1)),
    ("time", "'23:59:59.999999999'", str, "23:59:59.999999999"),
    ("list<time>", "['23:59:59.999999999']", list[datetime.time], [LAST]),
    ("set<time>", "{'23:59:59.999999999'}", set[datetime.time], {LAST}),
    (
        "map<time, time>",
        "{'00:00:00.000001999': '23:59:59.999999999'}",
        dict[datetime.time, datetime.time],
        {datetime.time(0, 0, 0, 1): LAST},
    ),
    ("tuple<time, int>", "('23:59:59.999999999', 1)", tuple[datetime.time, int], (LAST, 1)),
    ("vector<time, 1>", "['23:59:59.999999999']", tuple[datetime.time], (LAST,)),
    ("vector<time, 1>", "['23:59:59.999999999']", list[datetime.time], [LAST]),
    ("blob", "0x01", Annotated[str, CQLType("blob")], "0x01"),
    ("blob", "0x01", Literal["0x01"], "0x01"),
    ("map<frozen<tuple<int, text>>, text>", "{(1, 'a'): 'x'}", dict[tuple[int, str], str] | None, {(1, "a"): "x"}),
    ("map<frozen<tuple<int, text>>, text>", "{(1, 'a'): 'x'}", list[tuple[Any, str]], [([1, "a"], "x")]),
    ("map<frozen<tuple<int, text>>, text>", "{(1, 'a'): 'x'}", Any, [[[1, "a"], "x"]]),
    ("map<frozen<list<time>>, blob>", "{['23:59:59.999999999']: 0x02}", Any, [[["23:59:59.999999999"], b"\x02"]]),
    (
        "map<frozen<list<time>>, blob>",
        "{['23:59:59.999999999']: 0x02}",
        dict[tuple[datetime.time, ...], bytes],
        {(LAST,): b"\x02"},
    ),
    ("map<frozen<set<int>>, decimal>", "{{2, 1}: 1.0}", dict[frozenset[int], Decimal], {frozenset((1, 2)): Decimal(1)}),
    ("map<vector<float, 2>, int>", "{[0.5, 1]: 2}", dict[tuple[float, float], int], {(0.5, 1.0): 2}),
    (
        "list<frozen<map<frozen<tuple<int, int>>, text>>>",
        "[{(1, 2): 'x'}, {}]",
        list[dict[tuple[int, int], str]],
        [{(1, 2): "x"}, {}],
    ),
    ("frozen<host>", "{at: '23:59:59.999999999', address: '::1', photo: 0x01}", Host | None, HOST),
    ("host", "{address: '192.0.2.1'}", Host, Host(None, IPv4Address("192.0.2.1"), None)),
    (
        "map<frozen<host>, frozen<list<frozen<host>>>>",
        "{{at: '23:59:59.999999999', address: '::1', photo: 0x01}: []}",
        dict[Host, list[Host]],
        {HOST: []},
    ),
]
"""A type, a value in CQL, an annotation, and what a row has."""


@pytest.fixture(scope="module")
def rows(node_address: tuple[str, int]) -> Iterator[Result]:
    """One row with all the columns."""
    with connected(*node_address) as session, own_keyspace(session, ()) as keyspace:
        session.set_keyspace(keyspace)
        session.execute("CREATE TYPE host (at time, address inet, photo blob)")
        declared = ", ".join(f"c{at} {cql_type}" for at, (cql_type, _, _, _) in enumerate(COLUMNS))
        session.execute(f"CREATE TABLE things (id int PRIMARY KEY, {declared})")
        names = ", ".join(f"c{at}" for at in range(len(COLUMNS)))
        values = ", ".join(value for _, value, _, _ in COLUMNS)
        session.execute(f"INSERT INTO things (id, {names}) VALUES (1, {values})")
        yield Result(page_of(session, "SELECT * FROM things"), None)


def page_of(session: Session, cql: str) -> Any:
    session.client_protocol_handler = RawProtocolHandler
    profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=keep_page)
    return session.execute(cql, execution_profile=profile).one()


@pytest.mark.parametrize("at", range(len(COLUMNS)), ids=lambda at: f"{COLUMNS[at][0]} {COLUMNS[at][2]}"[:60])
def test_a_value_has_the_type_of_its_field(rows: Result, at: int) -> None:
    _, _, annotation, wanted = COLUMNS[at]
    row = msgspec.defstruct("Row", [(f"c{at}", annotation)])
    (found,) = rows.rows(row)
    assert getattr(found, f"c{at}") == wanted


def test_all_values_of_a_row(rows: Result) -> None:
    row = msgspec.defstruct("Row", [("id", int), *((f"c{at}", hint) for at, (_, _, hint, _) in enumerate(COLUMNS))])
    assert rows.rows(row) == [row(1, *(wanted for *_, wanted in COLUMNS))]
