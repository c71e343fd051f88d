"""The console of a service that is not ready, not reachable or guarded by keys, and how soon it is there."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from helpers.ports import free_port
from playwright.sync_api import expect
from process.running import COMMAND, started

from browser.conftest import READER, OpenTab
from browser.console import PAGE_ROWS, figure, rows, show, status
from browser.tab import Tab

pytestmark = pytest.mark.long

USER = {"name": "Ann", "email": "ann@example.org", "age": "36"}


def test_overview_says_what_it_cannot_know(tab: Tab) -> None:
    page = show(tab)
    expect(status(page)).to_have_text("Ready")
    page.route("**/readyz", lambda route: route.fulfill(status=503, json={"connected": False}))
    page.route("**/metrics", lambda route: route.fulfill(status=403, json={"title": "Forbidden", "detail": "no."}))
    expect(status(page)).to_have_text("Not ready: Cassandra does not answer")
    expect(page.locator("main .note")).to_contain_text("The metrics are not shown: Forbidden no.")
    page.unroute("**/readyz")
    expect(status(page)).to_have_text("Ready")
    page.route("**/readyz", lambda route: route.abort())
    expect(status(page)).to_contain_text("No answer from the service since")
    page.goto("about:blank")
    assert all("ERR_FAILED" in fault for fault in tab.faults)  # Chromium logs what this test has aborted
    tab.faults.clear()


@pytest.fixture
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a service without a node; yield its address, without a slash at the end."""
    port = free_port()
    settings = {"CASSANDRA_HOSTS": "127.0.0.1", "CASSANDRA_PORT": str(free_port())}
    with started([COMMAND, "serve", "--port", str(port)], tmp_path_factory.mktemp("lonely"), settings) as program:
        program.answers(f"http://127.0.0.1:{port}/livez")
        yield f"http://127.0.0.1:{port}"


def test_a_service_without_a_node_says_so(open_tab: OpenTab, lonely: str) -> None:
    tab = open_tab(f"{lonely}/")
    page = show(tab)
    expect(status(page)).to_have_text("Not ready: Cassandra does not answer")
    expect(page.locator("main")).to_contain_text("No node is known: the service has not connected yet.")
    show(tab, "rows/users")
    expect(page.get_by_role("alert")).to_contain_text("Not connected")
    show(tab, "stream/users")
    tab.button("Start").click()
    expect(page.get_by_role("alert")).to_contain_text("Not connected")
    expect(status(page)).to_have_text("Failed")
    show(tab, "new/users")
    tab.fill(**USER).button("Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Not connected")


def test_key_is_asked_once_and_used_for_all(open_tab: OpenTab, guarded: str) -> None:
    tab = open_tab(guarded)
    tab.page.goto(f"{tab.address}console/#/rows/users")
    tab.enter_key("ключ")  # no header can have it, so the dialog stays
    tab.enter_key(READER)
    page = tab.page
    expect(rows(page)).to_have_count(PAGE_ROWS)
    expect(page.get_by_role("link", name="CSV")).to_have_count(0)  # a link sends no key
    show(tab)
    expect(page.get_by_role("region", name="Nodes")).to_contain_text("up")
    show(tab, "stream/users")
    tab.button("Start").click()
    expect(status(page)).to_have_text("Complete: all rows have come")
    expect(figure(page, "open_streams")).to_have_text("0")
    page.get_by_text("This stream as a request").click()
    expect(page.get_by_role("region", name="This stream as a request")).to_contain_text("X-API-Key: $API_KEY")
    assert READER not in page.content()

    show(tab, "new/users")
    tab.fill(**USER).button("Save").click()
    expect(page.get_by_role("alert")).to_contain_text("does not have the scope write")


def test_a_bearer_token_is_sent_where_only_that_is_taken(open_tab: OpenTab, bearer: str) -> None:
    tab = open_tab(f"{bearer}/")
    tab.page.goto(f"{tab.address}console/#/rows/users")
    tab.enter_key("wrong")
    tab.enter_key(READER)
    expect(rows(tab.page)).to_have_count(PAGE_ROWS)
    tab.page.get_by_text("This page as a request").click()
    command = tab.page.get_by_role("region", name="This page as a request")
    expect(command).to_contain_text("Authorization: Bearer $API_KEY")


TIMES = """() => {
    const end = (kind, part) => performance.getEntriesByType(kind).find(({ name }) => name.includes(part));
    return [end("paint", "first-contentful-paint").startTime, end("resource", "fetch_size").responseEnd];
}"""
"""The milliseconds from the beginning of a load to the first paint, and to the answer with the first rows."""


def test_it_is_there_soon(tab: Tab, capsys: pytest.CaptureFixture[str]) -> None:
    page = show(tab, "rows/users")
    times = []
    for _ in range(5):
        page.reload()
        expect(rows(page)).to_have_count(PAGE_ROWS)
        times.append(page.evaluate(TIMES))
    painted, answered = sorted(times)[len(times) // 2]
    with capsys.disabled():
        sys.stdout.write(f"\nconsole: first paint after {painted:.0f} ms, the first rows after {answered:.0f} ms\n")
