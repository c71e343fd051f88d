"""The background look at the event loop, and the gauges' nodes that come and go."""

from __future__ import annotations

import time

import anyio
import pytest
from helpers.figures import Figures, figures
from helpers.waiting import eventually

from asgi_app.telemetry.metrics import Metrics, NodeState, Snapshot
from asgi_app.telemetry.sampling import sample

BLOCKED = 0.6


def told(metrics: Metrics) -> Figures:
    return figures(metrics.text().decode())


@pytest.mark.anyio
async def test_a_blocked_event_loop_shows() -> None:
    metrics = Metrics()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sample, metrics, lambda: None)
        await eventually(lambda: told(metrics).of("event_loop_lag_seconds_count") >= 1)
        looks = told(metrics).of("event_loop_lag_seconds_count")
        time.sleep(BLOCKED)  # noqa: ASYNC251 - what a handler must not do
        await eventually(lambda: told(metrics).of("event_loop_lag_seconds_count") > looks)
        tasks.cancel_scope.cancel()
    late = told(metrics)
    # A look was due 0.25 s into the block at the latest.
    assert late.of("event_loop_lag_seconds_count") - late.of("event_loop_lag_seconds_bucket", le="0.25") >= 1
    assert late.of("event_loop_lag_seconds_sum") >= BLOCKED - 0.25


def test_a_node_that_left_is_told_no_more() -> None:
    metrics = Metrics()
    stays, leaves, unknown = "192.0.2.1:9042", "192.0.2.2:9042", "192.0.2.3:9042"
    metrics.publish(_state({stays: NodeState(True, 2), leaves: NodeState(False, 0), unknown: NodeState(None, 0)}))
    both = told(metrics)
    assert both.of("cassandra_node_up", node=leaves) == 0
    assert both.values_of("cassandra_node_up", "node") == {stays, leaves}
    assert both.values_of("cassandra_node_connections", "node") == {stays, leaves, unknown}
    assert (metrics.summary()["nodes_up"], metrics.summary()["nodes_down"]) == (1, 1)
    metrics.publish(_state({stays: NodeState(True, 2)}))
    assert told(metrics).values_of("cassandra_node_up", "node") == {stays}
    assert told(metrics).values_of("cassandra_node_connections", "node") == {stays}
    metrics.publish(_state({leaves: NodeState(True, 1)}))
    assert told(metrics).of("cassandra_node_up", node=leaves) == 1


def _state(nodes: dict[str, NodeState]) -> Snapshot:
    return Snapshot(0, 1, 0, 1, 0, 1, 0, nodes)
