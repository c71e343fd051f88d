"""What schemathesis must know of this service beyond its document."""

from __future__ import annotations

import uuid
from typing import Any

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format("uuid", st.builds(lambda: str(uuid.uuid1())))


def exact(value: Any) -> Any:
    """Return JSON without what a schema cannot refuse: 1.0 for an integer, a long integer as the key of a map."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [exact(member) for member in value]
    if isinstance(value, dict):
        return {name[:4] if name.lstrip("-").isdigit() else name: exact(member) for name, member in value.items()}
    return value


def is_possible(timeout: Any) -> bool:
    """Return whether a value of X-Request-Timeout is right."""
    try:
        return 0 < float(timeout) <= 300
    except (TypeError, ValueError):
        return False


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Give the request enough time, and make one that should succeed one that can.

    Nobody can invent a page token. Schemathesis sends a header `If-Match: 0` although its pattern forbids that.
    """
    headers = case.headers or {}
    if is_possible(headers.get("X-Request-Timeout")):
        del headers["X-Request-Timeout"]
    if "x-schemathesis-unknown-property" in headers:  # allowed, which schemathesis sees only without integers
        headers.pop("Cassandra-TTL", None)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    for name in ("If-Match", "If-None-Match"):
        if headers.get(name, "*") != "*" and not headers[name].startswith(('"', "W/")):
            del headers[name]
    if case.query:
        case.query.pop("page_state", None)
    case.body = exact(case.body)
