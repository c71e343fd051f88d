"""Every relative link in the documentation leads to a file, and its anchor to a heading of that file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("*/README.md")),
    ROOT / "tests" / "contract" / "README.md",
]

_CODE_BLOCK = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def without_code(page: Path) -> str:
    return _CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))


def relative_links(page: Path) -> list[str]:
    return [link for link in _LINK.findall(without_code(page)) if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    found: set[str] = set()
    for heading in _HEADING.findall(without_code(page)):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 0
        while (anchor := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(anchor)
    return found


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in relative_links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links(page: Path) -> None:
    assert broken_links(page) == []


def test_index_leads_to_every_page() -> None:
    docs = ROOT / "docs"
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md")} - {"README.md"}
    assert pages <= set(relative_links(docs / "README.md"))
    assert "docs/README.md" in relative_links(ROOT / "README.md")


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A `title`, (odd) here\n\n```\n# no heading\n```\n\n## Twice\n\n## Twice\n")
    good = ["other.md", "other.md#a-title-odd-here", "other.md#twice-1", "#one", "https://example.org/x#y"]
    bad = ["missing.md", "other.md#no-heading", "other.md#twice-2", "#two"]
    page = tmp_path / "page.md"
    page.write_text(
        "# One\n" + "\n".join(f"[text]({link})" for link in [*good, *bad]) + "\n```\n[in code](x.md)\n```\n"
    )
    assert broken_links(page) == bad
