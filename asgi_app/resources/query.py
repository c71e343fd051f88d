"""Serve a statement of the user's own: its parameters come from the path, the query or the body."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from asgi_app.db import Parameter
from asgi_app.errors import Conflict, FieldError, InvalidInput, NotFound
from asgi_app.http.context import database_of, deadline_of, page_tokens_of
from asgi_app.http.page_tokens import PagePosition
from asgi_app.http.requests import query_items
from asgi_app.http.responses import HeadersOnly, json_response, no_content
from asgi_app.http.routing import SegmentRoute, path
from asgi_app.http.validation import QueryValues
from asgi_app.resources.pages import gathered, next_link
from asgi_app.resources.table.bodies import json_value
from asgi_app.resources.table.headers import refuse_cassandra_headers, refuse_conditions
from asgi_app.resources.table.reading import DEFAULT_FETCH_SIZE
from asgi_app.runtime.scheduler import Lane
from asgi_app.stream import stream_rows
from asgi_app.tables.cql import Statement
from asgi_app.tables.cql_text import first_word, has_unnamed_markers, marker_names, reserved_markers, table_names
from asgi_app.tables.declaration import problems_of
from asgi_app.tables.encoding import Encoded, WrongValue, encoder_of, pointer_token
from asgi_app.tables.live_table import LiveTable
from asgi_app.tables.query_plan import DEFAULT_LIMIT, MOST_FETCHED, MOST_ROWS, MOST_STREAMED
from asgi_app.tables.resource import Resource
from asgi_app.tables.resource_error import ResourceError, refuse_unknown_options

_segment = re.compile(r"[A-Za-z0-9._~-]+|\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """A statement to serve at a path.

    The markers of `cql` have names, `:tenant`; Cassandra says their types. `path` has some of them in braces; the
    others are query parameters, all required. A SELECT answers GET with a page as a JSON array and a link to the next;
    with `stream` all rows, streamed; with `one` an object, or 404. With `writes` and `method="POST"` the statement
    answers POST, and the values that are not in the path come from the members of a JSON object: 204, or 409 if its
    condition did not hold.

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

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Raise ResourceError for an option that there is not."""
        refuse_unknown_options(cls, options, args[0] if args else options.get("path", cls.__name__))
        return object.__new__(cls)

    @property
    def resource(self) -> str:
        """The name for authorization and scopes."""
        return self.name or self.path.strip("/").split("/")[0]

    @property
    def statement(self) -> Statement:
        """The statement to prepare."""
        return Statement(
            self.cql,
            idempotent=self.idempotent or not self.writes,
            writes=self.writes,
            needs=tuple((keyspace, name) for keyspace, name in table_names(self.cql) if keyspace is not None),
        )

    @property
    def path_names(self) -> tuple[str, ...]:
        """The names of the path's parameters, in its order."""
        return tuple(name for segment in self.path.split("/") if (name := _name_in(segment)))

    @property
    def options(self) -> tuple[str, ...]:
        """The query parameters that are not markers."""
        if self.writes or self.one:
            return ()
        return ("limit", "fetch_size", "format") if self.stream else ("limit", "page_state")

    def problems(self) -> list[str]:
        """Return every mistake of the declaration."""
        return [f"Query {self.path}: {problem}" for rule in _RULES for problem in rule(self)]


# --- mistakes of declarations


def check_lists(lists: Mapping[str, tuple[object, type | tuple[type, ...]]]) -> None:
    """Raise ResourceError with every argument that is no list or tuple of the type, or types, beside it."""
    problems = [problem for name, (given, kind) in lists.items() for problem in _list_problems(name, given, kind)]
    if problems:
        raise ResourceError(problems)


def _list_problems(name: str, given: object, kind: type | tuple[type, ...]) -> Iterator[str]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        yield f"{name} must be a list or tuple, not {_name_of(given)}: write {name}=[...]."
        return
    for member in given:
        if not isinstance(member, kind):
            first = kind[0] if isinstance(kind, tuple) else kind
            yield f"{name} must be a list or tuple of {first.__name__}, and has {_name_of(member)} in it."


