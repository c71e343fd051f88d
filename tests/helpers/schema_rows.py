"""Read the schema tables of a node with the statements of the service."""

from __future__ import annotations

from typing import Any

from cassandra.cluster import Session

from asgi_app.tables import live_schema
from asgi_app.tables.live_schema import SchemaRows


def rows_of(session: Session, keyspace: str) -> SchemaRows:
    """Return the rows that the module's statements select."""

    def rows(statement: Any) -> list[dict[str, Any]]:
        prepared = session.prepare(statement.cql)
        return [row._asdict() for row in session.execute(prepared, (keyspace,))]

    return SchemaRows(
        tables=rows(live_schema.TABLES),
        views=rows(live_schema.VIEWS),
        columns=rows(live_schema.COLUMNS),
        indexes=rows(live_schema.INDEXES),
        types=rows(live_schema.TYPES),
        virtual_tables=rows(live_schema.VIRTUAL_TABLES),
        virtual_columns=rows(live_schema.VIRTUAL_COLUMNS),
    )
