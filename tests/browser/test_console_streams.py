"""The streams of the console: watched to their end, stopped, broken off, and of a million rows."""

from __future__ import annotations

import os
import re
import signal
import sys
import uuid
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect
from process.running import Program

from browser.conftest import USERS, OpenTab
from browser.console import figure, rows, show, statement, status
from browser.site import MILLION, ROW_BYTES
from browser.tab import Tab

pytestmark = pytest.mark.long

SHOWN = 100
FINE_ROWS = 1500
"""More than a page of a stream."""
MOST_BYTES = 50_000_000
WIDE_ROWS, WIDTH = 300, 100_000
"""Rows that are larger than the buffers between service and browser: a slow reader keeps their stream open."""

ERROR = '{"error":{"code":"cassandra_timeout","title":"Too late","detail":"It took too long."}}\n'
"""The last line of a stream that broke off, as a client sees it behind a proxy that hides the end of the connection."""

LONG_TASKS = """
window.tasks = [];
new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: "longtask", buffered: true });
"""
"""Notes the milliseconds of each task of more than 50."""


def slow_down(page: Page, bytes_per_second: int) -> None:
    """Let the browser read only so many bytes a second."""
    slow = {"offline": False, "latency": 0, "downloadThroughput": bytes_per_second, "uploadThroughput": -1}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)


