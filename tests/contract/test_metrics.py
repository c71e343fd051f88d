"""The metrics of `/metrics`: they change by exactly what was done, and their labels are bounded."""

from __future__ import annotations

import uuid
from typing import Any

import anyio
import httpx
import pytest
from helpers.calls import call
from helpers.exchange import Exchange
from helpers.figures import scrape
from helpers.problems import problem
from helpers.service import client_of, serving
from helpers.waiting import eventually
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_app.app import create_app
from asgi_app.runtime.deadline import Deadline
from asgi_app.settings import Settings
from contract.samples import ADA, every_loop

pytestmark = pytest.mark.anyio

USER = "/users/{user_id}"


@every_loop
async def test_metrics_change_by_exactly_what_was_done(settings: Settings) -> None:
    async with serving(settings) as (_, client):
        before = await scrape(client)
        written = await client.post("/users", json=ADA)
        for _ in range(3):
            assert (await client.get(written.headers["location"])).status_code == 200
        assert (await client.get(f"/users/{uuid.uuid4()}")).status_code == 404
        assert (await client.get("/users/none")).status_code == 422
        stream = await client.get("/users/stream?limit=1")
        after = await scrape(client)

        def moved(name: str, **labels: str) -> float:
            return after.of(name, **labels) - before.of(name, **labels)

        assert moved("http_requests_total", route="/users", method="POST", status="201") == 1
        by_status = [
            moved("http_requests_total", route=USER, method="GET", status=status) for status in ("200", "404", "422")
        ]
        assert by_status == [3, 1, 1]
        assert moved("http_requests_total", route="/metrics", method="GET", status="200") == 1
        assert moved("http_request_seconds_count", route=USER, method="GET") == 5
        assert moved("http_request_seconds_bucket", route=USER, method="GET", le="+Inf") == 5
        assert 0 < moved("http_request_seconds_sum", route=USER, method="GET") < 60
        statements = 1 + 3 + 1 + 1
        for name in ("cassandra_statement_seconds", "cassandra_queue_wait_seconds", "cassandra_driver_seconds"):
            assert moved(f"{name}_count") == statements, name
        parts = moved("cassandra_queue_wait_seconds_sum") + moved("cassandra_driver_seconds_sum")
        assert 0 < parts <= moved("cassandra_statement_seconds_sum")
        assert after.sum("cassandra_statement_errors_total") == before.sum("cassandra_statement_errors_total")
        assert moved("streamed_rows_total") == len(stream.json()) == 1
        assert moved("streamed_bytes_total") == len(stream.content)
        assert moved("cassandra_prepared_statements") == 3
        assert after.of("http_requests_in_flight") == 1  # the scrape
        for name in ("cassandra_calls_in_flight", "cassandra_calls_waiting", "open_streams"):
            assert after.of(name) == 0


async def test_text_has_nodes_limits_and_process(settings: Settings) -> None:
    async with serving(settings) as (_, client):
        await client.get("/readyz")
        found = await scrape(client)
        point = settings.cassandra_hosts[0]
        node = f"{point.host}:{point.port}"
        assert found.values_of("cassandra_node_up", "node") == {node}
        assert found.of("cassandra_node_up", node=node) == 1
        assert found.of("cassandra_node_connections", node=node) >= 1
        assert found.values_of("cassandra_node_info", "node") == {node}
        assert all(found.values_of("cassandra_node_info", "version"))
        assert found.of("cassandra_calls_in_flight_limit") == settings.max_in_flight
        assert found.of("cassandra_calls_waiting_limit") == settings.max_waiting
        assert found.of("open_streams_limit") == settings.max_streams
        assert found.of("process_resident_memory_bytes") > 1e6
        assert found.of("process_cpu_seconds_total") > 0
        assert 0 < found.of("process_open_fds") < found.of("process_max_fds")


