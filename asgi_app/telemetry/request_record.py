"""What is noted of the request under way: its ids for the log, and where its time went.

The note is in a context variable, so that what runs statements finds it without being handed it, and so that worker
threads and the tasks of a request know their request too.
"""

from __future__ import annotations

import time
from contextvars import ContextVar, Token
from typing import Any

from asgi_app.telemetry.trace_context import TraceContext

_current: ContextVar[RequestNote | None] = ContextVar("asgi_cassandra_request", default=None)


class RequestNote:
    """Filled while a request is served. Times are in seconds, sums over its statements.

    `queued` is what they waited until they were handed to the driver, `driven` what they took from there. `trace` is
    None for a request that belongs to no trace. `rows` and `bytes` are None unless the answer is a stream. `failure` is
    the error of an answer that is the service's fault.
    """

    __slots__ = (
        "_first",
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
        self._first: tuple[float, float] | None = None

    def statement_ended(self, queued: float | None, driven: float | None) -> None:
        """Count a statement; None for what it did not come to."""
        self.statements += 1
        self.queued += queued or 0.0
        self.driven += driven or 0.0

    def first_page_is_here(self) -> None:
        """From here on statements are beside the beginning of the answer, and do not count for `server_timing`."""
        self._first = self.queued, self.driven

    def server_timing(self) -> bytes:
        """The value of a Server-Timing header that is sent now, in milliseconds."""
        queued, driven = self._first or (self.queued, self.driven)
        total = time.perf_counter() - self.began
        return b"queue;dur=%.3f, db;dur=%.3f, total;dur=%.3f" % (1000 * queued, 1000 * driven, 1000 * total)

    def log_fields(self) -> dict[str, Any]:
        """The ids, as `extra` of a log record."""
        if self.trace is None:
            return {"request_id": self.request_id}
        return {"request_id": self.request_id, "trace_id": self.trace.trace_id, "span_id": self.trace.span_id}


def begin(note: RequestNote) -> Token[RequestNote | None]:
    """Make it the note of the request under way, until `end` is given what this returns."""
    return _current.set(note)


def end(begun: Token[RequestNote | None]) -> None:
    """What was the note before is so again: of the service in which this one is mounted, or none."""
    _current.reset(begun)


def current() -> RequestNote | None:
    """The note of the request under way; None outside of one."""
    return _current.get()


def log_fields() -> dict[str, Any]:
    """The ids of the request under way, as `extra` of a log record; nothing outside of one."""
    note = _current.get()
    return note.log_fields() if note is not None else {}


def note_failure(error: BaseException) -> None:
    """Keep why the answer to the request under way is an error of the service's."""
    note = _current.get()
    if note is not None:
        note.failure = error


def milliseconds(seconds: float | None) -> float | None:
    """As log records tell them, to the microsecond."""
    return None if seconds is None else round(1000 * seconds, 3)
