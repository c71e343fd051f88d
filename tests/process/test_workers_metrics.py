"""Several workers tell one set of figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx
import psutil
from helpers.figures import Figures, figures
from helpers.ports import free_port
from helpers.waiting import wait_until

from process.running import COMMAND, alive, started

REQUESTS = 40
WORKERS = 2
STREAMS = 64
"""How many a worker may have open, by default."""

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
BUCKET = "cassandra_statement_seconds_bucket"


def test_whichever_worker_answers_tells_the_figures_of_all(tmp_path: Path, settings: Mapping[str, str]) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    with (
        started([COMMAND, "serve", "--port", str(port), "--workers", str(WORKERS)], tmp_path, settings) as program,
        # Every request is a connection of its own, so that both workers get some.
        httpx.Client(base_url=url, limits=httpx.Limits(max_keepalive_connections=0), timeout=10) as client,
    ):
        program.answers(f"{url}/readyz")
        wait_until("every worker is told", lambda: told(client).of("open_streams_limit") == WORKERS * STREAMS)
        directory = Path(program.family()[1].environ()[DIRECTORY])
        assert [client.get("/livez").status_code for _ in range(REQUESTS)] == [200] * REQUESTS
        assert len(list(directory.glob("counter_*.db"))) == WORKERS
        assert_every_answer_tells(client, REQUESTS)

        killed = min(workers(directory))
        psutil.Process(killed).kill()
        wait_until(
            "its gauges are gone and its successor's there",
            lambda: (
                told(client).of("open_streams_limit") == WORKERS * STREAMS
                and killed not in workers(directory)
                and len(workers(directory)) == WORKERS
            ),
        )
        assert_every_answer_tells(client, REQUESTS)  # what it counted stays

        family = program.family()
        assert program.end() == 0
        wait_until("every process has ended", lambda: not alive(family))
        assert not directory.exists()
        assert "Traceback" not in program.errors


def told(client: httpx.Client) -> Figures:
    """One worker's answer to a scraper."""
    return figures(client.get("/metrics", headers={"Accept": "text/plain"}).text)


def assert_every_answer_tells(client: httpx.Client, requests: int) -> None:
    for _ in range(10):
        text = told(client)
        assert text.of("http_requests_total", route="/livez", method="GET", status="200") == requests
        assert text.of("http_request_seconds_count", route="/livez", method="GET") == requests
        json = client.get("/metrics").json()
        assert json["requests"] == text.sum("http_requests_total") + 1  # the scrape of the text
        assert json["total_queries"] == text.of("cassandra_statement_seconds_count")
        assert json["active_connections"] == text.sum("cassandra_node_connections") == WORKERS
        assert json["total_requests"] == json["requests"]
        assert json["cassandra_connections"] == {"active": 0, "idle": WORKERS, "total": WORKERS}
        assert_quantiles_are_of(text, json["query_performance"])


def assert_quantiles_are_of(text: Figures, told: Mapping[str, float]) -> None:
    """Check that each quantile lies in the bucket of the text that holds it."""
    buckets = {dict(labels)["le"]: count for (name, labels), count in text.items() if name == BUCKET}
    bounds = sorted(buckets, key=float)
    for part, name in ((0.95, "p95_response_time_ms"), (0.99, "p99_response_time_ms")):
        rank = part * buckets["+Inf"]
        holding = next(index for index, bound in enumerate(bounds) if buckets[bound] >= rank)
        below = float(bounds[holding - 1]) if holding else 0.0
        assert 1000 * below < told[name] <= 1000 * float(bounds[holding])


def workers(directory: Path) -> set[int]:
    """The processes whose gauges are told."""
    return {int(file.stem.rpartition("_")[2]) for file in directory.glob("gauge_livesum_*.db")}