async def test_json_has_the_same_metrics_and_no_host(settings: Settings) -> None:
    async with serving(settings) as (_, client):
        for _ in range(4):
            await client.get(f"/users/{uuid.uuid4()}")
        text = await scrape(client)
        response = await client.get("/metrics", headers={"Accept": "application/json"})
        shown = response.json()
        assert shown["total_queries"] == text.of("cassandra_statement_seconds_count") == 4
        assert shown["requests"] == text.sum("http_requests_total") + 1 == 5  # one more: the scrape of the text
        mean = text.of("cassandra_statement_seconds_sum") / 4
        assert shown["average_query_time_ms"] == pytest.approx(1000 * mean, abs=0.001)
        assert shown["active_connections"] == text.sum("cassandra_node_connections")
        assert shown["total_requests"] == shown["requests"]
        assert shown["query_performance"]["avg_response_time_ms"] == shown["average_query_time_ms"]
        assert shown["cassandra_connections"] == {"active": 0, "idle": 1, "total": 1}
        assert (shown["nodes_up"], shown["nodes_down"]) == (1, 0)
        assert shown["errors_count"] == shown["timeouts"] == shown["shed"] == shown["retries"] == 0
        assert shown["queries_per_second"] > 0
        assert shown["uptime_seconds"] > 0
        assert settings.cassandra_hosts[0].host not in response.text


async def test_a_connection_with_a_request_in_flight_is_in_use(settings: Settings) -> None:
    async with serving(settings) as (app, client):
        (pool,) = app.state.database.session.get_pools()
        connection, _ = pool.borrow_connection(timeout=1)  # as a statement in flight does
        busy = (await client.get("/metrics")).json()["cassandra_connections"]
        in_text = (await scrape(client)).sum("cassandra_node_connections_in_use")
        pool.return_connection(connection)
        assert busy == {"active": 1, "idle": 0, "total": 1}
        assert in_text == 1
        assert (await client.get("/metrics")).json()["cassandra_connections"]["active"] == 0


async def test_two_applications_have_separate_metrics(settings: Settings) -> None:
    async with serving(settings) as (_, one), serving(settings) as (_, other):
        for _ in range(3):
            await one.get(f"/users/{uuid.uuid4()}")
        mine, its = await scrape(one), await scrape(other)
        assert mine.of("http_requests_total", route=USER, method="GET", status="404") == 3
        assert its.of("http_requests_total", route=USER, method="GET", status="404") == 0
        assert its.of("cassandra_statement_seconds_count") == 0


async def test_clients_cannot_add_labels(settings: Settings) -> None:
    async with serving(settings) as (_, client):
        for number in range(50):
            await client.request(f"M{number}", f"/users/{uuid.uuid4()}")
            await client.request(f"M{number}", f"/no/such/{number}")
            await client.get(f"/users/{number}/{number}")
            await client.get("/users", headers={"X-Request-Timeout": f"-{number}"})
        found = await scrape(client)
        assert found.values_of("http_requests_total", "method") == {"GET", "OTHER"}
        # A request with invalid headers is answered before routing.
        assert found.values_of("http_requests_total", "route") == {USER, "unmatched"}
        assert found.of("http_requests_total", route=USER, method="OTHER", status="405") == 50
        assert found.of("http_requests_total", route="unmatched", method="OTHER", status="404") == 50
        assert found.of("http_requests_total", route="unmatched", method="GET", status="404") == 50
        assert found.of("http_requests_total", route="unmatched", method="GET", status="400") == 50


async def test_a_mounted_application_counts_by_its_own_routes(settings: Settings) -> None:
    app = create_app(settings)
    parent = Starlette(routes=[Mount("/api", app)])
    async with app.router.lifespan_context(app), client_of(parent) as client:
        await client.get(f"/api/users/{uuid.uuid4()}")
        await client.get("/api/nowhere")
        response = await client.get("/api/metrics")
        assert response.json()["requests"] == 2
        text = (await client.get("/api/metrics", headers={"Accept": "text/plain"})).text
        assert 'route="unmatched"' in text
        assert 'route="/api"' not in text


