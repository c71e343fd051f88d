"""The log of `serve` as JSON lines, from start to end."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers.ports import free_port

from process.running import COMMAND, PYTHON, started

ROOT = Path(__file__).parents[2]
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ADA = {"name": "Ada Lovelace", "email": "ada@example.org", "age": 36}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("workers", [1, 2])
def test_every_line_is_json(tmp_path: Path, settings: Mapping[str, str], workers: int) -> None:
    port = free_port()
    options = ["--port", str(port), "--workers", str(workers), "--log-format", "json", "--slow-statement", "0.000001"]
    variables = {
        **settings,
        "PYTHONWARNINGS": "",
    }  # Python's default; with warnings it reports the closed stdin of workers
    with started([COMMAND, "serve", *options], tmp_path, variables) as program:
        url = f"http://127.0.0.1:{port}"
        program.answers(f"{url}/readyz")
        headers = {"X-Request-ID": "from-outside", "traceparent": f"00-{TRACE}-{SPAN}-01"}
        written = httpx.post(f"{url}/users", json=ADA, headers=headers)
        assert written.status_code == 201
        assert httpx.get(f"{url}/%0A%22nowhere", headers=headers).status_code == 404
        assert program.end() == 0
        written_log = program.errors
    lines: list[dict[str, Any]] = [json.loads(line) for line in written_log.removesuffix("\n").split("\n")]
    for line in lines:
        assert MOMENT.fullmatch(line["time"])
        assert all(isinstance(line[name], str) for name in ("level", "logger", "message"))
    messages = [line["message"] for line in lines if line["logger"] != "asgi_app.access"]
    assert f"serving on {url}{' with 2 workers' if workers > 1 else ''}" in messages
    connected = [message for message in messages if message.startswith("connected to Cassandra at ")]
    assert len(connected) == messages.count("draining: 0 requests under way") == workers
    served = [line for line in lines if line.get("request_id") == "from-outside"]
    slow, posted, lost = served
    assert {(line["trace_id"], line["span_id"]) for line in served} == {(TRACE, SPAN)}
    assert (slow["logger"], slow["level"], slow["rows"]) == ("asgi_app.db", "WARNING", 0)
    assert slow["cql"].startswith("INSERT INTO ")
    assert {"duration_ms", "queue_ms", "driver_ms"} <= slow.keys()
    assert posted.items() >= {"method": "POST", "route": "/users", "status": 201, "statements": 1}.items()
    assert posted["client"] == "127.0.0.1"
    assert (lost["route"], lost["path"]) == (None, "/%0A%22nowhere")
    assert not [value for value in (ADA["name"], ADA["email"]) if str(value) in written_log]


def test_tracing_example_prints_its_spans(tmp_path: Path, settings: Mapping[str, str]) -> None:
    port = free_port()
    command = [
        PYTHON,
        "-m",
        "uvicorn",
        "--no-access-log",
        "--app-dir",
        str(ROOT),
        "--port",
        str(port),
        "examples.tracing:app",
    ]
    with started(command, tmp_path, settings) as program:
        program.answers(f"http://127.0.0.1:{port}/db/readyz")
        written = httpx.post(f"http://127.0.0.1:{port}/db/users", json=ADA)
        assert written.status_code == 201
        program.end()
        spans = spans_of(program.output)
    by_name = {span["name"]: span for span in spans}
    parent = next(it for it in spans if it["context"]["span_id"] == by_name["POST /users"]["parent_id"])
    assert (parent["name"], parent["parent_id"]) == ("parent", None)
    assert by_name["INSERT users"]["parent_id"] == by_name["POST /users"]["context"]["span_id"]


def spans_of(output: str) -> list[dict[str, Any]]:
    """Return the objects that the console exporter printed in a row."""
    decoder, found = json.JSONDecoder(), []
    while output := output.lstrip():
        span, end = decoder.raw_decode(output)
        found.append(span)
        output = output[end:]
    return found
