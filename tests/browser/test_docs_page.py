"""The page /docs in a browser: what it shows, where it leads, how it stops reading, and that everybody can use it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect
from process.running import environment

from browser.conftest import OpenTab
from browser.many import TABLES
from browser.tab import Tab

pytestmark = pytest.mark.long

NASTY = 'it\'s "quoted" $HOME `id` \\n !! \u2028 é 🦉 %41 ${x} {y} [z] <b>\n# two lines\ttab'
"""What shells, Python and URLs read as something else, and markup."""
SCHEMES = ("light", "dark")


def _by_curl(text: str) -> list[str]:
    return ["bash", "-c", text]


def _by_python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


@pytest.mark.parametrize(("language", "command"), [("curl", _by_curl), ("Python httpx", _by_python)])
def test_snippets_do_what_the_form_does(
    tab: Tab, site: str, tmp_path: Path, language: str, command: Callable[[str], list[str]]
) -> None:
    def run(operation: str) -> str:
        snippet = tab.snippet(language)
        ended = subprocess.run(
            command(snippet), cwd=tmp_path, env=environment({}), capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, f"{operation}: {snippet}\n{ended.stderr}"
        return ended.stdout

    key = NASTY + uuid.uuid4().hex
    tab.operation("everything_create").fill(id=key, c_text=NASTY, c_set=json.dumps([NASTY, "'"]))
    assert NASTY in json.loads(re.sub(r"^201 ", "", run("create")))["c_text"]
    stored = httpx.get(f"{site}/everything/-/row", params={"id": key}).json()
    assert (stored["c_text"], set(stored["c_set"])) == (NASTY, {NASTY, "'"})

    tab.operation("everything_read").fill(id=key)
    assert NASTY in json.loads(re.sub(r"^200 ", "", run("read")))["id"]
    tab.operation("everything_change").fill(id=key, c_int="7")
    run("change")
    tab.operation("everything_read_by_query").fill(id=key)
    assert json.loads(re.sub(r"^200 ", "", run("read by query")))["c_int"] == 7
    tab.operation("users_stream").fill(limit="3")
    assert len(json.loads(run("stream"))) == 3


def test_copy_button_copies_the_request(open_tab: OpenTab, site: str) -> None:
    tab = open_tab(f"{site}/", permissions=["clipboard-read", "clipboard-write"]).operation("users_list")
    shown = tab.snippet("curl")
    tab.button("Copy").click()
    expect(tab.button("Copied")).to_be_visible()
    assert tab.page.evaluate("navigator.clipboard.readText()") == shown


def test_long_streams_are_cut_and_slow_answers_can_be_stopped(tab: Tab) -> None:
    tab.operation("users_stream").fill(fetch_size="1000")
    assert tab.send(200).startswith('[\n  {\n    "id": ')
    expect(tab.page.get_by_text("The page stopped reading after 128 KiB.")).to_be_visible()
    tab.field("format").select_option("ndjson")
    assert all(json.loads(line) for line in tab.send(200).splitlines()[:-1])
    tab.field("format").select_option("msgpack")
    tab.fill(limit="5").send(200)
    expect(tab.page.get_by_text("The body is no text.")).to_be_visible()

    tab.operation("diagnostics_slow_query").button("Send").click()
    tab.button("Stop").click()
    expect(tab.page.get_by_role("status")).to_contain_text("Stopped")
    expect(tab.button("Stop")).to_be_hidden()


def test_first_view_and_resources_show_the_tables(tab: Tab) -> None:
    tab.open()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("asgi-cassandra")
    row = tab.page.get_by_role("region", name="Tables").get_by_role("row", name="items")
    expect(row).to_contain_text("((tenant, day), at DESC, id)")
    row.get_by_role("link", name="items").click()
    expect(tab.page.get_by_role("region", name="Columns").get_by_role("row", name="tags")).to_contain_text("set<text>")
    assert tab.page.title() == "items · asgi-cassandra"


def test_search_deep_links_and_back(tab: Tab) -> None:
    tab.open()
    tab.page.get_by_label("Search operations").fill("PATCH user")
    expect(tab.page.get_by_text("1 found")).to_be_visible()
    tab.page.get_by_role("link", name="PATCH /users/{user_id}").click()
    assert tab.page.url.endswith("docs#operation=users_change")
    heading = tab.page.get_by_role("heading", level=1)
    expect(heading).to_be_focused()
    tab.fill(age="5")
    tab.page.get_by_role("link", name="users", exact=True).click()
    expect(heading).to_have_text("users")
    tab.page.go_back()
    expect(heading).to_have_text("Change a user")
    expect(tab.field("age")).to_have_value("5")
    tab.open("operation=nothing")
    expect(heading).to_have_text("Not found")


def test_keyboard_alone_is_enough(tab: Tab) -> None:
    tab.open("operation=users_create")
    press = tab.page.keyboard.press
    press("Tab")
    expect(tab.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    press("Enter")
    expect(tab.page.get_by_role("heading", level=1)).to_be_focused()
    for _ in range(3):  # the CQL, the link to the resource, the first field
        press("Tab")
    expect(tab.field("name")).to_be_focused()
    tab.page.keyboard.type("Ann")
    for text in ("ann@example.org", "36"):
        press("Tab")
        tab.page.keyboard.type(text)
    press("Control+Enter")
    assert json.loads(tab.answer(201))["age"] == 36


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [1440, 360])
def test_axe_finds_nothing(open_tab: OpenTab, site: str, scheme: str, width: int) -> None:
    tab = open_tab(f"{site}/", color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce")

    def check(view: str) -> None:
        assert (view, tab.axe(), tab.is_wider_than_window()) == (view, [], False)

    for view in ("", "resource=items", "operation=items_list", "operation=everything_create"):
        tab.open(view)
        check(view)
    tab.operation("users_create").fill(name="x", age="-1").send(422)
    check("refused")


def test_document_of_many_tables_stays_usable(open_tab: OpenTab, site: str) -> None:
    tab = open_tab(f"{site}/many/").open()
    expect(tab.page.get_by_role("region", name="Tables").get_by_role("row")).to_have_count(TABLES + 1)
    assert tab.page.locator("nav a").count() == 0  # a resource is filled in when it is opened
    tab.page.get_by_label("Search operations").fill("items_499 post search")
    tab.page.locator("nav").get_by_role("link", name="POST /items_499/-/search").click()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("Search for rows")
    assert tab.page.url.endswith("#operation=items_499_search")
    assert tab.page.locator("nav a").count() < 100
