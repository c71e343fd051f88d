"""Pages of rows for the handlers: read one within a request, and link to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from msgspec.structs import replace
from starlette.requests import Request

from asgi_app.http.context import database_of, deadline_of, page_tokens_of, row_sizes_of
from asgi_app.http.headers import next_page
from asgi_app.http.page_tokens import PagePosition
from asgi_app.http.paths import encoded_path
from asgi_app.http.requests import query_items
from asgi_app.paging import Gathered, gather
from asgi_app.scan.answer_page import ScannedPage, scan_page
from asgi_app.scan.partitioner import check_partitioner
from asgi_app.tables.cql import Statement
from asgi_app.tables.slices import WHOLE_RING, RingSelect, Slice


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


async def scanned(
    request: Request, select: RingSelect, part: Slice | None, rows: int, position: PagePosition | None
) -> ScannedPage:
    """Run `scan_page` for a slice, or all rows, with the database, row sizes and deadline of the request.

    `position` is that of the page before, None for the first one. Raises PartitionerUnsupported for a slice if the
    cluster's tokens are not those of Murmur3.
    """
    tokens = WHOLE_RING
    if part is not None:
        check_partitioner(database_of(request))
        tokens = part.bounds
    if position is not None and position.after is not None:
        tokens = tokens._replace(after=position.after)
    return await scan_page(
        database_of(request),
        row_sizes_of(request),
        select,
        tokens=tokens,
        paging_state=position.paging_state or None if position is not None else None,
        rows=rows,
        deadline=deadline_of(request),
    )


def position_after(position: PagePosition, page: ScannedPage, left: int | None) -> PagePosition | None:
    """Return the position after a page of a walk of which `left` rows are left; None at the end."""
    if page.after is None or left == 0:
        return None
    return replace(position, paging_state=page.rows.paging_state or b"", after=page.after, rows_left=left)


def next_link(request: Request, position: PagePosition, walk: str) -> dict[str, str]:
    """Return the field Link with the address of the next page: this request's, with another `page_state`."""
    kept = [item for item in query_items(request) if item[0] != "page_state"]
    token = page_tokens_of(request).issue(position, walk)
    return {"Link": next_page(f"{encoded_path(request.scope)}?{urlencode([*kept, ('page_state', token)])}")}
