"""Take the pictures of the console in docs/images anew: python -m browser.pictures, in the folder of tests.

It shows the service at http://127.0.0.1:8000/, or at the address that is its argument, while it reads users and streams
there. Run `scripts/demo` first.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
from playwright.sync_api import expect, sync_playwright

from browser.tab import chromium

IMAGES = Path(__file__).parents[2] / "docs" / "images"
OVERVIEW, ROWS = {"width": 1200, "height": 690}, {"width": 1200, "height": 560}
SECONDS = 60
"""How long the sparklines are filled."""


def work(address: str, ended: Event) -> None:
    """Read users and streams until the end, so that there is something to see."""
    with httpx.Client(base_url=address, timeout=30) as client:
        for turn in range(10_000_000):
            if ended.wait(0.02 + 0.03 * (turn % 40 > 20)):
                return
            client.get("/users", params={"limit": 20})
            if turn % 20 == 0:
                client.get("/users/stream")


def main(address: str) -> None:
    """Take both pictures."""
    ended = Event()
    with ThreadPoolExecutor() as pool, sync_playwright() as playwright, chromium(playwright) as browser:
        busy = pool.submit(work, address, ended)
        page = browser.new_page(viewport=OVERVIEW)  # type: ignore[arg-type]
        page.goto(f"{address}/console/")
        page.wait_for_timeout(SECONDS * 1000)
        page.screenshot(path=IMAGES / "console-overview.png")
        page.goto(f"{address}/console/#/rows/sightings?station=Amrum")
        page.set_viewport_size(ROWS)  # type: ignore[arg-type]
        expect(page.get_by_role("region", name="Rows", exact=True)).to_be_visible()
        page.screenshot(path=IMAGES / "console-rows.png")
        ended.set()
        busy.result()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
