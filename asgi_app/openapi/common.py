"""What the operations of a document share: problems, headers, security, parameters that many have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgi_app.http.formats import FORMATS
from asgi_app.openapi.components import Components, Schema
from asgi_app.openapi.values import NULL
from asgi_app.resources.table.reading import EXPORTED, STREAMED
from asgi_app.tables.query_plan import (
    DEFAULT_LIMIT,
    MOST_FETCHED,
    MOST_PER_PARTITION,
    MOST_ROWS,
    MOST_STREAMED,
)
from asgi_app.tables.slices import MOST_PARALLEL

_STATUSES = {
    "BadRequest": "400",
    "Unauthorized": "401",
    "Forbidden": "403",
    "NotFound": "404",
    "Conflict": "409",
    "PreconditionFailed": "412",
    "InvalidInput": "422",
}

RESERVED: Mapping[str, tuple[str, ...]] = {
    "headers": ("ContentDisposition", "ETag", "Link", "Location", "RequestId", "RetryAfter", "WwwAuthenticate"),
    "parameters": (
        "DefaultLimit",
        "FetchSize",
        "Format",
        "IfMatch",
        "IfNoneMatch",
        "Limit",
        "PageState",
        "PerPartitionLimit",
        "RequestId",
        "RequestTimeout",
        "RequiredIfMatch",
    ),
    "responses": (
        *_STATUSES,
        "NoContent",
        "NotModified",
        "Problem",
    ),
    "schemas": ("Problem", "FieldError", "BatchResults", "Increment", "StreamFormat"),
}
"""The names of the components that this module makes."""

PROBLEM_TYPE = "application/problem+json"

_DESCRIPTIONS = {
    "BadRequest": "A header field is wrong, or the request is malformed.",
    "Conflict": "There is a row with this key already. Nothing was written.",
    "InvalidInput": "A value of the request is wrong. `errors` names each field.",
    "NotFound": "There is no such row.",
    "PreconditionFailed": "The row is not as the condition says. Nothing was written.",
    "Forbidden": "The API key may not do this.",
    "Unauthorized": "The API key is missing or unknown.",
    "Problem": "The request was refused, or could not be answered. `code` says why.",
}


_PROBLEM_HEADERS: Mapping[str, tuple[str, ...]] = {"Problem": ("RetryAfter",), "Unauthorized": ("WwwAuthenticate",)}


class Common:
    """Makes the shared parts of one document."""

    def __init__(self, components: Components, longest_timeout: float, *, has_keys: bool = False) -> None:
        """`longest_timeout` is the largest X-Request-Timeout, in seconds. `has_keys`: requests need an API key."""
        self._components = components
        self._refusals = ("Unauthorized", "Forbidden") if has_keys else ()
        self._longest_timeout = longest_timeout
        self._kept_problems: dict[tuple[tuple[str, ...], bool], Schema] = {}

    # --- responses

    def problems(self, *names: str, is_open: bool = False) -> Schema:
        """Return the responses of a request that failed: `default`, and those of the status codes of these names.

        With `is_open` the request needs no API key. Most operations have the same, so it is kept: do not change it.
        """
        kept = self._kept_problems.get((names, is_open))
        if kept is None:
            kept = self._kept_problems[names, is_open] = self._made_problems(names, is_open)
        return kept

    def _made_problems(self, names: tuple[str, ...], is_open: bool) -> Schema:
        refusals = () if is_open else self._refusals
        found = {_STATUSES[name]: self._problem(name) for name in (*refusals, *names)}
        return {**dict(sorted(found.items())), "default": self._problem("Problem")}

    def _problem(self, name: str) -> Schema:
        return self._components.refer("responses", name, name, lambda: self._problem_response(name))

    def _problem_response(self, name: str) -> Schema:
        headers = self.headers(*_PROBLEM_HEADERS.get(name, ()))
        content = {PROBLEM_TYPE: {"schema": self._schema("Problem", _problem_schema(self._field_error()))}}
        return {"description": _DESCRIPTIONS[name], "headers": headers, "content": content}

    def _field_error(self) -> Schema:
        return self._schema("FieldError", _FIELD_ERROR)

    def no_content(self) -> Schema:
        """Return the response 204."""
        return self._empty("NoContent", "Done. There is nothing to answer.")

    def not_modified(self) -> Schema:
        """Return the response 304."""
        return self._empty("NotModified", "The client has this row already.", "ETag")

    def _empty(self, name: str, description: str, *headers: str) -> Schema:
        """Return a reference to a response without content."""
        return self._components.refer(
            "responses", name, name, lambda: {"description": description, "headers": self.headers(*headers)}
        )

    def answer(self, description: str, content: Schema, *headers: str, **more: Any) -> Schema:
        """Return a response with this content by media type."""
        return {"description": description, "headers": self.headers(*headers), "content": content, **more}

    def json(self, description: str, schema: Schema, *headers: str, **more: Any) -> Schema:
        """Return a response of JSON."""
        return self.answer(description, {"application/json": {"schema": schema}}, *headers, **more)

    def headers(self, *names: str) -> Schema:
        """Return the header fields of a response: these, and those of every response."""
        parts = {_FIELDS[name]: self._header(name) for name in names}
        return {**parts, "X-Request-ID": self._header("RequestId")}

    def _header(self, name: str) -> Schema:
        return self._components.refer("headers", name, name, lambda: dict(_HEADERS[name]))

    def stream(self, description: str, row: Schema) -> Schema:
        """Return the response of a stream of rows, in each of its formats."""
        content: Schema = {"application/json": {"schema": {"type": "array", "items": row}}}
        content |= {form.media_type: {"schema": {}} for form in FORMATS.values() if form.media_type not in content}
        return self.answer(description, content)

    def file(self, description: str, row: Schema, form: str) -> Schema:
        """Return the response of an export of rows in one of `FORMATS`."""
        schema: Schema = {"type": "array", "items": row} if form == "json" else {}
        return self.answer(description, {FORMATS[form].media_type: {"schema": schema}}, "ContentDisposition")

    # --- parameters

    def of_every_request(self) -> list[Schema]:
        """Return the parameters that every request may have."""
        timeout = _header_parameter(
            "X-Request-Timeout",
            "Seconds within which the request must be answered.",
            {"type": "number", "minimum": 0.001, "maximum": self._longest_timeout},
        )
        return [self.parameter("RequestId", _REQUEST_ID), self.parameter("RequestTimeout", timeout)]

    def option(self, name: str) -> Schema:
        """Return one of the parameters that reads of any table have."""
        if name == "Format":
            formats = self._schema("StreamFormat", {"type": "string", "enum": list(FORMATS)})
            return self.parameter(name, query_parameter("format", "Without it `Accept` decides.", formats))
        return self.parameter(name, _OPTIONS[name])

    def parameter(self, name: str, parameter: Schema) -> Schema:
        """Return a reference to a parameter."""
        return self._components.refer("parameters", name, name, lambda: dict(parameter))

    def batch_results(self) -> Schema:
        """Return the schema of the answer to a batch whose rows are written one by one."""
        return self._schema("BatchResults", _BATCH_RESULTS)

    def _schema(self, name: str, schema: Schema) -> Schema:
        return self._components.refer("schemas", name, name, lambda: dict(schema))


API_KEYS: Mapping[str, Schema] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}
"""The ways to send an API key."""

ADMIN_TOKEN: Schema = {"type": "http", "scheme": "bearer", "description": "The token for POST /shutdown."}


def _problem_schema(field_error: Schema) -> Schema:
    """Return the schema of problem details (RFC 9457), with this service's members."""
    return {
        "type": "object",
        "description": "Problem details (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "A sentence for people."},
            "instance": {"type": "string"},
            "code": {"type": "string", "description": "What went wrong, for programs.", "examples": ["invalid_input"]},
            "request_id": {"type": "string", "description": "The id of the request in the service's log."},
            "errors": {"type": "array", "items": field_error},
            "outcome": {"enum": ["unknown", "applied"], "description": "What became of a write that failed."},
            "current": {"type": "object", "description": "The row as it is now, after a failed condition."},
        },
    }


