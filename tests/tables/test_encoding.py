"""From JSON values and texts to the bytes that Cassandra stores: every type, and what is no value of it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from cassandra import cqltypes as driver_types
from cassandra import util
from helpers.cql_values import ANY_TYPE, NATIVE_CELLS, cells_of, counted, disordered, driver_type
from hypothesis import example, given
from hypothesis import strategies as st

from asgi_app.driver.codec import codec_for
from asgi_app.tables.encoding import (
    Encoded,
    WrongValue,
    decode_json,
    encoded_list,
    encoder_of,
    has_decimals,
    pointer_token,
)
from asgi_app.tables.types import (
    NATIVE_TYPES,
    CqlType,
    Native,
    UnknownType,
    UserType,
    parse_type,
)

POINT = UserType("point", (("x", Native("int")), ("y", Native("text")), ("Odd ~/name", Native("double"))))
USER_TYPES = {"point": POINT}


def encode(text: str, value: Any) -> Encoded | None:
    return encoder_of(parse_type(text, USER_TYPES)).from_json(value)


def errors(text: str, value: Any) -> list[tuple[str, str]]:
    with pytest.raises(WrongValue) as caught:
        encode(text, value)
    return [(error.field, error.message) for error in caught.value.errors]


ANY_TYPE_AND_CELL = ANY_TYPE.flatmap(lambda cql_type: st.tuples(st.just(cql_type), cells_of(cql_type)))


def as_sent(value: Any) -> Any:
    return decode_json(msgspec.json.encode(value))


@given(ANY_TYPE_AND_CELL)
def test_what_is_read_of_any_type_can_be_written_back(type_and_cell: tuple[CqlType, bytes]) -> None:
    cql_type, cell = type_and_cell
    value = codec_for(driver_type(cql_type)).cell(cell)
    assert encoder_of(cql_type).from_json(as_sent(value)) == cell


@given(ANY_TYPE_AND_CELL)
def test_the_order_in_which_sets_and_maps_are_sent_does_not_matter(type_and_cell: tuple[CqlType, bytes]) -> None:
    cql_type, cell = type_and_cell
    value = codec_for(driver_type(cql_type)).cell(cell)
    assert encoder_of(cql_type).from_json(as_sent(disordered(cql_type, value))) == cell


@pytest.mark.parametrize("name", sorted(NATIVE_TYPES))
@given(data=st.data())
def test_what_is_read_of_a_type_can_be_written_back_and_be_in_an_address(name: str, data: st.DataObject) -> None:
    cell = data.draw(NATIVE_CELLS[name])
    value = codec_for(driver_type(Native(name))).cell(cell)
    if value is None:
        assert cell == b""
        return
    encoder = encoder_of(Native(name))
    assert encoder.from_json(as_sent(value)) == cell
    assert encoder.from_text(value if isinstance(value, str) else msgspec.json.encode(value).decode()) == cell


@given(ANY_TYPE_AND_CELL.filter(lambda both: not isinstance(both[0], Native)))
def test_what_is_read_of_a_nested_type_can_be_in_an_address(type_and_cell: tuple[CqlType, bytes]) -> None:
    cql_type, cell = type_and_cell
    text = msgspec.json.encode(codec_for(driver_type(cql_type)).cell(cell)).decode()
    assert (cell == b"" and text == "null") or encoder_of(cql_type).from_text(text) == cell


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=6,
)


def errors_or_none(encode_it: Callable[[], Any]) -> list[str] | None:
    """Return the places of the errors that a call raises; None if it raises none."""
    try:
        encode_it()
    except WrongValue as error:
        return [found.field for found in error.errors if found.message]
    return None


@given(ANY_TYPE, JSON)
def test_any_json_has_an_encoding_or_an_error_with_its_place(cql_type: CqlType, value: Any) -> None:
    places = errors_or_none(lambda: encoder_of(cql_type).from_json(as_sent(value)))
    assert places is None or (places and all(place == "" or place.startswith("/") for place in places))


@given(ANY_TYPE, st.text())
def test_any_text_has_an_encoding_or_an_error(cql_type: CqlType, text: str) -> None:
    assert errors_or_none(lambda: encoder_of(cql_type).from_text(text)) != []


# --- values that the driver encodes


@pytest.mark.parametrize(
    ("text", "value", "python"),
    [
        ("tinyint", -128, -128),
        ("smallint", 32767, 32767),
        ("int", -(2**31), -(2**31)),
        ("bigint", 2**63 - 1, 2**63 - 1),
        ("varint", -(10**3999), -(10**3999)),
        ("varint", "-123456789012345678901234567890", -123456789012345678901234567890),
        ("decimal", "10.50", Decimal("10.50")),
        ("decimal", "-1E+10", Decimal("-1E+10")),
        ("decimal", 7, Decimal(7)),
        ("float", 0.1, 0.1),
        ("double", 1, 1.0),
        ("boolean", True, True),
        ("text", "é𝄞\0", "é𝄞\0"),
        ("ascii", "a", "a"),
        ("blob", "0xDeAd", b"\xde\xad"),
        ("date", "2024-02-29", util.Date(date(2024, 2, 29))),
        ("time", "13:14:15.1", util.Time(time(13, 14, 15, 100_000))),
        ("inet", "2001:db8::1", "2001:db8::1"),
        ("inet", "192.0.2.1", "192.0.2.1"),
        ("duration", "-1y2mo3w4d5h6m7s8ms9us10ns", util.Duration(-14, -25, -18367008009010)),
        ("list<int>", [1, 2], [1, 2]),
        ("set<text>", ["a", "b"], ["a", "b"]),
        ("map<int, text>", {"1": "x", "-2": "y"}, util.OrderedMap([(-2, "y"), (1, "x")])),
        ("map<frozen<list<int>>, text>", [[[1], "x"]], util.OrderedMap([([1], "x")])),
        ("tuple<int, text>", [1, None], (1, None)),
        ("point", {"y": "a"}, (None, "a", None)),
        ("vector<float, 3>", [1, 0.5, -2.5], [1.0, 0.5, -2.5]),
        ("vector<text, 2>", ["a", "b" * 200], ["a", "b" * 200]),
    ],
)
def test_the_encoding_is_the_drivers(text: str, value: Any, python: Any) -> None:
    expected = driver_type(parse_type(text, USER_TYPES)).serialize(python, 4)
    assert encode(text, as_sent(value)) == expected


@given(st.integers(0, 2**64 - 1))
@example(2**64 - 1)
@example(127)
@example(128)
def test_numbers_of_a_duration_are_the_drivers(number: int) -> None:
    months = number % 2**31
    assert encode("duration", f"{months}mo{number >> 33}d{number // 2}ns") == driver_types.DurationType.serialize(
        util.Duration(months, number >> 33, number // 2), 4
    )


# --- values of each type, and values that are none

GOOD: dict[str, list[Any]] = {
    "ascii": ["", "a"],
    "blob": ["0x", "0xAb"],
    "date": [
        "0001-01-01",
        "9999-12-31",
        "+10000-01-01",
        "+0000-02-29",
        "-0004-02-29",
        "-5877641-06-23",
        "+5881580-07-11",
    ],
    "decimal": [1, -1.5, "1E-8", "1E-2147483647", "1E+2147483648", "-0", "1" * 4000, "0." + "1" * 3999],
    "double": [1, 1.5, -0.0, 5e-324, "NaN", "Infinity", "-Infinity"],
    "duration": ["0s", "-0s", "1mo", "2147483647d", "-2147483648d", "9223372036854775807ns", "90m"],
    "float": [3.4028235e38, 1.4013e-45, 0, "NaN"],
    "inet": ["::", "::ffff:1.2.3.4", "255.255.255.255"],
    "text": ["", "\0", "\ufffe"],
    "time": ["00:00:00", "23:59:59.999999999", "13:14:15.5"],
    "timestamp": [
        "2026-11-21T22:35:19Z",
        "2026-11-21T22:35:19.123456789+23:59",
        "-292275055-05-16T16:47:04.192Z",
        "+292278994-08-17T07:12:55.807Z",
    ],
    "timeuuid": ["50554d6e-29bb-11e5-b345-feff819cdc9f"],
    "uuid": ["B26B2A23-4D70-41C3-88A7-A9AA9E135A93", "00000000-0000-0000-0000-000000000000"],
    "varint": [0, -1, 10**3999, "0", "9" * 4000],
}

WRONG: dict[str, list[Any]] = {
    "ascii": ["é", "\x80", 1, []],
    "bigint": [2**63, -(2**63) - 1, 1.0, "1", True],
    "blob": ["", "dead", "0xd", "0xg0", "0x d", "0Xab", "3q2+7w==", "0xé", 1, []],
    "boolean": [0, 1, "true", {}],
    "counter": ["1", 1.5],
    "date": [
        "",
        "0000-01-01",
        "2023-02-29",
        "2024-2-29",
        "+2024-02-29",
        "+010000-01-01",
        "-0000-01-01",
        "10000-01-01",
        "2024-02-29T00:00:00Z",
        "-5877641-06-22",
        "+5881580-07-12",
        "+999999999-01-01",
        "\u0662024-02-29",
        "2024-02-29\n",
        19782,
    ],
    "decimal": [True, "", "1.", ".5", "+1", "01", "1e", "NaN", "Infinity", " 1", "1_0", "\u0663", "1E+2147483649",
        "1E-2147483648", "1" * 4001, "0." + "1" * 4001, "1E99999999999999999999", [], {}],
    "double": ["1", "nan", "inf", "", True, None, [], 10**400, "1e5"],
    "duration": ["", "-", "1", "s", "1s1h", "1h1h", "1.5h", "--1h", "1h-1m", "P1Y", "2147483648d", "-2147483649d",
        "1Y", "1h ", "178956971y", "9223372036854775808ns", "2562048h", "9" * 30 + "ns", 5],
    "float": [3.5e38, -1e39, 10**39, "0.1", False],
    "inet": ["localhost", "1.2.3", "01.2.3.4", "1.2.3.4/8", "fe80::1%eth0", "", " ::", "::1::", "1.2.3.\u0664", 1],
    "int": [2**31, -(2**31) - 1, 1.0, 1.5, "1", True, False, [], {}],
    "smallint": [32768, -32769],
    "text": [1, True, [], {}, "\ud800"],
    "time": ["24:00:00", "23:60:00", "23:59:60", "13:14", "1:14:15", "13:14:15.", "13:14:15.1234567890",
        "-00:00:01", "13:14:15Z", 0],
    "timestamp": [
        "2026-11-21",
        "2026-11-21T22:35:19",
        "2026-11-21 22:35:19Z",
        "2026-11-21T22:35Z",
        "2026-11-21T22:35:19z",
        "2026-11-21T22:35:19+0100",
        "2026-11-21T22:35:19+24:00",
        "2026-11-21T22:35:19+01:60",
        "2026-11-21T22:35:60Z",
        "2026-11-21T24:00:00Z",
        "2026-02-30T00:00:00Z",
        "-292275055-05-16T16:47:04.191Z",
        "+292278994-08-17T07:12:55.808Z",
        1500,
        1500.5,
    ],
    "timeuuid": ["b26b2a23-4d70-41c3-88a7-a9aa9e135a93", "50554d6e29bb11e5b345feff819cdc9f"],
    "tinyint": [128, -129],
    "uuid": ["", "b26b2a234d7041c388a7a9aa9e135a93", "{b26b2a23-4d70-41c3-88a7-a9aa9e135a93}",
        "b26b2a23-4d70-41c3-88a7-a9aa9e135a9g", 1],
    "varint": [1.0, 1.5, "1.0", "01", "-0", "", "+1", "1" * 4001, 10**4000, -(10**4000), True, "0x1"],
}  # fmt: skip


def pairs_of(cases: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(text, value) for text, values in cases.items() for value in values]


@pytest.mark.parametrize(("text", "value"), pairs_of(GOOD))
def test_values(text: str, value: Any) -> None:
    encoded = encode(text, as_sent(value))
    assert encoded is not None
    read = codec_for(driver_type(Native(text))).cell(encoded)
    assert encode(text, as_sent(read)) == encoded


@pytest.mark.parametrize(("text", "value"), pairs_of(WRONG))
def test_values_that_are_wrong(text: str, value: Any) -> None:
    if value is None:
        assert encode(text, value) is None
        return
    sent = value if isinstance(value, str | int) else as_sent(value)
    (error,) = errors(text, sent)
    assert error[0] == ""
    assert error[1].startswith(("must be ", "is not "))


@pytest.mark.parametrize("text", ["", " 1", "1 ", "+1", "01", "-0", "1.0", "1e3", "\u0663", "true", "null", "9" * 5000])
def test_texts_that_are_no_integers(text: str) -> None:
    with pytest.raises(WrongValue, match="from -2147483648 to 2147483647"):
        encoder_of(Native("int")).from_text(text)


@pytest.mark.parametrize(("name", "text"), [
    ("boolean", "True"), ("boolean", "1"), ("double", "1e400"), ("double", "1."), ("double", ""), ("double", "nan"),
    ("float", "4e38"), ("double", "1e" + "9" * 30), ("text", "\ud800"), ("list<int>", "1"), ("list<int>", "[1"),
    ("list<int>", ""), ("list<int>", "null"), ("list<int>", "[" * 100_000), ("list<int>", "[NaN]"),
    ("list<text>", "\ud800"),
])  # fmt: skip
def test_texts_that_are_wrong(name: str, text: str) -> None:
    with pytest.raises(WrongValue):
        encoder_of(parse_type(name)).from_text(text)


def test_known_encodings() -> None:
    assert encode("timestamp", "1970-01-01T00:00:01.500Z") == struct.pack(">q", 1500)
    assert encode("timestamp", "1970-01-01T01:00:01.5+01:00") == struct.pack(">q", 1500)
    assert encode("timestamp", "1969-12-31T23:00:00.0019-01:00") == struct.pack(">q", 1)
    assert encode("decimal", "-0.00") == b"\0\0\0\2\0"
    assert encode("decimal", decode_json(b"12345678901234567890.10")) == encode("decimal", "12345678901234567890.10")
    assert encode("double", decode_json(b"-0.0")) == struct.pack(">d", -0.0)
    assert encode("vector<float, 2>", [1, "NaN"]) == struct.pack(">2f", 1, float("nan"))
    assert encode("map<boolean, int>", {"true": 1}) == counted([b"\1", struct.pack(">i", 1)], 2)
    assert encode("map<frozen<list<int>>, int>", []) == counted([])
    assert encode("map<text, int>", {}) == counted([])
    assert encode("map<decimal, int>", {"10": 1, "100": 1, "-10": 1, "1": 1}) is not None
    assert encoded_list([b"ab", b""]) == counted([b"ab", b""])


def test_null_is_none() -> None:
    assert encode("int", None) is None
    assert encode("list<int>", None) is None
    assert isinstance(encode("int", 1), Encoded)


PAIR = "must be an array of a key and a value"
INT32 = "must be an integer from -2147483648 to 2147483647"


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("list<int>", {}, [("", "must be an array")]),
        ("list<int>", [1, None, "2"], [("/1", "must not be null"), ("/2", INT32)]),
        ("set<int>", [None], [("/0", "must not be null")]),
        ("list<frozen<list<int>>>", [[1], [2, True]], [("/1/1", INT32)]),
        ("map<text, int>", [], [("", "must be an object")]),
        ("map<text, int>", {"a/b~": None, "c": "x"}, [("/a~1b~0", "must not be null"), ("/c", INT32)]),
        ("map<int, int>", {"1": 1, "x": 1}, [("/x", f"has a wrong name: it {INT32}")]),
        ("map<boolean, int>", {"True": 1}, [("/True", "has a wrong name: it must be true or false")]),
        ("map<decimal, int>", {"1.0": 1, "1.0e0": 2}, [("/1.0e0", "has the same key as an earlier entry")]),
        ("map<decimal, int>", {"-10": 1, "-1E+1": 2}, [("/-1E+1", "has the same key as an earlier entry")]),
        ("map<decimal, int>", {"0": 1, "0.00": 2}, [("/0.00", "has the same key as an earlier entry")]),
        (
            "map<frozen<tuple<decimal>>, int>",
            [[["1.0"], 1], [["1.00"], 2]],
            [("/1", "has the same key as an earlier entry")],
        ),
        ("map<frozen<set<int>>, int>", [[[1, 2], 1], [[2, 1, 2], 2]], [("/1", "has the same key as an earlier entry")]),
        ("map<frozen<list<int>>, int>", {}, [("", "must be an array")]),
        ("map<frozen<list<int>>, int>", [[1], 2], [("/0", PAIR), ("/1", PAIR)]),
        ("map<frozen<list<int>>, int>", [[["x"], None]], [("/0/0/0", INT32), ("/0/1", "must not be null")]),
        ("map<frozen<list<int>>, int>", [[None, 1]], [("/0/0", "must not be null")]),
        ("map<frozen<list<int>>, int>", [[[1], 1], [[1], 2]], [("/1", "has the same key as an earlier entry")]),
        ("tuple<int, text>", [1], [("", "must be an array of 2 elements")]),
        ("tuple<int, text>", ["1", 2], [("/0", INT32), ("/1", "must be text")]),
        ("vector<float, 2>", [1.0], [("", "must be an array of 2 elements")]),
        ("vector<text, 2>", ["a", None], [("/1", "must not be null")]),
        ("vector<int, 2>", [1, 2, 3], [("", "must be an array of 2 elements")]),
        ("point", [], [("", "must be an object")]),
        ("point", {"z": 1, "x": "1"}, [("/x", INT32), ("/z", "is not a field of this type")]),
        ("list<frozen<point>>", [{"X": 1}], [("/0/X", "is not a field of this type")]),
    ],
)  # fmt: skip
def test_every_error_of_a_value_has_its_place(text: str, value: Any, expected: list[tuple[str, str]]) -> None:
    assert errors(text, value) == expected


@pytest.mark.parametrize("value", [[1, True], [1, None], [1, 1e39], [1, 10**400], [1, "1"], [1, []]])
def test_wrong_elements_of_a_vector_of_floats(value: list[Any]) -> None:
    assert [field for field, _ in errors("vector<float, 2>", as_sent(value))] == ["/1"]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1e99999999999999999999"])
def test_a_number_of_a_vector_that_no_float_can_hold(number: bytes, exact: bool) -> None:
    body = decode_json(b"[1, " + number + b"]", exact=exact)
    assert [field for field, _ in errors("vector<float, 2>", body)] == ["/1"]


def test_a_field_whose_name_needs_escapes() -> None:
    assert errors("point", {"Odd ~/name": "x"})[0][0] == "/Odd ~0~1name"
    assert len(pointer_token("a" * 5000)) == 100


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("list<int>", ["x"] * 1000),
        ("map<text, int>", {f"m{at}": "x" for at in range(1000)}),
        ("map<int, int>", {f"m{at}": 1 for at in range(1000)}),
        ("map<frozen<list<int>>, int>", [[1, 2]] * 1000),
        ("point", {f"m{at}": 1 for at in range(1000)}),
        ("list<frozen<list<int>>>", [["x"] * 60] * 1000),
    ],
)
def test_only_the_first_errors_are_collected(text: str, value: Any) -> None:
    assert len(errors(text, value)) == 100


def test_an_unknown_type_has_no_values() -> None:
    with pytest.raises(WrongValue, match="cannot write"):
        encoder_of(UnknownType("'org.example.Strange'")).from_json("0x01")
    with pytest.raises(WrongValue, match="cannot write"):
        encoder_of(UnknownType("'org.example.Strange'")).from_text("0x01")


# --- JSON


def test_numbers_of_json_keep_their_digits() -> None:
    assert decode_json(b'{"a": [1, 1.0, 1e2]}') == {"a": [1, Decimal("1.0"), Decimal("1E+2")]}
    assert str(decode_json(b"1.10")) == "1.10"
    assert type(decode_json(b"123456789012345678901234567890")) is int
    assert decode_json(b"-" + b"9" * 4000) == -(10**4000 - 1)


def test_a_number_beside_one_of_too_many_digits_keeps_its_own() -> None:
    longest = b"-" + b"9" * 4000
    assert decode_json(b"[" + longest + b", " + b"1" * 5000 + b"]")[0] == -(10**4000 - 1)


def test_floats_are_enough_where_no_decimals_are() -> None:
    assert decode_json(b"[1, 1.5, 1e2]", exact=False) == [1, 1.5, 100.0]
    assert type(decode_json(b"1.5", exact=False)) is float
    assert has_decimals(parse_type("list<frozen<map<int, decimal>>>"))
    assert not has_decimals(parse_type("list<frozen<map<int, double>>>"))


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("number", [b"1" * 5000, b"-" + b"1" * 100_000, b"1e99999999999999999999"])
@pytest.mark.parametrize("name", ["int", "varint", "decimal", "double", "float"])
def test_a_number_that_no_type_can_hold_is_an_error_at_its_place(number: bytes, name: str, exact: bool) -> None:
    body = decode_json(b'{"a": [0, ' + number + b"]}", exact=exact)
    (error,) = errors(f"list<{name}>", body["a"])
    assert error[0] == "/1"


@pytest.mark.parametrize(
    "body", [b"", b"[", b"NaN", b"[1] 2", b"[" + b"1" * 5000 + b", NaN]", b"[" + b"1" * 5000, b"\xff"]
)
def test_what_is_not_json(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_json(body)


@pytest.mark.parametrize(
    ("name", "text", "is_year"),
    [
        ("date", "today", False),
        ("date", "2024-02-30", False),
        ("date", "10000-01-01", True),
        ("date", "0000-01-01", True),
        ("timestamp", "2026-11-21T22:35:19", False),
        ("timestamp", "+2026-11-21T22:35:19Z", True),
    ],
)
def test_message_tells_of_the_sign_of_years_where_the_year_is_wrong(name: str, text: str, is_year: bool) -> None:
    with pytest.raises(WrongValue) as error:
        encoder_of(Native(name)).from_json(text)
    assert error.value.message.endswith("; years outside 0001 to 9999 have a sign") is is_year
