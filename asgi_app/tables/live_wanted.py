"""What an application wants to serve from the live schema, and what it gets from a schema that was read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from asgi_app.tables.declaration import problems_of
from asgi_app.tables.live_choice import (
    ALL,
    LeftOut,
    by_keyspace,
    choose,
    note_of,
    resource_of,
    why_not_served,
    why_read_only,
)
from asgi_app.tables.live_schema import LiveSchema
from asgi_app.tables.live_table import LiveTable, table_of_settings
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Table


@dataclass(frozen=True)
class Wanted:
    """The tables to serve from the live schema: those that the application declares, and those that settings name.

    `tables` and `writable` have the names of the settings by keyspace; `*` stands for all. `reserved` are the first
    segments of paths that are taken, and `scopes` the names in scopes that are. A declaration without a keyspace is for
    `keyspace`.
    """

    keyspace: str = ""
    declared: tuple[LiveTable, ...] = ()
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    writable: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()

    @classmethod
    def of_settings(
        cls,
        keyspace: str,
        declared: Collection[LiveTable],
        tables: Collection[str],
        writable: Collection[str],
        reserved: Collection[str],
        scopes: Collection[str] = (),
    ) -> Wanted:
        """Return what is wanted by declarations and by the settings `tables` and `writable`."""
        named, writes = by_keyspace(tuple(tables), keyspace), by_keyspace(tuple(writable), keyspace)
        return cls(keyspace, tuple(declared), named, writes, frozenset(reserved), frozenset(scopes))

    @property
    def taken(self) -> frozenset[str]:
        """The names that no table may have which the settings name."""
        return self.reserved | self.scopes

    @property
    def keyspaces(self) -> frozenset[str]:
        """The keyspaces that the tables are in."""
        return frozenset(self.tables) | {each.keyspace or self.keyspace for each in self.declared}

    @property
    def names(self) -> frozenset[str]:
        """The names that are known before the schema was read."""
        named = {name for names in self.tables.values() for name in names if name not in (ALL, *self.taken)}
        return frozenset(named) | {each.name for each in self.declared}

    @property
    def whole_keyspaces(self) -> frozenset[str]:
        """The keyspaces of which all tables are wanted, so that their names are known only when the schema was read."""
        return frozenset(keyspace for keyspace, names in self.tables.items() if ALL in names)


@dataclass(frozen=True)
class Offer:
    """What the live schema has of what is wanted.

    `resources` are served, by their names. `trouble` says why a name that is wanted is not served, `left_out` why
    another table is not. `notes` has what is special about resources that are served. `sources` has the live table and
    the declaration that each resource was made of. `unwritten` are those that are read-only only because the setting
    `writable` does not name them.
    """

    resources: Mapping[str, Resource] = field(default_factory=dict)
    trouble: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, tuple[Table, LiveTable]] = field(default_factory=dict)
    unwritten: frozenset[str] = frozenset()


def offer(wanted: Wanted, schemas: Mapping[str, LiveSchema], before: Offer) -> Offer:
    """Return what the schemas, by keyspace, have of what is wanted. Never raises.

    A resource whose table and declaration are as they were `before` is the same object as before.
    """
    return _Offering(wanted, schemas, before).made()


class _Offering:
    """The making of one offer."""

    def __init__(self, wanted: Wanted, schemas: Mapping[str, LiveSchema], before: Offer) -> None:
        self._wanted = wanted
        self._schemas = schemas
        self._before = before
        self._resources: dict[str, Resource] = {}
        self._trouble: dict[str, str] = {}
        self._left_out: list[LeftOut] = []
        self._notes: dict[str, str] = {}
        self._sources: dict[str, tuple[Table, LiveTable]] = {}
        self._unwritten: set[str] = set()

    def made(self) -> Offer:
        for declaration in self._wanted.declared:
            self._declared(replace(declaration, keyspace=declaration.keyspace or self._wanted.keyspace))
        for keyspace, names in self._wanted.tables.items():
            self._named(keyspace, names)
        return Offer(
            self._resources,
            self._trouble,
            tuple(self._left_out),
            self._notes,
            self._sources,
            frozenset(self._unwritten),
        )

    def _declared(self, declaration: LiveTable) -> None:
        """Add a table that the application declares, or its trouble."""
        name, keyspace = declaration.name, declaration.keyspace or ""
        table = self._schemas[keyspace].tables.get(declaration.table_name)
        if table is None:
            self._trouble[name] = f"there is no table {keyspace}.{declaration.table_name}"
        elif reason := why_not_served(table):
            self._trouble[name] = reason
        elif problems := problems_of([resource := self._made(table, declaration)]):
            self._trouble[name] = " ".join(problem.removeprefix(f"{name}: ") for problem in problems)
        else:
            self._add(resource, table, declaration)

    def _named(self, keyspace: str, names: tuple[str, ...]) -> None:
        """Add the tables of a keyspace that settings name."""
        writable = self._wanted.writable.get(keyspace, ())
        others = {name: f"{each.keyspace}.{each.table_name}" for name, each in self._resources.items()}
        reserved = {*self._wanted.reserved, *others, *self._trouble}
        taken = reserved | self._wanted.scopes
        schema = self._schemas[keyspace]
        choice = choose(schema, names, writable, reserved, self._wanted.scopes, make=self._made)
        for resource in choice.served:
            table = schema.tables[resource.table_name]
            is_writable = ALL in writable or table.name in writable
            self._add(resource, table, table_of_settings(table.name, keyspace, writable=is_writable))
            if not is_writable and why_read_only(table) is None:
                self._unwritten.add(resource.name)
        for each in choice.left_out:
            if each.name in others:
                self._left_out.append(LeftOut(each.name, f"/{each.name} serves {others[each.name]}"))
            elif each.name in names and each.name not in taken:
                self._trouble[each.name] = each.reason
            else:
                self._left_out.append(replace(each, is_wanted=each.name in writable))
        if ALL in names:  # else the settings are refused if a writable table is not served
            absent = f"it is to be writable, and the keyspace {keyspace} has no such table"
            names_of_none = (name for name in writable if name not in {ALL, *schema.tables})
            self._left_out += [LeftOut(name, absent, is_wanted=True) for name in names_of_none]

    def _made(self, table: Table, declaration: LiveTable) -> Resource:
        """Return the resource that was made of this table and declaration before, else a new one."""
        if self._before.sources.get(declaration.name) == (table, declaration):
            return self._before.resources[declaration.name]
        return resource_of(table, declaration)

    def _add(self, resource: Resource, table: Table, declaration: LiveTable) -> None:
        self._resources[resource.name] = resource
        self._sources[resource.name] = table, declaration
        if note := note_of(table, writable=declaration.writes != "none"):
            self._notes[resource.name] = note


def changed_names(before: Offer, after: Offer) -> Iterator[str]:
    """Yield the names of resources that came, went or changed."""
    for name in {**before.resources, **after.resources}:
        if before.resources.get(name) is not after.resources.get(name):
            yield name
