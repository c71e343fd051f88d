"""The result of one read of the schema: which resources are served, from which tables, and why others are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from asgi_app.tables.builtin import TABLES
from asgi_app.tables.live_choice import served_table
from asgi_app.tables.live_schema import LiveSchema, described_differences, differences, other_static
from asgi_app.tables.live_wanted import Offer, Wanted, offer
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Table


@dataclass(frozen=True)
class Snapshot:
    """The result of one read of the schema. Immutable.

    `sound` has the live table of each resource that is served, by the resource's name. `missing` has those that are
    not, each with the columns that its table lacks or has otherwise; none if it has no declared columns. `reasons` says
    why, for the log; `absent` are those of them without a table.
    """

    sound: Mapping[str, Table] = field(default_factory=dict)
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    offer: Offer = field(default_factory=Offer)

    @property
    def live(self) -> Mapping[str, Resource]:
        """The resources of the live schema by name."""
        return self.offer.resources

    def serves_as(self, other: Snapshot) -> bool:
        """Return whether both serve the same resources from the same tables."""
        return self.sound == other.sound and all(
            self.live.get(name) is other.live.get(name) for name in {*self.live, *other.live}
        )


def compared(
    declared: Mapping[str, Table], wanted: Wanted, schemas: Mapping[str, LiveSchema], before: Snapshot
) -> Snapshot:
    """Return what the schemas, by keyspace, mean. Tables that are as they were `before` are the same objects."""
    offered = offer(wanted, schemas, before.offer)
    sound: dict[str, Table] = {}
    missing: dict[str, tuple[str, ...]] = dict.fromkeys(offered.trouble, ())
    reasons = dict(offered.trouble)
    absent = set()
    for name, table in declared.items():
        found = schemas[table.keyspace or ""].tables.get(table.name)
        if lacking := differences(table, found):
            missing[name] = lacking
            reasons[name] = _reason(table, found)
            if found is None:
                absent.add(name)
        elif found is not None:
            sound[name] = _with_facts(table, found)
    sound |= {name: served_table(live) for name, (live, _) in offered.sources.items()}
    kept = {name: table if before.sound.get(name) != table else before.sound[name] for name, table in sound.items()}
    return Snapshot(kept, missing, reasons, frozenset(absent), offered)


def _with_facts(table: Table, live: Table) -> Table:
    """Return a declared table with what Cassandra says of it beside its columns."""
    return replace(
        table,
        indexes=live.indexes,
        is_view=live.is_view,
        is_virtual=live.is_virtual,
        has_default_ttl=live.has_default_ttl,
        is_compact=live.is_compact,
        comment=live.comment,
        other_static=other_static(table, live),
    )


def _reason(declared: Table, found: Table | None) -> str:
    place = f"{declared.keyspace}.{declared.name}"
    if found is None:
        option = "" if replace(declared, keyspace=None) in TABLES else " --resources module:name"
        return f"there is no table {place}: `asgi-cassandra schema{option}` creates it"
    described = ", ".join(described_differences(declared, found))
    return f"columns are missing or of another type or place in {place}: {described}"
