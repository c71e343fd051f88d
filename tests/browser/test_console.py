"""The page /console/ in a browser: the views of tables and their rows, at every prefix, for everybody."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from cassandra.cluster import Session
from playwright.sync_api import expect
from process.running import environment

from browser.conftest import OpenTab
from browser.console import PAGE_ROWS, add_filter, rows, show, show_rows, statement, status
from browser.site import PREFIXES
from browser.tab import Tab

pytestmark = pytest.mark.long

VALUES = {
    "c_ascii": "a",
    "c_bigint": "9223372036854775807",
    "c_blob": "0x00ff",
    "c_date": "2024-02-29",
    "c_decimal": "1.10",
    "c_double": "1.5",
    "c_duration": "1h30m",
    "c_float": "0.5",
    "c_inet": "192.0.2.1",
    "c_int": "7",
    "c_smallint": "-1",
    "c_time": "13:14:15",
    "c_timestamp": "2026-11-28T09:00:00.000Z",
    "c_timeuuid": "50554d6e-29bb-11e5-b345-feff819cdc9f",
    "c_tinyint": "127",
    "c_uuid": "b26b2a23-4d70-41c3-88a7-a9aa9e135a93",
    "c_varint": "1267650600228229401496703205376",
    "c_list": "[1, 2]",
    "c_set": '["a"]',
    "c_map": '{"2024-02-29": "x"}',
    "c_frozen": "[3]",
    "c_nested": '{"a": [{"1": ["x"]}]}',
    "c_pairs": '[[[1, "a"], "x"]]',
    "c_tuple": '[1, "a", [1]]',
    "c_vector": "[1, 0.5, 0]",
    "c_words": '["a", "b"]',
    "c_place": '{"name": "x"}',
    "c_places": '[{"name": "x"}]',
    "Mixed name/é.~": "m",
}
"""A value for the columns that are no boolean."""


@pytest.mark.parametrize("prefix", PREFIXES)
def test_from_the_overview_to_a_row_and_back(open_tab: OpenTab, site: str, prefix: str) -> None:
    tab = open_tab(site + prefix)
    page = show(tab)
    expect(status(page)).to_have_text("Ready")
    node = page.get_by_role("region", name="Nodes").locator("tbody tr")
    expect(node).to_contain_text(re.compile(r"up\d+\.\d+"))  # its state and its version
    expect(page.locator(".tile strong").first).to_have_text(re.compile(r"\d"))
    page.get_by_role("region", name="Tables and statements").get_by_role("link", name="users").click()

    expect(rows(page)).to_have_count(PAGE_ROWS)
    expect(status(page)).to_contain_text("50 rows · more follow")
    first = rows(page).first.inner_text()
    page.get_by_role("link", name="Next page").click()
    expect(rows(page).first).not_to_have_text(first)
    expect(rows(page)).to_have_count(PAGE_ROWS)
    page.go_back()
    expect(rows(page).first).to_contain_text(first.split()[0])

    rows(page).first.get_by_role("link").click()
    expect(page.get_by_role("region", name="Values").locator("tbody tr")).to_have_count(6)
    page.reload()
    expect(page.get_by_role("region", name="Values")).to_contain_text(first.split()[0])
    page.get_by_role("link", name="Schema").click()
    expect(page.get_by_role("region", name="CREATE TABLE")).to_contain_text("PRIMARY KEY ((id))")


def test_filters_are_those_of_the_table_and_stay_in_the_address(tab: Tab, tmp_path: Path) -> None:
    page = show(tab, "rows/users")
    add_filter(page, "age_filter", "36")
    show_rows(page)
    expect(status(page)).to_contain_text("rows")
    assert page.url.endswith("#/rows/users?age_filter=36")
    page.get_by_text("This page as a request").click()
    command = page.get_by_role("region", name="This page as a request").text_content() or ""
    ended = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment({}), capture_output=True, check=True)
    found = json.loads(ended.stdout)["users"]
    assert found
    assert min(each["age"] for each in found) >= 36
    expect(rows(page)).to_have_count(len(found))
    link = page.get_by_role("link", name="CSV").get_attribute("href") or ""
    assert min(int(line.split(",")[3]) for line in httpx.get(link).text.splitlines()[1:]) >= 36
    page.reload()
    expect(tab.field("age_filter")).to_have_value("36")
    page.get_by_role("button", name="Remove the filter age_filter").click()
    expect(status(page)).to_contain_text("more follow")
    assert page.url.endswith("#/rows/users")

    show(tab, "rows/users?page_state=old")
    page.get_by_role("link", name="Begin at the first page").click()
    expect(rows(page)).to_have_count(PAGE_ROWS)


def test_errors_of_filters_stand_at_their_inputs(tab: Tab) -> None:
    page = show(tab, "rows/users")
    add_filter(page, "age_filter", "old")
    show_rows(page)
    expect(page.get_by_role("alert")).to_contain_text("Invalid input")
    assert tab.errors() == {"age_filter": "must be an integer from 0 to 150"}
    expect(tab.field("age_filter")).to_be_focused()
    tab.field("age_filter").fill("36")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(PAGE_ROWS)
    tab.field("age_filter").fill("")
    show_rows(page)
    assert tab.errors() == {"age_filter": "is empty"}
    expect(tab.field("age_filter")).to_be_focused()

    show(tab, "rows/items?tenant=a&tenant.in=b&tenant.in=c&day=2026-11-28&nothing=1")
    expect(page.get_by_role("alert")).to_contain_text("Invalid input")
    assert tab.errors()["nothing"] == "is not a column or an option"
    expect(tab.field("tenant IN")).to_have_value("b\nc")
    page.get_by_role("button", name="Remove the filter nothing").click()
    expect(page.locator(".field", has_text="tenant IN")).to_contain_text("cannot be combined with tenant")
    show(tab, "stream/items?kind.gte=a")
    tab.button("Start").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert [*tab.errors()] == ["kind.gte"]  # its name, since the table does not offer it


def test_what_a_table_cannot_do_is_not_offered(tab: Tab) -> None:
    page = show(tab, "rows/plants")
    ways = page.get_by_role("group", name="Views of the table")
    expect(ways).to_have_text("RowsStreamSchema")
    expect(status(page)).to_have_text("Enter what the rows are read by.")
    show(tab, "rows/animals")
    tab.field("genus =").fill("Panthera")
    show_rows(page)
    expect(rows(page)).to_have_count(2)
    expect(rows(page).first).to_contain_text("Panthera")
    assert page.get_by_role("link", name="NDJSON").count() == 0
    show(tab, "rows/everything")
    expect(ways).to_have_text("RowsStreamSchemaNew row")
    for view in ("rows/nothing", "constructor/users"):
        show(tab, view)
        expect(page.get_by_role("heading", level=1)).to_have_text("Not found")


@pytest.mark.parametrize("served", ["site", "live"])  # declared, and as the live schema has it
def test_create_change_and_delete_a_row_of_every_type(
    request: pytest.FixtureRequest, open_tab: OpenTab, served: str
) -> None:
    tab = open_tab(f"{request.getfixturevalue(served)}/")
    key = f"a/b ü?&#'\"{uuid.uuid4().hex}"

    def stored() -> dict[str, object]:
        row: dict[str, object] = httpx.get(f"{tab.address}everything/-/row", params={"id": key}).json()
        return row

    page = show(tab, "new/everything")
    tab.fill(**VALUES, id=key).fill(c_int="many")
    tab.field("c_boolean").select_option("true")
    tab.button("Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Invalid input")
    assert [*tab.errors()] == ["c_int"]
    tab.box("send c_text").check()
    tab.box("c_ascii is null").check()
    tab.fill(c_int="7").button("Save").click()
    values = page.get_by_role("region", name="Values")
    expect(values).to_contain_text("9223372036854775807")
    before = stored()
    assert (before["c_text"], before["c_ascii"], before["c_int"]) == ("", None, 7)
    assert [name for name, value in before.items() if value is None] == ["c_ascii"]
    expect(values.locator("tr", has_text="c_text")).to_contain_text("empty text")
    expect(values.locator("tr", has_text="c_ascii")).to_contain_text("null")

    page.get_by_role("link", name="Edit").click()
    expect(tab.field("id")).not_to_be_editable()
    tab.button("Save").click()
    expect(page.get_by_role("alert")).to_have_text("Nothing was changed.")
    tab.fill(c_int="", c_set='["x", "y"]').button("Save").click()
    expect(values).to_contain_text('["x","y"]')
    assert stored() == {**before, "c_int": None, "c_set": ["x", "y"]}

    tab.button("Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(status(page)).to_contain_text("row")
    assert httpx.get(f"{tab.address}everything/-/row", params={"id": key}).status_code == 404


def test_listed_values_are_chosen_and_that_of_another_program_is_kept(
    tab: Tab, site: str, cql: Session, variables: Mapping[str, str]
) -> None:
    number = uuid.uuid4().int % 2**31
    keyspace = variables["CASSANDRA_KEYSPACE"]
    cql.execute(f"INSERT INTO {keyspace}.rides (kind, id, state, stars) VALUES ('car', {number}, 'lost', 9)")
    page = show(tab, f"row/rides?kind=car&id={number}")
    page.get_by_role("link", name="Edit").click()
    assert tab.field("state").locator("option").all_text_contents() == ["", "done", "new", "lost"]
    assert (tab.field("state").input_value(), tab.field("stars").input_value()) == ("lost", "9")
    tab.button("Save").click()
    expect(page.get_by_role("alert")).to_have_text("Nothing was changed.")
    tab.field("state").select_option("done")
    tab.button("Save").click()
    expect(page.get_by_role("region", name="Values")).to_contain_text("done")
    row = httpx.get(f"{site}/rides/car/{number}").json()
    assert (row["state"], row["stars"]) == ("done", 9)


def test_only_the_version_that_is_shown_is_deleted(tab: Tab, site: str) -> None:
    key = uuid.uuid4().hex
    httpx.post(f"{site}/documents", json={"id": key, "title": "first"}).raise_for_status()
    page = show(tab, f"row/documents?id={key}")
    tab.button("Delete …").click()
    httpx.patch(f"{site}/documents/{key}", json={"title": "second"}, headers={"If-Match": "*"}).raise_for_status()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert httpx.get(f"{site}/documents/{key}").json()["title"] == "second"


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (360, "dark")])
def test_axe_finds_nothing(open_tab: OpenTab, site: str, scheme: str, width: int) -> None:
    tab = open_tab(f"{site}/", color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce")

    def check(view: str) -> None:
        assert (view, tab.axe(), tab.is_wider_than_window()) == (view, [], False)

    page = show(tab)
    expect(page.get_by_role("region", name="Nodes")).to_contain_text("up")
    check("overview")
    show(tab, "rows/users?age_filter=36")
    expect(status(page)).to_contain_text("rows")
    check("rows")
    others = ("about/items", "new/everything", "rows/animals", "rows/items?tenant=a&tenant.in=b", "row/users?id=no")
    own = (statement("GET /names"), statement("POST /rename/{id}", "new"))
    for view in (*others, *own, "partition/items?tenant=a&day=2026-11-28", "new/tallies"):
        show(tab, view)
        page.get_by_text("As a request").or_(page.locator("main a")).first.wait_for()
        check(view)
    show(tab, "stream/users")
    tab.button("Start").click()
    expect(status(page)).to_contain_text("Complete")
    check("stream")


def test_keyboard_alone_is_enough(tab: Tab) -> None:
    page = show(tab, "rows/users")
    expect(rows(page)).to_have_count(PAGE_ROWS)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    for _ in range(6):  # the four views, the filters, the button that adds one
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(tab.field("age_filter")).to_be_focused()
    page.keyboard.type("36")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert page.url.endswith("?age_filter=36")
