"""Every suite has a time budget in tests/README.md, and a run says which suite exceeded its own."""

from __future__ import annotations

from helpers.budgets import LONG, TESTS, budgets, exceeded


def test_every_suite_has_a_budget() -> None:
    suites = {path.parent.name for path in TESTS.glob("*/test_*.py")}
    assert suites == {suite.removesuffix(LONG) for suite in budgets()}


def test_what_exceeded_its_budget_is_told() -> None:
    spent = {"http": 7.5, "driver": 30.0, "streams (long)": 61.0, "new": 1.0}
    assert list(exceeded(spent, {"http": 8, "driver": 30, "streams": 90, "streams (long)": 60})) == [
        "new took 1 s and has no budget: add it to tests/README.md",
        "streams (long) took 61 s, more than its budget of 60 s (see tests/README.md)",
    ]
