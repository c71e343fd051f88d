"""The page /docs of a service with API keys: it asks for one, sends it, and keeps it nowhere."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from browser.conftest import NO_DOCS, READER, WRITER, OpenTab
from browser.tab import Tab

pytestmark = pytest.mark.long


@pytest.fixture
def tab(open_tab: OpenTab, guarded: str) -> Tab:
    return open_tab(guarded)


def test_key_is_asked_once_and_kept_in_memory_alone(tab: Tab) -> None:
    tab.page.goto(f"{tab.address}docs#operation=users_create")
    dialog = tab.page.get_by_role("dialog", name="Key")
    expect(dialog.locator("input")).to_be_focused()
    assert tab.axe() == []
    tab.enter_key("wrong")
    expect(dialog).to_contain_text("This API key is not known.")
    tab.enter_key(NO_DOCS)
    expect(dialog).to_contain_text("does not have the scope read or read.docs")
    tab.enter_key(READER)
    tab.fill_examples().send(403)
    expect(tab.page.locator(".answer")).to_contain_text("does not have the scope write or write.users")

    tab.button("Key …").click()
    tab.enter_key(WRITER)
    tab.send(201)
    assert "$API_KEY" in tab.snippet("curl")
    assert 'os.environ["API_KEY"]' in tab.snippet("Python httpx")
    kept = tab.page.evaluate(
        "[document.documentElement.outerHTML, ...Object.values({...localStorage, ...sessionStorage})]"
    )
    kept += [str(tab.page.context.cookies()), tab.page.url]
    assert not [text for text in kept if WRITER in text or READER in text]

    tab.button("Reload description").click()
    tab.operation("users_list").send(200)
    tab.page.reload()
    expect(dialog).to_be_visible()


def test_without_a_key_there_is_a_sentence_and_another_try(tab: Tab) -> None:
    tab.page.goto(f"{tab.address}docs")
    expect(tab.page.get_by_role("dialog")).to_be_visible()
    tab.page.keyboard.press("Escape")
    expect(tab.page.get_by_role("main")).to_contain_text("The description of this service needs a key.")
    tab.button("Try again").click()
    tab.enter_key(READER)
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("asgi-cassandra")


def test_shutdown_has_a_token_of_its_own(tab: Tab) -> None:
    tab.page.goto(f"{tab.address}docs#operation=service_shutdown")
    tab.enter_key(WRITER)
    tab.button("Send").click()
    expect(tab.page.get_by_role("dialog")).to_contain_text("The token for POST /shutdown.")
    tab.enter_key("no token")
    expect(tab.page.get_by_role("dialog")).to_contain_text("Authorization: Bearer")
    tab.page.keyboard.press("Escape")
    assert "Bearer $ADMIN_TOKEN" in tab.snippet("curl")
    tab.operation("users_list").send(200)
