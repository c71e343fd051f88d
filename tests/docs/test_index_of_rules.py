"""Each test that tests/contract/README.md names for a rule exists."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS / "contract" / "README.md"

_NAMED = re.compile(r"`([\w/]+)::(\w+)`")
_DEFINED = re.compile(r"^(?:async )?def test_(\w+)", re.MULTILINE)


def test_named_tests_exist() -> None:
    defined: dict[str, set[str]] = {}
    for file in TESTS.rglob("test_*.py"):
        names = set(_DEFINED.findall(file.read_text(encoding="utf-8")))
        stem = file.stem.removeprefix("test_")
        for key in (stem, f"{file.parent.name}/{stem}"):
            defined.setdefault(key, set()).update(names)
    named = _NAMED.findall(PAGE.read_text(encoding="utf-8").partition("\n## ")[2])
    assert len(named) > 100
    assert [f"{file}::{name}" for file, name in named if name not in defined.get(file, set())] == []


def test_every_rule_has_a_test() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rules = [row for row in rows if row.split(" | ")[1] != "tests |"]
    assert [row for row in rules if not _NAMED.search(row)] == []
