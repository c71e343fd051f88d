"""The metrics: the event loop's lag, nodes that come and go, and the quantiles of the JSON summary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from helpers.figures import Figures, figures
from helpers.waiting import eventually

from asgi_app.telemetry.metrics import Metrics, NodeState, Snapshot, sample_periodically

BLOCKED = 0.6
"""Seconds for which a test blocks the event loop."""


def exported(metrics: Metrics) -> Figures:
    return figures(metrics.text().decode())


def snapshot(nodes: dict[str, NodeState]) -> Snapshot:
    return Snapshot(0, 1, 0, 1, 0, 1, 0, nodes)


@pytest.mark.anyio
async def test_a_blocked_event_loop_shows_as_lag() -> None:
    metrics = Metrics()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sample_periodically, metrics, lambda: None)
        await eventually(lambda: exported(metrics).of("event_loop_lag_seconds_count") >= 1)
        measured = exported(metrics).of("event_loop_lag_seconds_count")
        time.sleep(BLOCKED)  # noqa: ASYNC251 - what a handler must not do
        await eventually(lambda: exported(metrics).of("event_loop_lag_seconds_count") > measured)
        tasks.cancel_scope.cancel()
    late = exported(metrics)
    # A measurement was due 0.25 s into the block at the latest.
    assert late.of("event_loop_lag_seconds_count") - late.of("event_loop_lag_seconds_bucket", le="0.25") >= 1
    assert late.of("event_loop_lag_seconds_sum") >= BLOCKED - 0.25


def test_a_node_that_left_is_not_exported() -> None:
    metrics = Metrics()
    stays, leaves, unknown = "192.0.2.1:9042", "192.0.2.2:9042", "192.0.2.3:9042"
    metrics.publish(snapshot({stays: NodeState(True, 2), leaves: NodeState(False, 0), unknown: NodeState(None, 0)}))
    both = exported(metrics)
    assert both.of("cassandra_node_up", node=leaves) == 0
    assert both.values_of("cassandra_node_up", "node") == {stays, leaves}
    assert both.values_of("cassandra_node_connections", "node") == {stays, leaves, unknown}
    assert (metrics.summary()["nodes_up"], metrics.summary()["nodes_down"]) == (1, 1)
    metrics.publish(snapshot({stays: NodeState(True, 2, version="5.0.9", data_center="dc1")}))
    assert exported(metrics).values_of("cassandra_node_info", "node") == {stays}
    assert exported(metrics).values_of("cassandra_node_info", "version") == {"5.0.9"}
    assert exported(metrics).values_of("cassandra_node_up", "node") == {stays}
    assert exported(metrics).values_of("cassandra_node_connections", "node") == {stays}
    metrics.publish(snapshot({leaves: NodeState(True, 1)}))
    assert exported(metrics).of("cassandra_node_up", node=leaves) == 1


SHARED = """
import json, os
from asgi_app.telemetry.metrics import Metrics, NodeState, Snapshot

def publish(metrics, nodes):
    metrics.publish(Snapshot(0, 1, 0, 1, 0, 1, 0, nodes))

known = {"192.0.2.1:9042": NodeState(True, 2, 1, "5.0.9", "dc1"), "192.0.2.2:9042": NodeState(False, 1)}
(ready, is_ready), (end, ends) = os.pipe(), os.pipe()
worker = os.fork()
metrics = Metrics()
publish(metrics, known)
if worker == 0:
    os.close(ends)
    os.write(is_ready, b".")
    os.read(end, 1)
    os._exit(0)
publish(metrics, {"192.0.2.1:9042": NodeState(None, 1)})
os.read(ready, 1)
print(json.dumps([metrics.text().decode(), metrics.summary()]))
os.close(ends)
os.waitpid(worker, 0)
"""
"""Two workers that knew of two nodes, one of which has since lost sight of both."""


def test_a_worker_that_lost_sight_of_a_node_does_not_hide_it(tmp_path: Path) -> None:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", SHARED], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    text, summary = json.loads(done.stdout)
    found, up, down = figures(text), "192.0.2.1:9042", "192.0.2.2:9042"
    assert (found.of("cassandra_node_up", node=up), found.of("cassandra_node_up", node=down)) == (1, 0)
    assert found.of("cassandra_node_connections", node=up) == 3
    assert found.of("cassandra_node_connections", node=down) == 1
    assert found.values_of("cassandra_node_info", "version") == {"5.0.9", ""}
    assert (summary["nodes_up"], summary["nodes_down"], summary["active_connections"]) == (1, 1, 4)


def performance_of(*times: float) -> dict[str, float]:
    """Return the summary's `query_performance` after statements that took `times` seconds."""
    metrics = Metrics()
    for seconds in times:
        metrics.statement_ended(seconds, 0.0, seconds, None)
    metrics.publish(snapshot({}))
    performance: dict[str, float] = metrics.summary()["query_performance"]
    return performance


@pytest.mark.parametrize(
    ("times", "p95", "p99"),
    [
        ([], 0.0, 0.0),
        ([0.0004], 0.95, 0.99),  # in the first bucket, which begins at 0
        ([0.02] * 100, 24.25, 24.85),  # from 10 to 25 ms
        ([0.02] * 95 + [0.2] * 5, 25.0, 220.0),  # exactly on a bound, and four fifths into 100 to 250 ms
        ([0.001] * 90 + [0.4] * 10, 375.0, 475.0),
        ([60.0] * 3, 30000.0, 30000.0),  # beyond the last bound
    ],
)
def test_quantiles_are_those_of_prometheus(times: list[float], p95: float, p99: float) -> None:
    performance = performance_of(*times)
    assert performance["p95_response_time_ms"] == pytest.approx(p95, abs=0.001)
    assert performance["p99_response_time_ms"] == pytest.approx(p99, abs=0.001)


def test_the_mean_query_time() -> None:
    assert performance_of(0.01, 0.03)["avg_response_time_ms"] == pytest.approx(20.0)


def test_connections_are_summed_over_the_nodes() -> None:
    metrics = Metrics()
    nodes = {"192.0.2.1:9042": NodeState(True, 2, 1), "192.0.2.2:9042": NodeState(True, 3, 0)}
    metrics.publish(snapshot(nodes))
    assert metrics.summary()["cassandra_connections"] == {"active": 1, "idle": 4, "total": 5}
    metrics.publish(snapshot({}))
    assert metrics.summary()["cassandra_connections"] == {"active": 0, "idle": 0, "total": 0}
