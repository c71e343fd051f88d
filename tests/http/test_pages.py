"""The files of the pages /docs and /console/, without a browser: what they weigh, name and never do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import asgi_app
from asgi_app.http.assets import Assets
from asgi_app.openapi.docs_page import DOCS_PAGE
from asgi_app.resources.console_page import CONSOLE_PAGE

PACKAGE = Path(asgi_app.__file__).parent
SHARED = "http/browser"
PAGES = {"openapi/page": (DOCS_PAGE, 60_000), "resources/console": (CONSOLE_PAGE, 100_000)}
"""The folder of each page, and the bytes that it may weigh."""


def _files(*folders: str) -> dict[str, str]:
    return {path.name: path.read_text() for folder in folders for path in (PACKAGE / folder).iterdir()}


@pytest.mark.parametrize(("folder", "page", "most"), [(folder, *page) for folder, page in PAGES.items()])
def test_page_is_small_and_loads_all_of_its_files(folder: str, page: Assets, most: int) -> None:
    files = _files(SHARED, folder)
    assert page.size == sum(len(text.encode()) for text in files.values())
    assert page.size < most
    named = {name for text in files.values() for name in re.findall(r'["/]([a-z]+\.(?:js|css|svg))"', text)}
    assert named | {"index.html"} == set(files)


@pytest.mark.parametrize("folder", [SHARED, *PAGES])
def test_nothing_is_inline_and_nothing_becomes_markup(folder: str) -> None:
    for name, text in _files(folder).items():
        own = text.replace("http://www.w3.org/2000/svg", "")
        wrong = r"https?:|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function"
        assert not re.search(wrong, own), name
        assert not re.search(r"<style|<script(?![^>]* src=)| style=| on[a-z]+=", own), name
