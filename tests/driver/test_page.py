"""Pages of rows: from a response's bytes to values and JSON; other bytes raise RowsCorrupt."""

import importlib.util
import json
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import SimpleNamespace

import msgspec
import pytest
from cassandra import cqltypes, protocol
from helpers.wire import cell, encoded, int32, string
from hypothesis import given
from hypothesis import strategies as st

from asgi_app.driver import page as page_module
from asgi_app.driver import transcoding
from asgi_app.driver.page import (
    GIL_YIELD_SECONDS,
    JSON_LINES,
    JSON_OBJECTS,
    MSGPACK,
    Description,
    RowPage,
    RowsCorrupt,
)
from asgi_app.driver.protocol import RawProtocolHandler, keep_page


@pytest.fixture(autouse=True, scope="module", params=["python"] + ["compiled"] * (transcoding.transcode is not None))
def written_by(request):
    """Run every test with the compiled transcoder and without it."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            patch.setattr(transcoding, "transcode", None)
        yield


VERSIONS = [3, 4, 5]
INT, TEXT, TIMESTAMP, UUID, CUSTOM, LIST = 0x0009, 0x000D, 0x000B, 0x000C, 0x0000, 0x0020
GLOBAL_TABLE, MORE_PAGES, NO_METADATA, NEW_METADATA_ID = 1, 2, 4, 8
FAR = struct.pack(">q", 2**62)


def option(kind):
    return struct.pack(">H", kind) if isinstance(kind, int) else kind


def rows_body(columns, content_rows, *, flags=GLOBAL_TABLE, before=b"", count=None):
    names = b"".join(string(name) + option(kind) for name, kind in columns)
    described = b"" if flags & NO_METADATA else string("ks") + string("t") + names
    head = int32(protocol.RESULT_KIND_ROWS) + int32(flags) + int32(len(columns)) + before + described
    return head + int32(len(content_rows) if count is None else count) + encoded(content_rows)


def received(body, version=4, result_metadata=None, flags=0, opcode=8):
    return RawProtocolHandler.decode_message(version, {}, 1, flags, opcode, body, None, result_metadata)


def page_of(columns, content_rows, **options):
    return received(rows_body(columns, content_rows, **options)).parsed_rows


USERS = [("id", UUID), ("name", TEXT), ("age", INT), ("at", TIMESTAMP)]
ANN = (b"\0" * 16, b"Ann", int32(30), struct.pack(">q", 0))
ANN_OUT = ("00000000-0000-0000-0000-000000000000", "Ann", 30, "1970-01-01T00:00:00.000Z")
BOB = (b"\1" * 16, None, b"", FAR)
BOB_OUT = ("01010101-0101-0101-0101-010101010101", None, None, "+146140482-04-24T15:36:27.904Z")
LEFT_TO_PYTHON = (b"\1" * 16, b"not UTF-8: \xff", None, FAR)
COLUMN_NAMES = ("id", "name", "age", "at")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("times", [1, 2, 50])
def test_a_response_becomes_a_page_whose_rows_can_be_read(version, times):
    message = received(rows_body(USERS, [ANN, BOB] * times), version)
    page = message.parsed_rows
    assert isinstance(page, RowPage)
    assert (message.column_names, message.paging_state) == (list(COLUMN_NAMES), None)
    assert message.column_types == [
        cqltypes.UUIDType,
        cqltypes.VarcharType,
        cqltypes.Int32Type,
        cqltypes.DateType,
    ]
    assert (page.column_names, page.row_count) == (COLUMN_NAMES, 2 * times)
    assert page.size == len(encoded([ANN, BOB] * times))
    assert page.tuples() == [ANN_OUT, BOB_OUT] * times
    assert page.dicts() == [dict(zip(COLUMN_NAMES, row, strict=True)) for row in [ANN_OUT, BOB_OUT] * times]
    assert json.loads(b"[" + page.encoded(JSON_OBJECTS) + b"]") == page.dicts()


def test_the_row_factory_hands_the_page_on():
    page = page_of(USERS, [ANN])
    assert keep_page(COLUMN_NAMES, page) is page


def test_paging_state_and_a_new_metadata_id_are_read():
    state, identifier = b"\0\1state", b"\2id"
    before = int32(len(state)) + state + struct.pack(">H", len(identifier)) + identifier
    body = rows_body(USERS, [ANN], flags=GLOBAL_TABLE | MORE_PAGES | NEW_METADATA_ID, before=before)
    message = received(body, version=5)
    assert (message.paging_state, message.result_metadata_id) == (state, identifier)
    assert message.parsed_rows.tuples() == [ANN_OUT]


@pytest.mark.parametrize("version", VERSIONS)
def test_without_metadata_that_of_the_prepared_statement_is_used(version):
    known = [("ks", "t", "n", cqltypes.Int32Type), ("ks", "t", "s", cqltypes.UTF8Type)]
    body = rows_body([("", INT), ("", INT)], [(int32(1), b"x")], flags=NO_METADATA)
    page = received(body, version, known).parsed_rows
    assert page.dicts() == [{"n": 1, "s": "x"}]
    assert page.description.layout is received(body, version, known).parsed_rows.description.layout


def test_a_page_without_rows():
    page = page_of(USERS, [])
    assert (page.row_count, page.size) == (0, 0)
    assert (page.tuples(), page.dicts(), page.encoded(JSON_OBJECTS)) == ([], [], b"")


def test_a_conditional_write_has_its_applied_column():
    page = page_of([("[applied]", 0x0004), ("count(*)", INT)], [(b"\0", int32(7))])
    assert page.encoded(JSON_OBJECTS) == b'{"[applied]":false,"count(*)":7}'


def test_column_names_that_msgspec_refuses():
    twice = page_of([("a", INT), ("a", INT)], [(int32(1), int32(2))])
    assert twice.tuples() == [(1, 2)]
    assert twice.encoded(JSON_OBJECTS) == b'{"a":2}'
    odd = page_of([('q"\\\n', INT), ("", INT), ("é𝄞", INT)], [(int32(1), int32(2), int32(3))] * 2)
    assert json.loads(b"[" + odd.encoded(JSON_OBJECTS) + b"]") == [{'q"\\\n': 1, "": 2, "é𝄞": 3}] * 2


@given(st.lists(st.tuples(st.text(), st.one_of(st.none(), st.text()), st.binary()), max_size=12))
def test_rows_of_any_text_become_the_json_that_others_write(content):
    page = page_of(
        [("a", TEXT), ("b", TEXT), ("c", TEXT)],
        [(a.encode(), None if b is None else b.encode(), c) for a, b, c in content],
    )
    expected = [{"a": a, "b": b, "c": c.decode("utf-8", "replace")} for a, b, c in content]
    assert b"[" + page.encoded(JSON_OBJECTS) + b"]" == msgspec.json.encode(expected)
    assert json.loads(b"[" + page.encoded(JSON_OBJECTS) + b"]") == expected == page.dicts()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(page.dicts())) == expected


CELLS = st.one_of(st.none(), st.binary(max_size=12))


@given(st.integers(1, 5).flatmap(lambda width: st.lists(st.tuples(*[CELLS] * width), max_size=40)))
def test_cells_are_split_alike_with_and_without_the_compiled_driver(content):
    width = len(content[0]) if content else 1
    cells = [content_cell for row in content for content_cell in row]
    body = encoded(content)
    assert page_module._cells(body, len(content), width) == cells
    assert page_module._split(body, len(cells)) == page_module._split_in_python(body, len(cells)) == cells


@pytest.mark.parametrize("encoding", [JSON_OBJECTS, JSON_LINES, MSGPACK])
@pytest.mark.parametrize(("size", "parts"), [(1, 15), (40, 15), (200, 4), (10**6, 1)])
def test_python_encodes_a_large_page_in_parts(monkeypatch, encoding, size, parts):
    sleeps = []
    monkeypatch.setattr(page_module, "PART_BYTES", size)
    monkeypatch.setattr(page_module, "time", SimpleNamespace(sleep=sleeps.append))
    page = page_of(USERS, [ANN, LEFT_TO_PYTHON, ANN] * 5)
    assert page.encoded(encoding, in_parts=True) == page.encoded(encoding)
    assert sleeps == [GIL_YIELD_SECONDS] * (parts - 1)


def test_an_incomplete_page_is_corrupt_in_parts_too(monkeypatch):
    monkeypatch.setattr(page_module, "PART_BYTES", 40)
    page = page_of(USERS, [ANN] * 5)
    with pytest.raises(RowsCorrupt):
        RowPage(page.description, 5, page._body[:-1]).encoded(JSON_OBJECTS, in_parts=True)


def test_a_page_of_many_thousand_cells():
    page = page_of([("n", INT), ("s", TEXT)], [(int32(number), b"x") for number in range(5000)])
    assert page.tuples() == [(number, "x") for number in range(5000)]


def readings(page):
    return (page.tuples, page.dicts, *(partial(page.encoded, form) for form in (JSON_OBJECTS, JSON_LINES, MSGPACK)))


def assert_corrupt(page):
    for read in readings(page):
        with pytest.raises(RowsCorrupt):
            read()


@pytest.mark.parametrize("count", [-1, -(2**31), 0, 1, 3, 4, 1000, 2**31 - 1])
def test_wrong_row_count(count):
    page = page_of(USERS, [ANN, BOB], count=count)
    assert page.row_count == count
    assert_corrupt(page)


@given(st.integers(0, 200))
def test_cut_page(cut):
    body = rows_body(USERS, [ANN, BOB])
    message = received(body[: min(4 + cut, len(body) - 1)])
    assert_corrupt(message.parsed_rows)


@given(st.binary(min_size=1, max_size=40))
def test_bytes_after_the_rows(rest):
    assert_corrupt(received(rows_body(USERS, [ANN]) + rest).parsed_rows)


@given(st.binary(max_size=200), st.integers(-2, 12), st.integers(1, 4))
def test_any_bytes_are_rows_or_corrupt(body, count, width):
    page = RowPage(Description(tuple("abcd"[:width]), (cqltypes.UTF8Type,) * width), count, body)
    try:
        assert len(page.tuples()) == count
    except RowsCorrupt:
        assert_corrupt(page)


@given(st.binary(max_size=80))
def test_rows_never_raise_in_the_driver(rest):
    page = received(int32(protocol.RESULT_KIND_ROWS) + rest).parsed_rows
    assert isinstance(page, RowPage)
    with suppress(RowsCorrupt):
        page.encoded(JSON_OBJECTS)


def test_rows_of_other_columns_than_described_are_refused():
    known = [("ks", "t", "n", cqltypes.Int32Type)]
    body = rows_body([("", INT), ("", INT)], [(int32(1), int32(2))], flags=NO_METADATA)
    for description in (known, [], None):
        assert_corrupt(received(body, result_metadata=description).parsed_rows)


def test_unknown_type_code():
    assert_corrupt(page_of([("n", 0x00FF)], [(int32(1),)]))


MARSHAL = "org.apache.cassandra.db.marshal."


def java(text):
    """Return the description of a type by its Java name, which the server sends for types without a code."""
    return option(CUSTOM) + string(text.replace("#", MARSHAL))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("#VectorType(#Int32Type,2)", int32(1) + int32(2), [1, 2]),
        ("#VectorType(#FrozenType(#ListType(#Int32Type)),1)", b"\x0c" + int32(1) + cell(int32(5)), [[5]]),
        # The name of `address` in hexadecimal has only digits.
        ("#VectorType(#UserType(ks,61646472657373,6e:#Int32Type),1)", b"\x08" + cell(int32(5)), [{"n": 5}]),
        ("#VectorType(#UserType(2024,6162,6e:#Int32Type),1)", b"\x08" + cell(int32(5)), [{"n": 5}]),
        ("org.example.Strange", b"\1\2", "0x0102"),
        ("#VectorType(#Int32Type)", b"\1\2", "0x0102"),
        ("not a (type", b"\1\2", "0x0102"),
        ("", b"\1\2", "0x0102"),
    ],
)
def test_types_described_by_their_java_name(name, content, expected):
    for columns in ([("v", java(name))], [("v", option(LIST) + java(name))]):
        is_list = len(columns[0][1]) > len(java(name))
        stored = int32(1) + cell(content) if is_list else content
        assert page_of(columns, [(stored,)]).tuples() == [([expected] if is_list else expected,)]


def test_other_results_are_the_drivers():
    assert received(int32(protocol.RESULT_KIND_VOID)).kind == protocol.RESULT_KIND_VOID
    assert received(int32(protocol.RESULT_KIND_SET_KEYSPACE) + string("ks")).new_keyspace == "ks"
    change = string("CREATED") + string("TABLE") + string("ks") + string("t")
    event = received(int32(protocol.RESULT_KIND_SCHEMA_CHANGE) + change).schema_change_event
    assert event == {"target_type": "TABLE", "change_type": "CREATED", "keyspace": "ks", "table": "t"}
    described = string("ks") + string("t") + string("n") + option(INT)
    prepared = struct.pack(">H", 2) + b"id" + int32(GLOBAL_TABLE) + int32(1) + int32(0) + described
    message = received(int32(protocol.RESULT_KIND_PREPARED) + prepared + int32(GLOBAL_TABLE) + int32(1) + described)
    assert message.query_id == b"id"
    assert message.column_metadata == [("ks", "t", "n", cqltypes.Int32Type)]
    error = received(int32(0x2200) + string("no"), opcode=0)
    assert isinstance(error, protocol.InvalidRequestException)


def test_a_page_can_be_read_by_many_threads_at_once():
    page = page_of(USERS, [ANN, BOB] * 500)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: (page.tuples(), page.encoded(JSON_OBJECTS)), range(32)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == [ANN_OUT, BOB_OUT] * 500


def test_rows_are_read_without_the_compiled_driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "cassandra.obj_parser", None)
    spec = importlib.util.spec_from_file_location("plain_rows", page_module.__file__)
    plain = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "plain_rows", plain)
    spec.loader.exec_module(plain)
    types = (cqltypes.UUIDType, cqltypes.UTF8Type, cqltypes.Int32Type, cqltypes.DateType)
    description = plain.Description(COLUMN_NAMES, types)
    body = encoded([ANN, BOB])
    assert plain.RowPage(description, 2, body).tuples() == [ANN_OUT, BOB_OUT]
    for wrong in (body[:-1], body + b"\0", body[:3], b""):
        with pytest.raises(plain.RowsCorrupt):
            plain.RowPage(description, 2, wrong).tuples()
