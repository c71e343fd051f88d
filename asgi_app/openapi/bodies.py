"""Schemas of the bodies that write rows, from the columns that a body may have and the struct that bounds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from asgi_app.openapi.bounds import described
from asgi_app.openapi.components import Schema
from asgi_app.openapi.values import Values, is_writable, nullable
from asgi_app.resources.table.bodies import BodyColumn
from asgi_app.resources.table.served import ServedResource
from asgi_app.tables.python_values import json_form
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Column, Table
from asgi_app.tables.types import Native, VectorOf
from asgi_app.tables.vectors import index_on_vector


def row_schema(served: ServedResource, table: Table, columns: Mapping[str, BodyColumn], values: Values) -> Schema:
    """Return the schema of a whole row, new or a replacement. `columns` are those that the body may have."""
    defaults = _defaults(served.resource, table)
    properties = {}
    for name, column in _writable(table, columns).items():
        schema = _value(table, table.column(name), served.described[name], values, values.body)
        schema = _not_empty(table, table.column(name), schema)
        schema = _seen(served.resource, name, nullable(schema) if column.nullable else schema)
        properties[name] = {**schema, "default": defaults[name]} if name in defaults else schema
    required = [name for name in properties if columns[name].required]
    return _closed(properties, **({"required": required} if required else {}))


def change_schema(served: ServedResource, table: Table, columns: Mapping[str, BodyColumn], values: Values) -> Schema:
    """Return the schema of a merge patch of a row, or of a partition (RFC 7396)."""
    properties = {}
    for name, column in _writable(table, columns).items():
        schema = _value(table, table.column(name), served.described[name], values, values.change)
        is_counter = table.column(name).type == Native("counter")
        schema = nullable(schema) if column.nullable and not is_counter else schema
        properties[name] = _seen(served.resource, name, schema)
    return _closed(properties, minProperties=1)


def _value(table: Table, column: Column, found: inspect.Type, values: Values, make: Callable[..., Schema]) -> Schema:
    """Return what `make` makes of a column's type, or the schema of a vector whose index takes fewer."""
    if isinstance(column.type, VectorOf) and index_on_vector(table, column) is not None:
        return values.indexed_vector(column.type, described(found))
    return make(column.type, described(found))


def _writable(table: Table, columns: Mapping[str, BodyColumn]) -> Mapping[str, BodyColumn]:
    return {name: column for name, column in columns.items() if is_writable(table.column(name).type)}


def _closed(properties: Mapping[str, Schema], **more: Any) -> Schema:
    return {"type": "object", "additionalProperties": False, **more, "properties": dict(properties)}


def _seen(resource: Resource, column: str, schema: Schema) -> Schema:
    """Return the schema of a column, marked if clients can write it and never see it."""
    return {**schema, "writeOnly": True} if column in resource.hidden else schema


def _not_empty(table: Table, column: Column, schema: Schema) -> Schema:
    """Return the schema without the empty value that a single partition key cannot have."""
    if table.partition_key == (column.name,) and column.type in (Native("text"), Native("ascii")):
        return {**schema, "minLength": max(1, schema.get("minLength", 0))}
    return schema


def _defaults(resource: Resource, table: Table) -> Mapping[str, Any]:
    """Return the defaults of columns, without those that a function makes, and without null: absent is null anyway."""
    fields = msgspec.structs.fields(resource.struct)
    return {
        field.encode_name: msgspec.to_builtins(json_form(table.column(field.encode_name).type, field.default))
        for field in fields
        if field.default not in (None, msgspec.NODEFAULT, msgspec.UNSET)
    }
