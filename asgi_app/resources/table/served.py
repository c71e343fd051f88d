"""A declared resource in a started application: its statements and how its values are read and written."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NoReturn
from uuid import UUID, uuid4

import msgspec
from msgspec import inspect
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Scope

from asgi_app.driver.codec import Codec
from asgi_app.driver.declared_types import DeclaredRows, codec_of_type
from asgi_app.errors import FieldError, InvalidInput, NotFound, ServiceError, Unauthorized
from asgi_app.http.context import principal_of
from asgi_app.http.paths import location
from asgi_app.http.requests import LONGEST_KEY
from asgi_app.resources.table.bodies import BodyColumn
from asgi_app.resources.table.bounds import Bounds, bounds_of
from asgi_app.resources.table.quick_values import quick_encoder
from asgi_app.tables.annotations import accepts_none, described_type
from asgi_app.tables.cql import Statement, select_row
from asgi_app.tables.encoding import Encoded, Encoder, WrongValue, encoder_of, has_decimals, random_uuid
from asgi_app.tables.index_limits import LONGEST_OF_ENTRY
from asgi_app.tables.native_encoding import width_of
from asgi_app.tables.python_values import json_form
from asgi_app.tables.query_plan import QueryPlanner, Rules
from asgi_app.tables.resource import UNIQUE_TYPES, Resource
from asgi_app.tables.stored_form import Stored, order_of, stored_form_of
from asgi_app.tables.table import Table, column_hints
from asgi_app.tables.types import MapOf, Native, VectorOf, is_frozen
from asgi_app.tables.writes import Write, WriteStatements, added

VERBS = "-"
"""The segment below which the verbs of a resource stand. A key that begins so has its address at `/-/row`."""

_TOO_LONG_TOGETHER = f"is too long: this part of the key must have at most {LONGEST_KEY} bytes together"


_SHORT_KEY = 60_000
"""Bytes of a key below which no limit is near."""


class ServedResource:
    """The objects that the handlers of one resource share. Immutable once it is made.

    `key_columns` are the columns of the primary key, `open_key` those of them that an address has: all that are not
    bound to the client. `visible` are the columns of an answer, in the order of the struct.
    """

    def __init__(self, resource: Resource, keyspace: str, live: Table | None = None) -> None:
        """`live` is the table of a resource of the live schema; None for a declared one, whose table may change."""
        self.resource = resource
        self.live = live
        self.name = resource.name
        self.keyspace = resource.keyspace or keyspace
        self.table = table = replace(resource.table, keyspace=self.keyspace)
        self.key_columns = table.primary_key
        self.key_types = ",".join(str(table.column(name).type) for name in table.primary_key)
        self.open_key = tuple(name for name in table.primary_key if name not in resource.bound)
        self.open_partition_key = tuple(name for name in table.partition_key if name not in resource.bound)
        unseen = {*resource.hidden, *resource.bound}
        self.visible = tuple(name for name in table.column_names if name not in unseen)
        self.encoders: Mapping[str, Encoder] = {column.name: encoder_of(column.type) for column in table.columns}
        self._vectors = frozenset(c.name for c in table.columns if isinstance(c.type, VectorOf))
        self._maps = frozenset(c.name for c in table.columns if isinstance(c.type, MapOf) and not c.type.frozen)
        self.may_have_limited = bool(self._vectors or self._maps)
        """Whether a row can have a value that an index does not take (`has_limited`)."""
        self.writes = WriteStatements(self.keyspace, resource)
        self.not_found = (
            f"{resource.struct.__name__} not found" if live is None else f"There is no such row in {live.name}."
        )
        """The message for a key without a row."""
        self.exact = any(has_decimals(column.type) for column in table.columns)
        """Whether numbers in bodies must keep all their digits."""
        self._uuids = frozenset(column.name for column in table.columns if column.type == Native("uuid"))
        self.may_be_too_long = any(width_of(table.column(name).type) is None for name in self.key_columns)
        """Whether a key can be wrong as a whole (`key_errors`): only values of a fixed size never are."""
        self._generated = tuple(resource.generated.items())
        self._planner: QueryPlanner | None = None
        self._open_encoders = tuple(self.encoders[name] for name in self.open_key)
        first = self._open_encoders[0] if self._open_encoders else None
        is_text = len(self.open_key) == 1 and first is not None and first.value_of_text is str
        self._only_encoder = first if is_text else None

    @cached_property
    def row(self) -> Statement:
        """The SELECT of one row by its primary key."""
        cql = select_row(self.keyspace, self.table, self.visible)
        return Statement(cql, idempotent=True, writes=False, table=self.table)

    @cached_property
    def creation(self) -> Write:
        """The INSERT of a new row, with a condition if writes are conditional and clients choose the key."""
        is_safe = self.resource.writes != "conditional" or self.resource.makes_keys
        return self.writes.insert if is_safe else self.writes.insert_if_not_exists

    @cached_property
    def created_body(self) -> Mapping[str, BodyColumn]:
        """The columns that the body of a new row may have: all that the client may set, the key included."""
        return self._body((*self.open_key, *self._settable))

    @cached_property
    def replaced_body(self) -> Mapping[str, BodyColumn]:
        """The columns that the body of a replacement may have: the key stands in the address."""
        return self._body(self._settable)

    @property
    def kept(self) -> frozenset[str]:
        """The columns of a row that a replacement keeps: made by the server when the row was new, or read-only."""
        return frozenset(c.name for c in self.table.value_columns) - {*self._settable, self.resource.version}

    @cached_property
    def changed_body(self) -> Mapping[str, BodyColumn]:
        """The columns that a change of a row may have."""
        return self._body(self._settable)

    @cached_property
    def static_body(self) -> Mapping[str, BodyColumn]:
        """The columns that a change of a partition may have."""
        names = (column.name for column in self.table.static_columns)
        return self._body(tuple(name for name in names if name not in self.resource.read_only))

    @property
    def _settable(self) -> tuple[str, ...]:
        resource = self.resource
        made = {*resource.generated, *resource.read_only, resource.version}
        regular = (column for column in self.table.columns if column.kind == "regular")
        return tuple(column.name for column in regular if column.name not in made)

    def _body(self, names: Sequence[str]) -> Mapping[str, BodyColumn]:
        return {name: self._body_columns[name] for name in names if name not in self.resource.generated}

    @cached_property
    def _body_columns(self) -> Mapping[str, BodyColumn]:
        """Each column that a client may write, in any body."""
        fields = {field.encode_name: field for field in msgspec.structs.fields(self.resource.struct)}
        hints = column_hints(self.resource.struct)
        return {
            column.name: BodyColumn(
                encoder=self.encoders[column.name],
                bounds=bounds_of(self.described[column.name]),
                member_bounds=bounds_of(self.described[column.name], of_members=True),
                required=fields[column.name].required,
                nullable=column.name not in self.key_columns and accepts_none(hints[column.name]),
                default=self._default_of(column.name, fields[column.name]),
                quick=quick_encoder(column.type, self.described[column.name]),
            )
            for column in self.table.columns
            if column.name not in self.resource.generated
        }

    @cached_property
    def described(self) -> Mapping[str, inspect.Type]:
        """msgspec's description of each column's annotation in the struct, by column name."""
        return {name: described_type(hint) for name, hint in column_hints(self.resource.struct).items()}

    def _default_of(self, column: str, field: msgspec.structs.FieldInfo) -> Callable[[], Encoded | None] | None:
        """Return a function that makes the default of a column; None for a column without one, or with None."""
        factory = field.default_factory
        if factory is not msgspec.NODEFAULT:
            return lambda: self._default(column, factory())
        if field.default in (msgspec.NODEFAULT, msgspec.UNSET, None):
            return None
        cell = self._default(column, field.default)
        return lambda: cell

    def _default(self, column: str, value: Any) -> Encoded | None:
        """Return the encoded default, None for an empty collection that Cassandra stores as null."""
        is_null = value in ([], {}, set(), ()) and not is_frozen(self.table.column(column).type)
        return None if value is None or is_null else self._encoded(column, value, "the default is")

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
        bound = self.resource.bound.items()
        return {name: self._made("bound", name, partial(function, principal)) for name, function in bound}

    def planner(self, live: Table) -> QueryPlanner:
        """Return the planner of reads for the table as Cassandra has it."""
        if self._planner is None or self._planner.table is not live:
            rules = Rules(
                allow_filtering=frozenset(self.resource.allow_filtering),
                hidden=frozenset(self.resource.hidden),
                bound=dict.fromkeys(self.resource.bound, Encoded()),  # only the names count
                keyspace=self.keyspace,
            )
            self._planner = QueryPlanner(live, rules)
        return self._planner

    def generated_values(self) -> dict[str, Encoded]:
        """Return new values of the columns that the server makes."""
        row: dict[str, Encoded] = {}
        for name, function in self._generated:
            is_random = function is uuid4 and name in self._uuids
            row[name] = random_uuid() if is_random else self._made("generated", name, function)
        return row

    def short_key(self, scope: Scope) -> tuple[Encoded, ...] | None:
        """Return the key in the path if it is one column whose JSON is text, and right. None to look closer."""
        if self._only_encoder is None:
            return None
        text: str = scope["path_params"][scope["route"].names[0]]
        try:
            cell = Encoded(self._only_encoder.write(text))
        except WrongValue:
            return None
        return (cell,) if cell and text != VERBS else None

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
        if not errors and key and not key[0]:
            errors = self.key_errors(dict(zip(self.open_key, key, strict=False)), f"{place}.")
        if errors:
            raise InvalidInput(errors=tuple(errors))
        return tuple(key)

    def prefix_of_path(self, request: Request) -> dict[str, Encoded]:
        """Return the values of the leading key columns that an address has or that are bound to the client."""
        given = {**self.bound_values(request), **dict(zip(self.open_key, key_of_path(self, request), strict=False))}
        return {name: given[name] for name in self.key_columns if name in given}

    def key_errors(self, key: Mapping[str, Encoded | None], pointer: str) -> list[FieldError]:
        """Return what is wrong with the values of a key, or of its first columns, beyond the types of the columns.

        `pointer` is what stands before the names in the errors' fields: `/`, `path.`.
        """
        sizes = [len(key.get(name) or b"") for name in self.key_columns]
        if 0 not in sizes and sum(sizes) < _SHORT_KEY:  # nearly every key
            return []
        size = {name: len(cell) for name in self.key_columns if (cell := key.get(name)) is not None}
        errors = [
            FieldError(f"{pointer}{name}", f"must have at most {LONGEST_KEY} bytes")
            for name in size
            if size[name] > LONGEST_KEY
        ]
        partition = [name for name in self.table.partition_key if name in size]
        if len(self.table.partition_key) == 1 and partition and not size[partition[0]]:
            errors.append(FieldError(f"{pointer}{partition[0]}", "must not be empty"))
        if errors:
            return errors
        # Cassandra stores the parts of a composite key as one, each with its length and an end: 3 bytes more.
        of_parts = 3 * len(partition) if len(self.table.partition_key) > 1 else 0
        clustering = [name for name in self.table.clustering_columns if name in size]
        for names, more in ((partition, of_parts), (clustering, 0)):
            if sum(size[name] for name in names) + more > LONGEST_KEY:
                errors.append(FieldError(f"{pointer}{names[-1]}", _TOO_LONG_TOGETHER))
        return errors

    def key_out_of_bounds(self, request: Request, key: Mapping[str, Encoded]) -> list[FieldError]:
        """Return what the struct's bounds forbid in the key of a new row, which the request's address has.

        Other requests are answered for every key: rows that somebody else wrote can be read and deleted.
        """
        if not self._key_bounds:
            return []
        in_path: list[str] = request.scope["route"].names
        names = dict(zip(self.open_key, in_path or self.open_key, strict=False))
        place = "path" if in_path else "query"
        return [
            error
            for column, bounds in self._key_bounds.items()
            if column in key and column in names
            for error in bounds(self.value(column, key[column]), f"{place}.{names[column]}")
        ]

    @cached_property
    def _key_bounds(self) -> Mapping[str, Bounds]:
        found = {name: bounds_of(self.described[name]) for name in self.open_key}
        return {name: bounds for name, bounds in found.items() if bounds is not None}

    def has_limited(self, row: Mapping[str, Encoded | None]) -> bool:
        """Return whether a row, or a change of one, may have a value that an index does not take.

        Of maps, an index on their entries takes all but very long keys and values.
        """
        if not self._vectors.isdisjoint(row):
            return True
        sizes = (len(row.get(key) or b"") for name in self._maps for key in (name, added(name)))
        return any(size > LONGEST_OF_ENTRY for size in sizes)

    def full_key(self, request: Request, open_values: Sequence[Encoded]) -> dict[str, Encoded]:
        """Return the primary key by column, of the values in an address and those bound to the client."""
        given = {**dict(zip(self.open_key, open_values, strict=True)), **self.bound_values(request)}
        return {name: given[name] for name in self.key_columns}

    def identity(self, row: Mapping[str, Encoded | None]) -> tuple[Hashable, ...]:
        """Return the key of a row such that rows with equal ones are the same row to Cassandra."""
        partition = (row.get(name) for name in self.table.partition_key)  # it is compared as bytes
        clustering = ((self._orders[name], row.get(name)) for name in self.table.clustering_columns)
        return (*partition, *(None if cell is None else order(cell) for order, cell in clustering))

    @cached_property
    def _orders(self) -> Mapping[str, Callable[[bytes], Any]]:
        """Functions by clustering column that return the same for values equal to Cassandra, as 1.0 and 1.00."""
        return {name: order_of(self.table.column(name).type) for name in self.table.clustering_columns}

    def shown(self, row: Mapping[str, Encoded | None]) -> bytes:
        """Return the row in JSON as a later GET shows it; columns that `row` lacks are null."""
        if not self._stored_forms:
            return self._rows.json(row)
        cells: dict[str, bytes | None] = {**row}
        for name, form in self._stored_forms.items():
            given = row.get(name)
            if given is not None:
                cells[name] = form(given)
        return self._rows.json(cells)

    @cached_property
    def _rows(self) -> DeclaredRows:
        return DeclaredRows({name: self.table.column(name).type for name in self.visible})

    @cached_property
    def _stored_forms(self) -> Mapping[str, Stored]:
        """How Cassandra changes the cells that it does not store as they are."""
        forms = {column.name: stored_form_of(column.type) for column in self.table.columns}
        return {name: form for name, form in forms.items() if form is not None}

    @cached_property
    def key_identifiers(self) -> Sequence[tuple[str, Callable[[bytes], str]]]:
        """The columns of an address and the functions that read them, if all are UUIDs: their texts are segments.

        Empty for every other key.
        """
        if {self.table.column(name).type for name in self.open_key} - set(UNIQUE_TYPES):
            return ()
        return [(name, self.codecs[name].strict or self.codecs[name].cell) for name in self.open_key]

    def value(self, column: str, cell: bytes | None) -> Any:
        """Return a cell as answers have it."""
        return None if cell is None else self.codecs[column].cell(cell)

    def _made(self, option: str, column: str, function: Callable[[], Any]) -> Encoded:
        """Return the value that a function of the declaration makes for a column.

        Raises TypeError if the function fails, or if it returns no value of the column: that is a bug. What the
        function raises for the client passes.
        """
        try:
            value = function()
        except (ServiceError, HTTPException):
            raise
        except Exception as error:
            raise TypeError(f"{self.name}.{column}: the function in `{option}` raised {error!r}") from error
        if type(value) is UUID and column in self._uuids:  # the usual generated key
            return Encoded(value.bytes)
        return self._encoded(column, value, f"the function in `{option}` returned")

    def _encoded(self, column: str, value: Any, origin: str) -> Encoded:
        """Encode a value that the application made.

        Raises TypeError if it is no value of the column: that is a bug. `origin` begins the error's sentence.
        """
        try:
            encoded = self.encoders[column].from_json(json_form(self.table.column(column).type, value))
        except (WrongValue, ValueError) as error:
            kind = type(value).__name__
            raise TypeError(f"{self.name}.{column}: {origin} a value of the type {kind}: {error}") from error
        if encoded is None:
            raise TypeError(f"{self.name}.{column}: {origin} None")
        return encoded


def key_of_path(served: ServedResource, request: Request) -> tuple[Encoded, ...]:
    """Return the key values that the path has, in the order of the key. Raises InvalidInput, or NotFound for a verb."""
    names: list[str] = request.scope["route"].names
    texts: Mapping[str, str] = request.scope["path_params"]  # also those of an application that mounts this one
    if names and texts[names[0]] == VERBS:
        refuse_verb(request, served.resource.segment)
    return served.key_of_texts(names, texts, "path")


def refuse_verb(request: Request, segment: str) -> NoReturn:
    """Raise NotFound for an address below `/-/` that is no verb. `segment` is the first one of the resource."""
    row = location(request, f"/{segment}/{VERBS}/row")
    raise NotFound(f"There is no such verb. The row with the key '{VERBS}' is at {row}.")
