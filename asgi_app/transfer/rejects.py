"""The file of rejected rows: an object a line, with the file, the line, the errors and the row."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

import msgspec

from asgi_app.transfer.files import SoleFile, naming
from asgi_app.transfer.row_readers import Rejected

NAME = "rejected.ndjson"

LARGEST_ROW = 1024 * 1024
"""A larger row is left out of the file of rejected rows; its file and line still say where it is."""


class Rejects:
    """Writes rejected rows, and counts them. Its methods raise OSError. Creates the file with the first row."""

    def __init__(self, file: SoleFile, keep_those_of: Collection[str] = ()) -> None:
        """`keep_those_of`: the files whose rejected rows, from an earlier run, stay in the file."""
        self.path = file.path
        self.count = 0
        self._keep(file, keep_those_of)

    def add(self, file: str, rejected: Rejected) -> None:
        """Write one row."""
        line: dict[str, Any] = {"file": file, "line": rejected.line, "errors": rejected.errors}
        row = _row(rejected.source)
        if row is not None:
            line["row"] = row
        with naming(self.path), self.path.open("ab") as opened:
            opened.write(msgspec.json.encode(line) + b"\n")
        self.count += 1

    def _keep(self, file: SoleFile, files: Collection[str]) -> None:
        """Leave in the file what an earlier run rejected from these files."""
        if not self.path.is_file():
            return
        lines = [line for line in self.path.read_bytes().splitlines(keepends=True) if _file_of(line) in files]
        self.count = len(lines)
        if lines:
            file.replace(b"".join(lines))
        elif self.path.stat().st_size:
            os.truncate(self.path, 0)


def _file_of(line: bytes) -> str | None:
    """Return the file that a line of rejected rows names; None for a line that a kill has cut."""
    try:
        return str(msgspec.json.decode(line)["file"])
    except (msgspec.DecodeError, TypeError, KeyError):
        return None


def _row(source: Any) -> Any:
    """Return a row as a member of an object: as JSON if it is, else as text; None if it is too large."""
    if not isinstance(source, bytes):
        return source
    if len(source) > LARGEST_ROW:
        return None
    try:
        msgspec.json.decode(source)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return source.decode(errors="replace").rstrip("\r\n")
    return msgspec.Raw(source.strip())
