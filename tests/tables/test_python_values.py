"""Python's objects as values of CQL types."""

from __future__ import annotations

import datetime
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_app.tables.encoding import WrongValue, encoder_of
from asgi_app.tables.python_values import json_form
from asgi_app.tables.types import CQLType, parse_type, type_of_hint

SOME_UUID = "b26b2a23-4d70-41c3-88a7-a9aa9e135a93"
ZONE = datetime.timezone(datetime.timedelta(hours=1))
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
MOMENT = datetime.datetime(2026, 11, 21, 22, 35, 19, 795_123, tzinfo=datetime.UTC)


class Later(datetime.datetime):
    """A datetime of a library of dates."""


class OrderedUUID(UUID):
    """A UUID of a library, with a text of its own."""

    def __str__(self) -> str:
        return "ordered"


class Count(int):
    """A number of a library."""


class Place(msgspec.Struct, rename={"id": "ID"}):
    id: UUID
    at: datetime.datetime | None = None
    note: str | msgspec.UnsetType = msgspec.UNSET


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (int, 5, 5),
        (int | None, None, None),
        (bool, True, True),
        (str, "a", "a"),
        (bytes, b"\xde\xad", "0xdead"),
        (float, 0.5, 0.5),
        (float, float("-inf"), "-Infinity"),
        (float, float("nan"), "NaN"),
        (Decimal, Decimal("1.50"), "1.50"),
        (Annotated[float, CQLType("decimal")], 0.1, "0.1"),
        (Annotated[float, CQLType("decimal")], 1e22, "1e+22"),
        (UUID, UUID(SOME_UUID), SOME_UUID),
        (datetime.date, datetime.date(2024, 2, 29), "2024-02-29"),
        (datetime.time, datetime.time(13, 14, 15), "13:14:15"),
        (datetime.datetime, MOMENT, "2026-11-21T22:35:19.795Z"),
        (datetime.datetime, MOMENT.astimezone(ZONE), "2026-11-21T23:35:19.795+01:00"),
        (datetime.datetime, Later(2026, 11, 21, tzinfo=datetime.UTC), "2026-11-21T00:00:00.000Z"),
        (datetime.datetime, Later(1800, 1, 1, tzinfo=AMSTERDAM), "1799-12-31T23:40:28.000Z"),
        (datetime.datetime, datetime.datetime(1, 1, 1, 1, tzinfo=AMSTERDAM), "0001-01-01T00:40:28.000Z"),
        (dict[UUID, int], {OrderedUUID(SOME_UUID): Count(5)}, {SOME_UUID: 5}),
        (list[bool], [True], [True]),
        (IPv4Address, IPv4Address("1.2.3.4"), "1.2.3.4"),
        (IPv6Address, IPv6Address("::1"), "::1"),
        (list[UUID], [UUID(SOME_UUID)], [SOME_UUID]),
        (set[bytes], {b""}, ["0x"]),
        (frozenset[bytes], frozenset([b""]), ["0x"]),
        (tuple[int, bytes], (1, b""), [1, "0x"]),
        (Annotated[list[float], CQLType("vector<float, 2>")], (1.0, 0.5), [1.0, 0.5]),
        (dict[UUID, bytes], {UUID(SOME_UUID): b""}, {SOME_UUID: "0x"}),
        (dict[int, str], {1: "a"}, {"1": "a"}),
        (dict[bool, str], {True: "a"}, {"true": "a"}),
        (dict[float, str], {0.5: "a"}, {"0.5": "a"}),
        (dict[Decimal, str], {Decimal("1.0"): "a"}, {"1.0": "a"}),
        (dict[tuple[int, bytes], str], {(1, b""): "a"}, [[[1, "0x"], "a"]]),
        (dict[tuple[int, bytes], str], {}, []),
        (Place, Place(UUID(SOME_UUID), MOMENT), {"ID": SOME_UUID, "at": "2026-11-21T22:35:19.795Z"}),
        (Place, {"ID": UUID(SOME_UUID)}, {"ID": SOME_UUID}),
        (list[Place], [Place(UUID(SOME_UUID))], [{"ID": SOME_UUID, "at": None}]),
    ],
)
def test_the_json_form_of_an_object(hint: Any, value: Any, expected: Any) -> None:
    cql_type = type_of_hint(hint)
    assert json_form(cql_type, value) == expected
    assert expected is None or encoder_of(cql_type).from_json(expected) is not None


@given(st.datetimes(timezones=st.just(datetime.UTC)))
def test_every_moment_has_an_encoding(moment: datetime.datetime) -> None:
    timestamp = parse_type("timestamp")
    encoded = encoder_of(timestamp).from_json(json_form(timestamp, moment))
    since = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert int.from_bytes(encoded or b"", "big", signed=True) == since // datetime.timedelta(milliseconds=1)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        json_form(parse_type("timestamp"), datetime.datetime(2026, 1, 1))


def test_a_moment_that_utc_has_no_year_for_is_refused() -> None:
    with pytest.raises(ValueError, match="years"):
        json_form(parse_type("timestamp"), datetime.datetime(1, 1, 1, tzinfo=AMSTERDAM))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("int", object()),
        ("text", b"a"),
        ("list<int>", 5),
        ("map<text, int>", [1]),
        ("tuple<int, int>", (1,)),
        ("inet", IPv4Interface("1.2.3.4/24")),
        ("int", True),
        ("boolean", 1),
        ("date", Later(2026, 1, 1, tzinfo=ZONE)),
    ],
)
def test_what_has_no_json_form_is_left_to_the_encoder(text: str, value: Any) -> None:
    cql_type = parse_type(text)
    with pytest.raises(WrongValue):
        encoder_of(cql_type).from_json(json_form(cql_type, value))
