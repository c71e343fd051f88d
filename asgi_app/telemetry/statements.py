"""Report each statement to the metrics, the request record, the slow log and tracing."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from asgi_app.errors import ServiceError
from asgi_app.settings import Settings
from asgi_app.tables.cql import Statement
from asgi_app.telemetry.metrics import CANCELLED, Metrics
from asgi_app.telemetry.request_record import current_record, log_fields, milliseconds

if TYPE_CHECKING:
    from asgi_app.telemetry.tracing import StatementSpan, Tracing

LONGEST_CQL = 2000
"""Characters of a slow statement's CQL that are logged."""

logger = logging.getLogger("asgi_app.db")


class StatementObserver:
    """Reports the beginning and the end of every statement. Use it on the event loop.

    `tracing` creates the spans; it is None without OpenTelemetry.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.tracing = tracing_of(settings)
        self._metrics = metrics
        self._slow = settings.slow_statement or math.inf

    def end(
        self,
        statement: Statement,
        span: StatementSpan | None,
        seconds: float,
        queued: float | None,
        driven: float | None,
        rows: int,
        error: BaseException | None,
    ) -> None:
        """Report a statement that ended after `seconds`; for `queued` and `driven` see `Metrics.statement_ended`."""
        self._metrics.statement_ended(seconds, queued, driven, error)
        record = current_record.get()
        if record is not None:
            record.statement_ended(queued, driven)
        if span is not None:
            span.end(queued, driven, rows, error)
        if seconds >= self._slow:
            _log_slow(statement, seconds, queued, driven, rows, error)


def tracing_of(settings: Settings) -> Tracing | None:
    """Return the creator of spans, or None if the settings turn tracing off; OpenTelemetry is then not imported."""
    if not settings.otel:
        return None
    from asgi_app.telemetry.tracing import Tracing

    return Tracing(settings.keyspace, settings.cassandra_consistency)


def _log_slow(
    statement: Statement,
    seconds: float,
    queued: float | None,
    driven: float | None,
    rows: int,
    error: BaseException | None,
) -> None:
    """Log a slow statement as it was prepared, so without its values."""
    ids = log_fields()
    cql = " ".join(statement.cql.split())[:LONGEST_CQL]
    fields = {
        **ids,
        "duration_ms": milliseconds(seconds),
        "queue_ms": milliseconds(queued),
        "driver_ms": milliseconds(driven),
        "rows": rows,
        "cql": cql,
    }
    if error is not None:
        fields["error"] = error.code if isinstance(error, ServiceError) else CANCELLED
    logger.warning(
        "slow statement: %.1fms (queue %.1fms, driver %.1fms), %d rows: %s [request %s]",
        1000 * seconds,
        1000 * (queued or 0.0),
        1000 * (driven or 0.0),
        rows,
        cql,
        ids.get("request_id", "-"),
        extra=fields,
    )
