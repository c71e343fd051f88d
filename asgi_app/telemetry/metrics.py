"""What the service counts, for Prometheus and for people."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPMethod
from typing import Any

from prometheus_client import Counter

from asgi_app.errors import (
    CassandraUnavailable,
    ConsistencyUnavailable,
    DeadlineExceeded,
    InternalError,
    NotConnected,
    Overloaded,
    QueueFull,
    QueueTimeout,
    ReadFailed,
    ReadTimeout,
    RejectedByCassandra,
    SchemaMissing,
    ServiceError,
    ShuttingDown,
    StatementRefused,
    WriteFailed,
    WriteTimeout,
)
from asgi_app.telemetry.instruments import GONE, Distribution, Instruments, instruments, shared_by_workers

WINDOW = 10
"""Seconds over which the rate of statements is told: long enough to be steady, short enough to move."""

CANCELLED = "cancelled"
CLIENT_TOO_SLOW = "client_too_slow"

RETRY_REASONS = ("read_timeout", "write_timeout", "unavailable", "request_error")
TIMEOUTS = tuple(kind.code for kind in (DeadlineExceeded, ReadTimeout, WriteTimeout))

SHED = (Overloaded, ShuttingDown)
"""The errors of requests that were refused without an attempt."""

_PAGE_ERRORS = (
    QueueFull,
    QueueTimeout,
    ShuttingDown,
    CassandraUnavailable,
    ConsistencyUnavailable,
    ReadFailed,
    SchemaMissing,
    DeadlineExceeded,
    ReadTimeout,
    InternalError,
)
_STATEMENT_ERRORS = (*_PAGE_ERRORS, NotConnected, WriteFailed, WriteTimeout, RejectedByCassandra, StatementRefused)

_METHODS = frozenset(HTTPMethod)


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as the driver sees it: `up` is None while it does not know."""

    up: bool | None
    connections: int
    connections_in_use: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the gauges tell, taken in one moment. `nodes` by address."""

    calls_in_flight: int
    calls_in_flight_limit: int
    calls_waiting: int
    calls_waiting_limit: int
    open_streams: int
    open_streams_limit: int
    prepared_statements: int
    nodes: Mapping[str, NodeState]


class Metrics:
    """The figures of one application. Used from the event loop, but for `text`, `summary` and what says otherwise.

    Where workers share their figures, `text` and `summary` tell those of all of them.
    """

    def __init__(self) -> None:
        self._its = instruments()
        self._by_request: dict[tuple[str, str, int], _Answers] = {}
        self._request_seconds: dict[tuple[str, str], Distribution] = {}
        self._statement_seconds = Distribution(self._its.statement_seconds)
        self._queue_wait_seconds = Distribution(self._its.queue_wait_seconds)
        self._driver_seconds = Distribution(self._its.driver_seconds)
        self._requests_in_flight = 0
        self._nodes: set[str] = set()
        self._statements = 0
        self._counts = deque([(time.monotonic(), 0)], maxlen=WINDOW + 1)
        self._its.started.set(time.time())
        self._begin_at_zero()

    def request_began(self) -> None:
        """Count a request as in flight until `request_ended`."""
        self._requests_in_flight += 1

    def request_ended(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request; a method that HTTP does not name is counted as OTHER, so that labels stay few."""
        self._requests_in_flight -= 1
        key = (route, method if method in _METHODS else "OTHER", status)
        kept = self._by_request.get(key)
        if kept is None:
            kept = self._by_request[key] = self._new_answers(key)
        kept.count(seconds)

    def request_shed(self, reason: str) -> None:
        """Count a request that was refused without an attempt."""
        self._its.shed_requests.labels(reason).inc()

    def statement_ended(
        self, seconds: float, queued: float | None, driven: float | None, error: BaseException | None
    ) -> None:
        """Count a statement that took `seconds` and, where it failed, its error.

        `queued` of them passed until it was handed to the driver or refused, None where it did not come that far;
        `driven` from there, None where it was not handed over.
        """
        self._statement_seconds.observe(seconds)
        if queued is not None:
            self._queue_wait_seconds.observe(queued)
        if driven is not None:
            self._driver_seconds.observe(driven)
        self._statements += 1
        if error is not None:
            self._its.statement_errors.labels(error.code if isinstance(error, ServiceError) else CANCELLED).inc()

    def statement_retried(self, reason: str) -> None:
        """Count a retry. Called from the driver's threads."""
        self._its.retries.labels(reason).inc()

    def statement_speculated(self) -> None:
        """Count a statement that another node was asked for, too. Called from the driver's threads."""
        self._its.speculative_executions.inc()

    def stream_ended(self, rows: int, size: int) -> None:
        """Count the rows and the bytes of a stream's body, however it ended."""
        self._its.streamed_rows.inc(rows)
        self._its.streamed_bytes.inc(size)

    def stream_broken(self, code: str) -> None:
        """Count a stream that broke off after its first byte."""
        self._its.broken_streams.labels(code).inc()

    def loop_lagged(self, seconds: float) -> None:
        """Count a timer of the event loop that fired so late."""
        self._its.loop_lag_seconds.observe(seconds)

    def mark_second(self) -> None:
        """Called once a second: what the rate of statements is reckoned from."""
        self._counts.append((time.monotonic(), self._statements))

    def publish(self, now: Snapshot) -> None:
        """Set the gauges, and hand over what was gathered. What gauges tell is of this moment alone."""
        its = self._its
        self._flush()
        its.requests_in_flight.set(self._requests_in_flight)
        its.calls_in_flight.set(now.calls_in_flight)
        its.calls_in_flight_limit.set(now.calls_in_flight_limit)
        its.calls_waiting.set(now.calls_waiting)
        its.calls_waiting_limit.set(now.calls_waiting_limit)
        its.open_streams.set(now.open_streams)
        its.open_streams_limit.set(now.open_streams_limit)
        its.prepared_statements.set(now.prepared_statements)
        its.statements_per_second.set(self._rate())
        self._publish_nodes(now.nodes)
        its.look_at_process()

    def text(self) -> bytes:
        """The text a scraper reads, format 0.0.4, as of the last `publish`. May be called in any thread."""
        return self._its.text()

    def summary(self) -> dict[str, Any]:
        """The same figures for people: totals and state as of the last `publish`. May be called in any thread."""
        sums = _Sums(self._its)
        statements = sums["cassandra_statement_seconds_count"]
        mean = _milliseconds(sums["cassandra_statement_seconds_sum"] / statements if statements else 0.0)
        connections, in_use = (
            int(sums[name]) for name in ("cassandra_node_connections", "cassandra_node_connections_in_use")
        )
        return {
            "total_queries": int(statements),
            "active_connections": connections,
            "queries_per_second": round(sums["cassandra_statements_per_second"], 2),
            "average_query_time_ms": mean,
            "errors_count": int(
                sums["cassandra_statement_errors_total"] - sums["cassandra_statement_errors_total", CANCELLED]
            ),
            "timeouts": int(sum(sums["cassandra_statement_errors_total", code] for code in TIMEOUTS)),
            "retries": int(sums["cassandra_retries_total"]),
            "in_flight": int(sums["cassandra_calls_in_flight"]),
            "waiting": int(sums["cassandra_calls_waiting"]),
            "prepared_statements": int(sums["cassandra_prepared_statements"]),
            "nodes_up": sums.values["cassandra_node_up"].count(1.0),
            "nodes_down": sums.values["cassandra_node_up"].count(0.0),
            "requests": int(sums["http_requests_total"]),
            "total_requests": int(sums["http_requests_total"]),
            "query_performance": {
                "avg_response_time_ms": mean,
                "p95_response_time_ms": _milliseconds(sums.quantile("cassandra_statement_seconds", 0.95)),
                "p99_response_time_ms": _milliseconds(sums.quantile("cassandra_statement_seconds", 0.99)),
            },
            "cassandra_connections": {"active": in_use, "idle": connections - in_use, "total": connections},
            "requests_in_flight": int(sums["http_requests_in_flight"]),
            "shed": int(sums["shed_requests_total"]),
            "open_streams": int(sums["open_streams"]),
            "streamed_rows": int(sums["streamed_rows_total"]),
            "streamed_bytes": int(sums["streamed_bytes_total"]),
            "broken_streams": int(sums["broken_streams_total"]),
            "uptime_seconds": round(time.time() - sums["service_start_time_seconds"], 3),
        }

    def _new_answers(self, key: tuple[str, str, int]) -> _Answers:
        route_and_method = key[:2]
        seconds = self._request_seconds.get(route_and_method)
        if seconds is None:
            seconds = Distribution(self._its.request_seconds.labels(*route_and_method))
            self._request_seconds[route_and_method] = seconds
        return _Answers(self._its.requests.labels(*key), seconds)

    def _flush(self) -> None:
        for answers in self._by_request.values():
            answers.flush()
        for seconds in self._request_seconds.values():
            seconds.flush()
        for told in (self._statement_seconds, self._queue_wait_seconds, self._driver_seconds):
            told.flush()

    def _begin_at_zero(self) -> None:
        """A rate needs a figure from before the first event."""
        its = self._its
        for refused in _refusals():
            its.shed_requests.labels(refused.code)
        for error in _STATEMENT_ERRORS:
            its.statement_errors.labels(error.code)
        its.statement_errors.labels(CANCELLED)
        for reason in RETRY_REASONS:
            its.retries.labels(reason)
        for error in _PAGE_ERRORS:
            its.broken_streams.labels(error.code)
        its.broken_streams.labels(CLIENT_TOO_SLOW)

    def _rate(self) -> float:
        """Statements a second since ten seconds ago, or since the start where that is less."""
        began, before = self._counts[0]
        return (self._statements - before) / max(1.0, time.monotonic() - began)

    def _publish_nodes(self, nodes: Mapping[str, NodeState]) -> None:
        for address in self._nodes - nodes.keys():
            self._its.node_up.labels(address).set(GONE)
            self._its.node_connections.labels(address).set(GONE)
            self._its.node_connections_in_use.labels(address).set(GONE)
        for address, node in nodes.items():
            self._its.node_up.labels(address).set(GONE if node.up is None else node.up)
            self._its.node_connections.labels(address).set(node.connections)
            self._its.node_connections_in_use.labels(address).set(node.connections_in_use)
        self._nodes.update(nodes)


