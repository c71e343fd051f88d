"""Read the live schema for the commands that report on it, and find what the service would make of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from asgi_app.catalog.snapshot import Snapshot, compared
from asgi_app.openapi.serving import OpenApi
from asgi_app.resources.start_checks import shortened
from asgi_app.routes import EXAMPLES, OPERATIONS, RESERVED, documentation, own_scopes
from asgi_app.settings import Settings, default_note
from asgi_app.tables.live_schema import schema_of_session
from asgi_app.tables.live_table import LiveTable
from asgi_app.tables.live_wanted import Wanted
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Table


class LiveView:
    """The tables of the live schema that a service would serve, by its settings and declarations."""

    def __init__(self, settings: Settings, declared: Collection[Resource | LiveTable] = (), *, examples: bool) -> None:
        """`declared` are resources to serve beside the tables of the settings. `examples`: the paths of the built-in
        tables are taken.
        """
        self.resources = {each.name: each for each in declared if isinstance(each, Resource)}
        self._tables = {
            name: replace(each.table, keyspace=each.keyspace or settings.keyspace)
            for name, each in self.resources.items()
        }
        self.routes = (*(EXAMPLES if examples else ()), *OPERATIONS, *documentation(OpenApi(())))
        reserved = {*RESERVED, *self.resources, *(route.segments[0] for route in self.routes)}
        live = [each for each in declared if isinstance(each, LiveTable)]
        scopes = own_scopes(examples=examples)
        self._wanted = Wanted.of_settings(settings.keyspace, live, settings.tables, settings.writable, reserved, scopes)

    @property
    def keyspaces(self) -> Sequence[str]:
        """The keyspaces of the tables, sorted."""
        return sorted({table.keyspace or "" for table in self._tables.values()} | self._wanted.keyspaces)

    def missing_keyspaces(self, existing: Collection[str]) -> Sequence[str]:
        """Return those of the keyspaces that are not among those that exist. Virtual ones are taken to exist."""
        return [name for name in self.keyspaces if name not in existing and not name.startswith("system")]

    def snapshot(self, session: Any) -> Snapshot:
        """Return what would be served, and why the rest would not. Raises the driver's errors."""
        schemas = {keyspace: schema_of_session(session, keyspace) for keyspace in self.keyspaces}
        return compared(self._tables, self._wanted, schemas, Snapshot())

    def names_writable(self, table: Table) -> bool:
        """Return whether the settings name this table as one that clients may write to; `*` names none."""
        return table.name in self._wanted.writable.get(table.keyspace or "", ())


def absence(keyspace: str, address: str, existing: Collection[str]) -> str:
    """Return what to say of a keyspace that is not at an address: that it does not exist, and which do."""
    note = default_note(keyspace)
    return f"does not exist at {address}; {f'it is {note}; ' if note else ''}{_names_of(existing)}"


def _names_of(existing: Collection[str]) -> str:
    """Return a clause that lists the keyspaces that users have made."""
    others = sorted(each for each in existing if not each.startswith("system"))
    return f"there are: {shortened(others)}" if others else "there is none yet"
