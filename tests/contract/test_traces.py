"""OpenTelemetry spans: their parents, attributes and errors, no bound values, and none by default."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from contextlib import ExitStack
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from helpers.exchange import Exchange
from helpers.forwarder import forwarder
from helpers.service import client_of, serving
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from asgi_app.app import create_app
from asgi_app.settings import ContactPoint, Settings
from asgi_app.tables.resource import Resource
from contract.samples import every_loop

pytestmark = pytest.mark.anyio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = {"name": "Grace Brewster", "email": "grace@navy.example", "age": 97}


@pytest.fixture
def traced(settings: Settings) -> Settings:
    kept = ("cassandra_hosts", "cassandra_keyspace")
    return Settings(**{name: getattr(settings, name) for name in kept}, otel=True, diagnostics=True)


def of(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


def the(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    (span,) = of(spans, name)
    return span


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    """Return whether `span` is a child of `parent` and within it in time."""
    assert span.start_time is not None
    assert span.end_time is not None
    assert parent.start_time is not None
    assert parent.end_time is not None
    within = parent.start_time <= span.start_time <= span.end_time <= parent.end_time
    return span.parent is not None and span.parent.span_id == parent.context.span_id and within


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@every_loop
async def test_spans_of_a_request_and_its_statements(traced: Settings, spans: InMemorySpanExporter) -> None:
    async with serving(traced) as (_, client):
        spans.clear()
        written = await client.post("/users", json=SENT)
        user = written.headers["location"]
        await client.get(f"{user}?secret=grace")
        await client.patch(user, json={"age": 98})
    post, insert = the(spans, "POST /users"), the(spans, "INSERT users")
    assert (post.kind, insert.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert post.parent is None
    assert is_child(insert, post)
    assert attributes(post) == {
        "http.request.method": "POST",
        "http.response.status_code": 201,
        "http.route": "/users",
        "network.protocol.version": "1.1",
        "url.path": "/users",
        "url.scheme": "http",
    }
    found = attributes(insert)
    assert found.pop("asgi_cassandra.queue.duration") >= 0
    assert found.pop("asgi_cassandra.driver.duration") > 0
    assert found.pop("db.query.text").startswith(f'INSERT INTO "{traced.keyspace}"."users" ')
    assert found == {
        "cassandra.consistency.level": "local_quorum",
        "cassandra.query.idempotent": True,
        "db.collection.name": "users",
        "db.namespace": traced.keyspace,
        "db.operation.name": "INSERT",
        "db.response.returned_rows": 0,
        "db.system.name": "cassandra",
    }
    get, patch = the(spans, "GET /users/{user_id}"), the(spans, "PATCH /users/{user_id}")
    assert attributes(get)["url.path"] == user
    reads, update = of(spans, "SELECT users"), the(spans, "UPDATE users")
    assert [is_child(read, parent) for read, parent in zip(reads, (get, patch), strict=True)] == [True, True]
    assert is_child(update, patch)
    assert attributes(reads[0])["db.response.returned_rows"] == 1
    assert {span.status.status_code for span in spans.get_finished_spans()} == {StatusCode.UNSET}
    text = "".join(span.to_json() for span in spans.get_finished_spans())
    for value in (SENT["name"], SENT["email"], "grace"):
        assert value not in text


async def test_spans_name_the_keyspace_and_the_consistency_of_their_statement(
    traced: Settings, spans: InMemorySpanExporter
) -> None:
    tables = Resource.from_table("tables", keyspace="system_schema", writes="none", consistency=("LOCAL_ONE",))
    app = create_app(traced, resources=[tables])
    async with app.router.lifespan_context(app), client_of(app) as client:
        spans.clear()
        for headers in ({}, {"Cassandra-Consistency": "local_one"}):
            answer = await client.get("/tables/system_schema/columns", headers=headers)
            assert answer.status_code == 200, answer.text
    usual, asked = (attributes(span) for span in of(spans, "SELECT tables"))
    assert usual["db.namespace"] == asked["db.namespace"] == "system_schema"
    assert usual["cassandra.consistency.level"] == "local_quorum"
    assert asked["cassandra.consistency.level"] == "local_one"


@every_loop
async def test_each_page_of_a_stream_has_a_span(traced: Settings, spans: InMemorySpanExporter) -> None:
    async with serving(traced) as (_, client):
        batch = await client.post("/users/batch", json=[SENT, SENT, SENT])
        assert batch.status_code == 201
        stream = await client.get("/users/stream?fetch_size=1&limit=3")
        assert len(stream.json()) == 3
    request, pages = the(spans, "GET /users/stream"), of(spans, "SELECT users")
    assert [is_child(page, request) for page in pages] == [True, True, True]
    assert [attributes(page)["db.response.returned_rows"] for page in pages] == [1, 1, 1]
    written = the(spans, "BATCH INSERT users")
    assert attributes(written)["db.operation.batch.size"] == 3
    assert is_child(written, the(spans, "POST /users/batch"))


@every_loop
async def test_concurrent_requests_have_separate_traces(traced: Settings, spans: InMemorySpanExporter) -> None:
    async with serving(traced) as (_, client), anyio.create_task_group() as tasks:
        for number in range(20):
            headers = {"traceparent": f"00-{number + 1:032x}-{SPAN}-01"}
            tasks.start_soon(lambda own: client.get(f"/users/{uuid.uuid4()}", headers=own), headers)
    by_id = {span.context.span_id: span for span in of(spans, "GET /users/{user_id}")}
    reads = of(spans, "SELECT users")
    assert len(by_id) == len(reads) == 20
    assert sorted(span.context.trace_id for span in by_id.values()) == list(range(1, 21))
    assert {read.parent.span_id for read in reads if read.parent} == set(by_id)
    assert all(is_child(read, by_id[read.parent.span_id]) for read in reads if read.parent)


async def test_a_passed_deadline_is_recorded(
    traced: Settings, spans: InMemorySpanExporter, node_address: tuple[str, int]
) -> None:
    with forwarder(("127.0.0.2", 0), node_address) as node:
        contact_point = ContactPoint(*node.address)
        async with serving(msgspec.structs.replace(traced, cassandra_hosts=(contact_point,))) as (_, client):
            spans.clear()
            node.freeze()  # the statement is under way at the deadline, however busy the machine is
            late = await client.get(f"/users/{uuid.uuid4()}", headers={"X-Request-Timeout": "0.2"})
            node.thaw()
    assert late.status_code == 504
    request = the(spans, "GET /users/{user_id}")
    assert request.status.status_code is StatusCode.ERROR
    assert attributes(request)["http.response.status_code"] == 504
    assert attributes(request)["error.type"] == "deadline_exceeded"
    assert [event.name for event in request.events] == ["exception"]
    statement = the(spans, "SELECT users")
    assert is_child(statement, request)
    assert statement.status.status_code is StatusCode.ERROR or attributes(statement)["error.type"] == "cancelled"


async def test_errors_are_recorded_in_spans(traced: Settings, spans: InMemorySpanExporter) -> None:
    async with serving(traced) as (app, client):
        spans.clear()
        assert (await client.post("/context_manager_safety/query_error")).status_code == 200
        refused = next(span for span in spans.get_finished_spans() if "error.type" in attributes(span))
        assert refused.kind is SpanKind.CLIENT
        assert refused.status.status_code is StatusCode.ERROR
        (event,) = refused.events
        assert attributes(refused)["error.type"] == "statement_refused"
        assert "InvalidRequest" in str(dict(event.attributes or {})["exception.stacktrace"])
        spans.clear()

        missing = await client.get(f"/users/{uuid.uuid4()}")
        assert missing.status_code == 404
        assert the(spans, "GET /users/{user_id}").status.status_code is StatusCode.UNSET
        spans.clear()

        assert (await client.request("BREW", "/pots")).status_code == 404
        assert attributes(the(spans, "HTTP"))["http.request.method"] == "_OTHER"
        spans.clear()

        app.state.database.dispatcher.run = None  # a bug
        with_bug = await client.get(f"/users/{uuid.uuid4()}")
        assert with_bug.status_code == 500
        bug = the(spans, "GET /users/{user_id}")
        assert "exception.stacktrace" in dict(bug.events[0].attributes or {})


async def test_a_broken_stream_is_an_error_despite_status_200(traced: Settings, spans: InMemorySpanExporter) -> None:
    hasty = Settings(
        cassandra_hosts=traced.cassandra_hosts, cassandra_keyspace=traced.keyspace, otel=True, send_timeout=0.1
    )

    async def stall(_: Exchange) -> None:
        await anyio.sleep_forever()

    async with serving(hasty) as (app, _):
        with pytest.raises(Exception, match="after 0 rows"):
            await Exchange("GET", "/users/stream", on_chunk=stall).run(app)
    request = the(spans, "GET /users/stream")
    assert attributes(request)["http.response.status_code"] == 200
    assert request.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([f"00-{TRACE}-{SPAN}-01"], True),
        ([f"00-{TRACE}-{SPAN}-01-more"], False),
        ([f"00-{TRACE}-{SPAN}-01"] * 2, False),
        (["none"], False),
    ],
)
async def test_the_callers_trace_is_continued(
    traced: Settings, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture, sent: list[str], kept: bool
) -> None:
    caplog.set_level("DEBUG", logger="asgi_app.access")
    async with serving(traced) as (_, client):
        await client.get("/livez", headers=[("traceparent", value) for value in sent])
    span = the(spans, "GET /livez")
    assert (span.context.trace_id == int(TRACE, 16)) == kept
    assert (span.parent is not None and span.parent.span_id == int(SPAN, 16)) == kept
    (record,) = (record for record in caplog.records if record.name == "asgi_app.access")
    assert record.__dict__["trace_id"] == f"{span.context.trace_id:032x}"
    assert record.__dict__["span_id"] == f"{span.context.span_id:016x}"


async def test_a_mounted_application_continues_its_parents_trace(traced: Settings, spans: InMemorySpanExporter) -> None:
    app = create_app(traced)
    routes = Starlette(routes=[Mount("/db", app)])
    after: list[Any] = []

    async def parent(scope: Scope, receive: Receive, send: Send) -> None:
        with trace.get_tracer("parent").start_as_current_span("parent") as span:
            await routes(scope, receive, send)
            after.append(trace.get_current_span() is span)

    async with app.router.lifespan_context(app), client_of(parent) as client:
        await client.get(f"/db/users/{uuid.uuid4()}", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    above, request, read = the(spans, "parent"), the(spans, "GET /users/{user_id}"), the(spans, "SELECT users")
    assert (above.kind, request.kind) == (SpanKind.INTERNAL, SpanKind.SERVER)
    assert is_child(request, above)
    assert is_child(read, request)
    assert attributes(request)["url.path"].startswith("/db/users/")
    assert after == [True]


@pytest.mark.parametrize("depth", [0, 1, 2])
async def test_no_second_server_span_inside_a_server_span(
    traced: Settings, spans: InMemorySpanExporter, depth: int
) -> None:
    """Instrumentation creates the server span of the request; spans of middleware may be current inside it."""
    app = create_app(traced)
    tracer = trace.get_tracer("instrumentation")

    async def instrumented(scope: Scope, receive: Receive, send: Send) -> None:
        with ExitStack() as within:
            within.enter_context(tracer.start_as_current_span("outermost", kind=SpanKind.SERVER))
            for _ in range(depth):
                within.enter_context(tracer.start_as_current_span("middleware"))
            await app(scope, receive, send)

    async with app.router.lifespan_context(app), client_of(instrumented) as client:
        await client.get("/livez", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    assert the(spans, "GET /livez").kind is SpanKind.INTERNAL
    assert [span.name for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER] == ["outermost"]


async def test_there_are_no_spans_by_default(client: httpx.AsyncClient, spans: InMemorySpanExporter) -> None:
    assert (await client.post("/users", json=SENT)).status_code == 201
    assert spans.get_finished_spans() == ()


def test_opentelemetry_is_not_imported_by_default(settings: Settings) -> None:
    point = settings.cassandra_hosts[0]
    code = (
        "import sys, json, anyio\n"
        "from asgi_app.app import create_app\n"
        "from asgi_app.settings import ContactPoint, Settings\n"
        f"app = create_app(Settings(cassandra_hosts=(ContactPoint({point.host!r}, {point.port}),)))\n"
        "async def main():\n"
        "    async with app.router.lifespan_context(app):\n"
        "        print(json.dumps([name for name in sys.modules if name.startswith('opentelemetry')]))\n"
        "anyio.run(main)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(ended.stdout) == []
