"""The address of a row, as `Location` gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request

from asgi_app.http.paths import location, path_segment
from asgi_app.resources.table.served import VERBS, ServedResource

_UNSPELLABLE = ("", ".", "..")
"""Segments that no path can spell: clients and servers remove them."""


def row_location(served: ServedResource, request: Request, row: Mapping[str, Any]) -> str:
    """Return the path of a row, as its clients see it. `row` has at least the columns of the key."""
    base = f"/{served.name}"
    if served.key_identifiers:
        for name, read in served.key_identifiers:
            base += f"/{read(row[name])}"
        return location(request, base)
    texts = [_text(served.value(name, row[name])) for name in served.open_key]
    if any(text in _UNSPELLABLE for text in texts) or texts[:1] == [VERBS]:
        query = urlencode(dict(zip(served.open_key, texts, strict=True)))
        return location(request, f"{base}/{VERBS}/row") + "?" + query
    return location(request, "/".join([base, *map(path_segment, texts)]))


def _text(value: Any) -> str:
    """Return a value as a segment has it: texts as they are, all else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
