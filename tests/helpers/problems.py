"""Check problem documents (RFC 9457) in every member that the contract names."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import httpx

STANDARD = {"type", "title", "status", "detail", "instance", "code", "request_id"}
OPTIONAL = {"errors", "outcome", "current"}

_INTERNALS = re.compile(
    r"127\.0\.0\.1|localhost|:\d{4,5}\b|SELECT |INSERT |UPDATE |DELETE FROM |system_schema|Traceback|0x[0-9a-f]{8}"
    r"|cassandra\.(cluster|protocol|query)|NoHostAvailable|InvalidRequest|code=\d{4}|line \d+:\d+|message="
)
"""Matches text that reveals a driver's message, an address of the cluster, or CQL."""


def problem(response: httpx.Response, status: int, code: str, *fields: str, outcome: str | None = None) -> Any:
    """Check that `response` is exactly this problem, and return it. `fields` are those that its errors name."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), (
        response.text[:2000]
    )
    found = response.json()
    assert (found["code"], found["status"]) == (code, status)
    assert STANDARD <= set(found) <= STANDARD | OPTIONAL
    assert found["type"].endswith(code)
    assert found["title"]
    assert found["request_id"] == response.headers["x-request-id"] != ""
    assert unquote(found["instance"]) == unquote(response.request.url.raw_path.decode().partition("?")[0])
    assert sorted(error["field"] for error in found.get("errors", [])) == sorted(fields)
    for error in found.get("errors", []):
        assert set(error) - {"usable"} == {"field", "message"}
        assert error["message"]
    assert found.get("outcome") == outcome
    assert response.headers["cache-control"] == "no-store"
    assert ("retry-after" in response.headers) == (status == 503)
    assert ("allow" in response.headers) == (status == 405)
    reveals_no_internals(found)
    return found


def reveals_no_internals(found: dict[str, Any]) -> None:
    """Check that no member written by the service has a driver's message, a host or CQL."""
    for member in ("title", "detail"):
        assert not _INTERNALS.search(found[member]), found[member]
    for error in found.get("errors", []):
        assert not _INTERNALS.search(error["message"]), error
