"""Serve a statement of the user's own: its parameters come from the path, the query or the body."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from asgi_app.db import Parameter
from asgi_app.errors import Conflict, FieldError, InvalidInput, NotFound
from asgi_app.http.context import database_of, deadline_of, page_tokens_of, row_sizes_of
from asgi_app.http.headers import NO_STORE, next_page
from asgi_app.http.page_tokens import PagePosition
from asgi_app.http.paths import encoded_path
from asgi_app.http.responses import HeadersOnly, json_response
from asgi_app.http.routing import SegmentRoute, path
from asgi_app.http.validation import QueryValues
from asgi_app.paging import gather
from asgi_app.resources.table.bodies import json_value
from asgi_app.runtime.scheduler import Lane
from asgi_app.stream import stream_rows
from asgi_app.tables.cql import Statement
from asgi_app.tables.declaration import ResourceError, problems_of
from asgi_app.tables.encoding import Encoded, WrongValue, encoder_of
from asgi_app.tables.resource import Resource

DEFAULT_LIMIT = 10
LONGEST_LIMIT = 100
DEFAULT_FETCH_SIZE = 1000
LARGEST_FETCH_SIZE = 5000
MOST_ROWS = 2**53 - 1

_OPTIONS = ("limit", "page_state", "fetch_size", "format")
_comments = re.compile(r"\A(?:\s|--[^\n]*\n|//[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
_parameter = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """A statement to serve at a path.

    The markers of `cql` have names, `:tenant`; Cassandra says their types. `path` has some of them in braces; the
    others are query parameters, all required. A SELECT answers GET with a page as a JSON array and a link to the next;
    with `stream` all rows, streamed; with `one` an object, or 404. With `writes` the statement answers POST, and the
    values that are not in the path come from the members of a JSON object: 204, or 409 if its condition did not hold.

    `name` is what the `authorize` hook gets as the resource; the first segment of the path by default. `returning`
    documents the columns of a row. `idempotent` says that a write may be sent twice.
    """

    path: str
    cql: str
    name: str = ""
    stream: bool = False
    one: bool = False
    writes: bool = False
    method: str = "GET"
    idempotent: bool = False
    returning: type[msgspec.Struct] | None = None

    @property
    def resource(self) -> str:
        """The name for authorization, scopes and metrics."""
        return self.name or self.path.strip("/").split("/")[0]

    @property
    def statement(self) -> Statement:
        """The statement to prepare."""
        return Statement(self.cql, idempotent=self.idempotent or not self.writes, writes=self.writes)

    def route(self) -> SegmentRoute:
        """Return the route that serves the statement."""
        handlers = QueryHandlers(self)
        lane = Lane.PAGES if self.stream else Lane.REQUESTS
        if self.writes:
            return path(self.path, self.resource, lane=lane, post=handlers.write)
        return path(self.path, self.resource, lane=lane, get=handlers.stream if self.stream else handlers.read)

    def problems(self) -> list[str]:
        """Return what is wrong with the declaration."""
        found = []
        if not self.path.startswith("/"):
            found.append("the path must begin with a slash")
        is_select = self.cql[_comments.match(self.cql).end() :][:6].upper() == "SELECT"  # type: ignore[union-attr]
        if self.writes == is_select:
            found.append("`writes` is for statements that are no SELECT, and they need it")
        if self.method != ("POST" if self.writes else "GET"):
            found.append("a SELECT answers GET, and a statement that writes answers POST: set `method`")
        if self.stream and self.one:
            found.append("`stream` and `one` exclude each other")
        return [f"Query {self.path}: {problem}" for problem in found]


class QueryHandlers:
    """The handlers of one query."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._statement = query.statement
        self._in_path = frozenset(_parameter.findall(query.path))

    async def read(self, request: Request) -> ASGIApp:
        """Answer GET with a page of rows, or with the one row."""
        values = await self._values_of_url(request)
        options = QueryValues(request.query_params)
        limit = 1 if self._query.one else options.integer("limit", 1, LONGEST_LIMIT) or DEFAULT_LIMIT
        options.check()
        token = None if self._query.one else options.text("page_state")
        walk = f"query {self._query.path} {self._query.cql} {_text(values)}"
        tokens = page_tokens_of(request)
        position = None if token is None else tokens.read(token, walk)
        if request.method == "HEAD":
            return HeadersOnly()
        page = await gather(
            database_of(request),
            row_sizes_of(request),
            self._statement,
            values,
            rows=limit,
            paging_state=None if position is None else position.paging_state,
            deadline=deadline_of(request),
            exactly=True,
        )
        if self._query.one:
            if not page.row_count:
                raise NotFound("There is no such row.")
            return json_response(page.json_rows())
        headers = {}
        if page.paging_state is not None:
            kept = [item for item in request.query_params.multi_items() if item[0] != "page_state"]
            following = tokens.issue(PagePosition(page.paging_state, limit), walk)
            target = encoded_path(request.scope) + "?" + urlencode([*kept, ("page_state", following)])
            headers["Link"] = next_page(target)
        return json_response(b"[%b]" % page.json_rows(), headers=headers)

    async def stream(self, request: Request) -> ASGIApp:
        """Answer GET with all rows, as a stream."""
        values = await self._values_of_url(request)
        options = QueryValues(request.query_params)
        limit = options.integer("limit", 0, MOST_ROWS)
        size = options.integer("fetch_size", 1, LARGEST_FETCH_SIZE)
        options.check()
        return stream_rows(request, self._statement, values, fetch_size=size or DEFAULT_FETCH_SIZE, limit=limit)

    async def write(self, request: Request) -> Response:
        """Answer POST: execute the statement with the values of the path and the body."""
        body = await json_value(request)
        parameters = await self._parameters(request)
        if not isinstance(body, dict):
            raise InvalidInput(errors=(FieldError("", "must be a JSON object"),))
        values = self._values(parameters, request.scope["path_params"], body)
        result = await database_of(request).execute(self._statement, values, deadline=deadline_of(request))
        if not result.applied:
            raise Conflict("The condition of this statement did not hold. Nothing was written.")
        return Response(status_code=204, headers=NO_STORE)

    async def _parameters(self, request: Request) -> tuple[Parameter, ...]:
        return await database_of(request).parameters(self._statement, deadline_of(request))

    async def _values_of_url(self, request: Request) -> tuple[Encoded | None, ...]:
        parameters = await self._parameters(request)
        in_path: Mapping[str, str] = request.scope["path_params"]
        sent = request.query_params
        names = {parameter.name for parameter in parameters}
        errors = [
            FieldError(f"query.{name}", "is no parameter of this query", usable=tuple(sorted(names - self._in_path)))
            for name in sent
            if name not in _OPTIONS and (name not in names or name in self._in_path)
        ]
        values: list[Encoded | None] = []
        for name, kind in parameters:
            place = "path" if name in self._in_path else "query"
            text = in_path.get(name) if name in self._in_path else sent.get(name)
            if text is None:
                errors.append(FieldError(f"{place}.{name}", "is required"))
                continue
            try:
                values.append(encoder_of(kind).from_text(text))
            except WrongValue as error:
                errors.append(FieldError(f"{place}.{name}", error.message))
        if errors:
            raise InvalidInput(errors=tuple(errors))
        return tuple(values)

    def _values(
        self, parameters: Sequence[Parameter], in_path: Mapping[str, str], body: Mapping[str, Any]
    ) -> tuple[Encoded | None, ...]:
        names = {parameter.name for parameter in parameters} - self._in_path
        errors = [
            FieldError(f"/{name}", "is no parameter of this statement", usable=tuple(sorted(names)))
            for name in body
            if name not in names
        ]
        values: list[Encoded | None] = []
        for name, kind in parameters:
            try:
                if name in self._in_path:
                    values.append(encoder_of(kind).from_text(in_path[name]))
                elif name in body:
                    values.append(None if body[name] is None else encoder_of(kind).from_json(body[name]))
                else:
                    errors.append(FieldError(f"/{name}", "is required"))
            except WrongValue as error:
                place = f"path.{name}" if name in self._in_path else f"/{name}{error.pointer}"
                errors.append(FieldError(place, error.message))
        if errors:
            raise InvalidInput(errors=tuple(errors))
        return tuple(values)


def check_declarations(resources: Sequence[Resource], queries: Sequence[Query], reserved: Collection[str]) -> None:
    """Raise ResourceError with every mistake of the declarations. `reserved` are the first segments of other paths."""
    problems = problems_of(resources, reserved)
    problems += [problem for query in queries for problem in query.problems()]
    if problems:
        raise ResourceError(problems)


def _text(values: Sequence[Encoded | None]) -> str:
    return " ".join("null" if value is None else value.hex() for value in values)