def _name_of(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def check_declarations(
    resources: Sequence[Resource | LiveTable],
    queries: Sequence[Query],
    reserved: Collection[str],
    scopes: Collection[str],
) -> None:
    """Raise ResourceError with every mistake of the declarations.

    `reserved` are the first segments of other paths, and `scopes` the names that the service's own operations have in
    scopes.
    """
    problems = problems_of(resources, reserved, scopes)
    problems += [problem for query in queries for problem in query.problems()]
    names = {str(resource.path or resource.table_name).strip("/") for resource in resources}
    problems += _problems_between(queries, names, reserved)
    problems += _problems_of_scopes(queries, scopes)
    if problems:
        raise ResourceError(problems)


def _path_problems(query: Query) -> Iterator[str]:
    segments = query.path.split("/")
    if segments[0] or len(segments) < 2:
        yield "the path must begin with a slash."
        return
    if wrong := [segment for segment in segments[1:] if not _segment.fullmatch(segment)]:
        yield (
            "a segment of the path is a parameter such as {tenant}, or letters, digits and -._~, not "
            f"{', '.join(map(repr, wrong))}."
        )
        return
    if _name_in(segments[1]):
        yield "the first segment of the path cannot be a parameter: it would match every path."
    if len(set(query.path_names)) < len(query.path_names):
        yield "a parameter is in the path more than once."


def _marker_problems(query: Query) -> Iterator[str]:
    names = marker_names(query.cql)
    if has_unnamed_markers(query.cql):
        yield "a marker needs a name: write :tenant in place of ?."
    if reserved := reserved_markers(query.cql):
        quoted = ", ".join(f':"{name}"' for name in reserved)
        yield f"{', '.join(reserved)} cannot name a marker: CQL has this word. Write {quoted}, or another name."
    if unknown := [name for name in query.path_names if name not in names]:
        yield (
            f"the path has {', '.join(unknown)}, and the CQL has no such marker. Cassandra reads the names of markers "
            "in small letters, unless they are in double quotes."
        )
    if taken := [name for name in names if name in query.options and name not in query.path_names]:
        yield f"{', '.join(taken)} cannot be a marker: the address has a parameter of this name of its own."


def _kind_problems(query: Query) -> Iterator[str]:
    is_select = first_word(query.cql) == "SELECT"
    if is_select and query.writes:
        yield "a SELECT does not write: leave `writes` out."
    if not is_select and not query.writes:
        yield "only a SELECT can be served without `writes=True`."
    if query.method != ("POST" if query.writes else "GET"):
        yield 'a SELECT answers GET, and a statement that writes answers POST: writes=True, method="POST".'
    if (query.stream or query.one) and query.writes:
        yield "`stream` and `one` are for a SELECT."
    if query.stream and query.one:
        yield "`stream` and `one` exclude each other."
    if query.idempotent and not query.writes:
        yield "`idempotent` is for a statement that writes: a SELECT always is."


_RULES: tuple[Callable[[Query], Iterator[str]], ...] = (_path_problems, _marker_problems, _kind_problems)


def _problems_between(queries: Sequence[Query], resources: Collection[str], reserved: Collection[str]) -> Iterator[str]:
    """Yield conflicts of the queries' paths with those of the service, of resources and of one another."""
    alike: defaultdict[tuple[str, ...], list[Query]] = defaultdict(list)
    for query in queries:
        segments = query.path.split("/")[1:]
        alike[tuple("" if _name_in(segment) else segment for segment in segments)].append(query)
        first = segments[0] if segments else ""
        if first and first in reserved:
            yield f"Query {query.path}: the service has paths that begin with /{first}. Give another path."
        if first and first in resources:
            yield f"Query {query.path}: paths that begin with /{first} are those of a resource. Give another path."
    for same in alike.values():
        if len({query.method for query in same}) < len(same) or len({query.path for query in same}) > 1:
            yield f"Query {same[0].path}: {len(same)} queries have this path. Only a GET and a POST can share one."
        elif len({query.resource for query in same}) > 1:
            yield f"Query {same[0].path}: the GET and the POST of one path need the same `name`."


def _problems_of_scopes(queries: Sequence[Query], scopes: Collection[str]) -> Iterator[str]:
    """Yield conflicts with the scopes of the service: a key for its metrics, say, must not open a table."""
    for query in queries:
        if query.resource in scopes:
            yield f"Query {query.path}: the service has a scope {query.resource} of its own. Give another with name=."


def _name_in(segment: str) -> str:
    """Return the name of a path's parameter, "" for another segment."""
    found = _segment.fullmatch(segment)
    return (found[1] or "") if found else ""


# --- routes and handlers


def routes_of_queries(queries: Sequence[Query]) -> list[SegmentRoute]:
    """Return the routes that serve the queries: one for each path, with its GET and its POST."""
    by_path: defaultdict[str, list[Query]] = defaultdict(list)
    for query in queries:
        by_path[query.path].append(query)
    return [_route(template, same) for template, same in by_path.items()]


def _route(template: str, queries: Sequence[Query]) -> SegmentRoute:
    lane = Lane.PAGES if any(query.stream for query in queries) else Lane.REQUESTS
    handlers: dict[str, Any] = {query.method.lower(): QueryHandlers(query).handler for query in queries}
    return path(template, queries[0].resource, lane=lane, **handlers)


class QueryHandlers:
    """The handlers of one query."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._statement = query.statement
        self._in_path = frozenset(query.path_names)

    @property
    def handler(self) -> Callable[[Request], Any]:
        """The handler that answers the query's method."""
        if self._query.writes:
            return self.write
        if self._query.one:
            return self.one
        return self.stream if self._query.stream else self.page

    async def page(self, request: Request) -> ASGIApp:
        """Answer GET with a page of rows as an array."""
        values = await self._values_of_url(request)
        options = QueryValues(request.query_params)
        limit = options.integer("limit", 1, MOST_ROWS) or DEFAULT_LIMIT
        options.check()
        token = options.text("page_state")
        walk = f"query {self._query.path} {self._query.cql} {_text(values)}"
        position = None if token is None else page_tokens_of(request).read(token, walk)
        if request.method == "HEAD":
            return HeadersOnly()
        paging_state = None if position is None else position.paging_state
        page = await gathered(request, self._statement, values, limit, paging_state, exactly=True)
        link = None if page.paging_state is None else next_link(request, PagePosition(page.paging_state, limit), walk)
        return json_response(b"[%b]" % page.json_rows(), headers=link)

    async def one(self, request: Request) -> ASGIApp:
        """Answer GET with the first row as an object, or 404."""
        values = await self._values_of_url(request)
        database, deadline = database_of(request), deadline_of(request)
        result = await database.execute(self._statement, values, deadline=deadline, fetch_size=1)
        while not result.row_count and result.paging_state is not None:  # a page may be empty and not the last
            result = await database.execute(
                self._statement, values, deadline=deadline, fetch_size=1, paging_state=result.paging_state
            )
        if not result.row_count:
            raise NotFound("There is no such row.")
        return json_response(result.json_rows())

    async def stream(self, request: Request) -> ASGIApp:
        """Answer GET with all rows, as a stream."""
        values = await self._values_of_url(request)
        options = QueryValues(request.query_params)
        limit = options.integer("limit", 0, MOST_STREAMED)
        size = options.integer("fetch_size", 1, MOST_FETCHED)
        options.check()
        return stream_rows(request, self._statement, values, fetch_size=size or DEFAULT_FETCH_SIZE, limit=limit)

    async def write(self, request: Request) -> Response:
        """Answer POST: execute the statement with the values of the path and the body. 204, or 409."""
        refuse_conditions(request)
        refuse_cassandra_headers(request)
        body = await json_value(request)
        parameters = await self._parameters(request)
        if not isinstance(body, dict):
            raise InvalidInput(errors=(FieldError("", "must be a JSON object"),))
        values = self._values_of_body(request, parameters, body)
        result = await database_of(request).execute(self._statement, values, deadline=deadline_of(request))
        if not result.applied:
            raise Conflict("The condition of this statement did not hold. Nothing was written.")
        return no_content()

    async def _parameters(self, request: Request) -> tuple[Parameter, ...]:
        return await database_of(request).parameters(self._statement, deadline_of(request))

    async def _values_of_url(self, request: Request) -> tuple[Encoded | None, ...]:
        """Return the values of the markers. Raises InvalidInput with every wrong, missing or unknown parameter."""
        refuse_cassandra_headers(request)
        parameters = await self._parameters(request)
        sent = dict(query_items(request))
        usable = (*_names(parameters, self._in_path), *self._query.options)
        errors = [
            FieldError(f"query.{name}", "is no parameter of this query", usable) for name in sent if name not in usable
        ]

        def read(parameter: Parameter) -> Encoded | None:
            text = sent.get(parameter.name)
            if text is None:
                raise WrongValue("", "is required")
            return encoder_of(parameter.type).from_text(text)

        return self._read(request, parameters, read, "query.", errors)

    def _values_of_body(
        self, request: Request, parameters: Sequence[Parameter], body: Mapping[str, Any]
    ) -> tuple[Encoded | None, ...]:
        """Return the values of the markers. Raises InvalidInput with every wrong, missing or unknown member."""
        usable = _names(parameters, self._in_path)
        message = "is no parameter of this statement"
        errors = [FieldError(f"query.{name}", message) for name in request.query_params]
        errors += [FieldError(f"/{pointer_token(name)}", message, usable) for name in body if name not in usable]

        def read(parameter: Parameter) -> Encoded | None:
            if parameter.name not in body:
                raise WrongValue("", "is required")
            if body[parameter.name] is None and parameter.in_partition_key:
                raise WrongValue("", "must not be null: it is in the partition key")
            return encoder_of(parameter.type).from_json(body[parameter.name])

        return self._read(request, parameters, read, "/", errors)

    def _read(
        self,
        request: Request,
        parameters: Sequence[Parameter],
        read: Callable[[Parameter], Encoded | None],
        place: str,
        errors: list[FieldError],
    ) -> tuple[Encoded | None, ...]:
        """Return the value of each marker, from the path or by `read`; raise InvalidInput if there are errors."""
        in_path: Mapping[str, str] = request.scope["path_params"]
        values: list[Encoded | None] = []
        for parameter in parameters:
            is_in_path = parameter.name in self._in_path
            try:
                values.append(
                    encoder_of(parameter.type).from_text(in_path[parameter.name]) if is_in_path else read(parameter)
                )
            except WrongValue as error:
                at = f"path.{parameter.name}" if is_in_path else f"{place}{parameter.name}"
                errors += [FieldError(at + inner.field, inner.message) for inner in error.errors]
        if errors:
            raise InvalidInput(errors=tuple(dict.fromkeys(errors)))  # a marker may stand in the CQL more than once
        return tuple(values)


def _names(parameters: Sequence[Parameter], in_path: Collection[str]) -> tuple[str, ...]:
    """Return the names of the parameters that are not in the path, each once."""
    return tuple(dict.fromkeys(parameter.name for parameter in parameters if parameter.name not in in_path))


def _text(values: Sequence[Encoded | None]) -> str:
    return " ".join("null" if value is None else value.hex() for value in values)
