"""Validation of bodies and query parameters: every wrong field is named, and no value is repeated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
import pytest

from asgi_app.errors import FieldError, InvalidInput, MalformedJSON
from asgi_app.http.validation import ArrayDecoder, BodyDecoder, QueryValues, check_depth, explain


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=3, description="must be short")]
    size: Annotated[int, msgspec.Meta(ge=0, le=9)]
    tags: list[str] = []


def not_both(thing: Thing) -> Iterator[FieldError]:
    if thing.name == "no" and thing.size == 0:
        yield FieldError("/size", "must not be 0 for no")


things = BodyDecoder(Thing, not_both)


def wrong_fields(body: bytes) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        things.decode(body)
    return {error.field: error.message for error in caught.value.errors}


def test_valid_body() -> None:
    assert things.decode(b'{"name":"a","size":1,"tags":["x"]}') == Thing("a", 1, ["x"])


def test_all_wrong_fields_are_named() -> None:
    assert wrong_fields(b'{"name":"","size":"1","colour":1}') == {
        "/name": "must be short",
        "/size": "is wrong: expected int, got str",
        "/colour": "is not a field of this resource",
    }


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"name":"a"}', "size is required"),
        (b"{}", "name is required, and 1 more"),
        (b'{"name":"","size":"1","colour":1}', "name must be short, and 2 more"),
        (b'{"name":"a","size":"1"}', "size is wrong: expected int, got str"),
        (b'{"name":"a","size":1,"query.x":1}', "query.x is not a field of this resource"),
        (b'{"name":"a","size":1,"":1}', '"" is not a field of this resource'),
        (b"[]", "the body must be a JSON object"),
    ],
)
def test_detail_names_first_field_and_counts_others(body: bytes, detail: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        things.decode(body)
    assert caught.value.detail == detail


def test_detail_counts_omitted_errors() -> None:
    unknown = b",".join(b'"f%d":1' % number for number in range(150))
    with pytest.raises(InvalidInput) as caught:
        things.decode(b'{"size":1,%b}' % unknown)
    assert len(caught.value.errors) == InvalidInput.most_errors
    assert caught.value.detail == "name is required, and 150 more"


def test_detail_names_query_parameter() -> None:
    query = QueryValues({"limit": "x", "fetch_size": "0"})
    query.integer("limit", 1, 2)
    query.integer("fetch_size", 1, 2)
    with pytest.raises(InvalidInput) as caught:
        query.check()
    assert caught.value.detail == "limit must be an integer from 1 to 2, and 1 more"


def test_missing_fields_are_named() -> None:
    assert wrong_fields(b"{}") == {"/name": "is required", "/size": "is required"}


@pytest.mark.parametrize(
    "value", [b"true", b"1.0", b"1e0", b'"1"', b"null", b"-1", b"10", b"[1]", b"{}", b"9" * 5000, b"1e400"]
)
def test_integer_is_strict(value: bytes) -> None:
    assert list(wrong_fields(b'{"name":"a","size":%b}' % value)) == ["/size"]


def test_extra_check() -> None:
    assert wrong_fields(b'{"name":"no","size":0}') == {"/size": "must not be 0 for no"}


def test_error_inside_field_has_path() -> None:
    wrong = wrong_fields(b'{"name":"a","size":1,"tags":["x",null]}')
    assert wrong == {"/tags": "is wrong: expected str, got null at [1]"}


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"'])
def test_body_that_is_not_an_object(body: bytes) -> None:
    assert wrong_fields(body) == {"": "must be a JSON object"}


def test_last_repeated_member_counts() -> None:
    assert things.decode(b'{"name":7,"size":1,"name":"b"}') == Thing("b", 1)
    assert list(wrong_fields(b'{"name":"b","size":1,"name":7}')) == ["/name"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"name":"a","size":1',
        b'{"name":"a","size":1} x',
        b"{'name':'a'}",
        b'\xef\xbb\xbf{"name":"a","size":1}',
        b'{"name":"a","size":NaN}',
        b'{"name":"\xff","size":1}',
        b'{"name":"\xed\xa0\x80","size":1}',
        b'{"name":"a\x00","size":1}',
        b'{"name":"a","size":1,}',
        b'{"name":"\\ud800","size":NaN}',
        b"[" * 100_000,
        b'{"name":' + b"[" * 100_000,
    ],
)
def test_malformed_json(body: bytes) -> None:
    with pytest.raises(MalformedJSON):
        things.decode(body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"name":"\\ud800","size":1}', "/name"),
        (b'{"name":"a","size":1,"tags":["x","\\udfff"]}', "/tags/1"),
        (b'{"name":"a","size":1,"\\ud800":1}', ""),
        (b'{"name":"a","size":1,"a/b~c":"\\ud800"}', "/a~1b~0c"),
    ],
)
def test_lone_surrogate_is_invalid_input(body: bytes, field: str) -> None:
    assert wrong_fields(body) == {field: "is not Unicode text: it holds a lone surrogate"}


def test_unknown_member_names_are_escaped_and_cut() -> None:
    body = msgspec.json.encode({"name": "a", "size": 1, "a/b~": 0, "x" * 1000: 0})
    assert list(wrong_fields(body)) == ["/a~1b~0", "/" + "x" * 100]


batch = ArrayDecoder(things, "things", 3)


@pytest.mark.parametrize("body", [b'[{"name":"a","size":1}]', b' \n[{"name":"a","size":1}]'])
def test_batch_is_array(body: bytes) -> None:
    assert batch.decode(body) == [Thing("a", 1)]


def test_batch_may_be_wrapped() -> None:
    assert batch.decode(b'{"things":[{"name":"a","size":1}]}') == [Thing("a", 1)]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"[]", [""]),
        (b"[{},{},{},{}]", [""]),
        (b'{"things":[]}', ["/things"]),
        (b'{"things":{}}', ["/things"]),
        (b"{}", ["/things"]),
        (b'{"others":[]}', ["/others", "/things"]),
        (b'[{"name":"a","size":1},{"name":"b","size":11},7]', ["/1/size", "/2"]),
        (b'{"things":[{"name":"a","size":1},{"size":1}]}', ["/things/1/name"]),
        (b'[{"name":"no","size":0}]', ["/0/size"]),
        (b'[{"name":"\\ud800","size":1}]', ["/0/name"]),
        (b"null", [""]),
    ],
)
def test_wrong_batch_names_each_member(body: bytes, fields: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        batch.decode(body)
    assert [error.field for error in caught.value.errors] == fields


@pytest.mark.parametrize("body", [b"", b"[", b"[1", b'[{"name":"a","size":1}', b"[" * 100_000, b"[\xff]", b"hello"])
def test_malformed_batch(body: bytes) -> None:
    with pytest.raises(MalformedJSON):
        batch.decode(body)


@pytest.mark.parametrize(
    "text", ["", " 5", "5 ", "+5", "5.0", "1e2", "\uff11\uff10", "x", "0", "101", "-1", "9" * 30, "0x10", "1_0"]
)
def test_query_integer(text: str) -> None:
    query = QueryValues({"limit": text})
    assert query.integer("limit", 1, 100) is None
    with pytest.raises(InvalidInput) as caught:
        query.check()
    assert caught.value.errors == (FieldError("query.limit", "must be an integer from 1 to 100"),)


def test_query_errors_are_collected() -> None:
    query = QueryValues({"limit": "x", "fetch_size": "0", "fine": "7"})
    assert query.integer("fine", 0, 9) == 7
    assert query.integer("absent", 0, 9) is None
    query.integer("limit", 1, 2)
    query.integer("fetch_size", 1, 2)
    with pytest.raises(InvalidInput) as caught:
        query.check()
    assert [error.field for error in caught.value.errors] == ["query.limit", "query.fetch_size"]


def test_depth_ignores_brackets_in_strings() -> None:
    check_depth(b'{"a":"[[[[[[{{{{\\"[[["}', 2)
    check_depth(b"[[1],[2],[3]]", 2)
    with pytest.raises(MalformedJSON, match="deeper than the 2 levels"):
        check_depth(b"[[[1]]]", 2)


def test_pattern_in_a_message_is_as_it_was_declared() -> None:
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert("x", Annotated[str, msgspec.Meta(pattern=r"^\d{13}`'$")])
    assert explain(error.value) == r"is wrong: expected str matching regex '^\d{13}`'$'"
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert(["x"], list[Annotated[str, msgspec.Meta(pattern=r"\d")]])
    assert explain(error.value) == r"is wrong: expected str matching regex '\d' at [0]"
