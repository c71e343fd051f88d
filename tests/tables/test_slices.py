"""Slices of the ring: their texts, their bounds, and that they cover each token once."""

from __future__ import annotations

import pytest

from asgi_app.tables.cql import Statement, in_range
from asgi_app.tables.slices import MOST_SLICES, WHOLE_RING, RingSelect, Slice, TokenRange, slices
from asgi_app.tables.wrong_value import WrongValue

FIRST, LAST = -(2**63), 2**63 - 1


@pytest.mark.parametrize("text", ["1/1", "3/64", "64/64", "65536/65536"])
def test_a_slice_has_one_text(text: str) -> None:
    assert str(Slice.parse(text)) == text


WRONG = (
    *("", "1", "1/", "/1", "0/1", "2/1", "1/0", "01/1", "1/01", "+1/1", "-1/1", " 1/1", "1/1\n", "1/65537"),
    *("1/2/3", "1.0/2", "99999/99999", "1/\u0662"),
)


@pytest.mark.parametrize("text", WRONG)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(WrongValue, match="must be i/n"):
        Slice.parse(text)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 4096, MOST_SLICES])
def test_slices_follow_one_another_from_the_first_token_to_the_last(count: int) -> None:
    bounds = [each.bounds for each in slices(count)]
    assert (bounds[0].after, bounds[-1].until) == (FIRST, LAST)
    assert [each.until for each in bounds[:-1]] == [each.after for each in bounds[1:]]
    assert all(each.after < each.until for each in bounds)  # none wraps around
    widths = {each.until - each.after for each in bounds}
    assert max(widths) - min(widths) <= 2


def test_bounds_are_those_of_the_formula() -> None:
    assert Slice(1, 1).bounds == WHOLE_RING
    assert Slice(2, 3).bounds == (FIRST + 2**64 // 3, FIRST + 2 * 2**64 // 3)
    assert Slice(3, 3).bounds == (FIRST + 2 * 2**64 // 3, LAST)


@pytest.mark.parametrize("tokens", [WHOLE_RING, Slice(2, 3).bounds, TokenRange(-2, 1), TokenRange(4, 5)])
@pytest.mark.parametrize("count", [1, 2, 3, 128])
def test_parts_follow_one_another(tokens: TokenRange, count: int) -> None:
    parts = tokens.parts(count)
    assert (parts[0].after, parts[-1].until) == tokens
    assert [each.until for each in parts[:-1]] == [each.after for each in parts[1:]]
    assert all(each.after < each.until for each in parts)
    assert len(parts) == min(count, tokens.until - tokens.after)


def test_a_select_of_a_range_has_its_bounds_first() -> None:
    assert in_range(("a", 'b"')) == 'token("a", "b""") > ? AND token("a", "b""") <= ?'
    whole, part = (Statement(cql, idempotent=True, writes=False) for cql in ("whole", "part"))
    select = RingSelect(whole, part, (7,))
    assert select.within(WHOLE_RING) == (whole, (7,))
    statement, values = select.within(TokenRange(-1, 2))
    assert statement is part
    assert values == (b"\xff" * 8, (2).to_bytes(8, "big"), 7)
