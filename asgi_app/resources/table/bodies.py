"""Decode the rows in request bodies: a JSON object becomes the encoded values of the columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from starlette.requests import Request

from asgi_app.errors import FieldError
from asgi_app.http.requests import json_body
from asgi_app.http.validation import explain, refuse_malformed
from asgi_app.tables.encoding import Encoded, Encoder, WrongValue, decode_json

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


async def json_value(request: Request) -> Any:
    """Return the decoded body of a request. Raises what `json_body` raises, and MalformedJSON or InvalidInput."""
    body = await json_body(request)
    try:
        return decode_json(body)
    except (msgspec.DecodeError, RecursionError) as error:
        refuse_malformed(body, "", error)


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
            read_column(name, column, value[name], f"{pointer}/{escaped(name)}", errors, cells)
        elif column.required and not partial:
            errors.append(FieldError(f"{pointer}/{escaped(name)}", "is required"))
    errors += unknown_columns(columns, value, pointer)
    if check is not None and len(errors) == before:
        errors += [FieldError(pointer + found.field, found.message) for found in check(value)]
    return cells


def unknown_columns(columns: Mapping[str, BodyColumn], value: Mapping[str, Any], pointer: str) -> list[FieldError]:
    """Return an error for each member of a body that is no column of it."""
    usable = tuple(columns)
    return [
        FieldError(f"{pointer}/{escaped(name)}", "is not a column that may be written here", usable=usable)
        for name in value
        if name not in columns
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
        if column.bounds is not None and value is not None:
            column.bounds(value)
    except WrongValue as error:
        errors.append(FieldError(pointer + error.pointer, error.message))
        return
    cells[name] = cell


def bounds_of(hint: Any) -> Callable[[Any], None] | None:
    """Return a check of the bounds that `msgspec.Meta` gives to a type; None for a type without bounds.

    The check takes a value of decoded JSON and raises WrongValue. It checks bounds alone: the encoder checks the type.
    """
    described = msgspec.inspect.type_info(hint)
    plain = _plain(described)
    if plain is Any:
        return None
    extra = described.extra_json_schema if isinstance(described, msgspec.inspect.Metadata) else None
    description: str = (extra or {}).get("description", "")

    def check(value: Any) -> None:
        try:
            msgspec.convert(_with_floats(value), plain)
        except msgspec.ValidationError as error:
            raise WrongValue("", description or explain(error)) from None

    return check


def accepts_none(hint: Any) -> bool:
    """Return whether a type includes None."""
    described = msgspec.inspect.type_info(hint)
    while isinstance(described, msgspec.inspect.Metadata):
        described = described.type
    members = described.types if isinstance(described, msgspec.inspect.UnionType) else (described,)
    return any(isinstance(each, msgspec.inspect.NoneType) for each in members)


def _plain(described: msgspec.inspect.Type) -> Any:
    """Return a type of JSON values with the same bounds, `Any` where there are none."""
    match described:
        case msgspec.inspect.Metadata(type=inner):
            return _plain(inner)
        case msgspec.inspect.UnionType(types=types):
            members = [_plain(each) for each in types if not isinstance(each, msgspec.inspect.NoneType)]
            return members[0] if len(members) == 1 else Any
        case msgspec.inspect.StrType(min_length=least, max_length=most, pattern=pattern):
            return _bounded(str, min_length=least, max_length=most, pattern=pattern)
        case msgspec.inspect.IntType(gt=gt, ge=ge, lt=lt, le=le, multiple_of=multiple_of):
            return _bounded(int, gt=gt, ge=ge, lt=lt, le=le, multiple_of=multiple_of)
        case msgspec.inspect.FloatType(gt=gt, ge=ge, lt=lt, le=le, multiple_of=multiple_of):
            return _bounded(float, gt=gt, ge=ge, lt=lt, le=le, multiple_of=multiple_of)
        case (
            msgspec.inspect.ListType(item_type=item, min_length=least, max_length=most)
            | msgspec.inspect.SetType(item_type=item, min_length=least, max_length=most)
            | msgspec.inspect.FrozenSetType(item_type=item, min_length=least, max_length=most)
        ):
            plain = _plain(item)
            return _bounded(list[plain], min_length=least, max_length=most, inner=plain)  # type: ignore[valid-type]
        case msgspec.inspect.DictType(value_type=value, min_length=least, max_length=most):
            plain = _plain(value)
            return _bounded(dict[str, plain], min_length=least, max_length=most, inner=plain)  # type: ignore[valid-type]
    return Any


def _bounded(plain: Any, inner: Any = Any, **bounds: Any) -> Any:
    present = {name: bound for name, bound in bounds.items() if bound is not None}
    if present:
        return Annotated[plain, msgspec.Meta(**present)]
    return Any if inner is Any else plain


def _with_floats(value: Any) -> Any:
    """Return decoded JSON with its exact numbers as floats, as bounds are written."""
    if isinstance(value, list):
        return [_with_floats(each) for each in value]
    if isinstance(value, dict):
        return {name: _with_floats(each) for name, each in value.items()}
    return float(value) if isinstance(value, Decimal) else value


def escaped(name: str) -> str:
    """Return the name as one token of a JSON pointer (RFC 6901 section 3)."""
    return name.replace("~", "~0").replace("/", "~1")
