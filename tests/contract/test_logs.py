"""Log records: their ids and fields, slow statements, Server-Timing, and no bound values."""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest
from helpers.calls import call
from helpers.exchange import Exchange
from helpers.service import serving
from helpers.waiting import eventually

from asgi_app.driver import transcoding
from asgi_app.runtime.deadline import Deadline
from asgi_app.settings import Secret, Settings
from asgi_app.stream import RowStream
from asgi_app.telemetry.logging import JsonLines, RequestFields
from contract.samples import MOMENT, every_loop

pytestmark = pytest.mark.anyio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = {"name": "Grace Brewster", "email": "grace@navy.example", "age": 97}
SHOUTED = {**SENT, "name": "x" * 256}
KEY = "k" * 40
TIMING = re.compile(r"queue;dur=(\d+\.\d{3}), db;dur=(\d+\.\d{3}), total;dur=(\d+\.\d{3})")

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Return a function that returns all JSON lines logged since the test began."""
    written: list[str] = []
    form = JsonLines()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(form.format(record))

    collector = Collector()
    collector.addFilter(RequestFields())
    logger = logging.getLogger()
    before = logger.level
    logger.addHandler(collector)
    logger.setLevel(logging.DEBUG)
    yield lambda: [json.loads(line) for line in written if "\n" not in line or pytest.fail(line)]
    logger.removeHandler(collector)
    logger.setLevel(before)


def changed(settings: Settings, **changes: Any) -> Settings:
    kept = ("cassandra_hosts", "cassandra_keyspace")
    return Settings(**{name: getattr(settings, name) for name in kept}, **changes)


def of(lines: Lines, logger: str) -> list[dict[str, Any]]:
    return [line for line in lines() if line["logger"] == logger]


@every_loop
async def test_records_have_the_requests_ids_and_no_values(settings: Settings, lines: Lines) -> None:
    noisy = changed(
        settings,
        slow_statement=1e-6,
        diagnostics=True,
        api_keys=(Secret(f"ada:read+write+operate:{KEY}"),),
    )
    headers = {"X-Request-ID": "the-id", "traceparent": f"00-{TRACE}-{SPAN}-01", "Authorization": f"Bearer {KEY}"}
    async with serving(noisy) as (_, client):
        before = len(lines())
        written = await client.post("/users", json=SENT, headers=headers)
        user = written.headers["location"]
        assert (await client.patch(user, json={"age": 98}, headers=headers)).status_code == 200
        assert (await client.get(f"/users/stream?age_filter=97&secret={KEY}", headers=headers)).status_code == 200
        assert (await client.post("/users", json=SHOUTED, headers=headers)).status_code == 422
        batch = await client.post("/users/batch", json=[SENT, SENT], headers=headers)
        assert batch.status_code == 201
        overdue = await client.get("/slow_query", headers={**headers, "X-Request-Timeout": "0.1"})
        assert overdue.status_code == 504
        found = lines()[before:]
    own = [line for line in found if line["logger"].startswith("asgi_app") and line["logger"] != "asgi_app.drain"]
    assert {line["logger"] for line in own} == {"asgi_app.access", "asgi_app.db", "asgi_app.errors"}
    for line in own:
        assert (line["request_id"], line["trace_id"], line["span_id"]) == ("the-id", TRACE, SPAN), line
        assert "request the-id]" in line["message"]
    text = json.dumps([line for line in found if not line["logger"].startswith("http")])  # the client in this process
    assert "ALLOW FILTERING" in text
    for value in (KEY, SENT["name"], SENT["email"], SHOUTED["name"]):
        assert value not in text


async def test_access_records(settings: Settings, lines: Lines) -> None:
    async with serving(changed(settings, api_keys=(Secret(f"ada:read+write:{KEY}"),))) as (app, client):
        headers = {"X-Request-ID": "r1", "Authorization": f"Bearer {KEY}"}
        written = await client.post("/users", json=SENT, headers=headers)
        user = written.headers["location"]
        await client.put(user, json=SENT, headers=headers)
        stream = await client.get("/users/stream?limit=1", headers=headers)
        await client.get("/no%0Awhere", headers=headers)
        gone = Exchange("GET", "/users", whole=False, headers=[(b"authorization", f"Bearer {KEY}".encode())])
        await gone.run(app)
    posted, put, streamed, lost, last = of(lines, "asgi_app.access")
    for line in (posted, put, streamed, lost):
        assert MOMENT.fullmatch(line["time"])
        assert (line["level"], line["request_id"], line["client"]) == ("INFO", "r1", "127.0.0.1")
        assert "trace_id" not in line
        assert line["message"].endswith("[request r1]")
        assert 0 <= line["queue_ms"] + line["driver_ms"] <= line["duration_ms"] < 60_000
    assert (posted["method"], posted["route"], posted["path"], posted["status"]) == ("POST", "/users", "/users", 201)
    assert (posted["statements"], posted["principal"]) == (1, "ada")
    assert posted["driver_ms"] > 0
    assert "rows" not in posted
    assert (put["route"], put["path"], put["statements"]) == ("/users/{user_id}", user, 2)
    assert (streamed["rows"], streamed["bytes"]) == (1, len(stream.content))
    assert (lost["route"], lost["path"], lost["status"], lost["statements"]) == (None, "/no%0Awhere", 404, 0)
    assert last["status"] == 200


async def test_routine_requests_are_at_debug_unless_they_fail(settings: Settings, lines: Lines) -> None:
    routine = ("/livez", "/readyz", "/metrics", "/docs/style.css", "/console/icon.svg")
    others = ("/health", "/docs", "/console/", "/openapi.json")
    async with serving(changed(settings, api_keys=(Secret(f"ada:read:{KEY}"),))) as (_, client):
        headers = {"Authorization": f"Bearer {KEY}"}
        for path in (*routine, *others):
            assert (await client.get(path, headers=headers)).status_code == 200
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/console/none.js")).status_code == 404
        cached = await client.get("/docs/style.css", headers={"If-None-Match": "*"})
        assert cached.status_code == 304
    found = [(line["level"], line["path"], line["status"]) for line in of(lines, "asgi_app.access")]
    assert found == [
        *(("DEBUG", path, 200) for path in routine),
        *(("INFO", path, 200) for path in others),
        ("INFO", "/metrics", 401),
        ("INFO", "/console/none.js", 404),
        ("DEBUG", "/docs/style.css", 304),
    ]


async def test_slow_statements_are_logged_with_their_cql(settings: Settings, lines: Lines, keyspace: str) -> None:
    async with serving(changed(settings, slow_statement=1e-6)) as (_, client):
        for _ in range(3):
            await client.post("/users", json=SENT)
        before = len(of(lines, "asgi_app.db"))
        stream = await client.get("/users/stream?fetch_size=1&limit=3", headers={"X-Request-ID": "s1"})
        assert len(stream.json()) == 3
        await client.get("/readyz")
        slow = of(lines, "asgi_app.db")[before:]
    pages = [line for line in slow if line["request_id"] == "s1"]
    assert [line["rows"] for line in pages] == [1, 1, 1]
    for line in pages:
        assert line["level"] == "WARNING"
        assert line["cql"].startswith('SELECT "id", ')
        assert line["cql"] in line["message"]
        assert f'"{keyspace}"."users"' in line["cql"]
        assert 0 < line["driver_ms"] <= line["duration_ms"]
    assert any("system.local" in line["cql"] for line in slow)


async def test_the_slow_log_can_be_turned_off(settings: Settings, lines: Lines) -> None:
    async with serving(changed(settings, slow_statement=0.0)) as (_, client):
        await client.post("/users", json=SENT)
    (line,) = of(lines, "asgi_app.db")
    assert line["message"] == f"connected to Cassandra at {settings.address}; JSON of rows is written {transcoding.HOW}"


async def test_a_slow_failure_is_logged_with_its_error(settings: Settings, lines: Lines) -> None:
    narrow = changed(settings, max_in_flight=1, max_wait=0.05, slow_statement=0.05)
    async with serving(narrow) as (app, client):
        dispatcher = app.state.database.dispatcher
        holding: list[Any] = []
        async with anyio.create_task_group() as tasks:
            await client.get(f"/users/{uuid.uuid4()}")
            tasks.start_soon(call, dispatcher, lambda _, done: holding.append(done), Deadline.after(30))
            await eventually(lambda: bool(holding))
            refused = await client.get(f"/users/{uuid.uuid4()}")
            assert refused.status_code == 503
            holding[0](None, None)
    (slow,) = (line for line in of(lines, "asgi_app.db") if "cql" in line and "error" in line)
    assert (slow["error"], slow["rows"], slow["driver_ms"]) == ("queue_timeout", 0, None)
    assert slow["queue_ms"] >= 50
    assert slow["request_id"] == refused.headers["x-request-id"]


async def test_a_broken_stream_logs_what_it_sent(settings: Settings, lines: Lines) -> None:
    async with serving(changed(settings, send_timeout=0.2)) as (app, client):
        await client.post("/users", json=SENT)

        async def stall(_: Exchange) -> None:
            await anyio.sleep_forever()

        stream = Exchange("GET", "/users/stream", headers=[(b"x-request-id", b"b1")], on_chunk=stall)
        with pytest.raises(Exception, match="after 0 rows"):
            await stream.run(app)
    (line,) = of(lines, "asgi_app.stream")
    assert (line["request_id"], line["error"], line["rows"], line["pages"]) == ("b1", "client_too_slow", 0, 0)
    (access,) = (line for line in of(lines, "asgi_app.access") if line["request_id"] == "b1")
    assert (access["rows"], access["bytes"]) == (0, 0)


def timing_of(response: httpx.Response) -> tuple[float, float, float]:
    found = TIMING.fullmatch(response.headers["server-timing"])
    assert found is not None
    queue, database, total = map(float, found.groups())
    return queue, database, total


@every_loop
async def test_server_timing_adds_up(settings: Settings, lines: Lines) -> None:
    async with serving(changed(settings, server_timing=True)) as (_, client):
        answers = [await client.post("/users", json=SENT)]
        user = answers[0].headers["location"]
        answers += [await client.put(user, json=SENT), await client.get(user), await client.get("/users/none")]
        for answer, line in zip(answers, of(lines, "asgi_app.access"), strict=True):
            queue, database, total = timing_of(answer)
            assert (queue, database) == pytest.approx((line["queue_ms"], line["driver_ms"]), abs=0.001)
            assert queue + database <= total <= line["duration_ms"] + 0.001
        assert [line["statements"] for line in of(lines, "asgi_app.access")] == [1, 2, 1, 0]
        assert timing_of(answers[3])[:2] == (0, 0)


async def test_server_timing_of_a_stream_is_that_of_its_first_page(
    settings: Settings, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test waits for the second page before the response begins, because it may be there by then."""
    encode = RowStream._encode

    def pages() -> list[dict[str, Any]]:
        return [line for line in of(lines, "asgi_app.db") if line.get("request_id") == "s1"]

    async def slowly(self: RowStream, *page: Any) -> bytes:
        await eventually(lambda: len(pages()) >= 2)
        return await encode(self, *page)

    monkeypatch.setattr(RowStream, "_encode", slowly)
    async with serving(changed(settings, server_timing=True, slow_statement=1e-6)) as (_, client):
        for _ in range(2):
            await client.post("/users", json=SENT)
        stream = await client.get("/users/stream?fetch_size=1&limit=2", headers={"X-Request-ID": "s1"})
    first, second = pages()
    assert timing_of(stream)[:2] == pytest.approx((first["queue_ms"], first["driver_ms"]), abs=0.001)
    access = of(lines, "asgi_app.access")[-1]
    assert access["driver_ms"] == pytest.approx(first["driver_ms"] + second["driver_ms"], abs=0.002)


async def test_server_timing_is_off_by_default(client: httpx.AsyncClient) -> None:
    assert "server-timing" not in (await client.get("/livez")).headers


async def test_concurrent_requests_have_separate_records(settings: Settings, lines: Lines) -> None:
    async with serving(changed(settings, slow_statement=1e-6)) as (_, client), anyio.create_task_group() as tasks:

        async def ask(number: int) -> None:
            headers = {"X-Request-ID": f"n{number}"}
            await client.get(f"/users/{uuid.uuid4()}", headers=headers)

        await ask(0)
        for number in range(1, 30):
            tasks.start_soon(ask, number)
    slow = [line["request_id"] for line in of(lines, "asgi_app.db") if "cql" in line]
    assert sorted(slow) == sorted(f"n{number}" for number in range(30))
    assert {line["statements"] for line in of(lines, "asgi_app.access")} == {1}
