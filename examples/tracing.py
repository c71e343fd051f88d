"""The service with OpenTelemetry spans, exported to a collector: Jaeger, Tempo, or any other that accepts OTLP.

    pip install '.[server,otel]' opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
    OTEL_SERVICE_NAME=users OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 uvicorn examples.tracing:app

Without an endpoint the spans are printed. The parent makes a span around each request, as an instrumented application
does; the service's spans are its children.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_app import Settings, create_app, lifespan_of


def exporter() -> SpanExporter:
    if "OTEL_EXPORTER_OTLP_ENDPOINT" not in os.environ:
        return ConsoleSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(exporter()))
trace.set_tracer_provider(provider)


class Traced:
    """Middleware that makes the parent's span around every request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with trace.get_tracer(__name__).start_as_current_span("parent", context=propagate.extract(headers)):
            await self.app(scope, receive, send)


database = create_app(Settings.load(overrides={"ASGI_CASSANDRA_OTEL": "on"}))


@asynccontextmanager
async def lifespan(parent: Starlette) -> AsyncIterator[None]:
    async with lifespan_of(database)(parent):
        yield
    await anyio.to_thread.run_sync(provider.shutdown)  # exports the last spans, before a signal ends the process


app = Traced(Starlette(routes=[Mount("/db", database)], lifespan=lifespan))
