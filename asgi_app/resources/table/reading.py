"""Reads of a resource: a row, a page of rows, a walk over pages, a stream, a search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from asgi_app.errors import FieldError, InvalidInput, InvalidPageState, NotFound
from asgi_app.http.context import deadline_of, page_tokens_of, service_of
from asgi_app.http.headers import NO_STORE
from asgi_app.http.page_tokens import PagePosition
from asgi_app.http.requests import query_items
from asgi_app.http.responses import HeadersOnly, JsonResponse, json_response
from asgi_app.resources.pages import gathered, next_link, position_after, scanned
from asgi_app.resources.table.bodies import json_value
from asgi_app.resources.table.headers import OWN_HEADERS, asked_consistency, etag_of, has_current, only_consistency
from asgi_app.resources.table.served import ServedResource, key_of_path
from asgi_app.runtime.tasks import run_together
from asgi_app.scan.extent import Extent
from asgi_app.stream import Export, RowStream, stream_select
from asgi_app.tables.cql import Statement
from asgi_app.tables.encoding import Encoded
from asgi_app.tables.query_plan import DEFAULT_LIMIT, Kind, Plan
from asgi_app.tables.resource import Resource
from asgi_app.tables.slices import RingSelect, Slice
from asgi_app.tables.table import Table

DEFAULT_FETCH_SIZE = 1000
"""Rows of a page of a walk or of a stream."""

STREAMED = Extent(DEFAULT_FETCH_SIZE)
"""How a stream is read if the client does not say."""

EXPORTED = Extent(2000, parallel=8)
"""How an export is read if the client does not say.

