"""The operations of a user's own CQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asgi_app.db import Parameter
from asgi_app.openapi.components import Schema
from asgi_app.openapi.tables import Shared
from asgi_app.openapi.values import nullable
from asgi_app.resources.query import Query
from asgi_app.tables.annotations import accepts_none
from asgi_app.tables.cql_text import marker_names
from asgi_app.tables.table import column_hints
from asgi_app.tables.types import CqlType, Native, type_of_hint

_OPTIONS = {"limit": "DefaultLimit", "page_state": "PageState", "fetch_size": "FetchSize", "format": "Format"}


class QueryDocument:
    """Describes one query. `parameters` are those of its prepared statement, None while they are unknown."""

    def __init__(self, query: Query, parameters: Sequence[Parameter] | None, shared: Shared) -> None:
        self._query = query
        self._types = None if parameters is None else {each.name: each.type for each in parameters}
        self._key = [each.name for each in parameters or () if each.in_partition_key]
        self._shared = shared
        self._common = shared.common
        self._id = shared.operation_ids.new(_wanted_id(query))

    def operation(self) -> Schema:
        """Return the operation of the query's method."""
        query = self._query
        return {
            "operationId": self._id,
            "summary": f"{'Write' if query.writes else 'Read'} by a statement",
            "tags": [query.resource],
            **self._input(),
            "responses": self._written() if query.writes else self._read(),
            "x-cassandra": {"operation": "query", "cql": query.cql},
        }

    def path(self) -> Schema:
        """Return what all operations of the query's path share: its parameters."""
        keys = [self._parameter(name, "path") for name in self._query.path_names]
        return {"parameters": [*keys, *self._common.of_every_request()]}

    def _input(self) -> Schema:
        names = [name for name in marker_names(self._query.cql) if name not in self._query.path_names]
        if self._query.writes:
            return {"requestBody": {"required": True, "content": {"application/json": {"schema": self._body(names)}}}}
        options = [self._option(name) for name in self._query.options]
        parameters = [self._parameter(name, "query") for name in names] + options
        return {"parameters": parameters} if parameters else {}

    def _option(self, name: str) -> Schema:
        return self._common.option("Limit" if self._query.stream and name == "limit" else _OPTIONS[name])

    def _type(self, name: str) -> CqlType:
        return Native("text") if self._types is None else self._types.get(name, Native("text"))

    def _parameter(self, name: str, place: str) -> Schema:
        value = self._shared.values.parameter(self._type(name))
        if self._type(name) in (Native("text"), Native("ascii")) and (place == "path" or self._key == [name]):
            value = {"schema": {**value["schema"], "minLength": 1}}  # Cassandra has no empty partition key
        return {"name": name, "in": place, "required": True, **value}

    def _body(self, names: Sequence[str]) -> Schema:
        def value(name: str) -> Schema:
            if self._types is None:
                return {}
            schema = self._shared.values.body(self._type(name))
            return schema if name in self._key else nullable(schema)

        def make() -> Schema:
            required = {"required": list(names)} if names else {}
            properties = {name: value(name) for name in names}
            return {"type": "object", "additionalProperties": False, **required, "properties": properties}

        return self._shared.components.refer("schemas", ("query", self._id), f"{self._id}_values", make)

    def _written(self) -> Schema:
        return {"204": self._common.no_content(), **self._common.problems("Conflict", "InvalidInput")}

    def _read(self) -> Schema:
        row = self._row()
        if self._query.one:
            return {"200": self._common.json("The row.", row), **self._common.problems("NotFound", "InvalidInput")}
        if self._query.stream:
            answer = self._common.stream("The rows.", row)
        else:
            answer = self._common.json("A page of rows.", {"type": "array", "items": row}, "Link")
        return {"200": answer, **self._common.problems("InvalidInput")}

    def _row(self) -> Schema:
        struct = self._query.returning
        if struct is None:
            return {"type": "object"}

        def make() -> Schema:
            properties = {name: self._column(hint) for name, hint in column_hints(struct).items()}
            return {"type": "object", "properties": properties, "required": list(properties)}

        return self._shared.components.refer("schemas", ("returning", struct), struct.__name__, make)

    def _column(self, hint: Any) -> Schema:
        schema = self._answer(hint)
        return nullable(schema) if schema and accepts_none(hint) else schema

    def _answer(self, hint: Any) -> Schema:
        try:
            found = type_of_hint(hint)
        except TypeError:
            return {}
        if found == Native("int"):  # a plain `int` says nothing of its size: a count is a bigint
            return {"type": "integer"}
        return self._shared.values.answer(found)


def query_paths(
    queries: Sequence[Query], parameters: Mapping[Query, Sequence[Parameter]], shared: Shared
) -> dict[str, Schema]:
    """Return the addresses of the queries with their operations. `parameters` are those that are known."""
    paths: dict[str, Schema] = {}
    for query in queries:
        document = QueryDocument(query, parameters.get(query), shared)
        item = paths.setdefault(query.path, document.path())
        item[query.method.lower()] = document.operation()
    return paths


def _wanted_id(query: Query) -> str:
    """Return an id such as `recent_by_tenant` for `/recent/{tenant}`, with `_write` for a statement that writes."""
    parts = [f"by_{part[1:-1]}" if part.startswith("{") else part for part in query.path.strip("/").split("/")]
    return "_".join([*parts, *(["write"] if query.writes else [])])
