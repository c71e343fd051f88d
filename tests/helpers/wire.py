"""Encode values and rows by Cassandra's native protocol (section 3 and 4.2.5.2 of its specification)."""

from __future__ import annotations

import struct
from collections.abc import Iterable


def int32(number: int) -> bytes:
    """Return an [int]."""
    return struct.pack(">i", number)


def string(text: str) -> bytes:
    """Return a [string]."""
    encoded_text = text.encode()
    return struct.pack(">H", len(encoded_text)) + encoded_text


def cell(content: bytes | None) -> bytes:
    """Return a [bytes]; None is null."""
    return int32(-1) if content is None else int32(len(content)) + content


def encoded(content_rows: Iterable[Iterable[bytes | None]]) -> bytes:
    """Return the cells of rows, row after row."""
    return b"".join(cell(content) for row in content_rows for content in row)
