"""The W3C trace context: which trace a request belongs to, and which span of it made the request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

HEADER = b"traceparent"

_traceparent = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?", re.ASCII
)


class TraceContext(NamedTuple):
    """The ids as the header has them: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str


def trace_context(sent: Sequence[str]) -> TraceContext | None:
    """What the values of the `traceparent` headers say; None without one, and for one that the standard has ignored.

    That is more than one header, a wrong form, ids of zeros, and the version ff. Version 00 has four parts, a later one
    may have more.
    """
    if len(sent) != 1:
        return None
    found = _traceparent.fullmatch(sent[0].strip(" \t"))
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    if not found["trace"].strip("0") or not found["parent"].strip("0"):
        return None
    return TraceContext(found["trace"], found["parent"])
