"""A declared resource in a started application: its statements and how its values are read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import msgspec
from starlette.requests import Request

from asgi_app.driver.codec import Codec, codec_of_type
from asgi_app.errors import FieldError, InvalidInput, NotFound, Unauthorized
from asgi_app.http.context import principal_of
from asgi_app.http.requests import LONGEST_KEY
from asgi_app.resources.table.bodies import BodyColumn, accepts_none, bounds_of
from asgi_app.tables.cql import Statement, select_row
from asgi_app.tables.encoding import Encoded, Encoder, WrongValue, encoder_of
from asgi_app.tables.query_plan import Rules
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import column_hints
from asgi_app.tables.writes import WriteStatements

VERBS = "-"
"""The segment below which the verbs of a resource stand. A key that begins so has its address at `/-/row`."""


class ServedResource:
    """What the handlers of one resource share. Immutable once it is made.

    `key_columns` are the columns of the primary key, `open_key` those of them that an address has: all that are not
    bound to the client. `visible` are the columns of an answer, in the order of the struct.
    """

    def __init__(self, resource: Resource, keyspace: str) -> None:
        self.resource = resource
        self.name = resource.name
        self.keyspace = resource.keyspace or keyspace
        self.table = table = replace(resource.table, keyspace=self.keyspace)
        self.key_columns = table.primary_key
        self.open_key = tuple(name for name in table.primary_key if name not in resource.bound)
        self.open_partition_key = tuple(name for name in table.partition_key if name not in resource.bound)
        unseen = {*resource.hidden, *resource.bound}
        self.visible = tuple(name for name in table.column_names if name not in unseen)
        self.encoders: Mapping[str, Encoder] = {column.name: encoder_of(column.type) for column in table.columns}
        self.writes = WriteStatements(self.keyspace, resource)
        self.not_found = f"{resource.struct.__name__} not found"
        """The message for a key without a row."""
        self._open_encoders = tuple(self.encoders[name] for name in self.open_key)

    @cached_property
    def row(self) -> Statement:
        """The SELECT of one row by its primary key."""
        cql = select_row(self.keyspace, self.table, self.visible)
        return Statement(cql, idempotent=True, writes=False, table=self.table)

    @cached_property
    def created_body(self) -> Mapping[str, BodyColumn]:
        """The columns that the body of a new row may have: all that the client may set, the key included."""
        return self._body((*self.open_key, *self._settable))

    @cached_property
    def replaced_body(self) -> Mapping[str, BodyColumn]:
        """The columns that the body of a replacement may have: the key stands in the address."""
        return self._body(self._settable)

    @cached_property
    def changed_body(self) -> Mapping[str, BodyColumn]:
        """The columns that a change of a row may have."""
        return self._body(self._settable)

    @cached_property
    def static_body(self) -> Mapping[str, BodyColumn]:
        """The columns that a change of a partition may have."""
        return self._body(tuple(column.name for column in self.table.static_columns))

    @property
    def _settable(self) -> tuple[str, ...]:
        resource = self.resource
        made = {*resource.generated, *resource.read_only, resource.version}
        regular = (column for column in self.table.columns if column.kind == "regular")
        return tuple(column.name for column in regular if column.name not in made)

    def _body(self, names: Sequence[str]) -> Mapping[str, BodyColumn]:
        fields = {field.encode_name: field for field in msgspec.structs.fields(self.resource.struct)}
        hints = column_hints(self.resource.struct)
        return {
            name: BodyColumn(
                encoder=self.encoders[name],
                bounds=bounds_of(hints[name]),
                required=fields[name].required,
                nullable=name not in self.key_columns and accepts_none(hints[name]),
            )
            for name in names
            if name not in self.resource.generated
        }

    @cached_property
    def codecs(self) -> Mapping[str, Codec]:
        """How each column's cells are written in answers."""
        return {column.name: codec_of_type(column.type) for column in self.table.columns}

    def bound_values(self, request: Request) -> dict[str, Encoded]:
        """Return the values of the columns that are bound to the client. Raises Unauthorized if there is no client."""
        if not self.resource.bound:
            return {}
        principal = principal_of(request.scope)
        if principal is None:
            raise Unauthorized("This resource is for authenticated clients.")
        return {name: self._encoded(name, function(principal)) for name, function in self.resource.bound.items()}

    def rules(self, request: Request) -> Rules:
        """Return what a query of this client may ask for."""
        return Rules(
            allow_filtering=frozenset(self.resource.allow_filtering),
            hidden=frozenset(self.resource.hidden),
            bound=self.bound_values(request),
            keyspace=self.keyspace,
        )

    def generated_values(self) -> dict[str, Encoded]:
        """Return new values of the columns that the server makes."""
        return {name: self._encoded(name, function()) for name, function in self.resource.generated.items()}

    def key_of_texts(self, names: Sequence[str], texts: Mapping[str, str], place: str) -> tuple[Encoded, ...]:
        """Decode the first values of the open key: the `texts` of these names.

        Raises InvalidInput that names each wrong one: `path.day`.
        """
        errors: list[FieldError] = []
        key: list[Encoded] = []
        for encoder, name in zip(self._open_encoders, names, strict=False):
            try:
                key.append(encoder.from_text(texts[name]))
            except WrongValue as error:
                errors.append(FieldError(f"{place}.{name}", error.message))
        if errors:
            raise InvalidInput(errors=tuple(errors))
        return tuple(key)

    def prefix_of_path(self, request: Request) -> dict[str, Encoded]:
        """Return the values of the leading key columns that an address has or that are bound to the client."""
        given = {**self.bound_values(request), **dict(zip(self.open_key, key_of_path(self, request), strict=False))}
        return {name: given[name] for name in self.key_columns if name in given}

    def key_errors(self, row: Mapping[str, Encoded | None], pointer: str) -> list[FieldError]:
        """Return what is wrong with the key of a new row beyond the types of its columns."""
        key = {name: row.get(name) for name in self.key_columns}
        errors = [
            FieldError(f"{pointer}/{name}", f"must have at most {LONGEST_KEY} bytes")
            for name, cell in key.items()
            if cell is not None and len(cell) > LONGEST_KEY
        ]
        partition_key = self.table.partition_key
        if len(partition_key) == 1 and key[partition_key[0]] == b"":
            errors.append(FieldError(f"{pointer}/{partition_key[0]}", "must not be empty"))
        return errors

    def full_key(self, request: Request, open_values: Sequence[Encoded]) -> dict[str, Encoded]:
        """Return the primary key by column, of the values in an address and those bound to the client."""
        given = {**dict(zip(self.open_key, open_values, strict=True)), **self.bound_values(request)}
        return {name: given[name] for name in self.key_columns}

    def shown(self, row: Mapping[str, Encoded | None]) -> dict[str, Any]:
        """Return the row as a later GET shows it; columns that `row` lacks are null."""
        return {name: self.value(name, row.get(name)) for name in self.visible}

    def value(self, column: str, cell: bytes | None) -> Any:
        """Return a cell as answers have it."""
        return None if cell is None else self.codecs[column].cell(cell)

    def _encoded(self, column: str, value: Any) -> Encoded:
        """Encode a value that the application made. Raises TypeError if it is no value of the column: that is a bug."""
        try:
            encoded = self.encoders[column].from_json(msgspec.to_builtins(value))
        except WrongValue as error:
            raise TypeError(f"{self.name}.{column}: the application's value {error.message}") from error
        if encoded is None:
            raise TypeError(f"{self.name}.{column}: the application's value is None")
        return encoded


def key_of_path(served: ServedResource, request: Request) -> tuple[Encoded, ...]:
    """Return the key values that the path has, in the order of the key. Raises InvalidInput, or NotFound for a verb."""
    names: list[str] = request.scope["route"].names
    texts: Mapping[str, str] = request.scope["path_params"]  # also those of an application that mounts this one
    if names and texts[names[0]] == VERBS:
        raise NotFound(f"There is no such verb. The row with the key '{VERBS}' is at /{served.resource.segment}/-/row.")
    return served.key_of_texts(names, texts, "path")
