"""The console writes what its forms show: nothing is kept, lost, emptied or rounded that the user did not see."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from playwright.sync_api import expect

from browser.console import rows, show, show_rows
from browser.tab import Tab

pytestmark = pytest.mark.long

DAY = "2026-11-28"
LARGEST = 2**63 - 1
WITHOUT_RAW_JSON = "delete JSON.rawJSON"
"""What Firefox before 135 and Safari before 18.4 lack."""


def written(tab: Tab, method: str) -> Any:
    """Save the form, and return the body that was sent."""
    with tab.page.expect_request(lambda request: request.method == method) as request:
        tab.button("Save").click()
    return json.loads(request.value.post_data or "")


def test_what_is_taken_out_of_a_map_or_a_user_type_is_gone(tab: Tab, site: str) -> None:
    tenant, at, identifier = uuid.uuid4().hex, f"{DAY}T09:00:00.000Z", str(uuid.uuid4())
    item = {"tenant": tenant, "day": DAY, "at": at, "id": identifier, "kind": "login"}
    own = {"attrs": {"a": 1, "b": 2}, "home": {"street": "x", "zip": 5}, "office": {"street": "y", "zip": 6}}
    httpx.post(f"{site}/items", json={**item, **own}).raise_for_status()
    address = f"{site}/items/{tenant}/{DAY}/{at}/{identifier}"

    page = show(tab, f"edit/items?tenant={tenant}&day={DAY}&at={at}&id={identifier}")
    tab.fill(attrs='{ "b": 2,"c": 3 }', home='{"street": "x"}', office='{"street": "z"}')
    sent = written(tab, "PATCH")
    assert sent == {"attrs": {"a": None, "c": 3}, "home": {"zip": None}, "office": {"street": "z"}}
    values = page.get_by_role("region", name="Values")
    expect(values).to_contain_text('{"b":2,"c":3}')
    stored = httpx.get(address).json()
    assert (stored["attrs"], stored["home"]) == ({"b": 2, "c": 3}, {"street": "x", "zip": None})
    assert stored["office"] == {"street": "z", "zip": None}

    page.get_by_role("link", name="Edit").click()
    tab.fill(attrs='{"c": 3, "b": 2}').button("Save").click()
    expect(page.get_by_role("alert")).to_have_text("Nothing was changed.")
    tab.fill(attrs="{}")
    assert written(tab, "PATCH") == {"attrs": {"b": None, "c": None}}
    expect(values.locator("tr", has_text="attrs")).to_contain_text("null")


def test_what_is_taken_out_of_a_static_map_is_gone(tab: Tab, site: str) -> None:
    key = uuid.uuid4().int % 2**31
    counts = {"a": LARGEST, "b": LARGEST - 1, "__proto__": 1}
    httpx.patch(f"{site}/larges/{key}", json={"counts": counts}).raise_for_status()
    page = show(tab, f"partition/larges?a={key}")
    tab.fill(counts=json.dumps({"a": LARGEST, "b": LARGEST}))
    assert written(tab, "PATCH") == {"counts": {"b": LARGEST, "__proto__": None}}
    expect(rows(page)).to_have_count(1)
    assert httpx.get(f"{site}/larges/{key}").json()[0]["counts"] == {"a": LARGEST, "b": LARGEST}


def test_null_that_must_not_be_written_is_for_the_user_to_replace(
    tab: Tab, site: str, cql: Session, variables: Mapping[str, str]
) -> None:
    key, table = uuid.uuid4().hex, f"{variables['CASSANDRA_KEYSPACE']}.members"
    cql.execute(f"INSERT INTO {table} (id, secret) VALUES ('{key}', 's')")

    def stored() -> tuple[str | None, ...]:
        return tuple(cql.execute(f"SELECT name, motto, secret FROM {table} WHERE id = '{key}'").one())

    page = show(tab, f"edit/members?id={key}")
    for name in ("name", "motto"):
        expect(tab.box(f"{name} is null")).to_be_checked()
        expect(tab.field(name)).to_be_disabled()
    tab.fill(secret="s").button("Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Invalid input")
    assert tab.errors() == {"name": "must not be null", "motto": "must not be null"}
    expect(tab.box("name is null")).to_be_focused()
    assert stored() == (None, None, "s")

    tab.box("name is null").uncheck()  # then it is an empty text
    tab.box("motto is null").uncheck()
    tab.fill(motto="m")
    assert written(tab, "PUT") == {"name": "", "motto": "m", "secret": "s"}
    expect(page.get_by_role("region", name="Values").locator("tr", has_text="name")).to_contain_text("empty text")
    assert stored() == ("", "m", "s")


def test_what_is_never_shown_is_not_lost_by_an_edit(
    tab: Tab, site: str, cql: Session, variables: Mapping[str, str]
) -> None:
    key, table = uuid.uuid4().hex, f"{variables['CASSANDRA_KEYSPACE']}.members"
    httpx.post(f"{site}/members", json={"id": key, "name": "Ann", "secret": "s"}).raise_for_status()

    def secret() -> str | None:
        found: str | None = cql.execute(f"SELECT secret FROM {table} WHERE id = '{key}'").one().secret
        return found

    page = show(tab, f"edit/members?id={key}")
    tab.fill(name="Bob").button("Save").click()
    assert [*tab.errors()] == ["secret"]
    assert "choose null" in tab.errors()["secret"]
    expect(tab.field("secret")).to_be_focused()
    assert secret() == "s"
    tab.fill(secret="t").button("Save").click()
    values = page.get_by_role("region", name="Values")
    expect(values).to_contain_text("Bob")
    assert secret() == "t"
    page.get_by_role("link", name="Edit").click()
    tab.box("secret is null").check()
    tab.button("Save").click()
    expect(values).to_contain_text("Bob")
    assert secret() is None


@pytest.mark.parametrize("lacks", ["", WITHOUT_RAW_JSON])
def test_large_integers_keep_their_digits_in_every_browser(tab: Tab, site: str, lacks: str) -> None:
    number = 2**62 + uuid.uuid4().int % 2**60
    plain, listed = {"a": number, "b": 1, "n": LARGEST}, {"a": number, "b": 2, "n": -LARGEST, "ns": [LARGEST]}
    for row in (plain, listed):
        httpx.post(f"{site}/larges", json=row).raise_for_status()
    tab.page.add_init_script(lacks)
    page = show(tab, f"rows/larges?a={number}")
    expect(rows(page)).to_have_count(2)
    rows(page).first.get_by_role("link").click()
    values = page.get_by_role("region", name="Values")
    expect(values.locator("tr", has_text="bigint").first).to_contain_text(str(number))
    expect(values).to_contain_text(str(LARGEST))
    page.get_by_role("link", name="Edit").click()
    assert written(tab, "PUT") == {"n": LARGEST, "ns": None}
    expect(values).to_contain_text(str(LARGEST))
    assert httpx.get(f"{site}/larges/{number}/1").json()["n"] == LARGEST

    show(tab, f"edit/larges?a={number}&b=2")
    expect(tab.field("n")).to_have_value(str(-LARGEST))
    tab.button("Save").click()
    if lacks:
        expect(page.get_by_role("alert")).to_contain_text("Invalid input")
        assert [*tab.errors()] == ["ns"]
        tab.fill(ns=f"[{LARGEST}]").button("Save").click()
    expect(values).to_contain_text(str(LARGEST))
    found = httpx.get(f"{site}/larges/{number}/2").json()
    assert (found["n"], found["ns"]) == (-LARGEST, [LARGEST])


def test_a_row_whose_key_begins_like_the_verbs_has_its_view(tab: Tab, site: str) -> None:
    at, identifier = f"{DAY}T09:00:00.000Z", str(uuid.uuid4())
    item = {"tenant": "-", "day": DAY, "at": at, "id": identifier, "kind": "dash"}
    httpx.post(f"{site}/items", json=item).raise_for_status()
    page = show(tab, f"rows/items?tenant=-&day={DAY}")
    rows(page).first.get_by_role("link").click()
    values = page.get_by_role("region", name="Values")
    expect(values).to_contain_text("dash")
    expect(page.get_by_role("link", name="Partition")).to_have_count(0)
    page.get_by_role("link", name="Edit").click()
    tab.box("size is null").uncheck()
    tab.fill(size="5").button("Save").click()
    expect(values.locator("tr", has_text="size")).to_contain_text("5")
    tab.button("Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert httpx.get(f"{site}/items?tenant=-&day={DAY}").json() == []

    tab.operation("items_read").fill(tenant="-", day=DAY, at=at, id="-").button("Send").click()
    assert [*tab.errors()] == ["tenant"]
    assert "/-/row" in tab.errors()["tenant"]


def test_a_list_has_values_of_several_lines_and_empty_ones(tab: Tab, site: str) -> None:
    name = uuid.uuid4().hex
    tenants = ["", f"{name}\r\n1", f'"{name}"', name]
    for number, tenant in enumerate(tenants):
        item = {"tenant": tenant, "day": DAY, "at": f"{DAY}T09:00:00Z", "id": str(uuid.uuid4()), "kind": f"k{number}"}
        httpx.post(f"{site}/items", json=item).raise_for_status()
    query = str(httpx.QueryParams([("day", DAY), *(("tenant.in", each) for each in tenants)])).replace("+", "%20")
    page = show(tab, f"rows/items?{query}")
    expect(rows(page)).to_have_count(4)
    expect(tab.field("tenant IN")).to_have_value(f'""\n"{name}\\r\\n1"\n"\\"{name}\\""\n{name}')
    tab.field("tenant IN").fill(f'""\n"{name}\\r\\n1"')
    show_rows(page)
    expect(rows(page)).to_have_count(2)
    page.reload()
    expect(rows(page)).to_have_count(2)
    expect(page.locator(".rows")).to_contain_text("k1")
    tab.field("tenant IN").fill("\n")
    show_rows(page)
    assert tab.errors() == {"tenant IN": "is empty"}
    expect(tab.field("tenant IN")).to_be_focused()
