"""Decode a merge patch (RFC 7396) of a row into what its UPDATE binds."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET

from asgi_app.errors import FieldError
from asgi_app.resources.table.bodies import BodyColumn, escaped, read_column, unknown_columns
from asgi_app.tables.encoding import Encoded, WrongValue, encoder_of
from asgi_app.tables.table import Table
from asgi_app.tables.types import CqlType, ListOf, MapOf, Native, SetOf, UserType, is_frozen
from asgi_app.tables.writes import added, member, removed

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
        cql_type, pointer = table.column(name).type, f"/{escaped(name)}"
        try:
            if not _merge(name, cql_type, change, changes):
                read_column(name, columns[name], change, pointer, errors, changes.values)
        except WrongValue as error:
            errors.append(FieldError(pointer + error.pointer, error.message))
    errors += unknown_columns(columns, value, "")
    if not errors and not changes.values:
        errors.append(FieldError("", f"must have at least one of {', '.join(columns)}"))
    return changes


def _merge(name: str, cql_type: CqlType, change: Any, changes: Changes) -> bool:
    """Add a change that is no replacement, and return whether it was one. Raises WrongValue."""
    if cql_type == Native("counter"):
        changes.values[added(name)] = _increase(change)
        return True
    if not isinstance(change, dict) or is_frozen(cql_type):
        return False
    if isinstance(cql_type, UserType):
        _merge_fields(name, cql_type, change, changes)
    elif isinstance(cql_type, MapOf):
        _merge_entries(name, cql_type, change, changes)
    elif isinstance(cql_type, SetOf | ListOf) and change.keys() <= {_ADD, _REMOVE}:
        _merge_members(name, cql_type, change, changes)
    else:
        return False
    return True


def _increase(change: Any) -> Encoded:
    if not isinstance(change, dict) or change.keys() != {_INCREASE}:
        raise WrongValue("", 'must be an object like {"$inc": 1}')
    try:
        encoded = encoder_of(Native("bigint")).from_json(change[_INCREASE])
    except WrongValue as error:
        raise WrongValue(f"/{_INCREASE}", error.message) from None
    if encoded is None:
        raise WrongValue(f"/{_INCREASE}", "must not be null")
    return encoded


def _merge_fields(name: str, cql_type: UserType, change: Mapping[str, Any], changes: Changes) -> None:
    types = dict(cql_type.fields)
    for each, value in change.items():
        if each not in types:
            raise WrongValue(f"/{escaped(each)}", "is no field of this type")
        changes.values[member(name, each)] = None if value is None else _within(each, types[each], value)
    changes.merged.add(name)


def _merge_entries(name: str, cql_type: MapOf, change: Mapping[str, Any], changes: Changes) -> None:
    present = {key: value for key, value in change.items() if value is not None}
    absent = [key for key, value in change.items() if value is None]
    encoded = encoder_of(cql_type).from_json(present)
    if present and encoded is not None:
        changes.values[added(name)] = encoded
    if absent:
        read = encoder_of(cql_type.key).from_text
        changes.values[removed(name)] = collection([read(key) for key in absent])
    changes.merged.add(name)


def _merge_members(name: str, cql_type: SetOf | ListOf, change: Mapping[str, Any], changes: Changes) -> None:
    for sign, parameter in ((_ADD, added(name)), (_REMOVE, removed(name))):
        value = change.get(sign, UNSET)
        if value is UNSET:
            continue
        if not isinstance(value, list) or not value:
            raise WrongValue(f"/{sign}", "must be an array with a member")
        changes.values[parameter] = _within(sign, cql_type, value)
        changes.merged.add(parameter if isinstance(cql_type, ListOf) else name)


def _within(place: str, cql_type: CqlType, value: Any) -> Encoded | None:
    try:
        return encoder_of(cql_type).from_json(value)
    except WrongValue as error:
        raise WrongValue(f"/{escaped(place)}{error.pointer}", error.message) from None


def collection(cells: Sequence[Encoded]) -> Encoded:
    """Return the members as a set or list (native_protocol_v5.spec section 6.9)."""
    return Encoded(struct.pack(">i", len(cells)) + b"".join(struct.pack(">i", len(cell)) + cell for cell in cells))
