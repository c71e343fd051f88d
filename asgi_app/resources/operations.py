"""Operational endpoints: welcome, health, probes, metrics, shutdown."""

from __future__ import annotations

import time
from hmac import compare_digest
from typing import Any

from anyio import to_thread
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

import asgi_app
from asgi_app.driver.codec import timestamp_text
from asgi_app.errors import Unauthorized
from asgi_app.http.auth import bearer_token
from asgi_app.http.context import database_of, drain_of, health_of, service_of, settings_of
from asgi_app.http.headers import NO_STORE, VARY_BY_ACCEPT
from asgi_app.http.paths import location
from asgi_app.http.requests import list_field, preferred
from asgi_app.http.responses import JsonResponse, json_response

METRICS_MEDIA_TYPES = ("application/json", "text/plain", "application/openmetrics-text")
"""The media types that /metrics can be asked for. OpenMetrics scrapers get plain text, which they all read."""


async def welcome(request: Request) -> JsonResponse:
    """Answer GET / with the service's name, its version, and where its documentation and health are."""
    return json_response(
        {
            "message": "asgi-cassandra is running",
            "version": asgi_app.__version__,
            "docs": location(request, "/docs") if settings_of(request.scope).docs else "docs/http.md",
            "health": location(request, "/health"),
        },
        headers=VARY_BY_ACCEPT,
    )


async def health(request: Request) -> JsonResponse:
    """Answer GET /health: 200 while Cassandra answers, else 503."""
    report = await health_of(request).report()
    body = {
        "status": "healthy" if report.connected else "unhealthy",
        "cassandra": "connected" if report.connected else "disconnected",
        "keyspace": settings_of(request.scope).keyspace,
        "cassandra_connected": report.connected,
        "timestamp": timestamp_text(time.time_ns() // 1_000_000),
    }
    return json_response(body, 200 if report.connected else 503)


async def livez(request: Request) -> JsonResponse:
    """Answer GET /livez: 200 if the process answers. Does not query Cassandra."""
    return json_response({"status": "alive"})


async def readyz(request: Request) -> JsonResponse:
    """Answer GET /readyz: 200 if requests can be served now, else 503 with the reasons."""
    report = await health_of(request).report()
    draining = drain_of(request.scope).draining
    ready = report.ready and not draining
    body: dict[str, Any] = {
        "status": "ready" if ready else "not ready",
        "connected": report.connected,
        "missing_tables": report.missing_tables,
        "draining": draining,
    }
    unserved = service_of(request.scope).catalog.missing
    if unserved:
        body["unserved"] = unserved
    return json_response(body, 200 if ready else 503)


async def metrics(request: Request) -> ASGIApp:
    """Answer GET /metrics: Prometheus text if the Accept field prefers it, else JSON."""
    database = database_of(request)
    database.publish_state()
    if preferred(list_field(request, "accept"), METRICS_MEDIA_TYPES) != "application/json":
        body = await to_thread.run_sync(database.metrics.text)
        return Response(body, media_type=CONTENT_TYPE_PLAIN_0_0_4, headers={**NO_STORE, **VARY_BY_ACCEPT})
    return json_response(await to_thread.run_sync(database.metrics.summary), headers=VARY_BY_ACCEPT)


async def shutdown(request: Request) -> JsonResponse:
    """Answer POST /shutdown with 202 and begin a graceful shutdown. Calling it again changes nothing.

    Raises Unauthorized unless the request carries the admin token.
    """
    _require_admin_token(request)
    drain = drain_of(request.scope)
    drain.ask_to_end()
    settings = settings_of(request.scope)
    body = {
        "message": "Shutdown initiated",
        "status": "shutting down",
        "requests_under_way": drain.under_way - 1,  # without this one
        "grace_seconds": settings.shutdown_grace,
    }
    return json_response(body, 202)


def has_admin_token(scope: Scope) -> bool:
    """Return whether an admin token is configured; without one, /shutdown does not exist."""
    return settings_of(scope).admin_token is not None


def _require_admin_token(request: Request) -> None:
    """Raise Unauthorized unless the request carries the configured admin token."""
    expected = settings_of(request.scope).admin_token
    sent = bearer_token(request)
    if expected is None or sent is None or not compare_digest(sent.encode(), expected.reveal().encode()):
        raise Unauthorized
