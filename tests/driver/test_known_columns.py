"""Descriptions of columns are read once, and every page is the same as without that."""

import struct

import pytest
from cassandra import cqltypes, protocol
from helpers.wire import int32, string
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from asgi_app.driver.page import JSON_OBJECTS, RowPage, RowsCorrupt
from asgi_app.driver.protocol import KnownColumns, RawProtocolHandler

INT, TEXT, UUID, CUSTOM = 0x0009, 0x000D, 0x000C, 0x0000
ONE_TABLE, MORE_PAGES, NO_METADATA, NEW_METADATA_ID = 1, 2, 4, 8
VECTOR = "org.apache.cassandra.db.marshal.VectorType(org.apache.cassandra.db.marshal.Int32Type,2)"
PREPARED = [("ks", "t", "id", cqltypes.Int32Type), ("ks", "t", "name", cqltypes.UTF8Type)]


def option(kind):
    return struct.pack(">H", kind) if isinstance(kind, int) else struct.pack(">H", CUSTOM) + string(kind)


def described(columns, flags, table="t"):
    """Return the description of columns in a response."""
    if flags & NO_METADATA:
        return b""
    each = b"" if flags & ONE_TABLE else string("ks") + string(table)
    head = string("ks") + string(table) if flags & ONE_TABLE else b""
    return head + b"".join(each + string(name) + option(kind) for name, kind in columns)


def body_of(columns, cells=(), *, flags=ONE_TABLE, state=None, length=None, count=None, table="t", width=None):
    """Return a RESULT with rows; `length` and `count` replace those of the paging state and of the rows."""
    before = b""
    if state is not None:
        flags |= MORE_PAGES
        before = int32(len(state) if length is None else length) + state
    if flags & NEW_METADATA_ID:
        before += struct.pack(">H", 2) + b"id"
    head = int32(protocol.RESULT_KIND_ROWS) + int32(flags) + int32(len(columns) if width is None else width)
    number = len(cells) // max(1, len(columns)) if count is None else count
    content = b"".join(int32(-1) if cell is None else int32(len(cell)) + cell for cell in cells)
    return head + before + described(columns, flags, table) + int32(number) + content


def received(body, known, version=4):
    return RawProtocolHandler.decode_message(version, {}, 1, 0, 8, body, None, known)


def outcome(message):
    """Return everything that a message says, or "corrupt"."""
    page = message.parsed_rows
    assert isinstance(page, RowPage)
    assert message.column_names == list(page.column_names)
    try:
        rows = page.tuples()
    except RowsCorrupt:
        return "corrupt"
    types = [kind.cass_parameterized_type() for kind in message.column_types]
    return (
        rows,
        page.encoded(JSON_OBJECTS),
        message.column_names,
        types,
        page.row_count,
        page.size,
        message.paging_state,
    )


def assert_same(bodies, version=4):
    """Check that messages decode alike with and without known columns, in this order."""
    known = KnownColumns(PREPARED)
    for body in bodies:
        assert outcome(received(body, known, version)) == outcome(received(body, list(PREPARED), version))
    return known


USERS = (("id", INT), ("name", TEXT))
ANN = (int32(1), b"Ann")


# --- what is known is used


@pytest.mark.parametrize("flags", [ONE_TABLE, 0])
def test_the_same_bytes_have_the_same_description(flags):
    known = KnownColumns(PREPARED)
    pages = [received(body_of(USERS, ANN * times, flags=flags), known).parsed_rows for times in (1, 2, 3)]
    assert [page.tuples() for page in pages] == [[(1, "Ann")] * times for times in (1, 2, 3)]
    assert pages[0].description is pages[1].description is pages[2].description
    assert known == PREPARED  # it is still the list that the driver keeps


def test_whether_more_pages_follow_makes_no_difference():
    known = KnownColumns(PREPARED)
    states = [None, b"", b"state", b"x" * 100_000, None]
    messages = [received(body_of(USERS, ANN, state=state), known) for state in states]
    assert [message.paging_state for message in messages] == states
    assert len({id(message.parsed_rows.description) for message in messages}) == 1


def test_changed_description_is_read_again():
    known = KnownColumns(PREPARED)
    first = received(body_of(USERS, ANN), known).parsed_rows
    wider = (*USERS, ("age", INT))
    second, third = (received(body_of(wider, (*ANN, int32(9))), known).parsed_rows for _ in range(2))
    assert first.column_names == ("id", "name")
    assert second.tuples() == third.tuples() == [(1, "Ann", 9)]
    assert second.description is third.description
    assert second.description is not first.description


def test_no_metadata_uses_the_prepared_columns():
    known = KnownColumns(PREPARED)
    brief = body_of(USERS, ANN, flags=NO_METADATA)
    for body in (brief, body_of((("x", INT), ("y", TEXT)), ANN), brief):
        message = received(body, known)
        assert message.parsed_rows.tuples() == [(1, "Ann")]
    assert message.column_names == ["id", "name"]


def test_statements_do_not_share_descriptions():
    one, other = KnownColumns(PREPARED), KnownColumns(PREPARED)
    received(body_of(USERS, ANN), one)
    assert other.seen is None
    assert received(body_of(USERS, ANN), list(PREPARED)).parsed_rows.tuples() == [(1, "Ann")]


# --- and changes nothing


def with_flags(body, flags):
    """Return the same bytes with another meaning."""
    return body[:4] + int32(flags) + body[8:]


