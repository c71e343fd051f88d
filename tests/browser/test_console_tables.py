"""The console with what only some services have: own CQL, vectors, counters, static columns, views, many tables."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from urllib.parse import quote

import httpx
import pytest
from cassandra.cluster import Session
from playwright.sync_api import expect

from browser.conftest import USERS, OpenTab
from browser.console import PAGE_ROWS, add_filter, figure, rows, show, show_rows, statement, status
from browser.many import TABLES
from browser.tab import Tab

pytestmark = pytest.mark.long

DAY = "2026-11-28"


def write_items(site: str, tenant: str, count: int) -> None:
    """Write rows of one partition of `items`."""
    row = {"tenant": tenant, "day": DAY, "kind": "login"}
    for first in range(0, count, PAGE_ROWS):
        times = [
            f"{DAY}T09:{number // 60:02}:{number % 60:02}Z" for number in range(first, min(count, first + PAGE_ROWS))
        ]
        items = [{**row, "at": at, "id": str(uuid.uuid4())} for at in times]
        httpx.post(f"{site}/items/-/batch", json=items).raise_for_status()


def test_a_statement_is_run_with_its_parameters_and_paged(tab: Tab, site: str) -> None:
    tenant = uuid.uuid4().hex
    write_items(site, tenant, PAGE_ROWS + 10)
    page = show(tab)
    listed = page.get_by_role("region", name="Tables and statements").get_by_role("row", name="GET /recent/{tenant}")
    expect(listed).to_contain_text("WHERE tenant = :tenant AND day = :day")
    page.locator("nav").get_by_role("link", name="GET /recent/{tenant}").click()
    tab.fill(tenant=tenant)
    show_rows(page)
    assert tab.errors() == {"day": "is empty"}
    tab.fill(day="today")
    show_rows(page)
    expect(page.get_by_role("alert")).to_be_visible()
    assert [*tab.errors()] == ["day"]
    tab.fill(day=DAY)
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(PAGE_ROWS)
    page.get_by_role("link", name="Next page").click()
    expect(rows(page)).to_have_count(10)
    expect(status(page)).to_contain_text("10 rows of a later page · the last page")


def test_a_statement_is_streamed(tab: Tab) -> None:
    page = show(tab, statement("GET /names"))
    expect(rows(page)).to_have_count(PAGE_ROWS)
    page.get_by_role("link", name="Stream all").click()
    tab.button("Start").click()
    expect(status(page)).to_have_text("Complete: all rows have come")
    expect(figure(page, "Rows")).to_have_text(f"{USERS:,}")


def test_a_statement_writes_and_one_row_is_read(tab: Tab, site: str) -> None:
    user = httpx.get(f"{site}/users?limit=1").json()[0]
    page = show(tab, statement("POST /rename/{id}", "new"))
    tab.fill(id=user["id"], name="Renamed").button("Save").click()
    expect(page.get_by_role("alert")).to_have_text("Done.")
    show(tab, f"{statement('GET /person/{id}')}?id={user['id']}")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text(f"Renamed{user['email']}")
    nobody = str(uuid.uuid4())
    show(tab, f"{statement('GET /person/{id}')}?id={nobody}")
    expect(page.get_by_role("alert")).to_contain_text("Not found")
    show(tab, statement("POST /rename/{id}", "new"))
    tab.fill(id=nobody, name="Nobody").button("Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Conflict")


def test_the_nearest_vectors_come_first_with_their_scores(tab: Tab, site: str) -> None:
    word = uuid.uuid4().hex
    for number in range(3):
        found = {"id": f"{word}{number}", "word": word, "close": [1, number / 2, 0]}
        httpx.post(f"{site}/founds", json=found).raise_for_status()
    page = show(tab, "rows/founds")
    add_filter(page, "close ANN OF", "[1, 1")
    show_rows(page)
    assert tab.errors()["close ANN OF"].startswith("is not JSON")
    tab.fill(**{"close ANN OF": "[1, 1]"})
    show_rows(page)
    expect(page.get_by_role("alert")).to_be_visible()
    assert [*tab.errors()] == ["close ANN OF"]
    tab.fill(**{"close ANN OF": "[1, 1, 0]"})
    add_filter(page, "word =", word)
    show_rows(page)
    expect(status(page)).to_contain_text("3 rows · the nearest first")
    expect(rows(page).first).to_contain_text(f"1.0{word}2")
    expect(rows(page).last).to_contain_text(f"{word}0")
    page.get_by_text("This page as a request").click()
    expect(page.get_by_role("region", name="CQL")).to_contain_text("WHERE word = ? ORDER BY close ANN OF ? LIMIT ?")
    add_filter(page, "id IN", f"{word}0\n{word}1")
    show_rows(page)
    expect(page.get_by_role("alert")).to_be_visible()
    assert [*tab.errors()] == ["id IN"]
    page.get_by_role("button", name="Remove the filter id IN").click()
    page.get_by_role("link", name="Stream").click()
    expect(tab.field("word =")).to_have_value(word)
    expect(page.locator(".field")).to_have_count(1)  # a stream cannot compare vectors


def test_counters_are_counted(tab: Tab, site: str) -> None:
    key = f"a/{uuid.uuid4().hex}"
    page = show(tab, "rows/tallies")
    page.get_by_role("link", name="New counters").click()
    tab.fill(id=key, seen="5").button("Save").click()
    values = page.get_by_role("region", name="Values")
    expect(values.locator("tr", has_text="seen")).to_contain_text("5")
    page.get_by_role("link", name="Change counters").click()
    expect(tab.field("seen")).to_have_attribute("placeholder", "now 5")
    tab.fill(seen="some").button("Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Invalid input")
    assert [*tab.errors()] == ["seen"]
    tab.fill(seen="-2", sold="9223372036854775807").button("Save").click()
    expect(values.locator("tr", has_text="seen")).to_contain_text("3")
    expect(values.locator("tr", has_text="sold")).to_contain_text("9223372036854775807")
    stored = httpx.get(f"{site}/tallies/-/row", params={"id": key}).json()
    assert (stored["seen"], stored["sold"]) == (3, 2**63 - 1)


def test_static_columns_and_rows_below_a_part_of_the_key(tab: Tab, site: str) -> None:
    tenant = uuid.uuid4().hex
    partition = f"{site}/items/{tenant}/{DAY}"
    write_items(site, tenant, 3)
    page = show(tab, f"rows/items?tenant={tenant}&day={DAY}")
    expect(rows(page)).to_have_count(3)
    rows(page).first.get_by_role("link").click()
    page.get_by_role("link", name="Partition").click()
    tab.box("owner is null").uncheck()
    tab.fill(owner="Ann").button("Save").click()
    expect(rows(page)).to_have_count(3)
    assert {row["owner"] for row in httpx.get(partition).json()} == {"Ann"}

    rows(page).first.get_by_role("link").click()
    page.get_by_role("link", name="Partition").click()
    expect(tab.field("owner")).to_have_value("Ann")
    page.get_by_role("button", name=f"Delete all of {tenant} · {DAY} · {DAY}T09:00:02.000Z …").click()
    dialog = page.get_by_role("dialog", name="Delete these rows?")
    dialog.get_by_role("button", name="Delete").click()
    expect(status(page)).to_contain_text("row")
    assert len(httpx.get(partition).json()) == 2

    show(tab, f"partition/items?tenant={tenant}&day={DAY}")
    page.get_by_role("button", name=f"Delete all of {tenant} · {DAY} …").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(status(page)).to_contain_text("row")
    assert httpx.get(partition).json() == []


def test_a_partition_of_static_columns_alone_has_its_view(tab: Tab, site: str) -> None:
    tenant = uuid.uuid4().hex
    httpx.patch(f"{site}/items/{tenant}/{DAY}", json={"owner": "Bob"}).raise_for_status()
    page = show(tab, f"rows/items?tenant={tenant}&day={DAY}")
    expect(rows(page)).to_have_count(1)
    rows(page).first.get_by_role("link").click()
    expect(tab.field("owner")).to_have_value("Bob")


def test_nothing_is_offered_on_a_key_that_no_path_can_spell(tab: Tab, site: str) -> None:
    item = {"tenant": "..", "day": DAY, "at": f"{DAY}T09:00:00Z", "id": str(uuid.uuid4()), "kind": "login"}
    httpx.post(f"{site}/items", json=item).raise_for_status()
    page = show(tab, f"rows/items?tenant=..&day={DAY}")
    rows(page).first.get_by_role("link").click()
    expect(page.get_by_role("region", name="Values")).to_contain_text("login")
    expect(page.get_by_role("link", name="Edit")).to_have_count(1)  # by its key in the query
    expect(page.get_by_role("link", name="Partition")).to_have_count(0)
    show(tab, f"partition/items?tenant=..&day={DAY}")
    expect(page.get_by_role("button", name="Delete all")).to_have_count(0)
    show(tab, "rows/animals?genus=..")
    assert tab.errors()["genus ="].startswith("cannot stand in a path")


@pytest.fixture
def view(cql: Session, variables: Mapping[str, str]) -> Iterator[str]:
    """Create a materialized view of users, and drop it at the end; yield its name."""
    name = f"named_{uuid.uuid4().hex}"
    full = f"{variables['CASSANDRA_KEYSPACE']}.{name}"
    chosen = f"SELECT * FROM {variables['CASSANDRA_KEYSPACE']}.users WHERE name IS NOT NULL AND id IS NOT NULL"
    cql.execute(f"CREATE MATERIALIZED VIEW {full} AS {chosen} PRIMARY KEY (name, id)")
    yield name
    cql.execute(f"DROP MATERIALIZED VIEW {full}")


def test_a_materialized_view_is_read_and_never_written(open_tab: OpenTab, live: str, view: str) -> None:
    tab = open_tab(f"{live}/")
    page = show(tab)
    link = page.locator("nav").get_by_role("link", name=view)
    while not link.count():  # the service hears of the view a little later
        tab.button("Reload description").click()
        expect(page.locator("main h1")).to_have_text("asgi-cassandra")
    link.click()
    expect(rows(page)).to_have_count(PAGE_ROWS)
    expect(page.get_by_role("group", name="Views of the table")).to_have_text("RowsStreamSchema")
    rows(page).first.get_by_role("link").click()
    expect(page.get_by_role("region", name="Values")).to_contain_text("email")
    expect(page.get_by_role("link", name="Edit")).to_have_count(0)
    expect(tab.button("Delete …")).to_have_count(0)
    page.get_by_role("link", name="Schema").click()
    expect(page.get_by_role("region", name="Columns")).to_contain_text("clustering")
    expect(page.get_by_role("region", name="CREATE TABLE")).to_have_count(0)


def test_many_tables_are_found_in_the_menu(open_tab: OpenTab, site: str) -> None:
    page = show(open_tab(f"{site}/many/"), "about/items_499")
    menu = page.locator("nav").get_by_role("link")
    expect(menu).to_have_count(TABLES + 1)
    expect(page.locator("nav [aria-current]")).to_have_text("items_499")
    page.get_by_label("Search").fill("items_49")
    expect(page.locator("nav")).to_contain_text("11 found")
    expect(menu).to_have_count(12)
    page.locator("nav").get_by_role("link", name="items_497").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("items_497")
    assert page.url.endswith(f"#/rows/{quote('items_497')}")
