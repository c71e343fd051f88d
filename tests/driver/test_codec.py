"""The values of each CQL type; no bytes make a codec raise."""

import json
import math
import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import msgspec
import pytest
from cassandra import cqltypes as cql
from cassandra import util
from helpers.cql_types import (
    ANY_TYPE,
    PLAIN,
    counted,
    framed,
    list_of,
    map_of,
    set_of,
    tuple_of,
    udt_of,
    vector_of,
)
from helpers.wire import int32
from hypothesis import example, given
from hypothesis import strategies as st

from asgi_app.driver.codec import codec_for, timestamp_text

LENGTHS = st.sampled_from([b"\0\0\0\0", b"\0\0\0\1", b"\0\0\0\2", b"\0\0\0\4", b"\0\0\0\10", b"\xff\xff\xff\xff"])
ANY_BYTES = st.one_of(
    st.binary(max_size=40),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=16, max_size=16),
    st.lists(st.one_of(LENGTHS, st.binary(max_size=8)), max_size=10).map(b"".join),
)


def value(cql_type, cell):
    return codec_for(cql_type).cell(cell)


def refuse_token(token):
    raise AssertionError(f"{token} is not JSON")


def assert_can_be_sent(answer):
    assert json.loads(msgspec.json.encode(answer), parse_constant=refuse_token) == answer
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(answer)) == answer


@given(ANY_TYPE, ANY_BYTES)
def test_any_bytes_of_any_type_can_be_encoded(cql_type, cell):
    assert_can_be_sent(value(cql_type, cell))


@given(st.sampled_from(PLAIN), st.lists(st.one_of(st.none(), ANY_BYTES), max_size=12))
def test_a_column_has_the_values_of_its_cells(cql_type, cells):
    codec = codec_for(cql_type)
    assert list(codec.column(cells)) == [None if cell is None else codec.cell(cell) for cell in cells]


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
@given(data=st.data())
def test_a_column_of_perfect_cells_has_their_values(width, data):
    cells = data.draw(st.lists(st.binary(min_size=width, max_size=width), min_size=6, max_size=12))
    nulls = data.draw(st.sets(st.integers(0, len(cells))))
    cells = [None if at in nulls else cell for at, cell in enumerate(cells)]
    for cql_type in PLAIN:
        codec = codec_for(cql_type)
        assert list(codec.column(cells)) == [None if cell is None else codec.cell(cell) for cell in cells]


@pytest.mark.parametrize("cql_type", PLAIN, ids=lambda t: t.typename)
def test_a_column_of_nulls_and_a_column_of_nothing(cql_type):
    assert list(codec_for(cql_type).column([None] * 10)) == [None] * 10
    assert list(codec_for(cql_type).column([])) == []


def int64(number):
    return struct.pack(">q", number)


SOME_UUID = "50554d6e-29bb-11e5-b345-feff819cdc9f"
PAIR = udt_of(x=cql.Int32Type, y=cql.UTF8Type)

