"""What is served and what is not, as a table for people and as values for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from asgi_app.catalog.snapshot import Snapshot
from asgi_app.tables.live_description import WRITABLE_HINT, filters_of, key_text, writes_text
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Table

NARROW = 60
"""Columns of a terminal below which each table is a few lines of its own."""


@dataclass(frozen=True, slots=True)
class Served:
    """A resource that is served, its live table, and what is special about it."""

    resource: Resource
    table: Table
    note: str | None

    @property
    def filters(self) -> Sequence[str]:
        """The parameters that clients may filter by beside the key: `kind`, `tags.contains`."""
        return filters_of(self.resource, self.table)


@dataclass(frozen=True, slots=True)
class NotServed:
    """A table or a resource that is not served, and why: a clause. `wanted`: it was asked for by its name."""

    name: str
    reason: str
    wanted: bool


@dataclass(frozen=True, slots=True)
class TablesReport:
    """All tables of a report. `unwritten` are the names of those that settings could let clients write."""

    served: Sequence[Served] = ()
    not_served: Sequence[NotServed] = ()
    unwritten: frozenset[str] = frozenset()


def tables_report(found: Snapshot, declared: Mapping[str, Resource]) -> TablesReport:
    """Return what a snapshot serves and leaves out. `declared` are the resources that have a declaration, by name."""
    resources = {**declared, **found.live}
    served = [Served(resources[name], table, found.offer.notes.get(name)) for name, table in found.sound.items()]
    wanted = [NotServed(name, reason, wanted=True) for name, reason in found.reasons.items()]
    others = [NotServed(each.name, each.reason, each.is_wanted) for each in found.offer.left_out]
    return TablesReport(served, wanted + others, found.offer.unwritten)


def tables_as_values(report: TablesReport) -> dict[str, Any]:
    """Return the report as docs/cli.md describes it for `--json`."""
    return {
        "served": list(map(_as_values, report.served)),
        "not_served": [{"name": each.name, "reason": each.reason, "wanted": each.wanted} for each in report.not_served],
    }


def _as_values(served: Served) -> dict[str, Any]:
    table = served.table
    orders = {name: "desc" if name in table.descending else "asc" for name in table.clustering_columns}
    return {
        "name": served.resource.name,
        "path": f"/{served.resource.segment}",
        "keyspace": table.keyspace,
        "table": table.name,
        "partition_key": table.partition_key,
        "clustering": [{"name": name, "order": order} for name, order in orders.items()],
        "columns": [{"name": each.name, "type": each.cql_type, "kind": each.kind} for each in table.columns],
        "writes": served.resource.writes,
        "filters": served.filters,
        "note": served.note,
    }


def output() -> Console:
    """Return a console on standard output. Without a terminal its lines are as long as they need to be."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=100_000)


def show_tables(console: Console, report: TablesReport) -> None:
    """Print the tables of a report. They are in columns, or one below another on a narrow terminal."""
    if report.served:
        show = _show_blocks if console.width < NARROW else _show_columns
        show(console, report.served)
    if report.unwritten:
        console.print(Text(f"read-only: {WRITABLE_HINT}", style="dim"), soft_wrap=True)
    notes = [(served.resource.name, served.note) for served in report.served if served.note]
    show_list(console, "notes", notes)
    show_list(console, "not served", [(each.name, each.reason) for each in report.not_served])


def show_list(console: Console, heading: str, entries: Iterable[tuple[str, str]], *, style: str = "cyan") -> None:
    """Print a heading and a line for each name and its text; nothing if there are none."""
    for at, (name, text) in enumerate(entries):
        if not at:
            console.print(Text(f"\n{heading}", style="bold"))
        console.print(Text.assemble("  ", (name, style), f": {text}"), soft_wrap=True)


def _show_columns(console: Console, served: Sequence[Served]) -> None:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in ("path", "table", "key", "writes", "filters"):
        grid.add_column(heading, overflow="fold")
    for each in served:
        grid.add_row(*map(Text, _cells(each)))
    console.print(grid)


def _show_blocks(console: Console, served: Sequence[Served]) -> None:
    for each in served:
        path, place, key, writes, filters = _cells(each)
        console.print(Text(path, style="bold"))
        for line in (place, f"key {key}", writes, filters and f"filters {filters}"):
            if line:
                console.print(Text(f"  {line}"), soft_wrap=True)


def _cells(served: Served) -> tuple[str, str, str, str, str]:
    resource, table = served.resource, served.table
    place = f"{table.keyspace}.{table.name}"
    return f"/{resource.segment}", place, key_text(table), writes_text(resource), ", ".join(served.filters)
