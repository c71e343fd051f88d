"""Content negotiation with Accept fields as real clients send them."""

from __future__ import annotations

import pytest

from asgi_app.http.requests import preferred

JSON, TEXT, NDJSON = "application/json", "text/plain", "application/x-ndjson"
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("APPLICATION/JSON", JSON),
        ("application/*", JSON),
        ("text/*", TEXT),
        (PROMETHEUS, TEXT),
        (BROWSER, JSON),
        ("text/plain;q=0.5, application/json;q=0.4", TEXT),
        ("application/json;q=0, */*", TEXT),
        ("application/json;q=0", None),
        ("image/png", None),
        ("nonsense", JSON),
        (";;;,,,", JSON),
        ("application/json;q=x", JSON),
    ],
)
def test_preferred_of_json_and_text(accept: str | None, chosen: str | None) -> None:
    assert preferred(accept, [JSON, TEXT]) == chosen


def test_first_of_equally_preferred_types() -> None:
    assert preferred("application/x-ndjson, application/json", [JSON, NDJSON]) == JSON
    assert preferred("application/x-ndjson, application/json", [NDJSON, JSON]) == NDJSON
