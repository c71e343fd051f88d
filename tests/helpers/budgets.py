"""The time budget of each suite, which tests/README.md states, and a report of what a run took."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
STATED_IN = "tests/README.md"

LONG = " (long)"
"""What the name of a suite ends in, for its tests that scripts/test-long runs."""

_IS_LONG = ("is_long", True)
_ROW = re.compile(r"^\| `(\w+)` \| (\d+|—) \| (\d+|—) \|", re.MULTILINE)


def budgets() -> dict[str, int]:
    """Return the seconds that each suite may take, from the table in tests/README.md."""
    found = {}
    for name, usual, long in _ROW.findall((TESTS / "README.md").read_text("utf-8")):
        found |= {key: int(text) for key, text in ((name, usual), (name + LONG, long)) if text.isdigit()}
    return found


def suite_of(report: pytest.TestReport) -> str:
    """Return the suite of a test: its folder, and whether the test is among those of scripts/test-long."""
    folder = Path(report.nodeid.partition("::")[0]).parts[1:2]
    return "".join(folder) + (LONG if _IS_LONG in map(tuple, report.user_properties) else "")


def exceeded(spent: Mapping[str, float], allowed: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence for each suite that took more than its budget, or has none."""
    for suite, seconds in sorted(spent.items()):
        if suite not in allowed:
            yield f"{suite} took {seconds:.0f} s and has no budget: add it to {STATED_IN}"
        elif seconds > allowed[suite]:
            yield f"{suite} took {seconds:.0f} s, more than its budget of {allowed[suite]} s (see {STATED_IN})"


class TimeBudgets:
    """A plugin of pytest that prints what each suite took at the end of a run, and which exceeded its budget.

    No test fails by it: on a busy machine every suite takes longer.
    """

    def __init__(self) -> None:
        """Begin with no time spent."""
        self._spent: Counter[str] = Counter()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note for the reports whether scripts/test-long runs a test: their keywords are not markers alone."""
        for item in items:
            if item.get_closest_marker("long") or item.get_closest_marker("network"):
                item.user_properties.append(_IS_LONG)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the time of one phase of a test: its fixtures, its call, or its end."""
        self._spent[suite_of(report)] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print a line of all suites that ran, and one for each that exceeded its budget."""
        terminalreporter.section("seconds of each suite")
        terminalreporter.line(", ".join(f"{suite} {seconds:.0f}" for suite, seconds in self._spent.most_common()))
        for sentence in exceeded(self._spent, budgets()):
            terminalreporter.line(sentence, yellow=True)
