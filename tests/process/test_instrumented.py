"""`serve` under `opentelemetry-instrument`: each request makes one server span."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers.ports import free_port

from process.running import COMMAND, started

INSTRUMENT = str(Path(COMMAND).with_name("opentelemetry-instrument"))
EXPORTERS = ["--traces_exporter", "console", "--metrics_exporter", "none", "--logs_exporter", "none"]
TARGETS = ("/readyz", "/users?limit=1", "/nowhere")


@pytest.mark.parametrize("options", [(), ("--otel", "on", "--cors-origins", "*")], ids=["plain", "otel and cors"])
def test_each_request_is_one_server_span(tmp_path: Path, settings: Mapping[str, str], options: tuple[str, ...]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with started([INSTRUMENT, *EXPORTERS, COMMAND, "serve", "--port", str(port), *options], tmp_path, settings) as it:
        it.answers(f"{url}/livez")
        for target in TARGETS * 2:
            httpx.get(f"{url}{target}")
        assert it.end() == 0
        spans = [span for span in _spans(it.output) if span["kind"] == "SpanKind.SERVER"]
    names = [span["name"] for span in spans if span["name"] != "GET /livez"]
    assert names == ["GET /readyz", "GET /users", "GET"] * 2


def _spans(text: str) -> list[dict[str, Any]]:
    """Return the JSON objects of a text that contains several in a row."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := text.find("{", at)) >= 0:
        span, at = decoder.raw_decode(text, at)
        found.append(span)
    return found
