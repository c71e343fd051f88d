"""Read the live schema for the commands that report on it, and find what the service would make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgi_app.catalog.snapshot import Snapshot, compared
from asgi_app.routes import EXAMPLES, OPERATIONS, RESERVED
from asgi_app.settings import Settings
from asgi_app.tables.live_schema import schema_of_session
from asgi_app.tables.live_wanted import Wanted
from asgi_app.tables.table import Table


def snapshot(session: Any, settings: Settings, declared: Mapping[str, Table], *, examples: bool) -> Snapshot:
    """Return what the service would serve, and why it would not serve the rest.

    `declared` are the tables of resources by name, each with its keyspace; the tables of the settings come beside them.
    `examples`: the paths of the built-in tables are taken. Raises the driver's errors.
    """
    routes = (*EXAMPLES, *OPERATIONS) if examples else OPERATIONS
    reserved = {*RESERVED, *declared, *(route.segments[0] for route in routes)}
    wanted = Wanted.of_settings(settings.keyspace, (), settings.tables, settings.writable, reserved)
    keyspaces = {table.keyspace or "" for table in declared.values()} | wanted.keyspaces
    schemas = {keyspace: schema_of_session(session, keyspace) for keyspace in sorted(keyspaces)}
    return compared(declared, wanted, schemas, Snapshot())
