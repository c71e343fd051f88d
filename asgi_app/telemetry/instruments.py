"""Declare every metric once, with its name, labels and meaning, for one process or for several workers.

prometheus-client chooses between the two when it is imported. If PROMETHEUS_MULTIPROC_DIR is set, every process keeps
its metrics in files of that directory, and the worker that is scraped reads the files of all. prometheus-client treats
an empty variable as set, and then uses the working directory; here an empty variable counts as not set.
"""

from __future__ import annotations

import functools
import math
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from asgi_app.settings.metrics_directory import named_directory

GONE = math.nan
"""The value of a gauge that is no longer valid, such as that of a node that has left.

It is not exported, and does not count where the values of several workers are combined.
"""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STREAM_SECONDS = (*_SECONDS, 60, 300)

Mode = Literal["livesum", "livemin", "livemax"]
"""How the values of a gauge are combined over the living workers: their sum, minimum or maximum."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric's declaration, from which `docs/metrics.md` is generated."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


class Distribution:
    """A histogram that gathers its observations until `flush`: prometheus-client takes two microseconds for each.

    If workers share their metrics, nothing is gathered: another worker may be scraped at any moment. Use it on the
    event loop. `observe(seconds)` adds an observation.
    """

    __slots__ = ("_bounds", "_counts", "_histogram", "_sum", "observe")

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._bounds = histogram._upper_bounds
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        self.observe = histogram.observe if shared_by_workers() else self._gather

    def _gather(self, amount: float) -> None:
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._sum += amount

    def flush(self) -> None:
        """Add what was gathered to the histogram."""
        if any(self._counts):
            for kept, count in zip(self._histogram._buckets, self._counts, strict=True):
                kept.inc(count)
            self._histogram._sum.inc(self._sum)
            self._counts = [0] * len(self._bounds)
            self._sum = 0.0


class Instruments(Collector):
    """One set of metrics. It collects the samples of the whole service, so of all its workers if there are several."""

    def __init__(self) -> None:
        self.declared: list[Declared] = []
        self._registry = CollectorRegistry()
        self._directory = named_directory() if shared_by_workers() else None
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True)

        self.requests = self._counter(
            "http_requests_total",
            "Requests answered. The route is its template, or `unmatched`; the status is 0 if the client left before "
            "the response began.",
            "route",
            "method",
            "status",
        )
        self.request_seconds = self._histogram(
            "http_request_seconds",
            "Time from a request's arrival to the end of its response.",
            "route",
            "method",
            buckets=_STREAM_SECONDS,
        )
        self.requests_in_flight = self._gauge("http_requests_in_flight", "Requests being answered now.")
        self.shed_requests = self._counter(
            "shed_requests_total", "Requests refused to protect the service, or because it is stopping.", "reason"
        )

        self.statement_seconds = self._histogram(
            "cassandra_statement_seconds",
            "Time from asking for a statement to its answer, waiting for a slot included.",
        )
        self.queue_wait_seconds = self._histogram(
            "cassandra_queue_wait_seconds",
            "Part of a statement's time: until it was handed to the driver or refused; mostly the wait for a slot.",
        )
        self.driver_seconds = self._histogram(
            "cassandra_driver_seconds",
            "Part of a statement's time: from the handover to the driver to its answer, or until the request stopped "
            "waiting.",
        )
        self.statements_per_second = self._gauge(
            "cassandra_statements_per_second", "Statements per second, averaged over the last ten seconds."
        )
        self.statement_errors = self._counter(
            "cassandra_statement_errors_total",
            "Statements that failed, by the error's code; `cancelled` if the client left. The timeouts are "
            "`deadline_exceeded` (ours), `read_timeout` and `write_timeout` (the replicas').",
            "code",
        )
        self.retries = self._counter(
            "cassandra_retries_total",
            "Idempotent statements sent again, by what failed: `read_timeout`, `write_timeout`, `unavailable`, or "
            "`request_error` (connection lost, or the node overloaded, starting or failing).",
            "reason",
        )
        self.speculative_executions = self._counter(
            "cassandra_speculative_executions_total",
            "Statements without an answer within ASGI_CASSANDRA_SPECULATIVE_DELAY that were sent to another node as "
            "well, if there is one.",
        )

        self.calls_in_flight = self._gauge(
            "cassandra_calls_in_flight", "Calls that hold a slot: the driver has not reported their end yet."
        )
        self.calls_in_flight_limit = self._gauge(
            "cassandra_calls_in_flight_limit", "The limit of calls in flight: ASGI_CASSANDRA_MAX_IN_FLIGHT."
        )
        self.calls_waiting = self._gauge("cassandra_calls_waiting", "Calls that wait for a slot.")
        self.calls_waiting_limit = self._gauge(
            "cassandra_calls_waiting_limit", "The limit of calls waiting: ASGI_CASSANDRA_MAX_WAITING."
        )
        self.prepared_statements = self._gauge("cassandra_prepared_statements", "Prepared statements in the cache.")
        self.node_up = self._gauge(
            "cassandra_node_up",
            "1 for a node that the driver sees up, 0 for one that it sees down. The label is its address.",
            "node",
            mode="livemin",
        )
        self.node_connections = self._gauge("cassandra_node_connections", "Open connections to a node.", "node")
        self.node_connections_in_use = self._gauge(
            "cassandra_node_connections_in_use", "Open connections to a node with a request in flight.", "node"
        )
        self.node_info = self._gauge(
            "cassandra_node_info",
            "1 for each node that the driver knows; the labels are its address, its version of Cassandra, its data "
            "centre.",
            "node",
            "version",
            "datacenter",
            mode="livemax",
        )

        self.open_streams = self._gauge("open_streams", "Streams that are open.")
        self.open_streams_limit = self._gauge(
            "open_streams_limit", "The limit of open streams: ASGI_CASSANDRA_MAX_STREAMS."
        )
        self.streamed_rows = self._counter("streamed_rows_total", "Rows sent in streams.")
        self.streamed_bytes = self._counter("streamed_bytes_total", "Bytes of streams' bodies.")
        self.broken_streams = self._counter(
            "broken_streams_total", "Streams that broke off after their first byte, by the error's code.", "code"
        )
        self.narrowed_pages = self._counter(
            "narrowed_pages_total",
            "Pages of streams, and of `/-/pages`, that timed out, or that a replica refused, and that were asked for "
            "in smaller pieces. Many of them mean many deleted rows.",
        )

        self.loop_lag_seconds = self._histogram(
            "event_loop_lag_seconds", "How late a timer of the event loop fires, measured four times a second."
        )
        self.started = self._gauge(
            "service_start_time_seconds",
            "When the service started, in Unix time; with several workers, the start of the oldest.",
            mode="livemin",
        )
        self.cpu_seconds = self._counter("process_cpu_seconds_total", "CPU time of the process, user and system.")
        self.resident_bytes = self._gauge("process_resident_memory_bytes", "Resident memory.")
        self.open_fds = self._gauge("process_open_fds", "Open file descriptors.")
        self.max_fds = self._gauge("process_max_fds", "The limit of open file descriptors.")
        self._process = ProcessCollector(registry=None)
        self._cpu_counted = 0.0

    def read_process(self) -> None:
        """Set the metrics of the process. prometheus-client's own are not used: they cannot be summed over workers."""
        found = {family.name: family.samples[0].value for family in self._process.collect()}
        cpu = found.get("process_cpu_seconds", self._cpu_counted)
        self.cpu_seconds.inc(cpu - self._cpu_counted)
        self._cpu_counted = cpu
        self.resident_bytes.set(found.get("process_resident_memory_bytes", GONE))
        self.open_fds.set(found.get("process_open_fds", GONE))
        self.max_fds.set(found.get("process_max_fds", GONE))

    def collect(self) -> Iterable[Metric]:
        """Return every declared metric, in the order of declaration, with the samples of all workers."""
        found = {family.name: family for family in self._collected()}
        for declared in self.declared:
            name = declared.name.removesuffix("_total") if declared.kind == "counter" else declared.name
            family = Metric(name, declared.meaning, declared.kind)
            if name in found:
                family.samples = [sample for sample in found[name].samples if _is_exported(sample)]
            yield family

    def text(self) -> bytes:
        """Return the Prometheus text format, version 0.0.4."""
        return generate_latest(self)

    def _collected(self) -> Iterator[Metric]:
        if self._directory is None:
            yield from self._registry.collect()
        else:
            _forget_ended_workers(self._directory)
            yield from _Workers(None, str(self._directory)).collect()  # type: ignore[no-untyped-call]

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self.declared.append(Declared(name, "counter", labels, meaning))
        return Counter(name, meaning, labels, registry=self._registry)

    def _gauge(self, name: str, meaning: str, *labels: str, mode: Mode = "livesum") -> Gauge:
        self.declared.append(Declared(name, "gauge", labels, meaning))
        return Gauge(name, meaning, labels, registry=self._registry, multiprocess_mode=mode)

    def _histogram(self, name: str, meaning: str, *labels: str, buckets: Sequence[float] = _SECONDS) -> Histogram:
        self.declared.append(Declared(name, "histogram", labels, meaning))
        return Histogram(name, meaning, labels, registry=self._registry, buckets=buckets)