async def test_refused_requests_are_counted_by_reason(settings: Settings) -> None:
    narrow = Settings(**{**_values(settings), "max_in_flight": 1, "max_waiting": 1, "max_wait": 30.0})
    async with serving(narrow) as (app, client):
        user = f"/users/{uuid.uuid4()}"
        assert (await client.get(user)).status_code == 404  # prepares its statement
        dispatcher = app.state.database.dispatcher
        holding: list[Any] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, dispatcher, lambda _, done: holding.append(done), Deadline.after(30))
            await eventually(lambda: bool(holding))
            tasks.start_soon(client.get, user)
            await eventually(lambda: dispatcher.slots.waiting == 1)
            problem(await client.get(user), 503, "queue_full")
            crowded = await scrape(client)
            holding[0](None, None)
        assert crowded.of("shed_requests_total", reason="queue_full") == 1
        assert (crowded.of("cassandra_calls_in_flight"), crowded.of("cassandra_calls_waiting")) == (1, 1)
        calm = await scrape(client)
        assert (calm.of("cassandra_calls_in_flight"), calm.of("cassandra_calls_waiting")) == (0, 0)
        assert calm.sum("shed_requests_total") == 1
        # One was refused at once, two reached the driver.
        assert calm.of("cassandra_queue_wait_seconds_count") == calm.of("cassandra_driver_seconds_count") == 2


async def test_a_stream_too_many_is_a_refused_request(settings: Settings) -> None:
    async with serving(Settings(**{**_values(settings), "max_streams": 1})) as (app, client):
        gate = anyio.Event()

        async def stall(_: Exchange) -> None:
            await gate.wait()

        first = Exchange("GET", "/users/stream", on_chunk=stall)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.run, app)
            await eventually(lambda: first.status == 200)
            problem(await client.get("/users/stream"), 503, "too_many_streams")
            found = await scrape(client)
            gate.set()
        assert found.of("shed_requests_total", reason="too_many_streams") == 1
        assert (found.of("open_streams"), found.of("http_requests_in_flight")) == (1, 2)
        assert (await scrape(client)).of("open_streams") == 0


async def test_a_waiting_request_gets_shutting_down_at_the_end(settings: Settings) -> None:
    narrow = Settings(**{**_values(settings), "max_in_flight": 1, "max_wait": 30.0, "shutdown_grace": 0.1})
    app = create_app(narrow)
    holding: list[Any] = []
    answers: list[httpx.Response] = []

    async def ask(client: httpx.AsyncClient) -> None:
        answers.append(await client.get(f"/users/{uuid.uuid4()}"))

    async with anyio.create_task_group() as tasks, client_of(app) as client:
        async with app.router.lifespan_context(app):
            dispatcher = app.state.database.dispatcher
            assert (await client.get(f"/users/{uuid.uuid4()}")).status_code == 404
            tasks.start_soon(call, dispatcher, lambda _, done: holding.append(done), Deadline.after(30))
            await eventually(lambda: bool(holding))
            tasks.start_soon(ask, client)
            await eventually(lambda: dispatcher.slots.waiting == 1)
        holding[0](None, None)
        await eventually(lambda: bool(answers))
    problem(answers[0], 503, "shutting_down")


async def test_a_passed_deadline_is_counted_as_a_timeout(settings: Settings) -> None:
    async with serving(settings) as (_, client):
        problem(await client.get("/users", headers={"X-Request-Timeout": "0.000001"}), 504, "deadline_exceeded")
        found = await scrape(client)
        assert found.of("cassandra_statement_errors_total", code="deadline_exceeded") == 1
        assert found.of("http_requests_total", route="/users", method="GET", status="504") == 1
        assert (await client.get("/metrics")).json()["timeouts"] == 1


async def test_rates_begin_at_zero(settings: Settings) -> None:
    async with serving(settings) as (_, client):
        found = await scrape(client)
        assert found.values_of("shed_requests_total", "reason") >= {"queue_full", "queue_timeout", "too_many_streams"}
        assert found.values_of("cassandra_statement_errors_total", "code") >= {"read_timeout", "deadline_exceeded"}
        assert found.values_of("cassandra_retries_total", "reason") >= {"read_timeout", "request_error"}
        assert found.values_of("broken_streams_total", "code") >= {"client_too_slow", "deadline_exceeded"}
        for name in ("shed_requests_total", "cassandra_statement_errors_total", "cassandra_retries_total"):
            assert found.sum(name) == 0, name


def _values(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in ("cassandra_hosts", "cassandra_keyspace")}
