"""Decode the rows in request bodies: a JSON object becomes the encoded values of the columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from asgi_app.errors import FieldError
from asgi_app.tables.encoding import Encoded, Encoder, WrongValue

Check = Callable[[Mapping[str, Any]], Iterable[FieldError]]
"""The function `check` of a resource: it takes the decoded body and yields what is wrong with it."""

Cells = dict[str, Encoded | None]
"""Encoded values by column; None is null."""


@dataclass(frozen=True, slots=True)
class BodyColumn:
    """A column that a body may have: how to encode it, and the bounds that the struct gives it.

    `required` says whether a whole row must have it, `nullable` whether it may be null.
    """

    encoder: Encoder
    bounds: Callable[[Any], None] | None
    required: bool
    nullable: bool


def read_row(
    columns: Mapping[str, BodyColumn],
    value: Any,
    pointer: str,
    errors: list[FieldError],
    *,
    partial: bool = False,
    check: Check | None = None,
) -> Cells:
    """Return the encoded values of a row in decoded JSON, and add every mistake in it to `errors`.

    `pointer` is the row's JSON pointer in the body. With `partial` no column is required. Absent columns are absent in
    the result.
    """
    if not isinstance(value, dict):
        errors.append(FieldError(pointer, "must be a JSON object"))
        return {}
    before = len(errors)
    cells: Cells = {}
    for name, column in columns.items():
        if name in value:
            _read_column(name, column, value[name], f"{pointer}/{_escaped(name)}", errors, cells)
        elif column.required and not partial:
            errors.append(FieldError(f"{pointer}/{_escaped(name)}", "is required"))
    known = tuple(columns)
    errors += [FieldError(f"{pointer}/{_escaped(n)}", "is not a column here", usable=known) for n in value if n not in columns]
    if check is not None and len(errors) == before:
        errors += [FieldError(pointer + found.field, found.message) for found in check(value)]
    return cells


def _read_column(
    name: str, column: BodyColumn, value: Any, pointer: str, errors: list[FieldError], cells: Cells
) -> None:
    if value is None and not column.nullable:
        errors.append(FieldError(pointer, "must not be null"))
        return
    try:
        cell = column.encoder.from_json(value)
        if column.bounds is not None and value is not None:
            column.bounds(value)
    except WrongValue as error:
        errors.append(FieldError(pointer + error.pointer, error.message))
        return
    cells[name] = cell


def bounds_of(hint: Any) -> Callable[[Any], None] | None:
    """Return a check of the bounds that `msgspec.Meta` gives to a type; None for a type without bounds.

    The check takes a value of decoded JSON and raises WrongValue. Only the bounds are checked: the column's encoder
    checks the type.
    """
    plain = _as_json(msgspec.inspect.type_info(hint))
    return None
