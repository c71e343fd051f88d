"""A tab of a real browser that notes what no page of the service may do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright, Request, expect

UNPACKED = Path(__file__).parents[2] / ".debian"
"""Where scripts/test-long unpacks Chromium if it is not installed."""

REFUSED = "Failed to load resource: the server responded with a status of "
"""What Chromium itself logs for every answer of 400 and above; no page can prevent it."""


@contextmanager
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """Run the system's Chromium, without a window."""
    installed = shutil.which("chromium")
    unpacked = UNPACKED / "usr/lib/chromium/chromium"
    if not installed and not unpacked.exists():
        pytest.fail("Chromium is not installed: apt-get install chromium, or run scripts/test-long, which fetches it.")
    libraries = UNPACKED / "usr/lib" / f"{os.uname().machine}-linux-gnu"
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{libraries}/pulseaudio"}
    browser = playwright.chromium.launch(
        executable_path=installed or unpacked,
        env=dict(os.environ) if installed else environment,
        args=["--no-sandbox"],  # it does not run as root otherwise
    )
    try:
        yield browser
    finally:
        browser.close()


class Tab:
    """A tab, with what tests do with the page /docs."""

    def __init__(self, page: Page, address: str) -> None:
        """`address` is that of the service, with a slash at the end."""
        self.page = page
        self.address = address
        self.faults: list[str] = []
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        page.on("request", self._note_request)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(REFUSED):
            self.faults.append(f"console: {message.text}")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith(self.address):
            self.faults.append(f"a request to another place: {request.url}")

    def check(self) -> None:
        """Fail if the page has logged an error, broken its security policy, or asked for anything elsewhere."""
        assert self.faults == []

    def open(self, view: str = "") -> Tab:
        """Show a view of the page: "" is the first one."""
        self.page.goto(f"{self.address}docs#{view}" if view else f"{self.address}docs")
        expect(self.page.locator("main h1")).not_to_have_text("Loading …")
        return self

    def operation(self, name: str) -> Tab:
        """Show an operation by its address."""
        self.open(f"operation={name}")
        expect(self.button("Send")).to_be_visible()
        return self

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def field(self, name: str) -> Locator:
        """Return the input of a field by its label."""
        return self.page.locator("form").get_by_label(name, exact=True)

    def box(self, name: str) -> Locator:
        """Return a check box by its label: `send x`, `x is null`."""
        return self.page.get_by_role("checkbox", name=name, exact=True)

    def fill(self, **values: str) -> Tab:
        for name, value in values.items():
            self.field(name).fill(value)
        return self

    def fill_examples(self) -> Tab:
        self.button("Fill in examples").click()
        return self

    def send(self, status: int) -> str:
        """Send the form and return the text of the answer's body. Fails unless the answer has this status."""
        self.button("Send").click()
        return self.answer(status)

    def answer(self, status: int) -> str:
        """Wait for the end of an answer with this status, and return its body."""
        expect(self.page.get_by_role("status")).to_contain_text("bytes")
        expect(self.page.get_by_role("status")).to_contain_text(str(status))
        return self.page.locator(".answer pre").text_content() or ""

    def errors(self) -> dict[str, str]:
        """Return what is shown at fields as wrong, by the names of the fields."""
        wrong = self.page.locator(".field:has([aria-invalid])").all()
        return {self._text(each, "label"): self._text(each, ".error") for each in wrong}

    @staticmethod
    def _text(element: Locator, selector: str) -> str:
        return element.locator(selector).first.text_content() or ""

    def enter_key(self, key: str) -> None:
        """Enter a key in the dialog that asks for one."""
        dialog = self.page.get_by_role("dialog")
        dialog.locator("input").fill(key)
        dialog.get_by_role("button", name="Use this key").click()

    def snippet(self, language: str) -> str:
        """Return the request as text in a language: `curl`, `Python httpx`."""
        self.page.get_by_label("Language").select_option(language)
        return self.page.get_by_label("The request as text").text_content() or ""

    def axe(self) -> list[Any]:
        """Return what axe finds wrong with the view: the rule and the elements."""
        found = Axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
        return [(each["id"], [node["target"] for node in each["nodes"]]) for each in found]

    def is_wider_than_window(self) -> bool:
        size = self.page.viewport_size
        assert size is not None
        return bool(self.page.evaluate("document.documentElement.scrollWidth") > size["width"])
