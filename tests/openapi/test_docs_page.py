"""The files of the page /docs, without a browser: what they weigh, name and never do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import asgi_app
from asgi_app.openapi.docs_page import DOCS_PAGE

PACKAGE = Path(asgi_app.__file__).parent
FILES = {
    path.name: path.read_text() for folder in ("http/browser", "openapi/page") for path in (PACKAGE / folder).iterdir()
}
MOST_BYTES = 60_000


def test_page_is_small() -> None:
    assert DOCS_PAGE.size == sum(len(text.encode()) for text in FILES.values())
    assert DOCS_PAGE.size < MOST_BYTES


def test_all_files_are_loaded_and_there() -> None:
    named = {name for text in FILES.values() for name in re.findall(r'["/]([a-z]+\.(?:js|css|svg))"', text)}
    assert named | {"index.html"} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_inline_and_nothing_becomes_markup(name: str) -> None:
    text = FILES[name].replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
    assert not re.search(r"<style|<script(?![^>]* src=)| style=| on[a-z]+=", text)