class _Workers(MultiProcessCollector):
    """Combines the samples of all workers, but for those that are `GONE`: the others may know more."""

    @staticmethod
    def merge(files: Iterable[str], accumulate: bool = True) -> Iterable[Metric]:
        found: dict[str, Metric] = MultiProcessCollector._read_metrics(files)  # type: ignore[no-untyped-call]
        for family in found.values():
            family.samples = [sample for sample in family.samples if not math.isnan(sample.value)]
        combined: Iterable[Metric] = MultiProcessCollector._accumulate_metrics(found, accumulate)  # type: ignore[no-untyped-call]
        return combined


def instruments() -> Instruments:
    """Return new instruments, or the process's only ones if workers share metrics: a process has one set of files."""
    return _of_this_process() if shared_by_workers() else Instruments()


def shared_by_workers() -> bool:
    """Return whether metrics are kept in files: PROMETHEUS_MULTIPROC_DIR named a directory at the first import.

    If the variable was set but empty, switch prometheus-client back to metrics in memory: it would write its files into
    the working directory, and a parent application may have imported it before us.
    """
    if values.ValueClass._multiprocess and named_directory() is None:
        values.ValueClass = values.MutexValue
    return bool(values.ValueClass._multiprocess)


def metrics_table() -> str:
    """Return the table of `docs/metrics.md`."""
    lines = ["| Metric | Type | Labels | Meaning |", "|---|---|---|---|"]
    for metric in Instruments().declared:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |")
    return "\n".join(lines)


@functools.cache
def _of_this_process() -> Instruments:
    return Instruments()


def _is_exported(sample: Sample) -> bool:
    """Return false for a gauge that is `GONE`, and for a series' creation time, which workers' files do not have."""
    return not (math.isnan(sample.value) or sample.name.endswith("_created"))


def _forget_ended_workers(directory: Path) -> None:
    """Delete the gauges of processes that have ended; their counters stay.

    The reader does this, so that the server that replaces workers needs no hook.
    """
    if os.name != "posix":  # elsewhere signal 0 is not a mere test
        return
    for pid in {int(file.stem.rpartition("_")[2]) for file in directory.glob("gauge_live*_*.db")}:
        if not _is_running(pid):
            with suppress(FileNotFoundError):  # another reader was first
                mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