_FIELD_ERROR: Schema = {
    "type": "object",
    "required": ["field", "message"],
    "properties": {
        "field": {
            "type": "string",
            "description": "A JSON pointer into the body, or `query.name`, `path.name`, `header.name`.",
            "examples": ["/kind", "query.limit"],
        },
        "message": {"type": "string"},
        "usable": {"type": "array", "items": {"type": "string"}, "description": "What can be used instead."},
    },
}

_BATCH_RESULTS: Schema = {
    "type": "object",
    "required": ["results"],
    "properties": {
        "results": {
            "type": "array",
            "description": "What became of each row, in their order.",
            "items": {
                "type": "object",
                "required": ["status"],
                "properties": {
                    "status": {"type": "integer", "examples": [201]},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                    "outcome": {"enum": ["unknown", "applied"]},
                },
            },
        }
    },
}

_FIELDS: Mapping[str, str] = {
    "ContentDisposition": "Content-Disposition",
    "ETag": "ETag",
    "Link": "Link",
    "Location": "Location",
    "RetryAfter": "Retry-After",
    "WwwAuthenticate": "WWW-Authenticate",
}
"""The names of header fields, by those of their components."""

_HEADERS: Mapping[str, Schema] = {
    "ContentDisposition": {"description": "`attachment`, with the name of a file.", "schema": {"type": "string"}},
    "ETag": {"description": "The version of the row.", "schema": {"type": "string"}},
    "Link": {"description": 'The next page, if there is one: `<…>; rel="next"`.', "schema": {"type": "string"}},
    "Location": {"description": "The address of the row, or of the page.", "schema": {"type": "string"}},
    "RequestId": {"description": "The id of this request in the service's log.", "schema": {"type": "string"}},
    "RetryAfter": {"description": "Seconds after which the request may succeed.", "schema": {"type": "integer"}},
    "WwwAuthenticate": {"description": "The scheme to authenticate by: `Bearer`.", "schema": {"type": "string"}},
}


