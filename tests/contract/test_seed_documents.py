"""Every command line of the two documents that specify this service, with the answer that a reader would expect.

The first document has no command lines (it links to the sample's page), so its endpoints are tested as it describes
them. The second has many; each is here as printed there, in the same order. Ids that the document makes up are replaced
by the id of a user that the test created.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import anyio
import httpx
import pytest
from cassandra.cluster import Session
from helpers.curl import curl
from helpers.exchange import Exchange
from helpers.problems import problem
from helpers.service import serving, settings_for
from starlette.applications import Starlette

from asgi_app.db import PING
from asgi_app.resources import diagnostics
from asgi_app.settings import Settings
from asgi_app.tables.cql import Statement
from contract.samples import MOMENT, insert_users

pytestmark = pytest.mark.anyio

ABSENT = "550e8400-e29b-41d4-a716-446655440000"
JOHN = {"name": "John Doe", "email": "john@example.com", "age": 30}
ADMIN_TOKEN = "an-admin-token-of-the-tests"


@pytest.fixture(scope="module")
def settings(node_address: tuple[str, int], keyspace: str) -> Settings:
    """Settings with the diagnostics on."""
    return settings_for(node_address, keyspace, diagnostics=True)


@pytest.fixture
async def john(client: httpx.AsyncClient, anyio_backend: Any) -> Any:
    """The first user that the document creates."""
    return (await client.post("/users", json=JOHN)).json()


# --- the first document: animals and plants, the large one streamed


async def test_written_animal_is_read_again(client: httpx.AsyncClient) -> None:
    written = await curl(
        client,
        """-X POST http://localhost:8000/animal -H "Content-Type: application/json" -d '{"genus": "Philaeus",
        "species": "chrysops", "image_url": "https://example.com/c.jpg", "size_cm": 1.2, "sightings": 5,
        "taxonomy": ["Arthropoda", "Arachnida", "Aranea", "Salticidae"]}'""",
    )
    assert (written.status_code, written.json()) == (201, {"inserted": True})
    animal = {
        "genus": "Philaeus",
        "species": "chrysops",
        "image_url": "https://example.com/c.jpg",
        "size_cm": 1.2,
        "sightings": 5,
        "taxonomy": ["Arthropoda", "Arachnida", "Aranea", "Salticidae"],
    }
    one = await curl(client, "http://localhost:8000/animal/Philaeus/chrysops")
    assert (one.status_code, one.json()) == (200, animal)
    several = await curl(client, "http://localhost:8000/animal/Philaeus")
    assert (several.status_code, several.json()) == (200, [animal])


async def test_missing_animal_is_404(client: httpx.AsyncClient) -> None:
    absent = await curl(client, "http://localhost:8000/animal/Philaeus/nobody")
    assert problem(absent, 404, "not_found")["detail"] == "Animal not found"


async def test_plants_are_streamed_as_valid_json(
    app: Starlette, client: httpx.AsyncClient, cql: Session, keyspace: str
) -> None:
    for number in range(88):
        cql.execute(
            f"INSERT INTO {keyspace}.plants (genus, species, sightings) VALUES ('Plantago', %s, %s)",
            (f"s{number:02d}", number),
        )
    response = await curl(client, "http://localhost:8000/plant/Plantago")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert "content-length" not in response.headers  # so that a server sends it in chunks
    assert [plant["sightings"] for plant in response.json()] == list(range(88))


# --- the second document: "Check if API is running"


async def test_api_is_running(client: httpx.AsyncClient) -> None:
    response = await curl(client, "http://localhost:8000/")
    assert response.status_code == 200
    assert isinstance(response.json()["message"], str)


async def test_health_is_healthy(client: httpx.AsyncClient, keyspace: str) -> None:
    response = await curl(client, "http://localhost:8000/health")
    assert response.status_code == 200
    assert response.json().items() >= {"status": "healthy", "cassandra": "connected", "keyspace": keyspace}.items()


# --- users


async def test_create_a_user(client: httpx.AsyncClient) -> None:
    response = await curl(
        client,
        r"""-X POST http://localhost:8000/users \
-H "Content-Type: application/json" \
-d '{"name": "John Doe", "email": "john@example.com", "age": 30}'""",
    )
    assert response.status_code == 201
    user = response.json()
    assert list(user) == ["id", "name", "email", "age", "created_at", "updated_at"]
    assert user.items() >= JOHN.items()
    assert str(uuid.UUID(user["id"])) == user["id"]
    assert MOMENT.fullmatch(user["created_at"])
    assert user["created_at"] == user["updated_at"]


