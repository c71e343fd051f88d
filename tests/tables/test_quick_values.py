"""The quick encoders of columns accept no value that the closer look refuses, and encode the others as it does."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_app.resources.table.bounds import bounds_of
from asgi_app.resources.table.quick_values import quick_encoder
from asgi_app.tables.annotations import described_type
from asgi_app.tables.encoding import encoder_of, random_uuid
from asgi_app.tables.types import CqlType, ListOf, Native

SHORT = Annotated[str, msgspec.Meta(min_length=2, max_length=4)]
LOWER = Annotated[str, msgspec.Meta(pattern="^[a-z]+$")]
SMALL = Annotated[int, msgspec.Meta(ge=-3, le=200)]
EVEN = Annotated[int, msgspec.Meta(multiple_of=2)]
ABOVE = Annotated[int, msgspec.Meta(gt=3)]

COLUMNS: list[tuple[CqlType, Any]] = [
    (Native("text"), str),
    (Native("text"), SHORT),
    (Native("text"), LOWER | None),
    (Native("ascii"), SHORT | None),
    (Native("inet"), str),
    (Native("int"), SMALL),
    (Native("tinyint"), SMALL | None),
    (Native("varint"), int),
    (Native("int"), EVEN),
    (Native("bigint"), ABOVE),
    (Native("boolean"), bool),
    (Native("text"), Literal["abc", "ab"] | None),
    (Native("tinyint"), Literal[-1, 2]),
    (ListOf(Native("int")), list[int]),
    (ListOf(Native("text")), list[SHORT]),
]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-300, 300)
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=6)
    | st.sampled_from(["::1", "abc", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize(("cql_type", "hint"), COLUMNS, ids=str)
@given(value=values)
def test_what_is_quickly_encoded_is_right(cql_type: CqlType, hint: Any, value: Any) -> None:
    field = described_type(hint)
    quick, bounds = quick_encoder(cql_type, field), bounds_of(field)
    cell = None if quick is None else quick(value)
    if cell is not None:
        assert cell == encoder_of(cql_type).from_json(value)
        assert bounds is None or not list(bounds(value, ""))


USUAL = [(Native("text"), SHORT, "abc"), (Native("int"), SMALL | None, 7), (Native("boolean"), bool, True)]
USUAL += [(Native("text"), Literal["a", "b"], "b"), (Native("int"), Literal[1, 2] | None, 1)]


@pytest.mark.parametrize(("cql_type", "hint", "value"), USUAL, ids=str)
def test_usual_values_need_no_closer_look(cql_type: CqlType, hint: Any, value: Any) -> None:
    quick = quick_encoder(cql_type, described_type(hint))
    assert quick is not None
    assert quick(value) == encoder_of(cql_type).from_json(value)


def test_a_random_uuid_is_one_of_version_4() -> None:
    made = {uuid.UUID(bytes=bytes(random_uuid())) for _ in range(200)}
    assert len(made) == 200
    assert {(each.version, each.variant) for each in made} == {(4, uuid.RFC_4122)}
    for bit in set(range(128)) - {48, 49, 50, 51, 64, 65}:
        assert {each.int >> (127 - bit) & 1 for each in made} == {0, 1}
