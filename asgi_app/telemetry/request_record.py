"""The record of the request being served: its ids for the log, its trace, and how its time was spent.

The current record is in a context variable. So the code that runs statements needs no parameter for it, and worker
threads and tasks of a request find it too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

TRACEPARENT = b"traceparent"
"""The header of W3C Trace Context that carries the ids."""

_traceparent = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?", re.ASCII
)


class TraceContext(NamedTuple):
    """The trace a request belongs to, and the span that sent it, as 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str


def parse_traceparent(values: Sequence[str]) -> TraceContext | None:
    """Parse the values of a request's `traceparent` headers; return None if there is no valid one.

    As W3C Trace Context requires, these are ignored: more than one header, a malformed value, ids of zeros, and the
    version ff. Version 00 has exactly four parts; later versions may have more.
    """
    if len(values) != 1:
        return None
    found = _traceparent.fullmatch(values[0].strip(" \t"))
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    if not found["trace"].strip("0") or not found["parent"].strip("0"):
        return None
    return TraceContext(found["trace"], found["parent"])


class RequestRecord:
    """The record of one request, filled while it is served. Times are in seconds, summed over its statements.

    `began`: when the request began, by `time.perf_counter`. `queued`: the time that statements waited until they were
    handed to the driver; `driven`: the time from there to the driver's answer. `trace` is None if the request belongs
    to no trace. `rows` and `bytes` are None unless the response is a stream. `failure` is the error behind a 5xx
    response or a broken stream.
    """

    __slots__ = (
        "_first_page",
        "began",
        "bytes",
        "driven",
        "failure",
        "queued",
        "request_id",
        "rows",
        "statements",
        "trace",
    )

    def __init__(self, request_id: str, trace: TraceContext | None) -> None:
        self.began = time.perf_counter()
        self.request_id = request_id
        self.trace = trace
        self.statements = 0
        self.queued = 0.0
        self.driven = 0.0
        self.rows: int | None = None
        self.bytes: int | None = None
        self.failure: BaseException | None = None
        self._first_page: tuple[float, float] | None = None

    def statement_ended(self, queued: float | None, driven: float | None) -> None:
        """Count a statement and add its times; None for a step that the statement did not reach."""
        self.statements += 1
        self.queued += queued or 0.0
        self.driven += driven or 0.0

    def first_page_received(self) -> None:
        """Fix the times for `server_timing`: later pages run while the response is sent and do not delay its start."""
        self._first_page = self.queued, self.driven

    def server_timing(self) -> bytes:
        """Return the value of a Server-Timing header that is sent now, in milliseconds."""
        queued, driven = self._first_page or (self.queued, self.driven)
        total = time.perf_counter() - self.began
        return b"queue;dur=%.3f, db;dur=%.3f, total;dur=%.3f" % (1000 * queued, 1000 * driven, 1000 * total)

    def log_fields(self) -> dict[str, Any]:
        """Return the request's ids, for `extra` of a log record."""
        if self.trace is None:
            return {"request_id": self.request_id}
        return {"request_id": self.request_id, "trace_id": self.trace.trace_id, "span_id": self.trace.span_id}


current_record: ContextVar[RequestRecord | None] = ContextVar("asgi_cassandra_request", default=None)
"""The record of the request being served; None outside of a request."""


def log_fields() -> dict[str, Any]:
    """Return the ids of the request being served, for `extra` of a log record; empty outside of a request."""
    record = current_record.get()
    return record.log_fields() if record is not None else {}


def note_failure(error: BaseException) -> None:
    """Keep in the current record the error that the response reports as the service's fault."""
    record = current_record.get()
    if record is not None:
        record.failure = error


def milliseconds(seconds: float | None) -> float | None:
    """Return the milliseconds that log records show, to the microsecond; None for None."""
    return None if seconds is None else round(1000 * seconds, 3)