async def test_get_a_user(client: httpx.AsyncClient, john: Any) -> None:
    found = await curl(client, f"http://localhost:8000/users/{john['id']}")
    assert (found.status_code, found.json()) == (200, john)


async def test_get_of_a_missing_user_is_404_with_a_message(client: httpx.AsyncClient) -> None:
    absent = await curl(client, f"http://localhost:8000/users/{ABSENT}")
    assert problem(absent, 404, "not_found")["detail"] == "User not found"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_change_of_a_missing_user_is_404_with_a_message(client: httpx.AsyncClient, method: str) -> None:
    absent = await client.request(method, f"/users/{ABSENT}", json=JOHN)
    assert problem(absent, 404, "not_found")["detail"] == "User not found"


@pytest.mark.parametrize(
    ("method", "path", "body", "fields", "detail"),
    [
        ("POST", "/users", {"name": "A", "age": 1}, ["/email"], "email is required"),
        ("POST", "/users", {"name": "A"}, ["/email", "/age"], "email is required, and 1 more"),
        ("POST", "/users/batch", [JOHN, {**JOHN, "age": -1}], ["/1/age"], "1/age must be an integer from 0 to 150"),
        ("PATCH", f"/users/{ABSENT}", {}, [""], "the body must have at least one of name, email, age"),
        ("GET", "/users?limit=0", None, ["query.limit"], "limit must be an integer from 1 to 100"),
        ("GET", "/users/none", None, ["path.user_id"], "user_id must be a UUID"),
    ],
)
async def test_detail_of_a_422_names_the_first_wrong_field(
    client: httpx.AsyncClient, method: str, path: str, body: Any, fields: list[str], detail: str
) -> None:
    response = await client.request(method, path, json=body)
    assert problem(response, 422, "invalid_input", *fields)["detail"] == detail


async def test_full_update(client: httpx.AsyncClient, john: Any) -> None:
    response = await curl(
        client,
        rf"""-X PUT http://localhost:8000/users/{john["id"]} \
-H "Content-Type: application/json" \
-d '{{"name": "Jane Doe", "email": "jane@example.com", "age": 31}}'""",
    )
    assert response.status_code == 200
    jane = response.json()
    assert jane == john | {"name": "Jane Doe", "email": "jane@example.com", "age": 31, "updated_at": jane["updated_at"]}


async def test_full_update_needs_all_fields(client: httpx.AsyncClient, john: Any) -> None:
    line = f"""-X PUT http://localhost:8000/users/{john["id"]} -H "Content-Type: application/json" -d '{{"age": 31}}'"""
    problem(await curl(client, line), 422, "invalid_input", "/name", "/email")


async def test_partial_update(client: httpx.AsyncClient, john: Any) -> None:
    response = await curl(
        client,
        rf"""-X PATCH http://localhost:8000/users/{john["id"]} \
-H "Content-Type: application/json" \
-d '{{"age": 32}}'""",
    )
    assert response.status_code == 200
    assert response.json() == john | {"age": 32, "updated_at": response.json()["updated_at"]}


async def test_delete_and_delete_again(client: httpx.AsyncClient, john: Any) -> None:
    for user_id in (john["id"], john["id"], ABSENT):
        response = await curl(client, f"-X DELETE http://localhost:8000/users/{user_id}")
        assert (response.status_code, response.content) == (204, b"")
    assert (await curl(client, f"http://localhost:8000/users/{john['id']}")).status_code == 404


@pytest.mark.usefixtures("no_users")
@pytest.mark.parametrize(
    "line",
    ['"http://localhost:8000/users?limit=10"', "http://localhost:8000/users?limit=10"],
    ids=["examples", "workflow"],
)
async def test_list_users_ten_at_a_time(client: httpx.AsyncClient, cql: Session, users: str, line: str) -> None:
    insert_users(cql, users, [30] * 11)
    response = await curl(client, line)
    assert response.status_code == 200
    assert len(response.json()) == 10
    assert len((await client.get(response.links["next"]["url"])).json()) == 1


@pytest.mark.usefixtures("no_users")
async def test_stream_users_of_at_least_25_in_pages_of_100(app: Starlette, cql: Session, users: str) -> None:
    insert_users(cql, users, [24, 25, 26] * 100)
    line = "http://localhost:8000/users/stream?age_filter=25&fetch_size=100&limit=10000"
    stream = Exchange("GET", "/users/stream", query=line.partition("?")[2].encode())
    await stream.run(app)
    assert stream.status == 200
    assert [chunk.count(b'"id"') for chunk in stream.chunks if b'"id"' in chunk] == [100, 100]


