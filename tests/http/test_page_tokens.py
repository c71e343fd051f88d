"""Page tokens are accepted only unchanged, and only for the walk they were issued for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_app.errors import InvalidPageState
from asgi_app.http.page_tokens import PagePosition, PageTokens

POSITION = PagePosition(b"\x00\x10secret key\xff", fetch_size=10, limit=100, rows_left=90, minimum=18)


def test_token_round_trip() -> None:
    tokens = PageTokens()
    assert tokens.read(tokens.issue(POSITION, "walk"), "walk") == POSITION


def test_generated_key_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    tokens = PageTokens()
    assert caplog.messages == []
    for _ in range(3):
        tokens.issue(POSITION, "walk")
    (message,) = caplog.messages
    assert message.startswith("ASGI_CASSANDRA_PAGE_KEYS is not set")


def test_configured_key_does_not_warn(caplog: pytest.LogCaptureFixture) -> None:
    PageTokens(["k" * 32]).issue(POSITION, "walk")
    assert caplog.messages == []


def test_token_is_opaque_and_unique() -> None:
    tokens = PageTokens()
    first, second = tokens.issue(POSITION, "walk"), tokens.issue(POSITION, "walk")
    assert first != second
    assert "secret" not in first
    assert set(first) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_token_of_another_walk_is_refused() -> None:
    tokens = PageTokens()
    with pytest.raises(InvalidPageState):
        tokens.read(tokens.issue(POSITION, "walk"), "another")


def test_token_of_another_service_is_refused() -> None:
    with pytest.raises(InvalidPageState):
        PageTokens().read(PageTokens().issue(POSITION, "walk"), "walk")


def test_keys_rotate() -> None:
    old, new = "o" * 32, "n" * 32
    issued_before = PageTokens([old]).issue(POSITION, "walk")
    rotated = PageTokens([new, old])
    assert rotated.read(issued_before, "walk") == POSITION
    assert PageTokens([new]).read(rotated.issue(POSITION, "walk"), "walk") == POSITION
    with pytest.raises(InvalidPageState):
        PageTokens([new]).read(issued_before, "walk")


def test_token_expires() -> None:
    now = [1000.0]
    tokens = PageTokens(["k" * 32], lifetime=60, clock=lambda: now[0])
    token = tokens.issue(POSITION, "walk")
    now[0] += 60
    assert tokens.read(token, "walk") == POSITION
    now[0] += 1.5
    with pytest.raises(InvalidPageState):
        tokens.read(token, "walk")
    assert PageTokens(["k" * 32], clock=lambda: now[0] * 1000).read(token, "walk") == POSITION


def test_changed_or_truncated_token_is_refused() -> None:
    tokens = PageTokens()
    token = tokens.issue(POSITION, "walk")
    for at, character in enumerate(token):
        for changed in (token[:at], token[:at] + ("A" if character != "A" else "B") + token[at + 1 :]):
            with pytest.raises(InvalidPageState):
                tokens.read(changed, "walk")


def test_token_has_one_encoding() -> None:
    tokens = PageTokens()
    token = tokens.issue(POSITION, "walk")
    for other in (token + "=", token + "\n", " " + token, token + "!", token + "AAAA"):
        with pytest.raises(InvalidPageState):
            tokens.read(other, "walk")


@given(st.text(max_size=200))
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidPageState):
        PageTokens(["k" * 32]).read(text, "walk")


def test_longest_token() -> None:
    tokens = PageTokens()
    largest = PagePosition(b"\xff" * 65_600, fetch_size=1)
    assert tokens.read(tokens.issue(largest, "walk"), "walk") == largest
    with pytest.raises(InvalidPageState):
        tokens.read("A" * 1_000_000, "walk")
