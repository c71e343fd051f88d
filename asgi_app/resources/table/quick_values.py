"""Check and encode the usual values of a column in one step: texts and integers within their bounds."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

from msgspec import inspect

from asgi_app.resources.table.bounds import bounds_of
from asgi_app.tables.encoding import Encoded, WrongValue, encoder_of
from asgi_app.tables.types import CqlType, Native

QuickEncoder = Callable[[Any], Encoded | None]
"""Takes any value in decoded JSON, and returns its encoding, or None if it needs a closer look. Never raises."""


def quick_encoder(cql_type: CqlType, field: inspect.Type) -> QuickEncoder | None:
    """Return the quick encoder of a column of this type; None if values need the closer look. `field` describes it.

    Values are encoded as the encoder of the type does it, several times as fast as with the check of bounds that
    explains what is wrong.
    """
    described = _without_none(field)
    if isinstance(described, inspect.StrType) and described.pattern is None:
        return _text(cql_type, described.min_length or 0, described.max_length or sys.maxsize)
    if isinstance(described, inspect.IntType) and described.gt is described.lt is described.multiple_of is None:
        low = -math.inf if described.ge is None else described.ge
        high = math.inf if described.le is None else described.le
        return _integer(cql_type, low, high)
    return _unbounded(cql_type) if bounds_of(field) is None else None


def _without_none(described: inspect.Type) -> inspect.Type:
    """Return the one type that a field has beside None, without what is told about it beyond its bounds."""
    while isinstance(described, inspect.Metadata):
        described = described.type
    if not isinstance(described, inspect.UnionType):
        return described
    members = [member for member in described.types if not isinstance(member, inspect.NoneType)]
    return _without_none(members[0]) if len(members) == 1 else described


def _text(cql_type: CqlType, least: int, most: int) -> QuickEncoder:
    write = str.encode if cql_type == Native("text") else encoder_of(cql_type).write

    def encoded(value: Any) -> Encoded | None:
        try:
            return Encoded(write(value)) if type(value) is str and least <= len(value) <= most else None
        except (WrongValue, UnicodeEncodeError):
            return None

    return encoded


def _integer(cql_type: CqlType, low: float, high: float) -> QuickEncoder:
    write = encoder_of(cql_type).write

    def encoded(value: Any) -> Encoded | None:
        try:
            return Encoded(write(value)) if type(value) is int and low <= value <= high else None
        except WrongValue:
            return None

    return encoded


def _unbounded(cql_type: CqlType) -> QuickEncoder:
    write = encoder_of(cql_type).write

    def encoded(value: Any) -> Encoded | None:
        try:
            return None if value is None else Encoded(write(value))
        except WrongValue:
            return None

    return encoded