class _Answers:
    """Answers of one route, method and status; their number is gathered as their times are."""

    __slots__ = ("_counter", "_gathered", "_is_shared", "_seconds")

    def __init__(self, counter: Counter, seconds: Distribution) -> None:
        self._counter = counter
        self._seconds = seconds
        self._gathered = 0
        self._is_shared = shared_by_workers()

    def count(self, seconds: float) -> None:
        self._gathered += 1
        self._seconds.observe(seconds)
        if self._is_shared:
            self.flush()

    def flush(self) -> None:
        if self._gathered:
            self._counter.inc(self._gathered)
            self._gathered = 0


class _Sums:
    """Samples by name and, for those with one label, by its value too; looked up, they are summed."""

    def __init__(self, its: Instruments) -> None:
        self.values: defaultdict[str | tuple[str, str], list[float]] = defaultdict(list)
        for family in its.collect():
            for sample in family.samples:
                self.values[sample.name].append(sample.value)
                if len(sample.labels) == 1:
                    self.values[sample.name, next(iter(sample.labels.values()))].append(sample.value)

    def __getitem__(self, name: str | tuple[str, str]) -> float:
        return sum(self.values[name])

    def quantile(self, histogram: str, part: float) -> float:
        """Return the value below which `part` of the observations lie, as Prometheus' `histogram_quantile` does.

        Observations are taken as evenly spread within their bucket. Beyond the last bound it is that bound, and 0 where
        nothing was observed.
        """
        rank = part * self[f"{histogram}_count"]
        lower = below = 0.0
        for bound, up_to in self._finite_buckets(f"{histogram}_bucket"):
            if 0 < rank <= up_to:
                return lower + (bound - lower) * (rank - below) / (up_to - below)
            lower, below = bound, up_to
        return lower if rank else 0.0

    def _finite_buckets(self, name: str) -> list[tuple[float, float]]:
        """Return the bounds of a histogram without labels, each with the number of observations up to it."""
        bounds = [key[1] for key in self.values if isinstance(key, tuple) and key[0] == name and key[1] != "+Inf"]
        return sorted((float(bound), self[name, bound]) for bound in bounds)


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 3)


def _refusals() -> list[type[ServiceError]]:
    return [*Overloaded.__subclasses__(), ShuttingDown]