KNOWN = [
    (cql.AsciiType, b"plain", "plain"),
    (cql.UTF8Type, '𝄞 \0\n"\\ é'.encode(), '𝄞 \0\n"\\ é'),
    (cql.UTF8Type, b"", ""),
    (cql.UTF8Type, b"a\xff\xed\xa0\x80b", "a" + "�" * 4 + "b"),
    (cql.AsciiType, b"\xe9", "�"),
    (cql.BooleanType, b"\1", True),
    (cql.BooleanType, b"\0", False),
    (cql.BooleanType, b"\7", True),
    (cql.ByteType, b"\x80", -128),
    (cql.ShortType, b"\x80\0", -32768),
    (cql.Int32Type, b"\x80\0\0\0", -(2**31)),
    (cql.LongType, b"\x7f" + b"\xff" * 7, 2**63 - 1),
    (cql.CounterColumnType, b"\x80" + b"\0" * 7, -(2**63)),
    (cql.Int32Type, b"", None),
    (cql.Int32Type, b"\1\2\3", "0x010203"),
    (cql.LongType, b"\1\2\3\4\5\6\7\10\11", "0x010203040506070809"),
    (cql.IntegerType, b"\0", "0"),
    (cql.IntegerType, b"\xff", "-1"),
    (cql.IntegerType, b"\0" * 9 + b"\x80", "128"),
    (cql.DecimalType, int32(6) + b"\x07\x5b\xcd\x15", "123.456789"),
    (cql.DecimalType, int32(3) + b"\0", "0.000"),
    (cql.DecimalType, int32(2) + b"\xff", "-0.01"),
    (cql.DecimalType, int32(8) + b"\1", "1E-8"),
    (cql.DecimalType, int32(-10) + b"\1", "1E+10"),
    (cql.DecimalType, int32(2**31 - 1) + b"\1", "1E-2147483647"),
    (cql.DecimalType, int32(-(2**31)) + b"\x0f", "1.5E+2147483649"),
    (cql.DecimalType, int32(-(2**31)) + b"\0", "0E+2147483648"),
    (cql.DecimalType, int32(3), "0x00000003"),
    (cql.FloatType, struct.pack(">f", 0.1), 0.1),
    (cql.FloatType, struct.pack(">f", 16777216.0), 16777216.0),
    (cql.FloatType, b"\x7f\x7f\xff\xff", 3.4028235e38),
    (cql.FloatType, b"\0\0\0\1", 1.4013e-45),
    (cql.FloatType, struct.pack(">f", math.nan), "NaN"),
    (cql.FloatType, struct.pack(">f", -math.inf), "-Infinity"),
    (cql.DoubleType, struct.pack(">d", 0.1), 0.1),
    (cql.DoubleType, struct.pack(">d", 5e-324), 5e-324),
    (cql.DoubleType, struct.pack(">d", math.nan), "NaN"),
    (cql.DoubleType, struct.pack(">d", math.inf), "Infinity"),
    (cql.UUIDType, UUID(SOME_UUID).bytes, SOME_UUID),
    (cql.TimeUUIDType, UUID(SOME_UUID).bytes, SOME_UUID),
    (cql.UUIDType, b"\1", "0x01"),
    (cql.InetAddressType, bytes([192, 0, 2, 1]), "192.0.2.1"),
    (cql.InetAddressType, bytes.fromhex("20010db8" + "0" * 23 + "1"), "2001:db8::1"),
    (cql.InetAddressType, bytes(16), "::"),
    (cql.InetAddressType, b"\1\2\3", "0x010203"),
    (cql.BytesType, b"\xde\xad", "0xdead"),
    (cql.BytesType, b"", "0x"),
    (cql.SimpleDateType, b"\x80\0\0\0", "1970-01-01"),
    (cql.SimpleDateType, struct.pack(">I", 2**31 + 19782), "2024-02-29"),
    (cql.SimpleDateType, b"\0\0\0\0", "-5877641-06-23"),
    (cql.SimpleDateType, b"\xff\xff\xff\xff", "+5881580-07-11"),
    (cql.SimpleDateType, struct.pack(">I", 2**31 - 719163), "+0000-12-31"),
    (cql.DateType, int64(0), "1970-01-01T00:00:00.000Z"),
    (cql.DateType, int64(-1), "1969-12-31T23:59:59.999Z"),
    (cql.DateType, int64(253402300799999), "9999-12-31T23:59:59.999Z"),
    (cql.DateType, int64(253402300800000), "+10000-01-01T00:00:00.000Z"),
    (cql.DateType, int64(-62135596800000), "0001-01-01T00:00:00.000Z"),
    (cql.DateType, int64(-62135596800001), "+0000-12-31T23:59:59.999Z"),
    (cql.DateType, int64(-62293622400000 + 57_600_000), "-0005-12-30T16:00:00.000Z"),
    (cql.DateType, int64(-(2**63)), "-292275055-05-16T16:47:04.192Z"),
    (cql.DateType, int64(2**63 - 1), "+292278994-08-17T07:12:55.807Z"),
    (cql.TimeType, int64(0), "00:00:00.000000000"),
    (cql.TimeType, int64(86_399_999_999_999), "23:59:59.999999999"),
    (cql.TimeType, int64(86_400_000_000_000), "24:00:00.000000000"),
    (cql.TimeType, int64(-1), "-00:00:00.000000001"),
    (cql.TimeType, int64(-(2**63)), "-2562047:47:16.854775808"),
    (cql.DurationType, b"\0\0\0", "0s"),
    (cql.DurationType, b"\2\0\0", "1mo"),
    (cql.DurationType, bytes.fromhex("1b31fc2168cdf9d663"), "-1y2mo25d5h6m7s8ms9us10ns"),
    (cql.DurationType, b"\2\0", "0x0200"),
    (cql.DurationType, b"\2\0\0\0", "0x02000000"),
    (cql.DurationType, b"\xff\xff", "0xffff"),
    (list_of(cql.Int32Type), counted(int32(1), None, b"", b"\1"), [1, None, None, "0x01"]),
    (list_of(cql.Int32Type), int32(0), []),
    (list_of(cql.Int32Type), b"", None),
    (list_of(cql.Int32Type), b"\0\0", "0x0000"),
    (list_of(cql.Int32Type), int32(-1), "0xffffffff"),
    (list_of(cql.Int32Type), int32(2**31 - 1), "0x7fffffff"),
    (list_of(cql.Int32Type), int32(1) + int32(9) + b"\1", "0x000000010000000901"),
    (list_of(cql.Int32Type), int32(2) + framed(int32(7)), "0x000000020000000400000007"),
    (list_of(cql.Int32Type), counted(int32(1)) + b"\0", "0x00000001000000040000000100"),
    (set_of(cql.UTF8Type), counted(b"a", b""), ["a", ""]),
    (map_of(cql.UTF8Type, cql.Int32Type), counted(b"a", int32(1), b"b", None, each=2), {"a": 1, "b": None}),
    (map_of(cql.Int32Type, cql.UTF8Type), counted(int32(1), b"x", each=2), {"1": "x"}),
    (map_of(cql.BooleanType, cql.UTF8Type), counted(b"\1", b"x", each=2), {"true": "x"}),
    (map_of(cql.DoubleType, cql.UTF8Type), counted(struct.pack(">d", 0.5), b"x", each=2), {"0.5": "x"}),
    (map_of(cql.FloatType, cql.UTF8Type), counted(struct.pack(">f", math.nan), b"x", each=2), {"NaN": "x"}),
    (map_of(cql.BytesType, cql.UTF8Type), counted(b"\xff", b"x", each=2), {"0xff": "x"}),
    (map_of(cql.DateType, cql.UTF8Type), counted(int64(0), b"x", each=2), {"1970-01-01T00:00:00.000Z": "x"}),
    (map_of(cql.Int32Type, cql.UTF8Type), counted(b"", b"x", each=2), {"null": "x"}),
    (map_of(cql.UTF8Type, cql.Int32Type), int32(1) + framed(b"a"), "0x000000010000000161"),
    (
        map_of(tuple_of(cql.Int32Type, cql.UTF8Type), cql.Int32Type),
        counted(framed(int32(1), b"a"), int32(2), each=2),
        [[[1, "a"], 2]],
    ),
    (map_of(PAIR, cql.Int32Type), counted(framed(int32(1), b"a"), int32(2), each=2), [[{"x": 1, "y": "a"}, 2]]),
    (map_of(list_of(cql.Int32Type), cql.Int32Type), int32(0), []),
    (map_of(vector_of(cql.Int32Type, 1), cql.Int32Type), counted(int32(1), int32(2), each=2), [[[1], 2]]),
    (tuple_of(cql.Int32Type, cql.UTF8Type), framed(int32(1), None), [1, None]),
    (tuple_of(cql.Int32Type, cql.UTF8Type), framed(int32(1)), [1, None]),
    (tuple_of(cql.Int32Type), framed(int32(1), b"later"), [1]),
    (tuple_of(cql.Int32Type), b"\0\0\0", "0x000000"),
    (tuple_of(cql.Int32Type), int32(5) + b"\1", "0x0000000501"),
    (PAIR, framed(int32(1)), {"x": 1, "y": None}),
    (PAIR, framed(None, b"a", b"later"), {"x": None, "y": "a"}),
    (vector_of(cql.FloatType, 3), struct.pack(">3f", 0.1, 1.0, math.nan), [0.1, 1.0, "NaN"]),
    (vector_of(cql.FloatType, 3), struct.pack(">2f", 0.1, 1.0), "0x3dcccccd3f800000"),
    (vector_of(cql.ShortType, 2), b"\2\0\1\2\0\2", [1, 2]),
    (vector_of(cql.ByteType, 2), b"\1\1\1\2", [1, 2]),
    (vector_of(cql.UTF8Type, 2), b"\1a\x80\xc8" + b"b" * 200, ["a", "b" * 200]),
    (vector_of(cql.UTF8Type, 2), b"\1a\5b", "0x01610562"),
    (vector_of(cql.UTF8Type, 1), b"\1ab", "0x016162"),
    (vector_of(cql.UTF8Type, 1), b"\xff", "0xff"),
    (vector_of(vector_of(cql.Int32Type, 1), 2), int32(1) + int32(2), [[1], [2]]),
    (vector_of(vector_of(cql.UTF8Type, 1), 2), b"\2\1a\2\1b", [["a"], ["b"]]),
    (cql.FrozenType.apply_parameters((list_of(cql.Int32Type),)), counted(int32(1)), [1]),
    (cql.mkUnrecognizedType("org.example.Strange"), b"\1\2", "0x0102"),
    (cql.ListType, counted(int32(1)), ["0x00000001"]),
    (None, b"\1", "0x01"),
]