@pytest.mark.usefixtures("no_users")
async def test_stream_users_of_at_least_30_in_pages_of_2(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    insert_users(cql, users, [28, 35, 42, 28, 35])
    response = await curl(client, '"http://localhost:8000/users/stream?age_filter=30&fetch_size=2"')
    assert response.status_code == 200
    assert sorted(user["age"] for user in response.json()) == [35, 35, 42]


@pytest.mark.usefixtures("no_users")
async def test_pages_with_their_state(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    insert_users(cql, users, [24, 25] * 60)
    response = await curl(client, '"http://localhost:8000/users/stream/pages?age_filter=25&fetch_size=50"')
    assert response.status_code == 200
    page = response.json()
    assert list(page) == ["users", "has_more", "page_state"]
    assert (len(page["users"]), page["has_more"]) == (50, True)
    rest = await client.get("/users/stream/pages", params={"page_state": page["page_state"]})
    assert rest.json()["has_more"] is False
    ids = {user["id"] for user in page["users"] + rest.json()["users"]}
    assert len(ids) == 60


@pytest.mark.usefixtures("no_users")
async def test_create_users_in_a_batch(client: httpx.AsyncClient) -> None:
    response = await curl(
        client,
        r"""-X POST http://localhost:8000/users/batch \
-H "Content-Type: application/json" \
-d '[
{"name": "User 1", "email": "user1@example.com", "age": 25},
{"name": "User 2", "email": "user2@example.com", "age": 30},
{"name": "User 3", "email": "user3@example.com", "age": 35}
]'""",
    )
    assert response.status_code == 201
    assert response.json()["created"] == 3
    listed = (await curl(client, "http://localhost:8000/users?limit=10")).json()
    assert sorted(user["name"] for user in listed) == ["User 1", "User 2", "User 3"]


# --- performance


@pytest.mark.parametrize(
    ("line", "requests", "mode"),
    [
        ('"http://localhost:8000/performance/async?requests=500"', 500, "async"),
        ('"http://localhost:8000/performance/sync?requests=500"', 500, "sync"),
        ("http://localhost:8000/performance/async?requests=100", 100, "async"),
        ("http://localhost:8000/performance/async", 100, "async"),
        ("http://localhost:8000/performance/sync", 100, "sync"),
    ],
)
async def test_performance(client: httpx.AsyncClient, line: str, requests: int, mode: str) -> None:
    began = time.monotonic()
    response = await curl(client, line)
    took = time.monotonic() - began
    assert response.status_code == 200, response.text
    found = response.json()
    assert set(found) >= {
        "requests",
        "total_time",
        "requests_per_second",
        "avg_time_per_request",
        "successful_requests",
        "mode",
    }
    assert (found["requests"], found["successful_requests"]) == (requests, requests)
    assert mode in found["mode"]
    assert 0 < found["total_time"] <= took
    assert found["requests_per_second"] == pytest.approx(requests / found["total_time"], rel=0.05)


@pytest.mark.parametrize("mode", ["async", "sync"])
@pytest.mark.parametrize("requests", ["0", "1001", "-1", "x", "", "1.5"])
async def test_performance_is_bounded(client: httpx.AsyncClient, mode: str, requests: str) -> None:
    response = await client.get(f"/performance/{mode}", params={"requests": requests})
    problem(response, 422, "invalid_input", "query.requests")


async def test_a_thousand_concurrent_queries_are_not_refused(client: httpx.AsyncClient) -> None:
    found = (await curl(client, "http://localhost:8000/performance/async?requests=1000")).json()
    assert (found["requests"], found["successful_requests"]) == (1000, 1000)


# --- metrics


async def test_metrics_change_with_requests(client: httpx.AsyncClient, john: Any) -> None:
    before = await curl(client, "http://localhost:8000/metrics")
    assert before.status_code == 200
    assert before.headers["content-type"] == "application/json"
    assert "accept" in before.headers["vary"].lower()
    found = before.json()
    figures = ["total_queries", "active_connections", "queries_per_second", "average_query_time_ms", "errors_count"]
    assert set(found) >= set(figures)
    assert all(isinstance(found[name], int | float) and found[name] >= 0 for name in figures)
    assert found["active_connections"] >= 1
    for _ in range(5):
        await client.get(f"/users/{john['id']}")
    after = (await curl(client, "http://localhost:8000/metrics")).json()
    assert after["total_queries"] >= found["total_queries"] + 5
    assert after["average_query_time_ms"] > 0


@pytest.mark.parametrize(
    "accept", ["text/plain", "text/plain; version=0.0.4", "application/openmetrics-text, text/plain"]
)
async def test_metrics_as_prometheus_text(client: httpx.AsyncClient, accept: str) -> None:
    response = await curl(client, f'-H "Accept: {accept}" http://localhost:8000/metrics')
    assert response.status_code == 200
    assert "# TYPE " in response.text
    assert "accept" in response.headers["vary"].lower()


# --- timeouts


async def test_slow_query_with_a_short_timeout_is_504(client: httpx.AsyncClient) -> None:
    began = time.monotonic()
    response = await curl(client, '-H "X-Request-Timeout: 0.1" http://localhost:8000/slow_query')
    took = time.monotonic() - began
    problem(response, 504, "deadline_exceeded")
    assert 0.1 <= took < 2.5  # half of what the query takes


async def test_slow_queries_take_five_and_ten_seconds(client: httpx.AsyncClient) -> None:
    """Both run at the same time, and other requests are not slower."""
    took: dict[str, float] = {}
    answers: dict[str, httpx.Response] = {}
    others: list[float] = []

    async def ask(name: str, line: str) -> None:
        began = time.monotonic()
        answers[name] = await curl(client, line)
        took[name] = time.monotonic() - began

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, "slow", '-H "X-Request-Timeout: 10" http://localhost:8000/slow_query')
        tasks.start_soon(ask, "long", "http://localhost:8000/long_running_query")
        for _ in range(30):
            began = time.monotonic()
            assert (await client.get("/users?limit=1")).status_code == 200
            others.append(time.monotonic() - began)
    assert {name: answer.status_code for name, answer in answers.items()} == {"slow": 200, "long": 200}
    assert 5 <= took["slow"] < 7
    assert 10 <= took["long"] < 13
    assert sorted(others)[15] < 0.5


# --- context managers

SAFETY = ["query_error", "streaming_error", "concurrent_streams", "nested_contexts", "cancellation"]

REFERENCE_NAMES: dict[str, dict[str, Any]] = {
    "query_error": {
        "session_unchanged": True,
        "session_still_works": True,
        "error_caught": "statement_refused: SELECT key FROM system.non_existent_table_xyz",
    },
    "streaming_error": {
        "session_unchanged": True,
        "streaming_error_caught": True,
        "error_message": "statement_refused: SELECT key FROM system.non_existent_stream_table",
        "session_still_streams": True,
    },
    "concurrent_streams": {"streams_completed": 3, "all_streams_independent": True, "session_still_open": True},
    "nested_contexts": {
        "correct_order": True,
        "main_session_unaffected": True,
        "row_count": 5,
        "events": [
            "cluster_opened",
            "session_opened",
            "stream_opened",
            "stream_closed",
            "session_works_after_stream:5",
            "session_closed",
            "cluster_works_after_session:True",
            "cluster_closed",
        ],
    },
    "cancellation": {
        "was_cancelled": True,
        "rows_processed_before_cancel": 10,
        "session_still_works": True,
        "new_stream_worked": True,
    },
}
"""The members of a report that clients of the reference application read, by the name of the check."""


@pytest.mark.parametrize("name", SAFETY)
async def test_safety_check_passes_and_changes_nothing(
    client: httpx.AsyncClient, cql: Session, users: str, name: str
) -> None:
    insert_users(cql, users, [25, 35, 45])
    before = (await curl(client, "http://localhost:8000/context_manager_safety/status")).json()
    rows = sorted(cql.execute(f"SELECT * FROM {users}"))

    response = await curl(client, f"-X POST http://localhost:8000/context_manager_safety/{name}")
    assert response.status_code == 200, response.text
    report = response.json()
    assert report["passed"] is True
    assert {name: report.get(name) for name in REFERENCE_NAMES[name]} == REFERENCE_NAMES[name]
    assert (report["test"], report["session_open"]) == (name, True)

    after = (await curl(client, "http://localhost:8000/context_manager_safety/status")).json()
    assert {key: after[key] for key in SAME} == {key: before[key] for key in SAME}
    assert sorted(cql.execute(f"SELECT * FROM {users}")) == rows


COUNT_OF_TABLES = Statement(
    "SELECT count(*) AS rows FROM system_schema.tables WHERE keyspace_name = ?", idempotent=True, writes=False
)


def columns_of(cql: Session, keyspace: str) -> int:
    rows = cql.execute("SELECT count(*) AS n FROM system_schema.columns WHERE keyspace_name = %s", (keyspace,))
    count: int = rows.one()[0]
    return count


async def test_reports_count_the_rows_in_cassandra(client: httpx.AsyncClient, cql: Session) -> None:
    held = {name: columns_of(cql, name) for name in diagnostics.KEYSPACES}
    concurrent = (await client.post("/context_manager_safety/concurrent_streams")).json()
    assert {it["keyspace"]: it["count"] for it in concurrent["results"]} == held
    assert {it["age"] for it in concurrent["results"]} == {None}
    failed = (await client.post("/context_manager_safety/streaming_error")).json()
    assert failed["rows_after_error"] == held["system_schema"]


@pytest.mark.parametrize(
    ("name", "replaced", "instead", "expected"),
    [
        ("query_error", "MISSING_TABLE", PING, {"error_caught": None}),
        (
            "streaming_error",
            "MISSING_STREAM_TABLE",
            diagnostics.EVERY_COLUMN,
            {"streaming_error_caught": False, "error_message": None},
        ),
        (
            "concurrent_streams",
            "COUNT_OF_KEYSPACE",
            COUNT_OF_TABLES,
            {"streams_completed": 3, "all_streams_independent": False},
        ),
        (
            "nested_contexts",
            "EVERY_COLUMN",
            PING,
            {"row_count": 1, "correct_order": False, "main_session_unaffected": True},
        ),
        (
            "cancellation",
            "EVERY_COLUMN",
            PING,
            {"was_cancelled": False, "rows_processed_before_cancel": 1, "new_stream_worked": True},
        ),
        ("cancellation", "COUNT_OF_KEYSPACE", COUNT_OF_TABLES, {"was_cancelled": True, "new_stream_worked": False}),
    ],
)
async def test_reports_are_measured(
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    replaced: str,
    instead: Any,
    expected: dict[str, Any],
) -> None:
    """If a check runs a statement that does not behave as expected, its report says so."""
    monkeypatch.setattr(diagnostics, replaced, instead)
    response = await client.post(f"/context_manager_safety/{name}")
    assert response.status_code == 200, response.text
    report = response.json()
    assert {name: report[name] for name in expected} == expected
    assert report["passed"] is False


async def test_concurrent_safety_checks(node_address: tuple[str, int], keyspace: str) -> None:
    async with serving(settings_for(node_address, keyspace, diagnostics=True, max_streams=1)) as (_, client):
        answers: list[httpx.Response] = []

        async def ask(method: str, path: str) -> None:
            answers.append(await client.request(method, path))

        async with anyio.create_task_group() as tasks:
            for name in SAFETY * 3:
                tasks.start_soon(ask, "POST", f"/context_manager_safety/{name}")
            for _ in range(10):  # the checks do not count as streams, so the only stream allowed is free
                await ask("GET", "/users/stream")
    assert {answer.status_code for answer in answers} == {200}
    assert [it.json() for it in answers if isinstance(it.json(), dict) and not it.json()["passed"]] == []


@pytest.mark.parametrize("name", SAFETY)
async def test_safety_check_ends_at_its_deadline(client: httpx.AsyncClient, name: str) -> None:
    headers = {"X-Request-Timeout": "0.0005"}
    problem(await client.post(f"/context_manager_safety/{name}", headers=headers), 504, "deadline_exceeded")


SAME = ["session_open", "session_id", "cluster_open", "cluster_id", "keyspace", "open_streams"]


async def test_context_manager_status(client: httpx.AsyncClient, keyspace: str) -> None:
    response = await curl(client, "http://localhost:8000/context_manager_safety/status")
    assert response.status_code == 200
    found = response.json()
    assert {name: found[name] for name in ("session_open", "cluster_open", "keyspace", "open_streams")} == {
        "session_open": True,
        "cluster_open": True,
        "keyspace": keyspace,
        "open_streams": 0,
    }
    assert found["session_id"]
    assert found["cluster_id"]


@pytest.mark.parametrize(
    "path",
    ["/performance/async", "/performance/sync", "/slow_query", "/long_running_query", "/context_manager_safety/status"],
)
async def test_diagnostics_are_off_by_default(node_address: tuple[str, int], keyspace: str, path: str) -> None:
    async with serving(settings_for(node_address, keyspace)) as (_, client):
        problem(await client.get(path), 404, "not_found")
