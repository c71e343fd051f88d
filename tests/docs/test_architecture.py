"""docs/architecture.md and CONTRIBUTING.md name modules, functions and rooms that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "asgi_app"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = [ARCHITECTURE, ROOT / "CONTRIBUTING.md"]

_FILE = re.compile(r"[\w/.-]+\.(?:py|cpp|toml|md|json)")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def code_spans(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", text)


def rooms() -> list[str]:
    """Return the rooms from top to bottom, as pyproject.toml lists them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [room.strip() for layer in layers for room in layer.split("|")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    files = {span for span in code_spans(page) if _FILE.fullmatch(span)}
    assert files
    places = (ROOT, PACKAGE, *(folder for folder in PACKAGE.iterdir() if folder.is_dir()))
    assert [file for file in sorted(files) if not any((place / file).exists() for place in places)] == []


def test_named_identifiers_are_in_the_code() -> None:
    code = "\n".join(path.read_text() for path in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.cpp")])
    words = set(re.findall(r"\w+", code)) | {path.stem for path in PACKAGE.rglob("*")}
    names = {span for span in code_spans(ARCHITECTURE) if _NAME.fullmatch(span) and not _FILE.fullmatch(span)}
    assert "RowStream" in names
    assert {name for name in names if not set(name.split(".")) <= words} == set()


def test_table_has_every_room() -> None:
    table = ARCHITECTURE.read_text(encoding="utf-8").partition("| room |")[2].partition("\n\n")[0]
    named = [room.rstrip("/").removesuffix(".py") for room in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)]
    assert sorted(named) == sorted(rooms())
    assert named[-1] == rooms()[0]