@pytest.mark.parametrize(("cql_type", "cell", "expected"), KNOWN)
def test_known_values(cql_type, cell, expected):
    answer = value(cql_type, cell)
    assert answer == expected
    assert type(answer) is type(expected)
    assert_can_be_sent(answer)


@given(st.integers(-(2**63), 2**63 - 1))
@example(253402300800000)
@example(4294967295999)
def test_every_timestamp_is_its_calendar_day_and_time(milliseconds):
    cycle = 146_097 * 86_400_000
    cycles, rest = divmod(milliseconds - int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1000, cycle)
    moment = datetime(2000, 1, 1) + timedelta(milliseconds=rest)
    year = moment.year + 400 * cycles
    years = f"{year:04d}" if 1 <= year <= 9999 else f"{year:+05d}"
    expected = years + moment.isoformat(timespec="milliseconds")[4:] + "Z"
    assert timestamp_text(milliseconds) == expected
    assert list(codec_for(cql.DateType).column([int64(milliseconds)] * 6)) == [expected] * 6


@given(st.dates())
def test_every_date_of_four_digit_years_is_iso_8601(day):
    cell = struct.pack(">I", 2**31 + day.toordinal() - date(1970, 1, 1).toordinal())
    assert value(cql.SimpleDateType, cell) == day.isoformat()