def _header_parameter(name: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def query_parameter(name: str, description: str, schema: Schema) -> Schema:
    """Return an optional parameter of the query."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


_TAG = r'(W/)?"[\x21\x23-\x7e]*"'
_ENTITY_TAGS: Schema = {
    "type": "string",
    "pattern": rf"^(\*|{_TAG}(, *{_TAG})*)$",
    "examples": ['"b26b2a23-4d70-41c3-88a7-a9aa9e135a93"'],
}
"""What If-Match and If-None-Match have (RFC 9110 section 13.1)."""

_REQUEST_ID = _header_parameter(
    "X-Request-ID",
    "An id for this request, of up to 128 letters, digits and ._:/+=@-. Without one the service makes it.",
    {"type": "string"},
)

_OPTIONS: Mapping[str, Schema] = {
    "DefaultLimit": query_parameter(
        "limit",
        f"The number of rows; {DEFAULT_LIMIT} without it.",
        {"type": "integer", "minimum": 1, "maximum": MOST_ROWS},
    ),
    "FetchSize": query_parameter(
        "fetch_size",
        "The largest number of rows of a page from Cassandra; "
        f"{STREAMED.fetch_size} without it, {EXPORTED.fetch_size} for an export.",
        {"type": "integer", "minimum": 1, "maximum": MOST_FETCHED},
    ),
    "Limit": query_parameter(
        "limit",
        "The number of rows in total; all without it.",
        {"type": "integer", "minimum": 0, "maximum": MOST_STREAMED},
    ),
    "PageState": query_parameter(
        "page_state", "Where the page begins: from the link or the answer of the page before.", {"type": "string"}
    ),
    "Parallel": query_parameter(
        "parallel",
        "How many slices are read at once; with more than one, rows come in no order.",
        {"type": "integer", "minimum": 1, "maximum": MOST_PARALLEL},
    ),
    "Slice": query_parameter(
        "slice",
        "A part of all partitions, such as `3/64`: the third of 64 ranges of the tokens of their keys.",
        {"type": "string", "pattern": "^[1-9][0-9]{0,4}/[1-9][0-9]{0,4}$", "examples": ["1/1"]},
    ),
    "PerPartitionLimit": query_parameter(
        "per_partition_limit",
        "The largest number of rows of each partition.",
        {"type": "integer", "minimum": 1, "maximum": MOST_PER_PARTITION},
    ),
    "IfMatch": _header_parameter(
        "If-Match", "The ETag of the row as the client knows it, or `*` for any.", _ENTITY_TAGS
    ),
    "IfNoneMatch": _header_parameter("If-None-Match", "The ETag of a row that the client has: then 304.", _ENTITY_TAGS),
    "RequiredIfMatch": {
        **_header_parameter("If-Match", "The ETag of the row as the client knows it.", _ENTITY_TAGS),
        "required": True,
    },
}

NULLABLE_TEXT: Schema = {"anyOf": [{"type": "string"}, NULL]}
