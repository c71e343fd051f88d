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


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Make a request that should succeed one that can: without an invented page token, and with enough time."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    for values, name in ((case.headers, "X-Request-Timeout"), (case.query, "page_state")):
        if values:
            values.pop(name, None)
    case.body = exact(case.body)
