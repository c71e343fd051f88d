"""Count what the service does, and export the figures as Prometheus text and as JSON."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPMethod
from typing import Any

import anyio
from prometheus_client import Counter

from asgi_app.errors import (
    BatchTooLarge,
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
"""Seconds over which the rate of statements is averaged: long enough to be steady, short enough to follow a change."""

LAG_PERIOD = 0.25
"""Seconds between two measurements of the event loop's lag. One costs some ten microseconds."""

_LAGS_PER_SECOND = round(1 / LAG_PERIOD)

CANCELLED = "cancelled"
CLIENT_TOO_SLOW = "client_too_slow"

RETRY_REASONS = ("read_timeout", "write_timeout", "unavailable", "request_error")
TIMEOUTS = tuple(kind.code for kind in (DeadlineExceeded, ReadTimeout, WriteTimeout))

SHED = (Overloaded, ShuttingDown)
"""The errors of requests that were refused before anything was tried."""

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
_STATEMENT_ERRORS = (
    *_PAGE_ERRORS,
    NotConnected,
    WriteFailed,
    WriteTimeout,
    BatchTooLarge,
    RejectedByCassandra,
    StatementRefused,
)

_METHODS = frozenset(HTTPMethod)


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as the driver sees it, and its numbers of connections. `up` is None while the driver does not know.

    `version` and `data_center` are empty as long as the driver does not know them.
    """

    up: bool | None
    connections: int
    connections_in_use: int = 0
    version: str = ""
    data_center: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The values of the gauges at one moment. `nodes` has the nodes by their addresses."""

    calls_in_flight: int
    calls_in_flight_limit: int
    calls_waiting: int
    calls_waiting_limit: int
    open_streams: int
    open_streams_limit: int
    prepared_statements: int
    nodes: Mapping[str, NodeState]


