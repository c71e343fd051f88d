"""docs/metrics.md has exactly the table of the declared metrics; `python tests/docs/test_metrics_docs.py` writes it.

The dashboard and the alert rules use only exported metrics, and the dashboard shows all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from asgi_app.telemetry.instruments import metrics_table
from asgi_app.telemetry.metrics import Metrics, NodeState, Snapshot

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "metrics.md"
DASHBOARD = DOCS / "grafana-dashboard.json"
BEGIN, END = "<!-- metrics: begin -->\n", "\n<!-- metrics: end -->"

_SELECTOR = re.compile(r"\{[^}]*\}|\[[^]]*\]")
_WORD_OF_MORE_THAN_ONE = re.compile(r"[a-z]+(?:_[a-z]+)+")
_GROUPING = re.compile(r"\bby \(([^)]*)\)")


def exported() -> dict[str, set[str]]:
    """Return the labels of every series, by its name, in a scrape of an application that has counted each metric."""
    metrics = Metrics()
    metrics.request_began()
    metrics.request_ended("/", "GET", 200, 0.1)
    metrics.publish(Snapshot(0, 1, 0, 1, 0, 1, 0, {"192.0.2.1:9042": NodeState(up=True, connections=1)}))
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> Iterator[str]:
    """Yield every expression of the dashboard and of the alert rules."""
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"]
    yield from re.findall(r"expr: (?:\|\n +)?(.+)", PAGE.read_text(encoding="utf-8"))


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"] if "targets" in panel]


def names(expression: str) -> set[str]:
    """Return the series that an expression uses."""
    return set(_WORD_OF_MORE_THAN_ONE.findall(_SELECTOR.sub("", expression))) - {"histogram_quantile"}


def metric_of(name: str) -> str:
    """Return the metric that a series belongs to."""
    return re.sub("_(bucket|count|sum)$", "", name)


def test_page_has_the_generated_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    assert page.partition(BEGIN)[2].partition(END)[0] == metrics_table()


def test_table_has_every_exported_series_and_label() -> None:
    table: dict[str, set[str]] = {}
    for row in metrics_table().splitlines()[2:]:
        _, name, kind, labels, meaning, _ = (cell.strip() for cell in row.split("|"))
        assert meaning.endswith("."), name
        suffixes = {"_bucket": {"le"}, "_count": set(), "_sum": set()} if kind == "histogram" else {"": set()}
        for suffix, more in suffixes.items():
            table[name.strip("`") + suffix] = set(re.findall(r"\w+", labels)) | more
    assert table == exported()


def test_expressions_use_exported_series() -> None:
    series = exported()
    for expression in expressions():
        asked = names(expression)
        assert asked, expression
        assert asked <= series.keys(), expression
        for labels in _GROUPING.findall(expression):
            assert set(labels.split(", ")) <= set.union(*(series[name] for name in asked)), expression


def test_dashboard_shows_every_metric() -> None:
    asked = {metric_of(name) for panel in panels() for target in panel["targets"] for name in names(target["expr"])}
    assert asked == {metric_of(name) for name in exported()}


def test_panels_have_distinct_ids_and_places() -> None:
    every = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in every}) == len(every)


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END.strip())[2]
    PAGE.write_text(before + BEGIN + metrics_table() + END + after, encoding="utf-8")
