"""The console when people are faster than the service, and with keys and texts that are easily spoilt or overlooked."""

from __future__ import annotations

import re
import uuid

import httpx
import pytest
from playwright.sync_api import Route, expect

from browser.console import rows, show, status
from browser.tab import Tab

pytestmark = pytest.mark.long


def stored(site: str, table: str, key: str) -> httpx.Response:
    return httpx.get(f"{site}/{table}/-/row", params={"id": key})


def test_ends_of_lines_stay_in_the_key_and_in_texts_that_are_not_edited(tab: Tab, site: str) -> None:
    name = uuid.uuid4().hex
    key, text = f"{name}\r\n1", "x\r\ny\rz"
    httpx.post(f"{site}/everything", json={"id": key, "c_text": text, "c_int": 1}).raise_for_status()
    page = show(tab, f"edit/everything?id={name}%0D%0A1")
    tab.fill(c_int="2").button("Save").click()
    expect(page.get_by_role("region", name="Values").locator("tr", has_text="c_int")).to_contain_text("2")
    row = stored(site, "everything", key).json()
    assert (row["c_int"], row["c_text"]) == (2, text)
    assert stored(site, "everything", f"{name}\n1").status_code == 404


def test_a_key_that_nobody_could_see_is_quoted(tab: Tab, site: str) -> None:
    httpx.post(f"{site}/everything", json={"id": "\n ", "c_ascii": "blank"}).raise_for_status()
    page = show(tab, "rows/everything?id=%0A%20")
    expect(rows(page)).to_contain_text("blank")
    rows(page).get_by_role("link", name='"\\n "').click()
    expect(page.get_by_role("region", name="Values")).to_contain_text("blank")
    httpx.delete(f"{site}/everything/-/row", params={"id": "\n "}).raise_for_status()


def test_a_double_click_counts_once(tab: Tab, site: str) -> None:
    key = uuid.uuid4().hex
    page = show(tab, "new/tallies")
    tab.fill(id=key, seen="5").button("Save").dblclick()
    expect(page.get_by_role("region", name="Values").locator("tr", has_text="seen")).to_contain_text("5")
    assert stored(site, "tallies", key).json()["seen"] == 5


def test_a_late_answer_leads_nobody_away(tab: Tab) -> None:
    key = uuid.uuid4().hex
    held: list[Route] = []
    page = show(tab, "new/tallies")
    page.route("**/tallies/-/row*", lambda route: held.append(route))
    with page.expect_request("**/tallies/-/row*"):
        tab.fill(id=key, seen="5").button("Save").click()
    expect(page.get_by_role("alert")).to_have_text("Saving …")
    page.get_by_role("link", name="Schema").click()
    expect(page.get_by_role("region", name="Columns")).to_contain_text("seen")
    with page.expect_response("**/tallies/-/row*") as response:
        held[0].continue_()
    assert response.value.finished() is None
    assert page.evaluate("new Promise((done) => setTimeout(() => done(location.hash)))") == "#/about/tallies"


def test_a_dialog_ends_with_its_view(tab: Tab, site: str) -> None:
    user = httpx.get(f"{site}/users?limit=1").json()[0]["id"]
    page = show(tab, "rows/users")
    show(tab, f"row/users?id={user}")
    tab.button("Delete …").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_a_table_without_such_rows_says_that_case_counts(tab: Tab) -> None:
    page = show(tab, "rows/animals?genus=panthera")
    page.get_by_text("This page as a request").click()
    expect(page.get_by_role("region", name="CQL")).to_contain_text(re.compile(r"\.animals WHERE genus = \?$"))
    expect(status(page)).to_have_text("No rows with these values (case counts).")


def test_a_button_that_does_nothing_now_can_be_read(tab: Tab) -> None:
    held: list[Route] = []
    page = show(tab, "stream/users")
    page.route("**/users/stream*", lambda route: held.append(route))
    with page.expect_request("**/users/stream*"):
        tab.button("Start").click()
    expect(tab.button("Start")).to_be_disabled()
    expect(tab.button("Start")).to_have_css("background-color", "rgb(245, 247, 249)")  # not that of a primary button
    held[0].continue_()
    expect(status(page)).to_have_text("Complete: all rows have come")