class Metrics:
    """The metrics of one application. Use it on the event loop, except for the methods that say otherwise.

    If workers share their metrics (PROMETHEUS_MULTIPROC_DIR), `text` and `summary` have those of all workers.
    """

    def __init__(self) -> None:
        self._instruments = instruments()
        self._by_request: dict[tuple[str, str, int], _Answers] = {}
        self._request_seconds: dict[tuple[str, str], Distribution] = {}
        self._statement_seconds = Distribution(self._instruments.statement_seconds)
        self._queue_wait_seconds = Distribution(self._instruments.queue_wait_seconds)
        self._driver_seconds = Distribution(self._instruments.driver_seconds)
        self._requests_in_flight = 0
        self._nodes: set[str] = set()
        self._infos: dict[str, tuple[str, str] | None] = {}
        self._statements = 0
        self._counts = deque([(time.monotonic(), 0)], maxlen=WINDOW + 1)
        self._instruments.started.set(time.time())
        self._create_labels()

    def request_began(self) -> None:
        """Count a request as in flight until `request_ended`."""
        self._requests_in_flight += 1

    def request_ended(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request that took `seconds`.

        A method unknown to HTTP is counted as OTHER, so that clients cannot create labels without limit.
        """
        self._requests_in_flight -= 1
        key = (route, method if method in _METHODS else "OTHER", status)
        kept = self._by_request.get(key)
        if kept is None:
            kept = self._by_request[key] = self._new_answers(key)
        kept.count(seconds)

    def request_shed(self, reason: str) -> None:
        """Count a request that was refused before anything was tried; `reason` is the code of an error in `SHED`."""
        self._instruments.shed_requests.labels(reason).inc()

    def statement_ended(
        self, seconds: float, queued: float | None, driven: float | None, error: BaseException | None
    ) -> None:
        """Count a statement that took `seconds`, and its error if it failed.

        `queued`: the seconds until it was handed to the driver or refused; None if neither happened. `driven`: the
        seconds from there to its end; None if it was not handed to the driver.
        """
        self._statement_seconds.observe(seconds)
        if queued is not None:
            self._queue_wait_seconds.observe(queued)
        if driven is not None:
            self._driver_seconds.observe(driven)
        self._statements += 1
        if error is not None:
            self._instruments.statement_errors.labels(
                error.code if isinstance(error, ServiceError) else CANCELLED
            ).inc()

    def statement_retried(self, reason: str) -> None:
        """Count a retry. `reason` is one of `RETRY_REASONS`. Callable from any thread."""
        self._instruments.retries.labels(reason).inc()

    def statement_speculated(self) -> None:
        """Count a statement that was sent to a second node because the first was slow. Callable from any thread."""
        self._instruments.speculative_executions.inc()

    def page_narrowed(self) -> None:
        """Count a page that failed and is asked for in smaller pieces."""
        self._instruments.narrowed_pages.inc()

    def stream_ended(self, rows: int, size: int) -> None:
        """Count the rows and bytes (`size`) sent in a stream's body, whether it was complete or not."""
        self._instruments.streamed_rows.inc(rows)
        self._instruments.streamed_bytes.inc(size)

    def stream_broken(self, code: str) -> None:
        """Count a stream that broke off after its first byte; `code` is its error's."""
        self._instruments.broken_streams.labels(code).inc()

    def loop_lagged(self, seconds: float) -> None:
        """Count a timer of the event loop that fired `seconds` late."""
        self._instruments.loop_lag_seconds.observe(seconds)

    def mark_second(self) -> None:
        """Keep the number of statements, for their rate. Call it once a second."""
        self._counts.append((time.monotonic(), self._statements))

    def publish(self, now: Snapshot) -> None:
        """Set the gauges to the values of this moment, and flush the histograms and counters."""
        gauges = self._instruments
        self._flush()
        gauges.requests_in_flight.set(self._requests_in_flight)
        gauges.calls_in_flight.set(now.calls_in_flight)
        gauges.calls_in_flight_limit.set(now.calls_in_flight_limit)
        gauges.calls_waiting.set(now.calls_waiting)
        gauges.calls_waiting_limit.set(now.calls_waiting_limit)
        gauges.open_streams.set(now.open_streams)
        gauges.open_streams_limit.set(now.open_streams_limit)
        gauges.prepared_statements.set(now.prepared_statements)
        gauges.statements_per_second.set(self._rate())
        self._publish_nodes(now.nodes)
        gauges.read_process()

    def text(self) -> bytes:
        """Return the Prometheus text format, version 0.0.4, as of the last `publish`. Callable from any thread."""
        return self._instruments.text()

    def summary(self) -> dict[str, Any]:
        """Return the same figures as JSON-ready totals, as of the last `publish`. Callable from any thread."""
        sums = _Sums(self._instruments)
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
            seconds = Distribution(self._instruments.request_seconds.labels(*route_and_method))
            self._request_seconds[route_and_method] = seconds
        return _Answers(self._instruments.requests.labels(*key), seconds)

    def _flush(self) -> None:
        for answers in self._by_request.values():
            answers.flush()
        for seconds in self._request_seconds.values():
            seconds.flush()
        for times in (self._statement_seconds, self._queue_wait_seconds, self._driver_seconds):
            times.flush()

    def _create_labels(self) -> None:
        """Create the labelled counters at zero: a rate in Prometheus needs a sample from before the first event."""
        counters = self._instruments
        for refused in _refusals():
            counters.shed_requests.labels(refused.code)
        for error in _STATEMENT_ERRORS:
            counters.statement_errors.labels(error.code)
        counters.statement_errors.labels(CANCELLED)
        for reason in RETRY_REASONS:
            counters.retries.labels(reason)
        for error in _PAGE_ERRORS:
            counters.broken_streams.labels(error.code)
        counters.broken_streams.labels(CLIENT_TOO_SLOW)

    def _rate(self) -> float:
        """Return statements per second over the last `WINDOW` seconds, or since the start if that is shorter."""
        began, before = self._counts[0]
        return (self._statements - before) / max(1.0, time.monotonic() - began)

    def _publish_nodes(self, nodes: Mapping[str, NodeState]) -> None:
        for address in self._nodes - nodes.keys():
            self._instruments.node_up.labels(address).set(GONE)
            self._instruments.node_connections.labels(address).set(GONE)
            self._instruments.node_connections_in_use.labels(address).set(GONE)
            self._publish_info(address, None)
        for address, node in nodes.items():
            self._instruments.node_up.labels(address).set(GONE if node.up is None else node.up)
            self._instruments.node_connections.labels(address).set(node.connections)
            self._instruments.node_connections_in_use.labels(address).set(node.connections_in_use)
            self._publish_info(address, (node.version, node.data_center))
        self._nodes.update(nodes)

    def _publish_info(self, address: str, known: tuple[str, str] | None) -> None:
        """Publish what is known of a node: its version and data centre, or None if it has left."""
        before = self._infos.get(address)
        if before not in (None, known):
            self._instruments.node_info.labels(address, *before).set(GONE)
        if known is not None:
            self._instruments.node_info.labels(address, *known).set(1)
        self._infos[address] = known


class _Answers:
    """The answers of one route, method and status. Gathered here until `flush`, as `Distribution` does."""

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
    """Sums of samples: by a metric's name, or by its name and the value of its only label."""

    def __init__(self, instruments: Instruments) -> None:
        self.values: defaultdict[str | tuple[str, str], list[float]] = defaultdict(list)
        for family in instruments.collect():
            for sample in family.samples:
                self.values[sample.name].append(sample.value)
                if len(sample.labels) == 1:
                    self.values[sample.name, next(iter(sample.labels.values()))].append(sample.value)

    def __getitem__(self, name: str | tuple[str, str]) -> float:
        return sum(self.values[name])

    def quantile(self, histogram: str, part: float) -> float:
        """Return the value below which `part` (0 to 1) of the observations lie, as Prometheus' `histogram_quantile`.

        Observations are assumed to be spread evenly within their bucket. Returns the last bound if the quantile lies
        beyond it, and 0 if there are no observations.
        """
        rank = part * self[f"{histogram}_count"]
        lower = below = 0.0
        for bound, up_to in self._finite_buckets(f"{histogram}_bucket"):
            if 0 < rank <= up_to:
                return lower + (bound - lower) * (rank - below) / (up_to - below)
            lower, below = bound, up_to
        return lower if rank else 0.0

    def _finite_buckets(self, name: str) -> list[tuple[float, float]]:
        """Return the bounds of a histogram without labels, in order, each with the number of observations up to it."""
        bounds = [key[1] for key in self.values if isinstance(key, tuple) and key[0] == name and key[1] != "+Inf"]
        return sorted((float(bound), self[name, bound]) for bound in bounds)


async def sample_periodically(metrics: Metrics, publish: Callable[[], None]) -> None:
    """Measure the event loop's lag and the rate of statements until cancelled.

    If workers share their metrics, call `publish` every second, because a scrape may reach another worker. If they do
    not, the reader of the metrics calls it.
    """
    shared = shared_by_workers()
    if shared:
        publish()
    while True:
        for _ in range(_LAGS_PER_SECOND):
            began = time.perf_counter()
            await anyio.sleep(LAG_PERIOD)
            metrics.loop_lagged(max(0.0, time.perf_counter() - began - LAG_PERIOD))
        metrics.mark_second()
        if shared:
            publish()


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 3)


def _refusals() -> list[type[ServiceError]]:
    return [*Overloaded.__subclasses__(), ShuttingDown]