Each page costs Cassandra a part of a millisecond. Pages of 5,000 rows save little more, and a read that comes now and
then would wait longer behind eight of them. See docs/performance.md.
"""

READS_AT_ONCE = 16
"""Point reads of one request that run at the same time."""


class TableReads:
    """The handlers of a resource that read."""

    def __init__(self, resource: Resource, served: ServedResource | None = None) -> None:
        """With `served` the handlers work on that and on no other, whatever becomes of the schema meanwhile."""
        self._name = resource.name
        self._served = served

    def _of(self, request: Request) -> ServedResource:
        return self._served or served_of(request, self._name)

    async def row(self, request: Request) -> Response:
        """Answer GET of a full key: the row, or 404."""
        # The request that most clients send most often: no call more than it needs.
        service = service_of(request.scope)
        served: ServedResource = self._served or service.declared[self._name]
        if self._name in service.catalog.unfit:
            await live_table(served, request)
        key = served.short_key(request.scope) or key_of_path(served, request)
        if served.resource.bound:
            key = tuple(served.full_key(request, key).values())
        if served.resource.version is not None:
            return await read_row_of(served, request, key)
        for name, _ in request.scope["headers"]:
            if name in OWN_HEADERS:
                return await read_row_of(served, request, key)
        result = await service.database.execute(served.row, key, deadline=deadline_of(request))
        page = result.page
        if page is None or not page.row_count:
            raise NotFound(served.not_found)
        return JsonResponse(result.json_rows(), 200, None)

    def row_alone(self, request: Request) -> Awaitable[Response]:
        """Answer GET of a full key as `row` does. Raises InvalidInput if there are query parameters."""
        if request.scope["query_string"]:
            refuse_parameters(request)
        return self.row(request)

    async def row_by_query(self, request: Request) -> Response:
        """Answer GET /-/row: the row of the key in the query, or 404."""
        served = self._of(request)
        return await read_row(served, request, key_of_query(served, request))

    async def rows(self, request: Request) -> ASGIApp:
        """Answer GET of the collection, of a partition or of a prefix of its clustering key: a page as an array."""
        return await self._list(request, "list")

    async def partitions(self, request: Request) -> ASGIApp:
        """Answer GET /-/partitions: a page of partition keys as an array."""
        return await self._list(request, "partitions")

    async def stream(self, request: Request) -> RowStream:
        """Answer GET /-/stream: all rows that the filters leave, as a stream."""
        return await self._stream(request, "stream", STREAMED)

    def export(self, form: str) -> Callable[[Request], Awaitable[RowStream]]:
        """Return the handler that answers GET /-/export.{form}: the rows of a stream, as a file in one of `FORMATS`."""

        async def answer(request: Request) -> RowStream:
            return await self._stream(request, "export", EXPORTED, form)

        return answer

    async def _stream(self, request: Request, kind: Kind, usual: Extent, form: str | None = None) -> RowStream:
        """Return the stream. `usual`: how it is read if the client does not say."""
        served = self._of(request)
        plan = await self._plan(served, request, served.bound_values(request), kind)
        extent = usual.asked(plan.fetch_size, plan.limit, plan.slice, plan.parallel)
        export = None if form is None else Export(form, export_name(served.resource.segment, plan.slice))
        return stream_select(request, self._select(served, request, plan), extent, export)

    async def pages(self, request: Request) -> ASGIApp:
        """Answer GET /-/pages: rows, whether there are more, and the token of the next page."""
        served = self._of(request)
        bound = served.bound_values(request)
        position, parameters = self._position(served, request, bound)
        plan = await self._plan(served, request, bound, "pages", parameters)
        if position is not None and position.plan != plan.purpose:
            raise InvalidPageState
        if request.method == "HEAD":
            return HeadersOnly()
        limit, left = plan.limit, plan.limit if position is None else position.rows_left
        size = plan.fetch_size or DEFAULT_FETCH_SIZE
        if left == 0:
            return json_response(pages_body(b"", None))
        wanted = size if left is None else min(size, left)
        page = await scanned(request, self._select(served, request, plan), plan.slice, wanted, position)
        left = None if left is None else left - page.rows.row_count
        walk = PagePosition(b"", size, limit, parameters=tuple(parameters), plan=plan.purpose)
        following = position_after(walk, page, left)
        token = None if following is None else page_tokens_of(request).issue(following, self._walk(served, bound))
        return json_response(pages_body(page.rows.json_rows(), token))

    async def search(self, request: Request) -> ASGIApp:
        """Answer POST /-/search: the rows that the filters in the body leave, or that are nearest to a vector."""
        served = self._of(request)
        refuse_parameters(request)
        body = await json_value(request)
        planner = served.planner(await live_table(served, request))
        bound = served.bound_values(request)
        return await self._answer(served, request, bound, planner.search(body, bound), link=False)

    async def _list(self, request: Request, kind: Kind) -> ASGIApp:
        served = self._of(request)
        bound = served.bound_values(request)
        plan = await self._plan(served, request, bound, kind)
        return await self._answer(served, request, bound, plan, link=True)

    async def _answer(
        self, served: ServedResource, request: Request, bound: Mapping[str, Encoded], plan: Plan, *, link: bool
    ) -> ASGIApp:
        statement = self._statement(served, request, plan)
        if plan.per_row_reads is not None and request.method != "HEAD":
            rows = await _read_each(request, statement, plan.per_row_reads)
            return json_response(b"[%b]" % b",".join(row for row in rows if row))
        limit = plan.limit or DEFAULT_LIMIT
        walk = f"list {self._walk(served, bound)} {plan.purpose}"
        position = page_tokens_of(request).read(plan.page_state, walk) if plan.page_state is not None else None
        if request.method == "HEAD":
            return HeadersOnly()
        paging_state = None if position is None else position.paging_state
        page = await gathered(request, statement, plan.values, limit, paging_state, exactly=True)
        headers = {}
        if link and page.paging_state is not None:
            headers = next_link(request, PagePosition(page.paging_state, limit), walk)
        shown = page.json_rows_without(plan.unshown) if plan.unshown else page.json_rows()
        return json_response(b"[%b]" % shown, headers=headers)

    async def _plan(
        self,
        served: ServedResource,
        request: Request,
        bound: Mapping[str, Encoded],
        kind: Kind,
        parameters: Sequence[tuple[str, str]] | None = None,
    ) -> Plan:
        prefix = key_of_path(served, request)
        asked = query_items(request) if parameters is None else parameters
        planner = served.planner(await live_table(served, request))
        return planner.query(prefix, asked, kind, bound)

    def _statement(self, served: ServedResource, request: Request, plan: Plan) -> Statement:
        consistency = asked_consistency(served.resource, request)
        if plan.consistency is not None:
            consistency = only_consistency(consistency, plan.consistency)
        return Statement(plan.cql, idempotent=True, writes=False, table=served.table, consistency=consistency)

    def _select(self, served: ServedResource, request: Request, plan: Plan) -> RingSelect:
        statement = self._statement(served, request, plan)
        part = None if plan.ring_cql is None else replace(statement, cql=plan.ring_cql)
        return RingSelect(statement, part, plan.values)

    def _position(
        self, served: ServedResource, request: Request, bound: Mapping[str, Encoded]
    ) -> tuple[PagePosition | None, list[tuple[str, str]]]:
        """Return the position in `page_state` and the parameters of the walk: those of its first request."""
        sent = query_items(request)
        tokens = [value for name, value in sent if name == "page_state"]
        others = [(name, value) for name, value in sent if name != "page_state"]
        if not tokens:
            return None, others
        if len(tokens) > 1:
            raise InvalidInput(errors=(FieldError("query.page_state", "is given more than once"),))
        position = page_tokens_of(request).read(tokens[0], self._walk(served, bound))
        kept = list(position.parameters)
        new = [item for item in others if item not in kept and item[0] != "fetch_size"]
        if new:
            message = "contradicts the page_state; leave it out, or start again without one"
            raise InvalidInput(errors=tuple(FieldError(f"query.{name}", message) for name, _ in new))
        sizes = [item for item in others if item[0] == "fetch_size"]
        return position, [*(item for item in kept if not sizes or item[0] != "fetch_size"), *sizes]

    def _walk(self, served: ServedResource, bound: Mapping[str, Encoded]) -> str:
        """Return what every token of this resource is bound to: the table, its key, and the values bound to the client.

        A table that was created again with another key would take the position for one of its own.
        """
        values = " ".join(value.hex() for value in bound.values())
        return f"{served.keyspace}.{served.table.name} {self._name} {served.key_types} {values}"


def export_name(segment: str, part: Slice | None) -> str:
    """Return the name of a file, without its ending, with the rows of a resource or of a slice of it."""
    return segment if part is None else f"{segment}-{part.index}-of-{part.count}"


def served_of(request: Request, name: str) -> ServedResource:
    """Return the declared resource of this name in the application that answers the request."""
    served: ServedResource = service_of(request.scope).declared[name]
    return served


async def live_table(served: ServedResource, request: Request) -> Table:
    """Return the table as Cassandra has it. Raises SchemaMissing, and what reading the schema raises."""
    if served.live is not None:
        return served.live
    return await service_of(request.scope).catalog.table(served.name, deadline_of(request))


async def read_row(served: ServedResource, request: Request, key: Sequence[Encoded]) -> Response:
    """Return the response with the row of a key, given by its open columns. Raises NotFound if there is none."""
    service = service_of(request.scope)
    if served.name in service.catalog.unfit:
        await live_table(served, request)
    values = key if not served.resource.bound else tuple(served.full_key(request, key).values())
    return await read_row_of(served, request, values)


async def read_row_of(served: ServedResource, request: Request, key: Sequence[Encoded]) -> Response:
    """Return the response with the row of a full key, or 304 if the client has it already.

    Raises NotFound if there is no row, and InvalidHeader for a malformed If-None-Match.
    """
    statement = served.row
    consistency = asked_consistency(served.resource, request)
    if consistency is not None:
        statement = replace(statement, consistency=consistency)
    result = await service_of(request.scope).database.execute(statement, key, deadline=deadline_of(request))
    if not result.row_count:
        raise NotFound(served.not_found)
    if served.resource.version is None:
        return JsonResponse(result.json_rows(), 200, None)
    headers = etag_of(served.resource, result)
    if has_current(request, headers["ETag"] if headers else None) and headers is not None:
        return Response(status_code=304, headers={**headers, **NO_STORE})
    return JsonResponse(result.json_rows(), 200, headers)


def key_of_query(served: ServedResource, request: Request) -> tuple[Encoded, ...]:
    """Return the open key values of a `/-/row` address. Raises InvalidInput that names what is missing or wrong."""
    items = query_items(request)
    parameters = dict(items)
    missing = [FieldError(f"query.{name}", "is required") for name in served.open_key if name not in parameters]
    unknown = [
        FieldError(f"query.{name}", "is not a column of the key", usable=served.open_key)
        for name in parameters
        if name not in served.open_key
    ]
    counts = Counter(name for name, _ in items if name in served.open_key)
    repeated = [FieldError(f"query.{name}", "is given more than once") for name in counts if counts[name] > 1]
    if missing or unknown or repeated:
        raise InvalidInput(errors=(*missing, *unknown, *repeated))
    return served.key_of_texts(served.open_key, parameters, "query")


def refuse_parameters(request: Request) -> None:
    """Raise InvalidInput that names each parameter of the query, if it has any."""
    names = dict.fromkeys(name for name, _ in query_items(request))
    if names:
        message = "is not a parameter of this address, which has none"
        raise InvalidInput(errors=tuple(FieldError(f"query.{name}", message) for name in names))


def pages_body(rows: bytes, token: str | None) -> bytes:
    """Return the body of a page of a walk. `rows` are JSON objects joined by commas."""
    has_more = b"true" if token else b"false"
    return b'{"rows":[%b],"has_more":%b,"page_state":%b}' % (rows, has_more, msgspec.json.encode(token))


async def _read_each(request: Request, statement: Statement, keys: Sequence[Sequence[Encoded]]) -> list[bytes]:
    """Return the row of each key as JSON, empty if there is none. The first failure of a read is raised."""
    service, deadline = service_of(request.scope), deadline_of(request)
    rows: list[bytes] = [b""] * len(keys)
    limiter = anyio.CapacityLimiter(READS_AT_ONCE)

    async def read(at: int) -> None:
        async with limiter:
            result = await service.database.execute(statement, keys[at], deadline=deadline)
            rows[at] = result.json_rows()

    await run_together(partial(read, at) for at in range(len(keys)))
    return rows