def report_tasks(page: Page, before: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Print how many tasks the tab had of more than 50 ms beside a stream, `before` of them before it."""
    tasks = page.evaluate("tasks")[before:]
    rate = figure(page, "Rows/s").text_content()
    longest = max(tasks, default=0)
    with capsys.disabled():
        sys.stdout.write(f"\nconsole: {rate} rows/s, {len(tasks)} tasks of more than 50 ms, longest {longest:.0f} ms\n")


def test_stream_is_watched_to_its_end(tab: Tab) -> None:
    page = show(tab, "stream/users")
    tab.button("Start").click()
    expect(status(page)).to_have_text("Complete: all rows have come")
    expect(figure(page, "Rows")).to_have_text(f"{USERS:,}")
    expect(page.get_by_role("region", name="Last rows").locator("tbody tr")).to_have_count(SHOWN)
    expect(figure(page, "open_streams")).to_have_text("0")
    page.get_by_role("region", name="Last rows").get_by_role("link").first.click()
    expect(page.get_by_role("region", name="Values")).to_contain_text("email")


@pytest.fixture(scope="module")
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
    slow_down(page, 300_000)
    tab.button("Start").click()
    expect(figure(page, "open_streams")).to_have_text("1")
    tab.button("Stop").click()
    expect(status(page)).to_have_text("Stopped")
    expect(figure(page, "open_streams")).to_have_text("0")

    show(tab, "rows/everything?id=wide-7")
    tab.page.get_by_role("button", name="xxx").click()
    expect(page.get_by_role("dialog")).to_contain_text("100,000 characters")
    assert tab.axe() == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def write_longs(site: str, fine: int) -> str:
    """Write rows that a stream can show, and one at which it breaks off; return the name of their partition."""
    name = uuid.uuid4().hex
    blobs = ["0x0000000000000001"] * fine + ["0x01"]  # the last one is no bigint: Cassandra refuses its page
    longs = [{"a": name, "b": name, "c": f"{number:04}", "d": blob} for number, blob in enumerate(blobs)]
    for first in range(0, len(longs), 100):
        httpx.post(f"{site}/longs/-/batch", json=longs[first : first + 100]).raise_for_status()
    return name


def test_a_stream_that_breaks_off_says_why_and_after_how_many_rows(tab: Tab, site: str) -> None:
    name = write_longs(site, FINE_ROWS)
    page = show(tab, f"{statement('GET /numbers', 'stream')}?a={name}&b={name}")
    tab.button("Start").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("rejected_by_cassandra: ")
    expect(status(page)).to_have_text("Failed")
    shown = figure(page, "Rows").text_content() or ""
    received = int(shown.replace(",", ""))
    assert 0 < received < FINE_ROWS
    expect(alert).to_contain_text(f"The stream broke off after {shown} rows.")
    expect(page.get_by_role("region", name="Last rows").locator("tbody tr").first).to_contain_text(f"{received - 1:04}")
    assert all("ERR_" in fault for fault in tab.faults)  # Chromium logs that the connection was cut
    tab.faults.clear()


def test_the_first_rows_of_a_stream_that_breaks_off_are_shown_with_the_reason(tab: Tab, site: str) -> None:
    name = write_longs(site, 25)
    page = show(tab, f"{statement('GET /numbers')}?a={name}&b={name}&fetch_size=10")
    expect(page.get_by_role("alert")).to_contain_text("The stream broke off after 20 rows. rejected_by_cassandra: ")
    expect(status(page)).to_contain_text("20 rows · broken off")
    expect(rows(page)).to_have_count(20)
    expect(rows(page).last).to_contain_text("0019")
    assert all("ERR_" in fault for fault in tab.faults)
    tab.faults.clear()


@pytest.mark.parametrize(("end", "reason"), [("", "the last page"), (ERROR, "broken off")])
def test_the_line_that_says_why_a_stream_broke_off_is_no_row(tab: Tab, end: str, reason: str) -> None:
    lines = '{"id":"a","name":"Ann","age":1}\n{"id":"b","name":"Bob","age":2}\n' + end
    page = tab.page
    page.route("**/names", lambda route: route.fulfill(body=lines, content_type="application/x-ndjson"))
    show(tab, statement("GET /names"))
    expect(status(page)).to_contain_text(f"2 rows · {reason}")
    expect(rows(page)).to_have_count(2)
    alert = page.get_by_role("alert")
    if end:
        expect(alert).to_contain_text(
            "The stream broke off after 2 rows. cassandra_timeout: Too late. It took too long."
        )
        assert tab.axe() == []
    else:
        expect(alert).to_have_count(0)


@pytest.mark.usefixtures("wide_rows")
def test_a_connection_that_is_cut_is_told_apart(open_tab: OpenTab, mortal: tuple[str, Program]) -> None:
    address, program = mortal
    tab = open_tab(f"{address}/")
    page = show(tab, "stream/everything")
    slow_down(page, 300_000)
    tab.button("Start").click()
    expect(figure(page, "open_streams")).to_have_text("1")
    expect(page.get_by_role("region", name="Last rows").locator("tbody tr").first).to_contain_text("wide-")
    os.killpg(program.process.pid, signal.SIGKILL)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The connection was cut, without a reason")
    expect(alert).to_contain_text(f"The stream broke off after {figure(page, 'Rows').text_content()} rows.")
    assert all("ERR_" in fault for fault in tab.faults)
    tab.faults.clear()


def test_ten_thousand_rows_a_second_leave_time_for_the_user(
    open_tab: OpenTab, site: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tab = open_tab(f"{site}/million/")
    tab.page.add_init_script(LONG_TASKS)
    page = show(tab, "stream/users")
    slow_down(page, 10_000 * ROW_BYTES)
    before = page.evaluate("tasks.length")
    tab.button("Start").click()
    expect(figure(page, "Rows")).to_have_text(re.compile(r"[2-9]\d,\d{3}"))
    tab.button("Stop").click()
    expect(status(page)).to_have_text("Stopped")
    report_tasks(page, before, capsys)


def test_a_million_rows_pass_and_little_is_kept(
    open_tab: OpenTab, site: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tab = open_tab(f"{site}/million/")
    tab.page.add_init_script(LONG_TASKS)
    page = show(tab, "stream/users")
    session = page.context.new_cdp_session(page)

    def memory() -> float:
        used = session.send("Runtime.getHeapUsage")
        return float(used["usedSize"] + used["backingStorageSize"])

    before = page.evaluate("tasks.length")
    tab.button("Start").click()
    largest = 0.0
    while status(page).text_content() != "Complete: all rows have come":
        page.wait_for_timeout(250)  # this is how often the memory is measured
        largest = max(largest, memory())
    expect(figure(page, "Rows")).to_have_text(f"{MILLION:,}")
    expect(page.get_by_role("region", name="Last rows").locator("tbody tr").first).to_contain_text("000000999999")
    report_tasks(page, before, capsys)
    session.send("HeapProfiler.collectGarbage")
    assert memory() < largest < MOST_BYTES
