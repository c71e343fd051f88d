"""The operations of one table: its addresses with their parameters, bodies and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from asgi_app.openapi.bodies import change_schema, row_schema
from asgi_app.openapi.bounds import ANYTHING, described
from asgi_app.openapi.common import Common, query_parameter
from asgi_app.openapi.components import Components, Names, Schema
from asgi_app.openapi.filters import Filters
from asgi_app.openapi.statements import creation_of, readable, statement_of
from asgi_app.openapi.values import Values, nullable
from asgi_app.resources.table.headers import CONSISTENCY, TTL
from asgi_app.resources.table.operations import Operation
from asgi_app.resources.table.served import ServedResource
from asgi_app.resources.table.writing import MOST_BATCH_ROWS
from asgi_app.tables.cql import Queries, Statement
from asgi_app.tables.table import Column, Table
from asgi_app.tables.types import Native, is_known


@dataclass(frozen=True, slots=True)
class Shared:
    """What the tables of a document share."""

    components: Components
    common: Common
    values: Values
    operation_ids: Names


_SUMMARIES: Mapping[str, str] = {
    "batch": "Write many rows",
    "change": "Change a row",
    "change_partition": "Set the static columns of a partition",
    "create": "Create a row",
    "delete": "Delete a row",
    "delete_prefix": "Delete many rows of a partition",
    "export": "Export all rows",
    "list": "List rows",
    "pages": "Read page by page",
    "partitions": "List the partition keys",
    "read": "Read a row",
    "replace": "Replace a row",
    "search": "Search for rows",
    "stream": "Stream all rows",
}

_BY_QUERY = "/-/row"


class TableDocument:
    """Describes one resource, and some of its operations. `table` is its table as Cassandra has it."""

    def __init__(
        self,
        served: ServedResource,
        table: Table,
        shared: Shared,
        operations: Iterable[Operation],
        *,
        read_only: bool = False,
    ) -> None:
        """With `read_only` Cassandra lets nobody write to the table, whatever the declaration says."""
        self._served = served
        self._resource = served.resource
        self.name = self._name = served.name
        self._table = table
        self._planner = served.planner(table)
        self._shared = shared
        self._common = shared.common
        self._values = shared.values
        self._writes = "none" if read_only else self._resource.writes
        self._is_conditional = self._resource.writes == "conditional"
        self._filters = Filters(self._name, self._planner, shared.components, shared.values)
        self._operations = [each for each in operations if self._is_described(each)]
        self._own_parameters: dict[str, list[Schema]] = {}
        self._ids = {each.name: shared.operation_ids.new(each.name) for each in self._operations}

    def _is_described(self, operation: Operation) -> bool:
        if operation.kind == "lacks" or (operation.verb == "write" and self._writes == "none"):
            return False
        if not all(is_known(self._table.column(name).type) for name in self._key_of(operation)):
            return False  # no client can write such a key
        expires = self._table.has_default_ttl and not self._resource.ttl_on_patch and not self._table.is_counter
        return not (operation.kind == "change" and expires)

    def facts(self) -> Schema:
        """Return what the table is, for programs that show it: its keys, columns and indexes."""
        shown, table = self._planner.columns, self._table
        creation = creation_of(self._served, self._planner)
        return {
            "keyspace": self._served.keyspace,
            "table": table.name,
            "partition_key": [name for name in table.partition_key if name in shown],
            "clustering": [
                {"name": name, "order": "desc" if name in table.descending else "asc"}
                for name in table.clustering_columns
                if name in shown
            ],
            "columns": [{"name": each.name, "type": str(each.type), "kind": each.kind} for each in shown.values()],
            "indexes": [
                {"name": index.name, "column": index.column, "target": index.target, "kind": index.kind}
                for index in table.indexes
                if index.column in shown
            ],
            "writes": self._writes,
            **({} if creation is None else {"cql": creation}),
        }

    def tag(self) -> Schema:
        """Return the tag of the operations."""
        about = f"The table `{self._served.keyspace}.{self._table.name}`."
        return {"name": self._name, "description": f"{about} {self._table.comment}".strip()}

    def paths(self) -> dict[str, Schema]:
        """Return the addresses with their operations."""
        paths: dict[str, Schema] = {}
        for operation in self._operations:
            columns = self._columns_of(operation)
            template = self._template(operation, columns)
            if template not in paths:
                keys = [self._path_parameter(column) for column in columns]
                paths[template] = {"parameters": [*keys, *self._common.of_every_request()]}
            paths[template][operation.method.lower()] = self._described(operation, columns)
        return paths

    # --- addresses

    def _columns_of(self, operation: Operation) -> tuple[str, ...]:
        """Return the key columns that the path has."""
        return self._served.open_key[: operation.template.count("{")]

    def _key_of(self, operation: Operation) -> tuple[str, ...]:
        """Return the key columns that the address has, in its path or its query."""
        by_query = operation.template.endswith(_BY_QUERY)
        return self._served.open_key if by_query else self._columns_of(operation)

    def _template(self, operation: Operation, columns: Iterable[str]) -> str:
        base = operation.template.split("/{")[0]
        return "/".join([base, *(f"{{{self._path_names[column]}}}" for column in columns)])

    @cached_property
    def _path_names(self) -> Mapping[str, str]:
        """The names of the parameters in paths, by column: path templates take few characters."""
        names = Names()
        return {column: names.new(column) for column in self._served.open_key}

    def _path_parameter(self, column: str, *, is_new: bool = False) -> Schema:
        name = self._path_names[column]
        about = {} if name == column else {"description": f"The column `{column}`.", "x-cassandra-column": column}
        value = self._key_value(self._table.column(column), in_path=True, is_new=is_new)
        return self._key_parameter({"name": name, "in": "path", "required": True, **about, **value})

    def _row_parameter(self, column: str, *, is_new: bool) -> Schema:
        """Return a parameter of the address `/-/row`: a column of the key."""
        value = self._key_value(self._table.column(column), is_new=is_new)
        return self._key_parameter({"name": column, "in": "query", "required": True, **value})

    def _key_parameter(self, parameter: Schema) -> Schema:
        """Return a reference to a parameter, which tables with the same one share."""
        name, key = f"{parameter['name']}_in_{parameter['in']}", repr(parameter)
        return self._shared.components.refer("parameters", ("key", key), name, lambda: parameter)

    def _key_value(self, column: Column, *, in_path: bool = False, is_new: bool = False) -> Schema:
        """Return the schema of a key in an address. No segment of a path is empty, and no single partition key.

        With `is_new` it is the key of a new row, which has the bounds of the struct.
        """
        hint = described(self._served.described[column.name]) if is_new else ANYTHING
        value = self._values.parameter(column.type, hint)
        not_empty = in_path or self._table.partition_key == (column.name,)
        if not_empty and column.type in (Native("text"), Native("ascii")):
            return {"schema": {"minLength": 1, **value["schema"]}}
        return value

    def _part(self, name: str) -> str:
        """Return the name of a component of this table."""
        return f"{self._name}_{name}"

    # --- operations

    def _described(self, operation: Operation, columns: Sequence[str]) -> Schema:
        parts = self._makers[operation.kind](operation, columns)
        by_query = operation.template.endswith(_BY_QUERY)  # then the statement stands at the address of the row
        return {
            "operationId": self._ids[operation.name],
            "summary": self._summary(operation, columns),
            "tags": [self._name],
            **{key: value for key, value in parts.items() if value not in ([], {})},
            "x-cassandra": self.purpose(operation.kind, columns, with_statement=not by_query),
        }

    @cached_property
    def _makers(self) -> Mapping[str, Callable[[Operation, Sequence[str]], Schema]]:
        """The methods that describe operations, by the kind of the operation. They take the columns in its path too."""
        return {
            "batch": self._batch,
            "change": self._change,
            "change_partition": self._change_partition,
            "create": self._create,
            "delete": self._delete,
            "delete_prefix": self._delete_prefix,
            "export": self._export,
            "list": self._list,
            "pages": self._pages,
            "partitions": self._partitions,
            "read": self._read,
            "replace": self._replace,
            "search": self._search,
            "stream": self._stream,
        }

    def purpose(self, kind: str, prefix: Sequence[str] = (), *, with_statement: bool = True) -> Schema:
        """Return what an operation of this kind does with the table, for programs. `prefix` are columns in the path."""
        statement = statement_of(self._served, self._planner, kind, prefix) if with_statement else None
        return {"table": self._name, "operation": kind, **({} if statement is None else {"cql": statement})}

    def own_purpose(self, kind: str, statement: Callable[[Queries], Statement]) -> Schema:
        """Return the same for an operation whose handler runs a `statement` that other tables' handlers do not."""
        queries = Queries(self._served.keyspace, self._resource.table)
        return {"table": self._name, "operation": kind, "cql": readable(statement(queries).cql)}

    def _response(self, name: str, make: Callable[[], Schema]) -> Schema:
        """Return a reference to a response that several operations have."""
        return self._shared.components.refer("responses", (self._name, name), self._part(name), make)

    def _body(self, name: str, schema: Callable[[], Schema], *, merges: bool = False) -> Schema:
        """Return a reference to a request body that several operations have."""

        def make() -> Schema:
            return json_body(self._schema(name, schema), merges=merges)

        return self._shared.components.refer("requestBodies", (self._name, name), self._part(name), make)

    def _summary(self, operation: Operation, columns: Sequence[str]) -> str:
        if operation.kind == "list" and columns:
            whole = len(columns) == len(self._served.open_partition_key)
            return "List the rows of a partition" if whole else "List the rows below a part of the key"
        by_query = ", by its key in the query" if operation.template.endswith(_BY_QUERY) else ""
        form = f" as {operation.template.rpartition('.')[2].upper()}" if operation.kind == "export" else ""
        return _SUMMARIES[operation.kind] + by_query + form

    # --- reads

    def _list(self, _operation: Operation, columns: Sequence[str]) -> Schema:
        options = ("DefaultLimit", "PageState", "PerPartitionLimit")
        return {
            "parameters": [
                *self._filters.parameters(without=columns),
                *self._options(*options),
                *self._order(),
                *self._consistency(),
            ],
            "responses": {
                "200": self._response("rows", self._rows_answer),
                **self._common.problems("InvalidInput"),
            },
        }

    def _stream(self, _operation: Operation, _columns: Sequence[str]) -> Schema:
        return self._whole(
            self._common.stream("The rows.", self._some_columns()), "Format", *self._slices(), "Parallel"
        )

    def _export(self, operation: Operation, _columns: Sequence[str]) -> Schema:
        form = operation.template.rpartition(".")[2]
        rows = self._common.file("The rows, as a file.", self._some_columns(), form)
        return self._whole(rows, *self._slices(), "Parallel")

    def _pages(self, _operation: Operation, _columns: Sequence[str]) -> Schema:
        page = self._schema("page", lambda: page_schema("rows", self._some_columns()))
        return self._whole(self._common.json("A page of rows.", page), "PageState", *self._slices())

    def _whole(self, answer: Schema, *options: str) -> Schema:
        """Return the description of a read that may give all rows, in one answer or in several."""
        return {
            "parameters": [
                *self._filters.parameters(),
                *self._options("Limit", "FetchSize", *options, "PerPartitionLimit"),
                *self._order(),
                *self._select(),
                *self._consistency(),
            ],
            "responses": {"200": answer, **self._common.problems("InvalidInput")},
        }

    def _slices(self) -> tuple[str, ...]:
        """Return the option that selects a slice, unless the table is virtual."""
        return () if self._table.is_virtual else ("Slice",)

    def _partitions(self, _operation: Operation, _columns: Sequence[str]) -> Schema:
        shown = [name for name in self._table.partition_key if name in self._planner.columns]
        key = self._schema("partition", lambda: self._object(shown, required=shown))
        return {
            "parameters": [
                *self._filters.parameters(kinds=("partition_key", "static")),
                *self._options("DefaultLimit", "PageState"),
                *self._consistency(),
            ],
            "responses": {
                "200": self._common.json("A page of partition keys.", {"type": "array", "items": key}, "Link"),
                **self._common.problems("InvalidInput"),
            },
        }

    def _search(self, _operation: Operation, _columns: Sequence[str]) -> Schema:
        body = self._schema("search", self._filters.search)
        row = self._some_columns()
        if self._filters.vector_columns:
            similarity = {"type": "object", "properties": {"$similarity": {"type": "number"}}}
            row = {"allOf": [row, similarity]}
        return {
            "parameters": self._consistency(),
            "requestBody": json_body(body),
            "responses": {
                "200": self._common.json("The rows.", {"type": "array", "items": row}),
                **self._common.problems("InvalidInput"),
            },
        }

    def _read(self, operation: Operation, _columns: Sequence[str]) -> Schema:
        versioned = self._resource.version is not None
        none_match = [self._common.option("IfNoneMatch")] if versioned else []
        links = self._links("delete", operation, "$request")
        not_modified = {"304": self._common.not_modified()} if versioned else {}
        return {
            "parameters": [*self._keys(operation), *none_match, *self._consistency()],
            "responses": {
                "200": self._row_answer(links) if links else self._response("row", self._row_answer),
                **not_modified,
                **self._common.problems("NotFound", "InvalidInput"),
            },
        }

    # --- writes

    def _create(self, operation: Operation, _columns: Sequence[str]) -> Schema:
        conflict = ["Conflict"] if self._is_conditional and not self._resource.makes_keys else []
        links = {**self._links("read", operation), **self._links("delete", operation)}
        headers = ["Location", *(["ETag"] if self._resource.version else [])]
        created = self._common.json(
            "The new row, as a later read shows it.", self.row(), *headers, **({"links": links} if links else {})
        )
        return {
            "parameters": [*self._ttl(), *self._consistency()],
            "requestBody": json_body(self._new_row()),
            "responses": {"201": created, **self._common.problems(*conflict, "InvalidInput")},
        }

    def _batch(self, _operation: Operation, _columns: Sequence[str]) -> Schema:
        rows = {"type": "array", "minItems": 1, "maxItems": MOST_BATCH_ROWS, "items": self._new_row()}
        if self._resource.batch == "logged":
            created = self._schema("batch_answer", lambda: created_schema("rows", self.row()))
            answer = {"201": self._common.json("All rows were written.", created)}
        else:
            answer = {"200": self._common.json("What became of each row.", self._common.batch_results())}
        return {
            "parameters": [*self._ttl(), *self._consistency()],
            "requestBody": json_body(self._schema("batch", lambda: rows)),
            "responses": {**answer, **self._common.problems("InvalidInput")},
        }

    def _replace(self, operation: Operation, _columns: Sequence[str]) -> Schema:
        may_expire = self._is_conditional or not self._served.kept or self._resource.ttl_on_patch
        absent = [*self._if_none_match()] if self._is_conditional else []
        return {
            "parameters": [
                *self._keys(operation, creates=True),
                *self.if_match(required=False),
                *absent,
                *(self._ttl() if may_expire else ()),
                *self._consistency(),
            ],
            "requestBody": self._body("replacement", self._replacement),
            "responses": self._changed(created=self._is_conditional),
        }

    def _change(self, operation: Operation, _columns: Sequence[str]) -> Schema:
        return {
            "parameters": [
                *self._keys(operation, creates=not self._is_conditional),
                *self.if_match(required=self._resource.require_match),
                *(self._ttl() if self._resource.ttl_on_patch else ()),
                *self._consistency(),
            ],
            "requestBody": self._body("change", lambda: self._change_schema(self._served.changed_body), merges=True),
            "responses": self._changed(),
        }

    def _change_partition(self, operation: Operation, _columns: Sequence[str]) -> Schema:
        body = self._schema("partition_change", lambda: self._change_schema(self._served.static_body))
        return {
            "parameters": [
                *self._keys(operation, creates=True),
                *(self._ttl() if self._resource.ttl_on_patch else ()),
                *self._consistency(),
            ],
            "requestBody": json_body(body, merges=True),
            "responses": {"204": self._common.no_content(), **self._common.problems("InvalidInput")},
        }

    def _delete(self, operation: Operation, _columns: Sequence[str]) -> Schema:
        failed = ["PreconditionFailed"] if self._is_conditional else []
        return {
            "parameters": [
                *self._keys(operation),
                *self.if_match(required=self._resource.require_match),
                *self._consistency(),
            ],
            "responses": {"204": self._common.no_content(), **self._common.problems(*failed, "InvalidInput")},
        }

    def _delete_prefix(self, _operation: Operation, _columns: Sequence[str]) -> Schema:
        return {
            "parameters": self._consistency(),
            "responses": {"204": self._common.no_content(), **self._common.problems("InvalidInput")},
        }

    def _changed(self, *, created: bool = False) -> Schema:
        """Return the responses of a change of a row."""
        done = {"204": self._common.no_content()}
        if not self._is_conditional:
            return {**done, **self._common.problems("InvalidInput")}
        headers = ["ETag"] if self._resource.version else []
        new = {"201": self._common.json("The new row.", self.row(), "Location", *headers)} if created else {}
        return {
            "200": self._response("row", self._row_answer),
            **new,
            **done,
            **self._common.problems("NotFound", "PreconditionFailed", "InvalidInput"),
        }

    # --- schemas

    def _schema(self, name: str, make: Callable[[], Schema]) -> Schema:
        return self._shared.components.refer("schemas", (self._name, name), self._part(name), make)

    def _object(self, columns: Iterable[str], *, required: Sequence[str] = ()) -> Schema:
        properties = {name: self._answer(self._table.column(name)) for name in columns}
        return {"type": "object", **({"required": list(required)} if required else {}), "properties": properties}

    def _answer(self, column: Column) -> Schema:
        """Return the schema of a column in answers. A partition with static columns alone is a row without others."""
        schema = self._values.answer(column.type)
        may_lack = column.kind == "clustering" and bool(self._table.static_columns)
        return nullable(schema) if schema and (may_lack or column.kind in ("static", "regular")) else schema

    def _some_columns(self) -> Schema:
        """Return the schema of a row of which the client may have selected some columns."""
        return self._schema("columns", lambda: self._object(self._planner.columns))

    def row(self) -> Schema:
        """Return the schema of a whole row."""
        columns = list(self._planner.columns)
        return self._schema("row", lambda: {"allOf": [self._some_columns(), {"type": "object", "required": columns}]})

    def _rows_answer(self) -> Schema:
        return self._common.json("A page of rows.", {"type": "array", "items": self.row()}, "Link")

    def _row_answer(self, links: Schema | None = None) -> Schema:
        headers = ["ETag"] if self._resource.version else []
        return self._common.json("The row.", self.row(), *headers, **({"links": links} if links else {}))

    def _new_row(self) -> Schema:
        def make() -> Schema:
            return row_schema(self._served, self._table, self._served.created_body, self._values)

        return self._schema("new", make)

    def _replacement(self) -> Schema:
        return row_schema(self._served, self._table, self._served.replaced_body, self._values)

    def _change_schema(self, columns: Mapping[str, Any]) -> Schema:
        return change_schema(self._served, self._table, columns, self._values)

    def _links(self, kind: str, operation: Operation, source: str = "$response") -> Schema:
        """Return the link from an answer to the operation of this kind on the same row."""
        if operation.template.endswith(_BY_QUERY):
            return {}
        found = [each for each in self._operations if each.kind == kind and not each.template.endswith(_BY_QUERY)]
        if not found:
            return {}
        parameters = {name: self._source(column, source) for column, name in self._path_names.items()}
        return {kind: {"operationId": self._ids[found[0].name], "parameters": parameters}}

    def _source(self, column: str, source: str) -> str:
        if source == "$request":
            return f"$request.path.{self._path_names[column]}"
        return "$response.body#/" + column.replace("~", "~0").replace("/", "~1")

    # --- parameters

    def _keys(self, operation: Operation, *, creates: bool = False) -> list[Schema]:
        """Return the parameters of a key in the query, or those in the path that differ for an operation that creates.

        All others in the path stand beside the operations of the path.
        """
        if operation.template.endswith(_BY_QUERY):
            return [self._row_parameter(column, is_new=creates) for column in self._served.open_key]
        if not creates:
            return []
        columns = self._columns_of(operation)
        of_path = [self._path_parameter(column) for column in columns]
        bounded = [self._path_parameter(column, is_new=True) for column in columns]
        return [new for new, old in zip(bounded, of_path, strict=True) if new != old]

    def _options(self, *names: str) -> list[Schema]:
        return [self._common.option(name) for name in names]

    def _order(self) -> list[Schema]:
        return self._own("order", self._filters.order)

    def _select(self) -> list[Schema]:
        return self._own("select", self._filters.select)

    def _consistency(self) -> list[Schema]:
        def make() -> Schema:
            levels = {"type": "string", "enum": list(self._resource.consistency)}
            return _header(CONSISTENCY, "The consistency level.", self._schema("consistency", lambda: levels))

        return self._own("consistency", make) if self._resource.consistency else []

    def _ttl(self) -> list[Schema]:
        def make() -> Schema:
            seconds = {"type": "integer", "minimum": 1, "maximum": self._resource.ttl}
            return _header(TTL, "Seconds after which what is written expires.", seconds)

        return self._own("ttl", make) if self._resource.ttl is not None else []

    def if_match(self, *, required: bool) -> list[Schema]:
        """Return the parameter If-Match, or none where no condition can be honoured."""
        if not self._is_conditional:
            return []
        any_row = {"type": "string", "enum": ["*"]}
        if self._resource.version is None:
            return self._own("if_match", lambda: _header("If-Match", "Only if there is the row.", any_row))
        return [self._common.option("RequiredIfMatch" if required else "IfMatch")]

    def _if_none_match(self) -> list[Schema]:
        about = "Only if there is no such row: then it is created."
        return self._own("if_none_match", lambda: _header("If-None-Match", about, {"type": "string", "enum": ["*"]}))

    def _own(self, name: str, make: Callable[[], Schema | None]) -> list[Schema]:
        """Return a parameter of this table, or none if `make` makes none. It is made once."""
        if name not in self._own_parameters:
            made = make()
            refer = self._shared.components.refer
            found = [] if made is None else [refer("parameters", (self._name, name), self._part(name), lambda: made)]
            self._own_parameters[name] = found
        return self._own_parameters[name]


def page_schema(rows: str, row: Schema) -> Schema:
    """Return the schema of a page with the token of the next one. `rows` is the name of its array."""
    return {
        "type": "object",
        "required": [rows, "has_more", "page_state"],
        "properties": {
            rows: {"type": "array", "items": row},
            "has_more": {"type": "boolean"},
            "page_state": nullable({"type": "string"}),
        },
    }


def created_schema(rows: str, row: Schema) -> Schema:
    """Return the schema of the answer to a batch of which all rows were written."""
    return {
        "type": "object",
        "required": ["created", rows],
        "properties": {"created": {"type": "integer"}, rows: {"type": "array", "items": row}},
    }


def _header(name: str, description: str, schema: Schema) -> Schema:
    return {**query_parameter(name, description, schema), "in": "header"}


def json_body(schema: Schema, *, merges: bool = False) -> Schema:
    content = {"application/json": {"schema": schema}}
    if merges:
        content["application/merge-patch+json"] = {"schema": schema}
    return {"required": True, "content": content}
