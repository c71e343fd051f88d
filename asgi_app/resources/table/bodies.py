"""Decode the rows in request bodies: a JSON object becomes the encoded values of the columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.requests import Request

from asgi_app.errors import FieldError
from asgi_app.http.requests import json_body
from asgi_app.http.validation import refuse_malformed
from asgi_app.resources.table.bounds import Bounds
from asgi_app.resources.table.quick_values import QuickEncoder
from asgi_app.tables.encoding import Encoded, Encoder, WrongValue, decode_json, pointer_token
from asgi_app.tables.wrong_value import MOST_ERRORS

Check = Callable[[Mapping[str, Any]], Iterable[FieldError]]
"""The function `check` of a resource: it takes the decoded body and yields what is wrong with it."""

Cells = dict[str, Encoded | None]
"""Encoded values by column; None is null."""


@dataclass(frozen=True, slots=True)
class BodyColumn:
    """A column that a body may have: how to encode it, and the bounds that the struct gives it.

    `bounds` are those of a whole value, `member_bounds` those of what is added to one: of the members of a collection,
    of the fields of a user type. `required` says whether a whole row must have the column, `nullable` whether it may be
    null. `default` makes the value of a whole row that lacks the column. `quick` encodes the usual values, and
    returns None for one that needs a closer look.
    """

    encoder: Encoder
    bounds: Bounds | None
    member_bounds: Bounds | None
    required: bool
    nullable: bool
    default: Callable[[], Encoded | None] | None = None
    quick: QuickEncoder | None = None


async def json_value(request: Request, *, exact: bool = True) -> Any:
    """Return the decoded body of a request. Raises what `json_body` raises, and MalformedJSON or InvalidInput."""
    body = await json_body(request)
    try:
        return decode_json(body, exact=exact)
    except (msgspec.DecodeError, RecursionError) as error:
        refuse_malformed(body, "", error)


def read_row(
    columns: Mapping[str, BodyColumn], value: Any, pointer: str, errors: list[FieldError], *, check: Check | None = None
) -> Cells:
    """Return the encoded values of a row in decoded JSON, and add every mistake in it to `errors`.

    `pointer` is the row's JSON pointer. An absent column has its default, or is absent in the result.
    """
    if not isinstance(value, dict):
        errors.append(FieldError(pointer, "must be a JSON object"))
        return {}
    before = len(errors)
    cells: Cells = {}
    known = 0
    for name, column in columns.items():
        if name in value:
            known += 1
            cell = None if column.quick is None else column.quick(value[name])
            if cell is None:
                read_column(name, column, value[name], f"{pointer}/{pointer_token(name)}", errors, cells)
            else:
                cells[name] = cell
        elif column.required:
            errors.append(FieldError(f"{pointer}/{pointer_token(name)}", "is required"))
        elif column.default is not None:
            cells[name] = column.default()
    if known < len(value):
        errors += unknown_columns(columns, value, pointer)
    if check is not None and len(errors) == before:
        errors += checked(check, value, pointer)
    return cells


def checked(check: Check, value: Mapping[str, Any], pointer: str) -> list[FieldError]:
    """Return what a resource's `check` finds in a body, with `pointer` in front of its fields."""
    return [replace(found, field=pointer + found.field) for found in check(value)]


def unknown_columns(columns: Mapping[str, BodyColumn], value: Mapping[str, Any], pointer: str) -> list[FieldError]:
    """Return an error for each member of a body that is no column of it, for the first `MOST_ERRORS`."""
    usable = tuple(columns)
    unknown = (name for name in value if name not in columns)
    return [
        FieldError(f"{pointer}/{pointer_token(name)}", "is not a column that may be written here", usable=usable)
        for name in islice(unknown, MOST_ERRORS)
    ]


def read_column(
    name: str, column: BodyColumn, value: Any, pointer: str, errors: list[FieldError], cells: Cells
) -> None:
    """Add the encoded value of one column to `cells`, or its mistakes to `errors`."""
    if value is None and not column.nullable:
        errors.append(FieldError(pointer, "must not be null"))
        return
    try:
        cell = column.encoder.from_json(value)
    except WrongValue as error:
        errors += within(error, pointer)
        return
    before = len(errors)
    if column.bounds is not None and value is not None:
        errors += islice(column.bounds(value, pointer), MOST_ERRORS)
    if len(errors) == before:
        cells[name] = cell


def within(error: WrongValue, pointer: str) -> list[FieldError]:
    """Return the errors of a value with its own JSON pointer in front of theirs."""
    return [replace(each, field=pointer + each.field) for each in error.errors]
