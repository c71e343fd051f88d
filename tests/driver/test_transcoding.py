"""Compiled code writes the same bytes as Python, and leaves to Python the pages that only Python can write."""

import importlib.util
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import sysconfig
import threading
import time
from contextlib import suppress

import msgspec
import pytest
from cassandra import cqltypes
from helpers.cql_types import (
    ANY_TYPE,
    PLAIN,
    broken_values_of,
    counted,
    framed,
    list_of,
    map_of,
    rows_of,
    tuple_of,
    values_of,
    vector_of,
    vint,
)
from helpers.wire import cell, encoded, int32
from hypothesis import given
from hypothesis import strategies as st

from asgi_app.driver import transcoding
from asgi_app.driver.codec import codec_for
from asgi_app.driver.page import JSON_LINES, JSON_OBJECTS, Description, RowPage, RowsCorrupt
from asgi_app.driver.transcoding import DEEPEST, plan_of, without_line_ends
from asgi_app.http.formats import CSV, NDJSON, JSONArray, MessagePack

with suppress(ImportError):
    from asgi_app.driver import _transcoder

compiled = pytest.mark.skipif(transcoding.transcode is None, reason="built without its compiled part")


NEEDED = """
#include <Python.h>
#include <charconv>
int main() {
    double number = 0;
    std::from_chars("1", nullptr, number);
    std::to_chars(nullptr, nullptr, number);
}
"""


def can_be_built(folder):
    """Return whether there is a compiler that supports what the build needs."""
    probe = folder / "probe.cpp"
    probe.write_text(NEEDED)
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    flags = ["-std=c++17", "-fsyntax-only", "-I", sysconfig.get_path("include")]
    return compiler and not subprocess.run([compiler, *flags, str(probe)], check=False).returncode


def test_built_if_a_compiler_can(tmp_path):
    wanted = os.environ.get("COMPILE_TRANSCODER") != "no"
    assert transcoding.transcode is not None or not (wanted and can_be_built(tmp_path))


@compiled
def test_other_interface_is_not_used(monkeypatch):
    monkeypatch.setattr(_transcoder, "INTERFACE", _transcoder.INTERFACE + 1)
    spec = importlib.util.spec_from_file_location("updated", transcoding.__file__)
    updated = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "updated", updated)
    spec.loader.exec_module(updated)
    assert updated.transcode is None
    assert updated.plan_of(["n"], [cqltypes.Int32Type]).rows(cell(bytes(4)), 1) is None


FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999  # of the years 0001 and 9999
MIDDLE = 2**31  # 1970-01-01 as Cassandra stores a date
TYPES = st.lists(ANY_TYPE, min_size=1, max_size=4)


def page_of(types, content):
    names = tuple(f"column {number}" for number in range(len(types)))
    return RowPage(Description(names, tuple(types)), len(content), encoded(content))


def by_python(page):
    lines = msgspec.json.Encoder().encode_lines(page.objects())
    return msgspec.json.encode(page.objects())[1:-1], without_line_ends(lines)


def by_compiled(page):
    plan = page.description.layout.plan
    return plan.rows(page._body, page.row_count), plan.lines(page._body, page.row_count)


@compiled
@given(TYPES.flatmap(lambda types: rows_of(types, values_of)))
def test_perfect_pages_are_written_alike(case):
    page = page_of(*case)
    assert by_compiled(page) == by_python(page)


@compiled
@given(rows_of(PLAIN, values_of))
def test_perfect_rows_of_every_plain_type_are_written_alike(case):
    page = page_of(*case)
    assert by_compiled(page) == by_python(page)


LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""The characters at which `str.splitlines` ends a line, by its documentation."""

TEXTS = [
    LINE_ENDS,
    *(f"a{end}b" for end in LINE_ENDS),
    *(f"{end}{end}" for end in LINE_ENDS),
    "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000)])),
]


def of_texts(names, types, texts):
    return RowPage(Description(tuple(names), types), len(texts), encoded([[text.encode()] for text in texts]))


@pytest.mark.parametrize("python", [pytest.param(False, marks=compiled), True])
def test_row_is_one_line_for_every_reader(monkeypatch, python):
    if python:
        monkeypatch.setattr(transcoding, "transcode", None)
    page = of_texts([f"name{LINE_ENDS[-3:]}"], (cqltypes.UTF8Type,), TEXTS)
    lines = page.encoded(JSON_LINES).decode()
    assert (by_compiled(page) == (None, None)) == python
    assert [json.loads(line) for line in lines.splitlines()] == page.dicts()
    assert len(lines.splitlines()) == len(lines.split("\n")) - 1 == len(TEXTS)
    assert json.loads(b"[" + page.encoded(JSON_OBJECTS) + b"]") == page.dicts()


def test_line_ends_in_map_keys():
    kind = cqltypes.MapType.apply_parameters([cqltypes.UTF8Type, cqltypes.UTF8Type])
    key, value = (f"{name}{LINE_ENDS}".encode() for name in ("key", "value"))
    page = RowPage(Description(("m",), (kind,)), 1, encoded([[struct.pack(">i", 1) + cell(key) + cell(value)]]))
    (line,) = page.encoded(JSON_LINES).decode().splitlines()
    assert json.loads(line) == {"m": {f"key{LINE_ENDS}": f"value{LINE_ENDS}"}}


@compiled
@given(st.lists(st.text(st.sampled_from(LINE_ENDS + 'a"\\é“€😀\u2027\u202a\x84\x86'), max_size=8), max_size=8))
def test_line_ends_are_escaped_alike(texts):
    page = of_texts(["t"], (cqltypes.UTF8Type,), texts)
    assert by_compiled(page) == by_python(page)


def same_or_left(page):
    return all(ours in (None, theirs) for ours, theirs in zip(by_compiled(page), by_python(page), strict=True))


@compiled
@given(TYPES.flatmap(lambda types: rows_of(types, broken_values_of)))
def test_broken_cells_are_the_same_or_left(case):
    assert same_or_left(page_of(*case))


@compiled
@given(TYPES.flatmap(lambda types: rows_of(types, lambda _: st.binary(max_size=20))))
def test_cells_of_any_bytes_are_the_same_or_left(case):
    assert same_or_left(page_of(*case))


NO_TEXT = st.recursive(
    st.sampled_from([kind for kind in PLAIN if not issubclass(kind, (cqltypes.UTF8Type, cqltypes.AsciiType))]),
    lambda types: st.one_of(
        types.map(list_of),
        st.lists(types, min_size=1, max_size=3).map(lambda some: tuple_of(*some)),
        types.map(lambda inner: vector_of(inner, 2)),
        types.map(lambda inner: map_of(tuple_of(inner), inner)),
    ),
    max_leaves=4,
)


@compiled
@given(st.lists(NO_TEXT, min_size=1, max_size=3).flatmap(lambda types: rows_of(types, broken_values_of)))
def test_broken_cells_without_text_are_not_left(case):
    page = page_of(*case)
    assert by_compiled(page) == by_python(page)


@compiled
@given(TYPES, st.integers(-2, 12), st.binary(max_size=120))
def test_any_bytes_are_the_same_or_left(types, count, body):
    names = tuple(f"c{number}" for number in range(len(types)))
    page = RowPage(Description(names, tuple(types)), count, body)
    theirs = None
    with suppress(RowsCorrupt):
        theirs = by_python(page)
    for number, ours in enumerate(by_compiled(page)):
        assert ours is None or (theirs is not None and ours == theirs[number])


@compiled
@given(st.lists(st.floats(width=64) | st.floats(width=32) | st.integers(-(2**60), 2**60).map(float), max_size=20))
def test_numbers_have_the_same_digits(numbers):
    kinds = {cqltypes.DoubleType: (">d", numbers), cqltypes.FloatType: (">f", [n for n in numbers if abs(n) < 3e38])}
    for kind, (code, some) in kinds.items():
        page = page_of([kind], [(struct.pack(code, number),) for number in some])
        assert by_compiled(page) == by_python(page)


@compiled
@pytest.mark.parametrize(("kind", "size"), [(cqltypes.DoubleType, 8), (cqltypes.FloatType, 4)])
def test_numbers_of_any_bits_have_the_same_digits(kind, size):
    bits = random.Random(7)
    page = page_of([kind], [(bits.randbytes(size),) for _ in range(20_000)])
    assert by_compiled(page) == by_python(page)
    digits = ("1", "1.5", "-9.999", "123456789")
    tens = [float(f"{digit}e{power}") for digit in digits for power in range(-46, 30)]
    page = page_of([kind], [(struct.pack(">d" if size == 8 else ">f", ten),) for ten in tens])
    assert by_compiled(page) == by_python(page)


@compiled
def test_floats_with_fewer_digits_than_six_and_powers_of_two_have_the_same_digits():
    subnormal = [*range(300), *range(300, 0x800000, 9973)]
    around_powers = [exponent << 23 | more for exponent in range(255) for more in (0, 1, 0x7FFFFF)]
    signs = (0, 1 << 31)
    page = page_of(
        [cqltypes.FloatType],
        [(struct.pack(">I", sign | bits),) for bits in subnormal + around_powers for sign in signs],
    )
    assert by_compiled(page) == by_python(page)


@compiled
def test_every_day_of_four_centuries_and_the_ends():
    days = [*range(-719_162, -719_162 + 800), *range(-1000, 146_097, 1), *range(2_932_896 - 800, 2_932_897)]
    page = page_of([cqltypes.SimpleDateType], [(struct.pack(">I", MIDDLE + day),) for day in days])
    assert by_compiled(page) == by_python(page)
    moments = [day * 86_400_000 + within for day in days[::97] for within in (0, 1, 999, 86_399_999)]
    page = page_of([cqltypes.DateType], [(struct.pack(">q", moment),) for moment in moments])
    assert by_compiled(page) == by_python(page)


@compiled
def test_years_without_four_digits_are_written_alike():
    days = [around + day for around in (-719_528, -719_162, 2_932_896, -4_371_587) for day in range(-800, 800)]
    days += [-MIDDLE, MIDDLE - 1, *range(-MIDDLE, MIDDLE, 1_000_003)]
    page = page_of([cqltypes.SimpleDateType], [(struct.pack(">I", MIDDLE + day),) for day in days])
    assert by_compiled(page) == by_python(page)
    moments = [-(2**63), 2**63 - 1, FIRST_MS - 1, LAST_MS + 1, *range(-(2**63), 2**63, 2**63 // 1009)]
    page = page_of([cqltypes.DateType], [(struct.pack(">q", moment),) for moment in moments])
    assert by_compiled(page) == by_python(page)


@compiled
@pytest.mark.parametrize(
    "text",
    [
        *(b"\x80", b"\xc1\xbf", b"\xc3", b"\xc3(", b"a\xf5"),
        *(b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xe2\x82", b"\xe2(\xa1"),
        *(b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf0\x9d\x84", b"\xf0(\x8c\xbc"),
    ],
)
def test_invalid_utf_8_is_left(text):
    with pytest.raises(UnicodeDecodeError):
        text.decode()
    assert by_compiled(page_of([cqltypes.UTF8Type], [(text,)])) == (None, None)


@compiled
def test_every_character_is_written_alike():
    points = [*range(0xD800), *range(0xE000, 0x110000, 7)]
    page = page_of([cqltypes.UTF8Type], [(chr(point).encode() * 3,) for point in points])
    assert by_compiled(page) == by_python(page)


@compiled
def test_characters_are_escaped_at_every_place():
    texts = [b"-" * before + bytes([point]) + b"-" * (18 - before) for point in range(128) for before in range(19)]
    page = page_of([cqltypes.UTF8Type], [(text,) for text in texts])
    assert by_compiled(page) == by_python(page)


@compiled
def test_a_large_page_lets_other_threads_run():
    """The interpreter never switches threads by itself here: another thread runs only if the code releases the lock."""
    page = page_of([cqltypes.BytesType], [(bytes(1_000_000),)] * 20)
    turns, begun, done = [], threading.Event(), threading.Event()

    def take_turns():
        while not done.is_set():
            turns.append(None)
            begun.set()
            time.sleep(0)

    other = threading.Thread(target=take_turns)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        other.start()
        begun.wait()
        meanwhile = any(turns_meanwhile(page, turns) for _ in range(100))
    finally:
        done.set()
        sys.setswitchinterval(interval)
        other.join()
    assert meanwhile


def turns_meanwhile(page, turns):
    before = len(turns)
    assert by_compiled(page) != (None, None)
    return len(turns) - before


@compiled
@pytest.mark.parametrize("end", [-1, -8, -4000])
def test_incomplete_large_page_is_left(end):
    whole = page_of([cqltypes.DateType], [(struct.pack(">q", 0),)] * 10_000)
    assert by_compiled(whole) == by_python(whole)
    cut = RowPage(whole.description, 10_000, whole._body[:end])
    assert by_compiled(cut) == (None, None)
    with pytest.raises(RowsCorrupt):
        cut.encoded(JSON_OBJECTS)


@compiled
@pytest.mark.parametrize("form", [JSONArray, NDJSON, MessagePack, CSV])
def test_a_stream_is_written_alike(form):
    pages = [page_of([cqltypes.Int32Type], [(struct.pack(">i", number),)] * number) for number in (0, 2, 0, 1, 3)]
    with pytest.MonkeyPatch.context() as without:
        without.setattr(transcoding, "transcode", None)
        in_python = form()
        expected = [in_python.rows(page) for page in pages]
    by_compiled_code = form()
    assert [by_compiled_code.rows(page) for page in pages] == expected


@compiled
def test_numbers_of_many_digits_have_the_same_digits():
    bits = random.Random(7)
    sizes = [*range(1, 40), *range(40, 1250, 13), 1249, 1250]
    ends = [b"\0", b"\1", b"\x7f", b"\x80", b"\xff"]
    cells = [first + some for size in sizes for first in ends for some in (bits.randbytes(size - 1), bytes(size - 1))]
    page = page_of([cqltypes.IntegerType], [(each,) for each in cells])
    assert by_compiled(page) == by_python(page)
    tens = [
        int.to_bytes(sign * 10**power + more, 60, "big", signed=True)
        for power in range(60)
        for sign in (1, -1)
        for more in (-1, 0, 1)
    ]
    page = page_of([cqltypes.IntegerType], [(each,) for each in tens])
    assert by_compiled(page) == by_python(page)


@compiled
def test_a_very_long_number_is_left():
    assert by_compiled(page_of([cqltypes.IntegerType], [(bytes(1251),)])) == (None, None)


@compiled
def test_decimals_of_every_scale_are_written_alike():
    scales = [*range(-30, 40), 2**31 - 1, -(2**31)]
    numbers = [b"\0", b"\1", b"\xff", b"\x7b", b"\x0f\x42\x40", b"\x80" + bytes(11)]
    page = page_of([cqltypes.DecimalType], [(int32(scale) + number,) for scale in scales for number in numbers])
    assert by_compiled(page) == by_python(page)


@compiled
def test_durations_and_times_at_their_ends_are_written_alike():
    ends = [0, 1, 2, 23, 24, 25, 2**32, 2**63, 2**64 - 1, 2**64 - 2]
    durations = [(vint(months) + vint(days) + vint(ns),) for months in ends for days in ends for ns in ends]
    page = page_of([cqltypes.DurationType], durations)
    assert by_compiled(page) == by_python(page)
    moments = [0, 1, -1, 86_400 * 10**9, 36_000 * 10**9 - 1, 360_000 * 10**9, -(2**63), 2**63 - 1]
    page = page_of([cqltypes.TimeType], [(struct.pack(">q", moment),) for moment in moments])
    assert by_compiled(page) == by_python(page)


def repeated_keys():
    nans = (struct.pack(">I", 0x7FC00000), struct.pack(">I", 0x7FC00001))
    yield map_of(cqltypes.FloatType, cqltypes.Int32Type), counted(nans[0], int32(1), nans[1], int32(2), each=2)
    yield map_of(cqltypes.BooleanType, cqltypes.Int32Type), counted(b"\1", int32(1), b"\2", int32(2), each=2)
    yield map_of(cqltypes.Int32Type, cqltypes.Int32Type), counted(b"", int32(1), None, int32(2), each=2)
    many = [part for number in [*range(50), 0] for part in (int32(number), int32(number))]
    yield map_of(cqltypes.Int32Type, cqltypes.Int32Type), counted(*many, each=2)


@compiled
@pytest.mark.parametrize(("cql_type", "content"), list(repeated_keys()))
def test_a_map_with_keys_of_the_same_text_is_left(cql_type, content):
    page = page_of([cql_type], [(content,)])
    assert by_compiled(page) == (None, None)
    assert len(json.loads(by_python(page)[1])["column 0"]) < int.from_bytes(content[:4], "big")


def deep_type(depth):
    inner = cqltypes.Int32Type
    for _ in range(depth):
        inner = list_of(inner)
    return inner


def deep_value(depth):
    value = int32(7)
    for _ in range(depth):
        value = counted(value)
    return value


@compiled
def test_types_as_deep_as_allowed_are_written_alike():
    page = page_of([deep_type(DEEPEST)], [(deep_value(DEEPEST),), (deep_value(DEEPEST)[:-1],), (deep_value(1),)])
    assert by_compiled(page) == by_python(page)


def test_deeper_types_have_no_plan():
    page = page_of([deep_type(DEEPEST + 1)], [(deep_value(DEEPEST + 1),)])
    assert page.description.layout.plan is None
    assert page.encoded(JSON_OBJECTS) == b'{"column 0":' + b"[" * 65 + b"7" + b"]" * 65 + b"}"


@compiled
@pytest.mark.parametrize("count", [2**31 - 1, 2**32 - 1, 2**30])
@pytest.mark.parametrize("inner", [cqltypes.Int32Type, cqltypes.UTF8Type, tuple_of(cqltypes.Int32Type)])
def test_a_count_larger_than_the_cell_is_read_within_it(count, inner):
    types = [
        list_of(inner),
        map_of(inner, inner),
        vector_of(inner, 2**31 - 1),
        vector_of(vector_of(inner, 2**31 - 1), 2**31 - 1),
    ]
    content = struct.pack(">I", count) + framed(int32(1)) * 3
    page = page_of(types, [[content] * len(types)])
    assert by_compiled(page) == by_python(page)
    assert page.encoded(JSON_OBJECTS).count(content.hex().encode()) == len(types)


@compiled
def test_vectors_of_no_elements_are_written_alike():
    types = [vector_of(cqltypes.Int32Type, 0), vector_of(vector_of(cqltypes.Int32Type, 0), 2**31 - 1)]
    page = page_of(types, [(b"", b""), (b"\1", b"\1"), (None, None)])
    assert by_compiled(page) == by_python(page)


@compiled
def test_names_of_user_types_are_escaped_alike():
    kind = cqltypes.UserType.make_udt_class("ks", "t", (f'q"\\{LINE_ENDS}', "é", ""), (cqltypes.Int32Type,) * 3)
    page = page_of([kind, cqltypes.Int32Type], [(framed(int32(1), None, int32(2)), int32(3))] * 2)
    assert by_compiled(page) == by_python(page)


def test_no_column_has_no_plan():
    assert plan_of([], []) is None


@pytest.mark.parametrize("names", [("a", "a"), ("a",), ("a", "b", "c")])
def test_a_user_type_whose_description_contradicts_itself_has_no_plan(names):
    kind = cqltypes.UserType.make_udt_class("ks", "t", ("a", "b"), (cqltypes.Int32Type,) * 2)
    kind.fieldnames = names
    page = page_of([kind], [(framed(int32(1), int32(2)),)])
    assert page.description.layout.plan is None
    assert json.loads(page.encoded(JSON_OBJECTS)) == {"column 0": codec_for(kind).cell(framed(int32(1), int32(2)))}


@pytest.mark.parametrize("size", [-1, 2**31, 2**80])
def test_a_vector_of_an_impossible_size_has_no_plan(size):
    page = page_of([vector_of(cqltypes.Int32Type, size)], [(int32(1),)])
    assert page.description.layout.plan is None
    assert page.encoded(JSON_OBJECTS) == b'{"column 0":"0x00000001"}'


@compiled
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((b"", 0, b"!", (b"",), True), ValueError),
        ((b"", 0, b"ii", (b"",), True), ValueError),
        ((b"", 0, b"", (), True), ValueError),
        ((b"", 0, b"i", [b""], True), ValueError),
        ((b"", 0, b"i", (b"", b""), True), ValueError),
        ((b"", 0, b"L", (b"",), True), ValueError),
        ((b"", 0, b"[\0\0\0", (b"",), True), ValueError),
        ((b"", 0, b"(\xff\xff\xff\xffi", (b"",), True), ValueError),
        ((b"", 0, b"{\0\0\0\2ii", (b"", b"x"), True), ValueError),
        ((b"", 0, b"L" * 65 + b"i", (b"",), True), ValueError),
        ((b"", 0, b"i", ("a",), True), ValueError),
        ((bytearray(b""), 0, b"i", (b"",), True), TypeError),
        ((b"", "0", b"i", (b"",), True), TypeError),
        ((b"", 0, b"i", (b"",)), TypeError),
    ],
)
def test_wrong_arguments_are_refused(arguments, error):
    with pytest.raises(error):
        transcoding.transcode(*arguments)
