"""The page /console/ in a browser: each view's story, at every prefix, with a key, for everybody."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from cassandra.cluster import Session
from playwright.sync_api import Locator, Page, expect
from process.running import environment

from browser.conftest import READER, USERS, OpenTab
from browser.site import MILLION, PREFIXES
from browser.tab import Tab

pytestmark = pytest.mark.long

PAGE_ROWS = 50
MOST_BYTES = 50_000_000
WIDE_ROWS, WIDTH = 300, 100_000
"""Rows that are larger than the buffers between service and browser: a slow reader keeps their stream open."""


def show(tab: Tab, view: str = "") -> Page:
    """Show a view of the console: "" is the overview."""
    tab.page.goto(f"{tab.address}console/#/{view}")
    expect(tab.page.locator("main h1")).not_to_have_text("Loading …")
    return tab.page


def rows(page: Page) -> Locator:
    return page.get_by_role("region", name="Rows", exact=True).locator("tbody tr")


def figure(page: Page, name: str) -> Locator:
    """Return a figure of a stream by its name."""
    return page.locator(".figures div").filter(has=page.get_by_text(name, exact=True)).locator("dd")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_from_the_overview_to_a_row_and_back(open_tab: OpenTab, site: str, prefix: str) -> None:
    tab = open_tab(site + prefix)
    page = show(tab)
    expect(page.get_by_role("status")).to_have_text("Ready")
    node = page.get_by_role("region", name="Nodes").locator("tbody tr")
    expect(node).to_contain_text(re.compile(r"up\d+\.\d+"))  # its state and its version
    expect(page.locator(".tile strong").first).to_have_text(re.compile(r"\d"))
    page.get_by_role("region", name="Tables").get_by_role("link", name="users").click()

    expect(rows(page)).to_have_count(PAGE_ROWS)
    expect(page.get_by_role("status")).to_contain_text("50 rows · more follow")
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
    expect(page.get_by_role("region", name="CREATE TABLE")).to_contain_text("PRIMARY KEY (id)")


def test_overview_says_what_it_cannot_know(tab: Tab) -> None:
    page = show(tab)
    expect(page.get_by_role("status")).to_have_text("Ready")
    page.route("**/readyz", lambda route: route.fulfill(status=503, json={"connected": False}))
    page.route("**/metrics", lambda route: route.fulfill(status=403, json={"title": "Forbidden", "detail": "no."}))
    expect(page.get_by_role("status")).to_have_text("Not ready: Cassandra does not answer")
    expect(page.locator("main .note")).to_contain_text("The metrics are not shown: Forbidden no.")
    page.unroute("**/readyz")
    expect(page.get_by_role("status")).to_have_text("Ready")
    page.route("**/readyz", lambda route: route.abort())
    expect(page.get_by_role("status")).to_contain_text("No answer from the service since")
    page.goto("about:blank")
    assert all("ERR_FAILED" in fault for fault in tab.faults)  # Chromium logs what this test has aborted
    tab.faults.clear()


def test_filters_are_those_of_the_table_and_stay_in_the_address(tab: Tab, site: str, tmp_path: Path) -> None:
    page = show(tab, "rows/users")
    page.get_by_label("Value").fill("36")
    page.get_by_role("button", name="Add filter").click()
    expect(page.get_by_role("list", name="Filters that are set")).to_contain_text("36")
    expect(page.get_by_role("status")).to_contain_text("rows")
    assert "#/rows/users?" in page.url
    page.get_by_text("This page as a request").click()
    command = page.get_by_role("region", name="This page as a request").text_content() or ""
    ended = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment({}), capture_output=True, check=True)
    found = json.loads(ended.stdout)["users"]
    assert found
    assert min(each["age"] for each in found) >= 36
    expect(rows(page)).to_have_count(len(found))
    link = page.get_by_role("link", name="CSV").get_attribute("href") or ""
    assert min(int(line.split(",")[3]) for line in httpx.get(link).text.splitlines()[1:]) >= 36

    page.get_by_label("Value").fill("old")
    page.get_by_role("button", name="Add filter").click()
    expect(page.get_by_role("alert")).to_contain_text("must be an integer")
    page.get_by_role("button", name="Remove the filter").first.click()
    expect(rows(page)).to_have_count(PAGE_ROWS)

    show(tab, "rows/items?tenant=a&tenant.in=b")
    expect(page.get_by_role("alert")).to_contain_text("cannot be combined with tenant")
    show(tab, "rows/users?page_state=old")
    page.get_by_role("link", name="Begin at the first page").click()
    expect(rows(page)).to_have_count(PAGE_ROWS)


def test_what_a_table_cannot_do_is_not_offered(tab: Tab) -> None:
    page = show(tab, "rows/plants")
    ways = page.get_by_role("group", name="Views of the table")
    expect(ways).to_have_text("RowsStreamSchema")
    expect(page.get_by_role("status")).to_contain_text("Rows are read by genus")
    show(tab, "rows/animals")
    page.get_by_label("genus").fill("Panthera")
    page.get_by_role("button", name="Show rows").click()
    expect(rows(page)).to_have_count(2)
    expect(rows(page).first).to_contain_text("Panthera")
    assert page.get_by_role("link", name="NDJSON").count() == 0
    show(tab, "rows/tallies")
    expect(page.get_by_role("status")).to_have_text("No rows.")
    expect(page.get_by_role("link", name="New row")).to_have_count(0)
    show(tab, "rows/nothing")
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
    tab.button("Fill in examples").click()
    tab.fill(id=key, c_int="many", c_bigint="9223372036854775807").button("Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Invalid input")
    assert [*tab.errors()] == ["c_int"]
    tab.field("c_text").fill("")
    tab.box("send c_text").check()
    tab.box("c_ascii is null").check()
    tab.fill(c_int="7").button("Save").click()
    values = page.get_by_role("region", name="Values")
    expect(values).to_contain_text("9223372036854775807")
    before = stored()
    assert (before["c_text"], before["c_ascii"], before["c_int"]) == ("", None, 7)
    expect(values.locator("tr", has_text="c_text")).to_contain_text("empty text")
    expect(values.locator("tr", has_text="c_ascii")).to_contain_text("null")

    page.get_by_role("link", name="Edit").click()
    expect(tab.field("id")).not_to_be_editable()
    tab.button("Save").click()
    expect(page.get_by_role("alert")).to_have_text("Nothing was changed.")
    tab.field("c_int").fill("")
    tab.button("Save").click()
    assert tab.errors() == {"c_int": "is empty: enter a value, or choose null"}
    tab.box("c_int is null").check()
    tab.fill(c_set='["x", "y"]').button("Save").click()
    expect(values).to_contain_text('["x","y"]')
    assert stored() == {**before, "c_int": None, "c_set": ["x", "y"]}

    tab.button("Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_contain_text("row")
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


def test_stream_is_watched_to_its_end(tab: Tab) -> None:
    page = show(tab, "stream/users")
    tab.button("Start").click()
    expect(page.get_by_role("status")).to_have_text("Complete: all rows have come")
    expect(figure(page, "Rows")).to_have_text(f"{USERS:,}")
    expect(page.get_by_role("region", name="Last rows").locator("tbody tr")).to_have_count(100)
    expect(figure(page, "open_streams")).to_have_text("0")


@pytest.fixture
def wide_rows(site: str) -> Iterator[None]:
    """Write rows with long texts, and delete them at the end."""
    keys = [f"wide-{number}" for number in range(WIDE_ROWS)]
    with httpx.Client(base_url=site, timeout=30) as client:
        for key in keys:
            client.post("/everything", json={"id": key, "c_text": "x" * WIDTH}).raise_for_status()
        yield
        for key in keys:
            client.delete(f"/everything/{key}").raise_for_status()


@pytest.mark.usefixtures("wide_rows")
def test_a_stopped_stream_is_closed_and_long_values_are_cut(tab: Tab) -> None:
    page = show(tab, "stream/everything")
    slow = {"offline": False, "latency": 0, "downloadThroughput": 300_000, "uploadThroughput": -1}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    tab.button("Start").click()
    expect(figure(page, "open_streams")).to_have_text("1")
    tab.button("Stop").click()
    expect(page.get_by_role("status")).to_have_text("Stopped")
    expect(figure(page, "open_streams")).to_have_text("0")

    show(tab, "rows/everything?id=wide-7")
    tab.page.get_by_role("button", name="xxx").click()
    expect(page.get_by_role("dialog")).to_contain_text("100,000 characters")
    assert tab.axe() == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_million_rows_pass_and_little_is_kept(open_tab: OpenTab, site: str) -> None:
    page = show(open_tab(f"{site}/million/"), "stream/users")
    session = page.context.new_cdp_session(page)

    def memory() -> float:
        used = session.send("Runtime.getHeapUsage")
        return float(used["usedSize"] + used["backingStorageSize"])

    page.get_by_role("button", name="Start").click()
    largest = 0.0
    while page.get_by_role("status").text_content() != "Complete: all rows have come":
        page.wait_for_timeout(250)  # this is how often the memory is measured
        largest = max(largest, memory())
    expect(figure(page, "Rows")).to_have_text(f"{MILLION:,}")
    expect(page.get_by_role("region", name="Last rows").locator("tbody tr").first).to_contain_text("000000999999")
    session.send("HeapProfiler.collectGarbage")
    assert memory() < largest < MOST_BYTES


def test_key_is_asked_once_and_used_for_all(open_tab: OpenTab, guarded: str) -> None:
    tab = open_tab(guarded)
    tab.page.goto(f"{tab.address}console/#/rows/users")
    tab.enter_key(READER)
    page = tab.page
    expect(rows(page)).to_have_count(PAGE_ROWS)
    show(tab)
    expect(page.get_by_role("region", name="Nodes")).to_contain_text("up")
    show(tab, "stream/users")
    tab.button("Start").click()
    expect(page.get_by_role("status")).to_have_text("Complete: all rows have come")
    show(tab, "rows/users")
    page.get_by_text("All of these rows as a file").click()
    expect(page.get_by_role("region", name="All of these rows as a file")).to_contain_text("$API_KEY")
    expect(page.get_by_role("link", name="CSV")).to_have_count(0)  # a link sends no key
    assert READER not in page.content()

    show(tab, "new/users")
    tab.button("Fill in examples").click()
    tab.button("Save").click()
    expect(page.get_by_role("alert")).to_contain_text("does not have the scope write")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 360])
def test_axe_finds_nothing(open_tab: OpenTab, site: str, scheme: str, width: int) -> None:
    tab = open_tab(f"{site}/", color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce")

    def check(view: str) -> None:
        assert (view, tab.axe(), tab.is_wider_than_window()) == (view, [], False)

    page = show(tab)
    expect(page.get_by_role("region", name="Nodes")).to_contain_text("up")
    check("overview")
    show(tab, "rows/users?age_filter=36")
    expect(page.get_by_role("status")).to_contain_text("rows")
    check("rows")
    for view in ("about/items", "new/everything", "rows/animals", "rows/items?tenant=a&tenant.in=b", "row/users?id=no"):
        show(tab, view)
        check(view)
    show(tab, "stream/users")
    tab.button("Start").click()
    expect(page.get_by_role("status")).to_contain_text("Complete")
    check("stream")


def test_keyboard_alone_is_enough(tab: Tab) -> None:
    page = show(tab, "rows/users")
    expect(rows(page)).to_have_count(PAGE_ROWS)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    page.get_by_label("Value").focus()
    page.keyboard.type("36")
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="Filters that are set")).to_contain_text("36")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
