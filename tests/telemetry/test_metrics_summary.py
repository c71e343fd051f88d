"""The quantiles of the JSON form: what `histogram_quantile` of Prometheus gives for the same buckets."""

from __future__ import annotations

import pytest

from asgi_app.telemetry.metrics import Metrics, NodeState, Snapshot


def performance_of(*times: float) -> dict[str, float]:
    metrics = Metrics()
    for seconds in times:
        metrics.statement_ended(seconds, 0.0, seconds, None)
    metrics.publish(Snapshot(0, 1, 0, 1, 0, 1, 0, {}))
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
def test_quantiles_are_interpolated_within_their_bucket(times: list[float], p95: float, p99: float) -> None:
    performance = performance_of(*times)
    assert performance["p95_response_time_ms"] == pytest.approx(p95, abs=0.001)
    assert performance["p99_response_time_ms"] == pytest.approx(p99, abs=0.001)


def test_the_mean_is_that_of_the_statements() -> None:
    assert performance_of(0.01, 0.03)["avg_response_time_ms"] == pytest.approx(20.0)


def test_connections_are_summed_over_the_nodes() -> None:
    metrics = Metrics()
    nodes = {"192.0.2.1:9042": NodeState(True, 2, 1), "192.0.2.2:9042": NodeState(True, 3, 0)}
    metrics.publish(Snapshot(0, 1, 0, 1, 0, 1, 0, nodes))
    assert metrics.summary()["cassandra_connections"] == {"active": 1, "idle": 4, "total": 5}
    metrics.publish(Snapshot(0, 1, 0, 1, 0, 1, 0, {}))
    assert metrics.summary()["cassandra_connections"] == {"active": 0, "idle": 0, "total": 0}
