"""The page /docs in a browser: each verb sent by its form, for users and for a table with a column of every type."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from browser.conftest import OpenTab
from browser.site import PREFIXES
from browser.tab import Tab

pytestmark = pytest.mark.long

WRONG = {
    "c_bigint": "9223372036854775808",
    "c_blob": "dead",
    "c_date": "29.2.2024",
    "c_decimal": "1,5",
    "c_double": "half",
    "c_duration": "P1D",
    "c_float": "1e39",
    "c_inet": "localhost",
    "c_int": "1.0",
    "c_smallint": "32768",
    "c_time": "13:14",
    "c_timestamp": "2026-11-28T09:00:00",
    "c_timeuuid": "b26b2a23-4d70-41c3-88a7-a9aa9e135a93",
    "c_tinyint": "128",
    "c_uuid": "no",
    "c_varint": "1.5",
    "c_list": "[1, null]",
    "c_set": '["a", 1]',
    "c_map": '{"no date": "x"}',
    "c_frozen": '{"a": 1}',
    "c_nested": '{"a": [{"x": []}]}',
    "c_pairs": '[[[1, "a"]]]',
    "c_tuple": "[1]",
    "c_vector": "[1, 2]",
    "c_words": '["one"]',
    "c_place": '{"nowhere": 1}',
    "c_places": "[1]",
}
"""A wrong value for each column that has one."""


@pytest.mark.parametrize("prefix", PREFIXES)
def test_each_verb_for_users(open_tab: OpenTab, site: str, prefix: str) -> None:
    tab = open_tab(site + prefix).operation("users_create").fill(name="Ann", email="no", age="-1")
    tab.send(422)
    assert tab.errors() == {
        "email": "must be an address of the form a@b.c, of at most 254 characters",
        "age": "must be an integer from 0 to 150",
    }
    expect(tab.field("email")).to_be_focused()

    created = json.loads(tab.fill(email="ann@example.org", age="36").send(201))
    assert (tab.errors(), created["name"]) == ({}, "Ann")
    tab.button("GET Read a user").click()
    expect(tab.field("user_id")).to_have_value(created["id"])
    assert json.loads(tab.send(200)) == created

    changed = json.loads(tab.operation("users_change").fill(user_id=created["id"], age="37").send(200))
    assert (changed["age"], changed["name"]) == (37, "Ann")
    tab.operation("users_replace").fill(user_id=created["id"], name="Bo", email="bo@example.org", age="1").send(200)
    tab.operation("users_read").fill(user_id=created["id"]).send(200)
    tab.button("DELETE Delete a user").click()
    assert tab.send(204) == ""
    tab.operation("users_read").send(404)  # it still has the id from before
    assert tab.errors() == {}


def test_wrong_values_outside_the_body_are_shown_at_their_fields(tab: Tab) -> None:
    tab.operation("users_read").fill(user_id="no uuid")
    tab.page.get_by_text("Headers (").first.click()
    tab.fill(**{"X-Request-Timeout": "0.5"}).send(422)
    assert tab.errors() == {"user_id": "must be a UUID"}
    tab.fill(**{"X-Request-Timeout": "soon"}).send(400)
    assert list(tab.errors()) == ["X-Request-Timeout"]
    tab.operation("everything_list").field("limit").fill("0")
    tab.send(422)
    assert list(tab.errors()) == ["limit"]
    tab.operation("items_batch").fill(body='[{"tenant": 1}]').send(422)
    assert "/0/tenant: must be text" in tab.errors()["body"]


def test_what_cannot_be_sent_is_told_before_it_is_sent(tab: Tab) -> None:
    tab.operation("everything_change").fill(id="..", c_list="[1").button("Send").click()
    assert tab.errors()["id"].startswith("cannot stand in a path")
    assert tab.errors()["c_list"].startswith("is not JSON: ")
    expect(tab.page.get_by_role("status")).to_have_text("nothing was sent yet")


def test_pages_follow_each_other(tab: Tab) -> None:
    tab.operation("users_list").fill(limit="2")
    first = json.loads(tab.send(200))
    tab.button("Next page").click()
    expect(tab.page.locator(".answer pre")).not_to_contain_text(first[0]["id"])
    second = json.loads(tab.answer(200))
    assert len({user["id"] for user in first + second}) == 4
    assert "page_state=" in tab.page.get_by_label("The request as text").inner_text()


@pytest.mark.parametrize("served", ["site", "live"])  # declared, and as the live schema has it
def test_every_type_by_examples(request: pytest.FixtureRequest, open_tab: OpenTab, served: str) -> None:
    address = request.getfixturevalue(served)
    tab = open_tab(f"{address}/")
    key = uuid.uuid4().hex
    row = json.loads(tab.operation("everything_create").fill_examples().fill(id=key).send(201))
    assert all(value is not None for value in row.values())
    assert json.loads(tab.operation("everything_read").fill(id=key).send(200)) == row
    tab.operation("everything_replace").fill_examples().fill(id=key).send(204)
    tab.operation("everything_change").fill_examples().fill(id=key).send(204)
    assert key in tab.operation("everything_stream").send(200)
    tab.operation("everything_delete").fill(id=key).send(204)
    assert httpx.get(f"{address}/everything/{key}").status_code == 404


def test_field_without_an_example_that_its_pattern_matches_is_left_out(tab: Tab) -> None:
    tab.operation("readings_create").fill_examples()
    expect(tab.field("sensor")).to_have_value("text")
    expect(tab.field("code")).to_have_value("")
    assert json.loads(tab.send(201))["code"] is None
    tab.operation("readings_delete").fill(sensor="text", hour="1").send(204)


def test_null_empty_and_absent_are_told_apart_and_digits_stay(tab: Tab, site: str) -> None:
    key = f"a/b ü?&#'\"{uuid.uuid4().hex}"
    tab.operation("everything_create").fill_examples().fill(id=key, c_bigint="9223372036854775807", c_decimal="1.10")
    tab.field("c_text").fill("")  # an empty text that is sent
    tab.box("c_ascii is null").check()
    expect(tab.field("c_ascii")).to_be_disabled()
    tab.box("send Mixed name/é.~").uncheck()
    tab.fill(c_int="", c_double="NaN", c_varint="-1267650600228229401496703205376")
    text = tab.send(201)
    assert '"c_bigint": 9223372036854775807' in text
    row = json.loads(text)
    kept = {name: row[name] for name in ("c_text", "c_ascii", "Mixed name/é.~", "c_int", "c_decimal", "c_double")}
    assert kept == {
        "c_text": "",
        "c_ascii": None,
        "Mixed name/é.~": None,
        "c_int": None,
        "c_decimal": "1.10",
        "c_double": "NaN",
    }
    assert row["c_varint"] == "-1267650600228229401496703205376"

    tab.button("GET Read a row").click()
    assert json.loads(tab.send(200)) == row
    tab.operation("everything_change").fill(id=key, c_int="5")
    tab.box("c_text is null").check()
    tab.send(204)
    changed = _stored(site, key)
    assert changed == {**row, "c_int": 5, "c_text": None}
    tab.operation("everything_delete").fill(id=key).send(204)


def test_wrong_values_of_every_type_are_shown_at_their_fields(tab: Tab) -> None:
    tab.operation("everything_create").fill(id="wrong", **WRONG).send(422)
    found = tab.errors()
    assert set(found) == set(WRONG)
    assert all(found.values())


def _stored(site: str, key: str) -> dict[str, Any]:
    row: dict[str, Any] = httpx.get(f"{site}/everything/-/row", params={"id": key}).json()
    return row
