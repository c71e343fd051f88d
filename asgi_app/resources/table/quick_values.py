"""Check and encode the usual values of a column in one step: texts and integers within their bounds or from a list."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import inspect

from asgi_app.resources.table.bounds import bounds_of
from asgi_app.tables.annotations import choices_of, plain_type
from asgi_app.tables.encoding import Encoded, WrongValue, encoder_of
from asgi_app.tables.types import CqlType, Native

QuickEncoder = Callable[[Any], Encoded | None]
"""Takes any value in decoded JSON, and returns its encoding, or None if it needs a closer look. Never raises."""


def quick_encoder(cql_type: CqlType, field: inspect.Type) -> QuickEncoder | None:
    """Return the quick encoder of a column of this type; None if values need the closer look. `field` describes it.

    Values are encoded as the encoder of the type does it, several times as fast as with the check of bounds that
    explains what is wrong.
    """
    described = plain_type(field)
    if (choices := choices_of(described)) is not None:
        return _choice(cql_type, choices)
    if isinstance(described, inspect.StrType) and described.pattern is None:
        return _text(cql_type, described.min_length or 0, described.max_length or sys.maxsize)
    if isinstance(described, inspect.IntType) and described.gt is described.lt is described.multiple_of is None:
        low = -math.inf if described.ge is None else described.ge
        high = math.inf if described.le is None else described.le
        return _integer(cql_type, low, high)
    return _unbounded(cql_type) if bounds_of(field) is None else None


def _choice(cql_type: CqlType, choices: Sequence[str] | Sequence[int]) -> QuickEncoder:
    write, kind = encoder_of(cql_type).write, type(choices[0])
    encodings = {value: Encoded(write(value)) for value in choices}
    return lambda value: encodings.get(value) if type(value) is kind else None


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
