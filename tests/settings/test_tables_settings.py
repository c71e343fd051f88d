"""The settings that name tables of the live schema: their form, and what contradicts itself."""

from __future__ import annotations

import pytest

from asgi_app.settings import Settings, SettingsError

TABLES, WRITABLE = "ASGI_CASSANDRA_TABLES", "ASGI_CASSANDRA_WRITABLE"


def load(tables: str, writable: str = "") -> Settings:
    return Settings.load({TABLES: tables, WRITABLE: writable}, env_file=None)


def problems(tables: str, writable: str = "") -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load(tables, writable)
    return dict(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("*", ("*",)),
        ("events, Users", ("events", "Users")),
        ("events,shop.Events2", ("events", "shop.Events2")),
        ("*,shop.*", ("*", "shop.*")),
        ("events,", ("events",)),
    ],
)
def test_names_keep_their_case(text: str, names: tuple[str, ...]) -> None:
    assert load(text).tables == names
    assert load(text, text).writable == names


@pytest.mark.parametrize("text", ["a b", "a-b", "a.b.c", '"a"', ".a", "a.", "a;b", "**", "é", "a" * 223])
def test_what_is_no_name_is_refused(text: str) -> None:
    assert list(problems(text)) == [TABLES]


@pytest.mark.parametrize("writable", ["", "s3cr-t", "s3cr-t,s3cr-t"])
def test_what_is_no_name_is_not_repeated(writable: str) -> None:
    """It may be a secret under the wrong variable."""
    with pytest.raises(SettingsError) as caught:
        load("s3cr-t,s3cr-t", writable)
    assert "s3cr-t" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("events,events", "names events twice"),
        ("*,events", "combines * with names of the same keyspace; use * alone, or remove it"),
        ("shop.*,shop.events", "combines * with names of the same keyspace; use * alone, or remove it"),
        ("events,test_keyspace.events", "names events twice"),
        ("test_keyspace.*,events", "combines * with names of the same keyspace; use * alone, or remove it"),
        ("events,shop.events", "names the table events of two keyspaces, and both would have one path"),
    ],
)
def test_contradictions(text: str, message: str) -> None:
    assert problems(text) == {TABLES: message}


@pytest.mark.parametrize(
    ("tables", "writable"),
    [
        ("events,users", "users"),
        ("events,users", "*"),
        ("*", "users"),
        ("*", "*"),
        ("shop.*", "shop.events"),
        ("events", "test_keyspace.events"),
        ("test_keyspace.events", "events"),
        ("*", "test_keyspace.*"),
    ],
)
def test_what_is_served_may_be_writable(tables: str, writable: str) -> None:
    assert load(tables, writable).writable == (writable,)


@pytest.mark.parametrize(
    ("tables", "writable"), [("", "users"), ("events", "users"), ("shop.*", "*"), ("shop.events", "events")]
)
def test_what_is_not_served_cannot_be_writable(tables: str, writable: str) -> None:
    message = f"names {writable}, which ASGI_CASSANDRA_TABLES does not serve; name it there too"
    assert problems(tables, writable) == {WRITABLE: message}
