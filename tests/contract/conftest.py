"""Fixtures to read what the application wrote, and the spans that it recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cassandra.cluster import Session
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@pytest.fixture
def users(keyspace: str) -> str:
    """The name of the table of users in CQL."""
    return f"{keyspace}.users"


@pytest.fixture
def no_users(cql: Session, users: str) -> None:
    """Empty the table of users."""
    cql.execute(f"TRUNCATE {users}")


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """Collects the spans of this process. A tracer provider can be set only once per process."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    trace.set_tracer_provider(provider)
    return kept


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    """The spans of one test."""
    exporter.clear()
    yield exporter
    exporter.clear()
