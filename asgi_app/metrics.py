"""What the service counts, for Prometheus and for people."""

from __future__ import annotations

import time
from collections import deque
from http import HTTPMethod
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from asgi_app.errors import ServiceError

WINDOW = 10
"""Seconds over which the rate of queries is told: long enough to be steady, short enough to move."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

_METHODS = frozenset(HTTPMethod)


class Metrics:
    """The figures of one application, in a registry of their own. Used from the event loop only."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.statements = Histogram(
            "cassandra_statement_seconds",
            "Time from asking for a statement to its answer, waiting for a slot included.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.statement_errors = Counter(
            "cassandra_statement_errors", "Statements that failed, by error code.", ["code"], registry=self.registry
        )
        self.requests = Counter(
            "http_requests",
            "Requests answered, by route template, method and status.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self._requests: dict[tuple[str, str, int], Counter] = {}
        self.streamed_rows = Counter("streamed_rows", "Rows sent in streams.", registry=self.registry)
        self.streamed_bytes = Counter("streamed_bytes", "Bytes of streams' bodies.", registry=self.registry)
        self.broken_streams = Counter(
            "broken_streams", "Streams that broke off after their first byte.", ["code"], registry=self.registry
        )
        self._rate = _Rate()
        self._total = 0
        self._errors = 0
        self._seconds = 0.0

    def statement_ended(self, seconds: float, error: BaseException | None) -> None:
        """Count a statement that took `seconds` and, where it failed, its error."""
        self.statements.observe(seconds)
        self._rate.add()
        self._total += 1
        self._seconds += seconds
        if error is not None:
            self._errors += 1
            code = error.code if isinstance(error, ServiceError) else "cancelled"
            self.statement_errors.labels(code).inc()

    def request_ended(self, route: str, method: str, status: int) -> None:
        """Count an answered request; a method that HTTP does not name is counted as OTHER, so that labels stay few."""
        counter = self._requests.get((route, method, status))
        if counter is None:
            known = method if method in _METHODS else "OTHER"
            counter = self.requests.labels(route, known, str(status))
            if known == method:  # an unknown method is not kept: there is no end of them
                self._requests[route, method, status] = counter
        counter.inc()

    def stream_ended(self, rows: int, size: int) -> None:
        """Count the rows and the bytes of a stream's body, however it ended."""
        self.streamed_rows.inc(rows)
        self.streamed_bytes.inc(size)

    def stream_broken(self, code: str) -> None:
        """Count a stream that broke off after its first byte."""
        self.broken_streams.labels(code).inc()

    def prometheus_text(self) -> bytes:
        """The text a scraper reads, format 0.0.4."""
        return generate_latest(self.registry)

    def summary(self) -> dict[str, Any]:
        """Totals since the start, and the rate over the last ten seconds."""
        return {
            "total_queries": self._total,
            "queries_per_second": round(self._rate.per_second(), 2),
            "average_query_time_ms": round(1000 * self._seconds / self._total, 3) if self._total else 0.0,
            "errors_count": self._errors,
        }


class _Rate:
    """Counts by the second and forgets what is older than the window."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._seconds: deque[tuple[int, int]] = deque(maxlen=WINDOW + 1)

    def add(self) -> None:
        now = int(time.monotonic())
        if self._seconds and self._seconds[-1][0] == now:
            self._seconds[-1] = (now, self._seconds[-1][1] + 1)
        else:
            self._seconds.append((now, 1))

    def per_second(self) -> float:
        now = time.monotonic()
        counted = sum(count for second, count in self._seconds if second > now - WINDOW)
        return counted / max(1.0, min(WINDOW, now - self._began))