CHANGED = {
    "another name": body_of((("id", INT), ("game", TEXT)), ANN),
    "another order": body_of((("name", TEXT), ("id", INT)), ANN[::-1]),
    "another type": body_of((("id", TEXT), ("name", TEXT)), ANN),
    "a custom type": body_of((("id", VECTOR), ("name", TEXT)), (int32(1) * 2, b"Ann")),
    "another table": body_of(USERS, ANN, table="u"),
    "a column more": body_of((*USERS, ("age", INT)), (*ANN, int32(9))),
    "a column less": body_of(USERS[:1], ANN[:1]),
    "no column": body_of((), ()),
    "tables of their own": body_of(USERS, ANN, flags=0),
    "no description": body_of(USERS, ANN, flags=NO_METADATA),
    "a new description": body_of(USERS, ANN, flags=ONE_TABLE | NEW_METADATA_ID),
    "no rows": body_of(USERS),
    "too many rows": body_of(USERS, ANN, count=2),
    "fewer than no rows": body_of(USERS, ANN, count=-1),
    "bytes after the rows": body_of(USERS, ANN) + b"x",
    "another width": body_of(USERS, ANN, width=3),
    "a negative width": body_of(USERS, ANN, width=-1),
    "a paging state": body_of(USERS, ANN, state=b"state"),
    "an empty paging state": body_of(USERS, ANN, state=b""),
    "a paging state longer than the page": body_of(USERS, ANN, state=b"state", length=10_000),
    "a paging state as long as the page": body_of(USERS, ANN, state=b"", length=len(body_of(USERS, ANN)) - 16),
    "a negative paging state": body_of(USERS, ANN, state=b"", length=-1),
    "a very negative paging state": body_of(USERS, ANN, state=b"", length=-(2**31)),
    "a description in place of the rows": with_flags(body_of(USERS, ANN), NO_METADATA),
    "a description of other flags": with_flags(body_of(USERS, ANN), 0),
    "a description in place of an identity": with_flags(body_of(USERS, ANN), ONE_TABLE | NEW_METADATA_ID),
    "nothing": int32(protocol.RESULT_KIND_ROWS),
}


@pytest.mark.parametrize(
    "before",
    [body_of(USERS, ANN), body_of(USERS, ANN, flags=0), body_of((), ())],
    ids=["one table", "several tables", "no columns"],
)
@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED)
@pytest.mark.parametrize("version", [4, 5])
def test_a_page_that_differs_from_the_one_before(before, changed, version):
    assert_same([before, changed, before, changed, changed], version)


def test_negative_length_of_the_paging_state():
    """A known description before the paging state must not be found."""
    columns, known = described(USERS, ONE_TABLE), KnownColumns(PREPARED)
    assert outcome(received(body_of(USERS, ANN), known)) != "corrupt"
    rest = columns + int32(1) + int32(4) + int32(1) + int32(3) + b"Ann"
    head = int32(protocol.RESULT_KIND_ROWS) + int32(ONE_TABLE | MORE_PAGES) + int32(len(USERS))
    for back in range(1, len(rest) + 40):
        body = head + int32(-back) + rest
        assert outcome(received(body, known)) == outcome(received(body, list(PREPARED)))


@pytest.mark.parametrize("columns", [USERS, (("id", INT), ("v", VECTOR)), (("v", VECTOR),)], ids=str)
@pytest.mark.parametrize("state", [None, b"state"])
def test_cut_page_does_not_affect_the_next_pages(columns, state):
    cells = [int32(1) * 2] * len(columns)
    whole = body_of(columns, cells, state=state)
    expected = outcome(received(whole, list(PREPARED)))
    assert expected != "corrupt"
    for end in range(4, len(whole)):
        for before in ([], [whole]):
            known = assert_same([*before, whole[:end]])
            assert outcome(received(whole, known)) == expected


NAMES = st.sampled_from(["id", "name", "a", "ab", "", "ü", "x" * 40])
KINDS = st.sampled_from([INT, TEXT, UUID, VECTOR, "org.example.Strange", 0x00FF])
COLUMNS = st.lists(st.tuples(NAMES, KINDS), max_size=4)
CELL = st.one_of(st.none(), st.binary(max_size=8))
STATE = st.one_of(st.none(), st.binary(max_size=40))
FLAGS = st.sampled_from([ONE_TABLE, ONE_TABLE, 0, NO_METADATA, ONE_TABLE | NEW_METADATA_ID])
LENGTH = st.one_of(st.none(), st.none(), st.integers(-60, 60), st.integers(-(2**31), 2**31 - 1))


@st.composite
def pages(draw, columns):
    chosen = draw(st.sampled_from(columns))
    width, rows = len(chosen), draw(st.integers(0, 2))
    cells = draw(st.lists(CELL, min_size=width * rows, max_size=width * rows))
    count = draw(st.one_of(st.none(), st.none(), st.integers(-2, 3)))
    body = body_of(chosen, cells, flags=draw(FLAGS), state=draw(STATE), length=draw(LENGTH), count=count)
    if draw(st.booleans()):
        return body
    return body[: draw(st.integers(4, len(body)))] + draw(st.binary(max_size=3))


@st.composite
def walks(draw):
    """Generate responses to one statement with few descriptions, so that most are known when they come again."""
    columns = draw(st.lists(COLUMNS, min_size=1, max_size=3))
    return draw(st.lists(pages(columns), min_size=2, max_size=8))


@hypothesis_settings(deadline=None, max_examples=250)
@given(walks(), st.sampled_from([3, 4, 5]))
@example([body_of(USERS, ANN), body_of(USERS, ANN, state=b"", length=-4)], 4)
def test_pages_are_the_same_with_known_columns(bodies, version):
    assert_same(bodies, version)


@hypothesis_settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_pages_are_the_same_after_junk(junk):
    bodies = [body_of(USERS, ANN)]
    for rest in junk:
        bodies += [int32(protocol.RESULT_KIND_ROWS) + rest, body_of(USERS, ANN, state=rest)]
    assert_same(bodies)