@given(st.binary(min_size=4, max_size=4))
def test_float_is_the_shortest_decimal(cell):
    answer = value(cql.FloatType, cell)
    (exact,) = struct.unpack(">f", cell)
    if not math.isfinite(exact):
        assert answer in ("NaN", "Infinity", "-Infinity")
        return
    assert struct.pack(">f", answer) == cell
    if 0 < abs(exact) < 2**-126:
        return  # of subnormal floats, which have less than six digits of their own, six are given
    digits = len(Decimal(repr(answer)).normalize().as_tuple().digits)
    shorter = f"%.{digits - 1}g" % exact if digits > 1 else "0"
    assert answer == 0 or abs(float(shorter)) > 3.4028235e38 or struct.pack(">f", float(shorter)) != cell


@given(st.integers())
def test_a_varint_is_its_digits(number):
    assert value(cql.IntegerType, cql.IntegerType.serialize(number, 4)) == str(number)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("exponent", [4299, 4300, 5000, 200_000])
def test_varint_of_many_digits(exponent, sign):
    number = sign * (10**exponent + 7)
    cell = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
    text = "-" * (sign < 0) + "1" + "0" * (exponent - 1) + "7"
    assert value(cql.IntegerType, cell) == text
    assert value(cql.DecimalType, int32(1) + cell) == text[:-1] + ".7"


@given(st.integers(10_000, 60_000), st.integers(1, 2**200))
def test_a_long_varint_is_exact(bits, ending):
    number = (1 << bits) + ending
    answer = value(cql.IntegerType, number.to_bytes(bits // 8 + 2, "big"))
    assert Decimal(answer) == Decimal(number)
    assert Fraction(int(answer[-100:])) == Fraction(number % 10**100)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_keeps_its_scale(number):
    answer = value(cql.DecimalType, cql.DecimalType.serialize(number, 4))
    assert Decimal(answer).as_tuple()[1:] == number.as_tuple()[1:]
    assert Decimal(answer) == number


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), st.sampled_from([1, -1]))
def test_duration(months, days, nanoseconds, sign):
    duration = util.Duration(sign * months, sign * days, sign * nanoseconds)
    answer = value(cql.DurationType, cql.DurationType.serialize(duration, 4))
    sizes = {
        "y": 12,
        "mo": 1,
        "d": 1,
        "h": 3600 * 10**9,
        "m": 60 * 10**9,
        "s": 10**9,
        "ms": 10**6,
        "us": 10**3,
        "ns": 1,
    }
    sums = {"months": 0, "days": 0, "nanoseconds": 0}
    number = unit = ""
    for character, following in zip(answer.lstrip("-"), answer.lstrip("-")[1:] + "0", strict=True):
        number, unit = (number + character, unit) if character.isdigit() else (number, unit + character)
        if unit and following.isdigit():
            kind = "months" if unit in ("y", "mo") else "days" if unit == "d" else "nanoseconds"
            sums[kind] += int(number) * sizes[unit]
            number = unit = ""
    assert sums == {"months": months, "days": days, "nanoseconds": nanoseconds}
    assert answer.startswith("-") == (sign < 0 and max(sums.values()) > 0)


@given(st.text())
def test_text_is_itself(text):
    assert value(cql.UTF8Type, text.encode()) == text


@given(st.lists(st.text(), max_size=20), st.dictionaries(st.text(), st.integers(-(2**31), 2**31 - 1)))
def test_values_that_the_driver_encodes(texts, mapping):
    texts_type, mapping_type = list_of(cql.UTF8Type), map_of(cql.UTF8Type, cql.Int32Type)
    assert value(texts_type, texts_type.serialize(texts, 4)) == texts
    assert value(mapping_type, mapping_type.serialize(mapping, 4)) == mapping


def test_types_without_parameters():
    for bare in (
        cql.SetType,
        cql.MapType,
        cql.TupleType,
        cql.FrozenType,
        cql.ReversedType,
        cql.UserType,
        cql.VectorType,
    ):
        assert_can_be_sent(value(bare, counted(b"a", b"b")))
