"""Read the rows of a file, each encoded for the table or refused with what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, BinaryIO

import msgspec

from asgi_app.errors import FieldError
from asgi_app.tables.encoding import decode_json
from asgi_app.transfer.csv_records import fields_of, records_of
from asgi_app.transfer.lines import lines_of
from asgi_app.transfer.manifest import Format
from asgi_app.transfer.outcomes import Failed
from asgi_app.transfer.row_encoding import Row, RowEncoder, RowErrors
from asgi_app.transfer.sources import SourceFile, header_of


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was not written: its line, what is wrong with it, and the row as the file has it."""

    line: int
    errors: tuple[FieldError, ...]
    source: Any


Rows = Iterator[Row | Rejected]
_Found = Iterator[Row | Rejected | None]


def rows_of(source: SourceFile, file: BinaryIO, encoder: RowEncoder) -> Rows:
    """Yield the rows of an opened file. Raises Failed if the file itself is wrong, and what `file` raises.

    Partitions of which there is nothing to write, see `RowEncoder`, are left out.
    """
    return (row for row in _READERS[source.format](file, encoder) if row is not None)


def _ndjson(file: BinaryIO, encoder: RowEncoder) -> _Found:
    exact = encoder.needs_exact_numbers
    for number, line in enumerate(lines_of(file), 1):
        if line.isspace():
            continue
        try:
            value = decode_json(line, exact=exact)
        except (msgspec.DecodeError, ValueError, RecursionError):
            if not line.endswith(b"\n"):
                raise Failed(f"The file ends within line {number}: it is cut.") from None
            yield _rejected(number, "is not JSON", line)
            continue
        _check_not_broken_off(value, encoder)
        yield _checked(encoder.of_members, number, value, line)


def _check_not_broken_off(value: Any, encoder: RowEncoder) -> None:
    """Raise Failed for the line with which a stream of the service ends that breaks off."""
    if isinstance(value, dict) and value.keys() == {"error"} and all(c.name != "error" for c in encoder.columns):
        raise Failed("The file ends with an error in place of a row: the stream that it was read from broke off.")


def _csv(file: BinaryIO, encoder: RowEncoder) -> _Found:
    names = header_of(file)
    file.seek(0)
    places = {name: place for place, name in enumerate(names)}
    order = [places[column.name] for column in encoder.columns]
    static = [places[column.name] for column in encoder.other_static if column.name in places]
    records = records_of(file)
    next(records)
    for number, record in records:
        try:
            fields = fields_of(record)
        except ValueError as error:
            yield _rejected(number, f"is not CSV: {error}", record)
            continue
        if len(fields) != len(names):
            yield _rejected(number, f"must have {len(names)} fields, as the header has, and has {len(fields)}", record)
            continue
        texts = [fields[place] for place in order]
        encode = partial(encoder.of_texts, has_other_static=any(fields[place] is not None for place in static))
        yield _checked(encode if static else encoder.of_texts, number, texts, record)


def _parquet(file: BinaryIO, encoder: RowEncoder) -> _Found:
    from asgi_app.transfer.parquet_reader import members_of

    for number, members in enumerate(members_of(file, encoder.columns, encoder.other_static), 1):
        yield _checked(encoder.of_members, number, members, members)


_READERS: Mapping[Format, Callable[[BinaryIO, RowEncoder], _Found]] = MappingProxyType(
    {"ndjson": _ndjson, "csv": _csv, "parquet": _parquet}
)


def _checked(
    encode: Callable[[int, Any, Any], Row | None], line: int, value: Any, source: Any
) -> Row | Rejected | None:
    try:
        return encode(line, value, source)
    except RowErrors as error:
        return Rejected(line, error.errors, source)


def _rejected(line: int, message: str, source: Any) -> Rejected:
    return Rejected(line, (FieldError("", message),), source)
