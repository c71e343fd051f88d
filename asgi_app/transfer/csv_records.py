"""Read the records of a CSV file. It tells null from empty text: an empty field is null, `""` is an empty text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from asgi_app.transfer.lines import lines_of
from asgi_app.transfer.outcomes import Failed

_FIELD = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",]*))(,|\Z)', re.DOTALL)


def records_of(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield each record's bytes, without its line end, and the number of its first line. A record may have line ends.

    Empty lines are left out. Raises Failed for a quote that is not closed, and what `lines_of` raises.
    """
    begun: list[bytes] = []
    first = 0
    for number, line in enumerate(lines_of(file), 1):
        odd = line.count(b'"') % 2
        if not begun and not (odd and _opened(line)):
            yield from _record(number, line)
            continue
        first = first if begun else number
        begun.append(line)
        if odd and len(begun) > 1:
            yield from _record(first, b"".join(begun))
            begun = []
    if begun:
        raise Failed(f"The field that begins with a quote in line {first} does not end.")


_opened = re.compile(rb'(?:^|,)"(?:[^"]|"")*\Z').search
"""Finds the field that goes on in the next line. A quote within a field that does not begin with one opens none."""


def _record(number: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    record = data.removesuffix(b"\n").removesuffix(b"\r")
    if record:
        yield number, record


def fields_of(record: bytes) -> list[str | None]:
    """Return the fields of a record; null is None. Raises ValueError if it is not UTF-8 or not CSV."""
    text = record.decode()
    if '"' not in text:
        return [field or None for field in text.split(",")]
    fields: list[str | None] = []
    at = 0
    while True:
        found = _FIELD.match(text, at)
        if found is None:
            raise ValueError("a quote within a field that does not begin with one")
        quoted, plain, end = found.groups()
        fields.append(plain or None if quoted is None else quoted.replace('""', '"'))
        at = found.end()
        if not end:
            return fields
