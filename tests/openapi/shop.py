"""The application that the tools call: the built-in tables, declared ones, and one of the live schema."""

from __future__ import annotations

from contract import written

from asgi_app import Query, Resource, create_app

LIVE = "live_everything"

DECLARED = (written.everything, written.documents, written.items, written.rides)

count = Query("/count", "SELECT count(*) AS n FROM system_schema.tables WHERE keyspace_name = :name", one=True)

app = create_app(
    resources=[*DECLARED, Resource.from_table(LIVE, writes="plain", patch_creates=True, batch="per_row")],
    queries=[count],
    examples=True,
)
