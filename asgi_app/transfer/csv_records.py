"""Read the records of a CSV file. It tells null from empty text: an empty field is null, `""` is an empty text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from asgi_app.transfer.lines import lines_of
from asgi_app.transfer.outcomes import Failed

_FIELD = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",]*))(,|\Z)', re.DOTALL)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def records_of(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield each record's bytes, without its line end, and the number of its first line. A record may have line ends.

    Empty lines are left out. Raises Failed for a quote that is not closed, and what `lines_of` raises.
    """
    begun, number = b"", 0
    for count, line in enumerate(lines_of(file), 1):
        if count == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        number = number if begun else count
        record = begun + line
        if record.count(b'"') % 2:
            begun = record
            continue
        begun = b""
        record = record.removesuffix(b"\n").removesuffix(b"\r")
        if record:
            yield number, record
    if begun:
        raise Failed(f"The field that begins with a quote in line {number} does not end.")


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
