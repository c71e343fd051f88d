"""A declared resource in a started application: its statements and how its values are read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import msgspec
from starlette.requests import Request

from asgi_app.driver.codec import Codec, codec_of_type
from asgi_app.errors import FieldError, InvalidInput, Unauthorized
from asgi_app.http.context import principal_of
from asgi_app.tables.cql import Statement
from asgi_app.tables.encoding import Encoded, Encoder, WrongValue, encoder_of
from asgi_app.tables.query_plan import Rules
from asgi_app.tables.resource import Resource
from asgi_app.tables.writes import WriteStatements


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

    def key_from_texts(
        self, columns: Sequence[str], texts: Sequence[str], place: str = "path"
    ) -> tuple[Encoded, ...]:
        """Decode key values from an address. Raises InvalidInput that names each wrong one: `path.day`."""
        errors: list[FieldError] = []
        key: list[Encoded] = []
        for column, text in zip(columns, texts, strict=False):
            try:
                key.append(self.encoders[column].from_text(text))
            except WrongValue as error:
                errors.append(FieldError(f"{place}.{column}", error.message))
        if errors:
            raise InvalidInput(errors=tuple(errors))
        return tuple(key)

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

    def select(self, statement: Statement, consistency: str | None) -> Statement:
        """Return the statement at the consistency that a client asked for."""
        if consistency is None:
            return statement
        return Statement(statement.cql, statement.idempotent, statement.writes, statement.table, consistency)

    def _encoded(self, column: str, value: Any) -> Encoded:
        """Encode a value that the application made. Raises TypeError if it is no value of the column: that is a bug."""
        try:
            encoded = self.encoders[column].from_json(msgspec.to_builtins(value))
        except WrongValue as error:
            raise TypeError(f"{self.name}.{column}: the application's value {error.message}") from error
        if encoded is None:
            raise TypeError(f"{self.name}.{column}: the application's value is None")
        return encoded
