"""Pages of rows for the handlers: read one within a request, and link to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from asgi_app.http.context import database_of, deadline_of, page_tokens_of, row_sizes_of
from asgi_app.http.headers import next_page
from asgi_app.http.page_tokens import PagePosition
from asgi_app.http.paths import encoded_path
from asgi_app.http.requests import query_items
from asgi_app.paging import Gathered, gather
from asgi_app.tables.cql import Statement


async def gathered(
    request: Request,
    statement: Statement,
    values: Sequence[Any],
    rows: int,
    paging_state: bytes | None,
    *,
    exactly: bool,
) -> Gathered:
    """Run `gather` with the database, row sizes and deadline of the request."""
    return await gather(
        database_of(request),
        row_sizes_of(request),
        statement,
        values,
        rows=rows,
        paging_state=paging_state,
        deadline=deadline_of(request),
        exactly=exactly,
    )


def next_link(request: Request, position: PagePosition, walk: str) -> dict[str, str]:
    """Return the field Link with the address of the next page: this request's, with another `page_state`."""
    kept = [item for item in query_items(request) if item[0] != "page_state"]
    token = page_tokens_of(request).issue(position, walk)
    return {"Link": next_page(f"{encoded_path(request.scope)}?{urlencode([*kept, ('page_state', token)])}")}
