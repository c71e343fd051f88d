"""Decode a merge patch (RFC 7396) of a row into what its UPDATE binds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from msgspec import UNSET

from asgi_app.errors import FieldError
from asgi_app.resources.table.bodies import BodyColumn, read_column, unknown_columns, within
from asgi_app.tables.encoding import (
    Encoded,
    Encoder,
    WrongValue,
    encoded_list,
    encoder_of,
    member_encoder_of,
    pointer_token,
)
from asgi_app.tables.stored_form import order_of
from asgi_app.tables.table import Table
from asgi_app.tables.types import CqlType, ListOf, MapOf, Native, SetOf, UserType, is_frozen
from asgi_app.tables.writes import added, member, removed
from asgi_app.tables.wrong_value import MOST_ERRORS

_ADD, _REMOVE, _INCREASE = "$add", "$remove", "$inc"


@dataclass(slots=True)
class Changes:
    """What an UPDATE binds, by parameter, and which columns are merged; see `WriteStatements.update`."""

    values: dict[str, Encoded | None] = field(default_factory=dict)
    merged: set[str] = field(default_factory=set)


def read_changes(columns: Mapping[str, BodyColumn], table: Table, value: Any, errors: list[FieldError]) -> Changes:
    """Return the changes in a decoded body, and add every mistake in it to `errors`.

    An absent column is untouched and null deletes its value. An object is merged into a map or user type that is not
    frozen. `{"$add": […]}` and `{"$remove": […]}` change a set or list, `{"$inc": n}` adds to a counter. Any other
    value replaces the column's.
    """
    changes = Changes()
    if not isinstance(value, dict):
        errors.append(FieldError("", "must be a JSON object"))
        return changes
    for name, change in value.items():
        if name not in columns:
            continue
        cql_type, pointer = table.column(name).type, f"/{pointer_token(name)}"
        try:
            if not _merge(name, cql_type, change, changes):
                read_column(name, columns[name], change, pointer, errors, changes.values)
            else:
                errors += islice(_out_of_bounds(columns[name], cql_type, change, pointer), MOST_ERRORS)
        except WrongValue as error:
            errors += within(error, pointer)
    errors += unknown_columns(columns, value, "")
    if not errors and not changes.values:
        errors.append(FieldError("", f"must have at least one of {', '.join(columns)}"))
    return changes


def _out_of_bounds(column: BodyColumn, cql_type: CqlType, change: Any, pointer: str) -> Iterable[FieldError]:
    """Return what the struct's bounds forbid in a change that is merged."""
    if column.member_bounds is None:
        return ()
    if isinstance(cql_type, SetOf | ListOf):
        return column.member_bounds(change.get(_ADD, []), f"{pointer}/{_ADD}")
    if isinstance(cql_type, MapOf):
        change = {key: value for key, value in change.items() if value is not None}
    return column.member_bounds(change, pointer)


def _merge(name: str, cql_type: CqlType, change: Any, changes: Changes) -> bool:
    """Add a change that is no replacement, and return whether it was one. Raises WrongValue."""
    if cql_type == Native("counter"):
        changes.values[added(name)] = _increase(change)
        return True
    if not isinstance(change, dict) or is_frozen(cql_type) or not _has_names(cql_type):
        return False
    if isinstance(cql_type, UserType | MapOf | SetOf | ListOf) and not change:
        raise WrongValue("", "must have a member: an empty object changes nothing, and null deletes the value")
    if isinstance(cql_type, UserType):
        _merge_fields(name, cql_type, change, changes)
    elif isinstance(cql_type, MapOf):
        _merge_entries(name, cql_type, change, changes)
    elif isinstance(cql_type, SetOf | ListOf):
        if not change.keys() <= {_ADD, _REMOVE}:
            raise WrongValue("", f"must be an array, or an object with {_ADD} or {_REMOVE} and no other member")
        _merge_members(name, cql_type, change, changes)
    else:
        return False
    return True


def _has_names(cql_type: CqlType) -> bool:
    """Return whether an object can name the members of the type. Maps with complex keys are arrays in JSON."""
    return not isinstance(cql_type, MapOf) or isinstance(cql_type.key, Native)


def _increase(change: Any) -> Encoded:
    if not isinstance(change, dict) or change.keys() != {_INCREASE}:
        raise WrongValue("", 'must be an object like {"$inc": 1}')
    return _within(_INCREASE, encoder_of(Native("bigint")), change[_INCREASE])


def _merge_fields(name: str, cql_type: UserType, change: Mapping[str, Any], changes: Changes) -> None:
    encoder_of(cql_type).from_json(change)  # raises with every mistake at once
    types = dict(cql_type.fields)
    for each, value in change.items():
        changes.values[member(name, each)] = encoder_of(types[each]).from_json(value)
    changes.merged.add(name)


def _merge_entries(name: str, cql_type: MapOf, change: Mapping[str, Any], changes: Changes) -> None:
    present = {key: value for key, value in change.items() if value is not None}
    key_encoder = member_encoder_of(cql_type.key)
    if present:
        changes.values[added(name)] = encoder_of(cql_type).from_json(present)
    absent = {key: _key(key_encoder, key) for key in change if key not in present}
    if absent:
        order = order_of(cql_type.key)
        kept = {order(_key(key_encoder, key)) for key in present}
        for key, cell in absent.items():
            if order(cell) in kept:
                raise WrongValue(f"/{pointer_token(key)}", "has the same key as another entry")
        changes.values[removed(name)] = encoded_list(list(absent.values()))
    changes.merged.add(name)


def _key(encoder: Encoder, text: str) -> Encoded:
    try:
        return encoder.from_text(text)
    except WrongValue as error:
        raise WrongValue(f"/{pointer_token(text)}", f"has a wrong name: it {error.message}") from None


def _merge_members(name: str, cql_type: SetOf | ListOf, change: Mapping[str, Any], changes: Changes) -> None:
    element = member_encoder_of(cql_type.element)
    cells: dict[str, list[Encoded]] = {}
    for sign, parameter in ((_ADD, added(name)), (_REMOVE, removed(name))):
        value = change.get(sign, UNSET)
        if value is UNSET:
            continue
        if not isinstance(value, list) or not value:
            raise WrongValue(f"/{sign}", "must be an array with a member")
        changes.values[parameter] = _within(sign, encoder_of(cql_type), value)
        cells[sign] = [_within(sign, element, each) for each in value]
        changes.merged.add(parameter if isinstance(cql_type, ListOf) else name)
    order = order_of(cql_type.element) if isinstance(cql_type, SetOf) else bytes
    kept = {order(cell) for cell in cells.get(_ADD, ())}
    for index, cell in enumerate(cells.get(_REMOVE, ())):
        if order(cell) in kept:
            raise WrongValue(f"/{_REMOVE}/{index}", "is added in the same request")


def _within(place: str, encoder: Encoder, value: Any) -> Encoded:
    """Return the encoding of a value that stands below `place` and may not be null."""
    if value is None:
        raise WrongValue(f"/{place}", "must not be null")
    try:
        return Encoded(encoder.write(value))
    except WrongValue as error:
        raise WrongValue.of(within(error, f"/{place}")) from None
