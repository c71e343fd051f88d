"""What tests do with the console: show a view, and find what is in it."""

from __future__ import annotations

from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from browser.tab import Tab

PAGE_ROWS = 50


def show(tab: Tab, view: str = "") -> Page:
    """Show a view of the console: "" is the overview."""
    tab.page.goto(f"{tab.address}console/#/{view}")
    expect(tab.page.locator("main h1")).not_to_have_text("Loading …")
    return tab.page


def statement(request: str, view: str = "rows") -> str:
    """Return the address of a statement's view, for a request such as `GET /recent/{tenant}`."""
    return f"{view}/{quote(request, safe='')}"


def rows(page: Page) -> Locator:
    return page.get_by_role("region", name="Rows", exact=True).locator("tbody tr")


def status(page: Page) -> Locator:
    return page.get_by_role("status")


def figure(page: Page, name: str) -> Locator:
    """Return a figure of a stream by its name."""
    return page.locator(".figures div").filter(has=page.get_by_text(name, exact=True)).locator("dd")


def add_filter(page: Page, label: str, value: str) -> None:
    """Add a filter by its label, such as `age_filter` or `day =`, and enter its value."""
    page.get_by_label("A filter to add").select_option(label=label)
    page.get_by_role("button", name="Add filter").click()
    page.get_by_role("form", name="Filters").get_by_label(label, exact=True).fill(value)


def show_rows(page: Page) -> None:
    page.get_by_role("button", name="Show rows").click()
