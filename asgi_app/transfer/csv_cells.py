"""Read the fields of CSV, in the form of an export and in those that pandas, DuckDB and polars write by default.

A form is read only if it can mean nothing else, and only if nothing is lost: `1.0` is the integer 1, `1.5` is none, and
a timestamp without a zone is no moment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from asgi_app.tables.encoding import Encoder
from asgi_app.tables.types import CqlType, Native
from asgi_app.tables.wrong_value import WrongValue

EXACT = 2**53
"""Below this, a float of 64 bits is the integer that it was made of: this one is also what becomes of the next."""

_INTEGER = re.compile(r"(-?(?:0|[1-9][0-9]{0,15}))\.0+", re.ASCII)
_TIMESTAMP = re.compile(r"([^ T]+)[ T]([^ +-]+?)(Z|([+-][0-9]{2})(?::?([0-9]{2}))?)", re.ASCII)
_MIDNIGHT = re.compile(r"([0-9+-]+)[ T]00:00:00(?:\.0+)?", re.ASCII)


def cell_reader(encoder: Encoder) -> Callable[[str], bytes]:
    """Return the function from a field to the encoded value; it raises WrongValue."""
    other_form = _OTHER_FORMS.get(_name(encoder.cql_type))

    def read(text: str) -> bytes:
        return encoder.write(encoder.value_of_text(text))

    def read_any(text: str) -> bytes:
        try:
            return read(text)
        except WrongValue:
            own = other_form(text) if other_form is not None else None
            if own is None:
                raise
        return read(own)

    return read if other_form is None else read_any


def _name(cql_type: CqlType) -> str:
    return cql_type.name if isinstance(cql_type, Native) else ""


def _boolean(text: str) -> str | None:
    """`True` of pandas."""
    return {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}.get(text)


def _integer(text: str) -> str | None:
    """`1.0`, which pandas writes in a column of integers of which one is missing."""
    found = _INTEGER.fullmatch(text)
    return str(int(found[1])) if found and abs(int(found[1])) < EXACT else None


def _float(text: str) -> str | None:
    """`inf`, as pandas and DuckDB write it, and `nan` of DuckDB."""
    return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(text)


def _timestamp(text: str) -> str | None:
    """`2024-01-02 03:04:05.123+00:00` of pandas, with the zone `+00` of DuckDB or `+0000` of polars."""
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        return None
    day, time, zone, hours, minutes = found.groups()
    return f"{day}T{time}{zone if hours is None else hours + ':' + (minutes or '00')}"


def _date(text: str) -> str | None:
    """`2024-01-02 00:00:00`, as a program writes a day that it keeps as a timestamp."""
    found = _MIDNIGHT.fullmatch(text)
    return found and found[1]


_OTHER_FORMS: Mapping[str, Callable[[str], str | None]] = MappingProxyType(
    {
        "boolean": _boolean,
        **dict.fromkeys(("tinyint", "smallint", "int", "bigint", "varint"), _integer),
        **dict.fromkeys(("float", "double"), _float),
        "timestamp": _timestamp,
        "date": _date,
    }
)
