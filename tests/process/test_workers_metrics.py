"""Metrics of several workers: each worker reports the totals of all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
from helpers.figures import Figures, figures
from helpers.ports import free_port
from helpers.waiting import wait_until

from process.running import COMMAND, alive, started

REQUESTS = 40
WORKERS = 2
STREAMS = 64
"""The default limit of open streams per worker."""

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
BUCKET = "cassandra_statement_seconds_bucket"


def test_each_worker_reports_the_metrics_of_all(tmp_path: Path, settings: Mapping[str, str]) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    with (
        started([COMMAND, "serve", "--port", str(port), "--workers", str(WORKERS)], tmp_path, settings) as program,
        # Every request is a connection of its own, so that both workers get some.
        httpx.Client(base_url=url, limits=httpx.Limits(max_keepalive_connections=0), timeout=10) as client,
    ):
        program.answers(f"{url}/readyz")
        wait_until(
            "the metrics include every worker", lambda: scraped(client).of("open_streams_limit") == WORKERS * STREAMS
        )
        directory = Path(program.family()[1].environ()[DIRECTORY])
        assert [client.get("/livez").status_code for _ in range(REQUESTS)] == [200] * REQUESTS
        assert len(list(directory.glob("counter_*.db"))) == WORKERS
        assert_every_scrape_has(client, REQUESTS)

        killed = min(workers(directory))
        psutil.Process(killed).kill()
        wait_until(
            "the gauges of its successor have replaced its own",
            lambda: (
                scraped(client).of("open_streams_limit") == WORKERS * STREAMS
                and killed not in workers(directory)
                and len(workers(directory)) == WORKERS
            ),
        )
        assert_every_scrape_has(client, REQUESTS)  # its counters stay

        family = program.family()
        assert program.end() == 0
        wait_until("every process has ended", lambda: not alive(family))
        assert not directory.exists()
        assert "Traceback" not in program.errors


def scraped(client: httpx.Client) -> Figures:
    """Return the metrics that one worker reports to a scraper."""
    return figures(client.get("/metrics", headers={"Accept": "text/plain"}).text)


def text_and_json(client: httpx.Client, requests: int) -> tuple[Figures, dict[str, Any]] | None:
    """Return the metrics as text and as JSON, or None while a request that was answered is not counted yet.

    A worker counts a request after its answer is sent, so another worker can be scraped in between.
    """
    text, json = scraped(client), client.get("/metrics").json()
    in_total = text.of("http_requests_total", route="/livez", method="GET", status="200")
    in_histogram = text.of("http_request_seconds_count", route="/livez", method="GET")
    both_agree = json["requests"] == text.sum("http_requests_total") + 1  # the scrape of the text
    return (text, json) if in_total == in_histogram == requests and both_agree else None


def assert_every_scrape_has(client: httpx.Client, requests: int) -> None:
    for _ in range(10):
        text, json = wait_until("every request is counted", lambda: text_and_json(client, requests))
        assert json["total_queries"] == text.of("cassandra_statement_seconds_count")
        assert json["active_connections"] == text.sum("cassandra_node_connections") == WORKERS
        assert json["total_requests"] == json["requests"]
        assert json["cassandra_connections"] == {"active": 0, "idle": WORKERS, "total": WORKERS}
        assert_quantiles_match(text, json["query_performance"])


def assert_quantiles_match(text: Figures, reported: Mapping[str, float]) -> None:
    """Check that each quantile lies in the bucket of the text that holds it."""
    buckets = {dict(labels)["le"]: count for (name, labels), count in text.items() if name == BUCKET}
    bounds = sorted(buckets, key=float)
    for part, name in ((0.95, "p95_response_time_ms"), (0.99, "p99_response_time_ms")):
        rank = part * buckets["+Inf"]
        holding = next(index for index, bound in enumerate(bounds) if buckets[bound] >= rank)
        below = float(bounds[holding - 1]) if holding else 0.0
        assert 1000 * below < reported[name] <= 1000 * float(bounds[holding])


def workers(directory: Path) -> set[int]:
    """Return the processes whose gauges are reported."""
    return {int(file.stem.rpartition("_")[2]) for file in directory.glob("gauge_livesum_*.db")}
