"""The endpoints that tell how the service is."""

from __future__ import annotations

import time

from anyio import to_thread
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

import asgi_app
from asgi_app.driver.codec import timestamp_text
from asgi_app.http.context import database_of, drain_of, health_of, settings_of
from asgi_app.http.negotiation import preferred
from asgi_app.http.paths import location
from asgi_app.http.requests import list_field
from asgi_app.http.responses import JsonResponse, json_response
from asgi_app.resources.admin import require_admin

VARY = {"Vary": "Accept"}

METRICS_FORMS = ("application/json", "text/plain", "application/openmetrics-text")
"""The last is what some scrapers ask for; every one of them reads the plain text too."""


async def welcome(request: Request) -> JsonResponse:
    """GET /: what this is and where to read on."""
    return json_response(
        {
            "message": "asgi-cassandra is running",
            "version": asgi_app.__version__,
            "docs": "docs/http.md",
            "health": location(request, "/health"),
        }
    )


async def health(request: Request) -> JsonResponse:
    """GET /health: 200 while Cassandra answers, 503 while it does not."""
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
    """GET /livez: the process answers; the database is not asked."""
    return json_response({"status": "alive"})


async def readyz(request: Request) -> JsonResponse:
    """GET /readyz: whether requests can be served now, and if not, what is in the way."""
    report = await health_of(request).report()
    draining = drain_of(request.scope).draining
    ready = report.ready and not draining
    body = {
        "status": "ready" if ready else "not ready",
        "connected": report.connected,
        "missing_tables": report.missing_tables,
        "draining": draining,
    }
    return json_response(body, 200 if ready else 503)


async def metrics(request: Request) -> ASGIApp:
    """GET /metrics: Prometheus text for a scraper, JSON for whoever asks for JSON or does not say."""
    database = database_of(request)
    database.publish_state()
    if preferred(list_field(request, "accept"), METRICS_FORMS) != "application/json":
        body = await to_thread.run_sync(database.metrics.text)
        return Response(body, media_type=CONTENT_TYPE_PLAIN_0_0_4, headers={"Cache-Control": "no-store", **VARY})
    return json_response(await to_thread.run_sync(database.metrics.summary), headers=VARY)


async def shutdown(request: Request) -> JsonResponse:
    """POST /shutdown: whoever has the admin token ends the service; asking again changes nothing."""
    require_admin(request)
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
