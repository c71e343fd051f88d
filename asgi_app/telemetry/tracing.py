"""OpenTelemetry spans: one for each request, one for each statement and page. Imported only where they are asked for.

Names and attributes are those of OpenTelemetry's semantic conventions for HTTP and for databases. Spans begin and end
on the event loop. Never in a span: a bound value, the query of a URL, a header.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from contextvars import Token
from http import HTTPMethod
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from asgi_app import __version__
from asgi_app.errors import InternalError, ServiceError
from asgi_app.tables.cql import Statement
from asgi_app.telemetry.trace_context import HEADER, TraceContext

_METHODS = frozenset(HTTPMethod)

LONGEST_MESSAGE = 1000
"""Characters of an error's text that are told."""


class Tracing:
    """Makes the spans of one application, by the tracer provider of the process."""

    def __init__(self, keyspace: str, consistency: str) -> None:
        self._tracer = trace.get_tracer("asgi_app", __version__)
        self._keyspace = keyspace
        self._consistency = consistency.lower()

    def begin_request(self, scope: MutableMapping[str, Any], path: str, *, parent_is_sound: bool) -> RequestSpan:
        """Begin the span of a request, current until it ends. `path` is the percent-encoded one.

        It is a child of the span that is current, which is a parent application's or an instrumentation's; else of the
        one that the request's headers name, of which a `traceparent` counts only where it is sound. Its kind is SERVER,
        or INTERNAL within a span of that kind: a request has one of them, or backends count it twice.
        """
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        attributes = {
            "http.request.method": method,
            "network.protocol.version": scope["http_version"],
            "url.path": path,
            "url.scheme": scope["scheme"],
        }
        parent, kind = None, SpanKind.SERVER
        current = trace.get_current_span()
        if current.get_span_context().is_valid:
            kind = SpanKind.INTERNAL if _is_within_server_span(current) else kind
        else:
            parent = propagate.extract(_carrier(scope["headers"], parent_is_sound))
        name = "HTTP" if method == "_OTHER" else method
        span = self._tracer.start_span(name, parent, kind, attributes)
        return RequestSpan(span, name, parent)

    def begin_statement(self, statement: Statement, batch_size: int | None) -> StatementSpan:
        """The span of a statement, a child of its request's."""
        operation = statement.cql.split(None, 1)[0].upper()
        if batch_size is not None:
            operation = f"BATCH {operation}"
        attributes: dict[str, str | int] = {
            "db.system.name": "cassandra",
            "db.operation.name": operation,
            "db.query.text": statement.cql,
            "cassandra.consistency.level": self._consistency,
            "cassandra.query.idempotent": statement.idempotent,
        }
        name = operation
        if statement.table is not None:
            name = f"{operation} {statement.table.name}"
            attributes["db.namespace"] = self._keyspace
            attributes["db.collection.name"] = statement.table.name
        if batch_size is not None and batch_size > 1:
            attributes["db.operation.batch.size"] = batch_size
        return StatementSpan(self._tracer.start_span(name, None, SpanKind.CLIENT, attributes))


class RequestSpan:
    """The span of one request, current from now on until `end`, which must be called by the same task."""

    def __init__(self, span: Span, name: str, parent: context.Context | None) -> None:
        self._span = span
        self._name = name
        self._attached: Token[context.Context] = context.attach(trace.set_span_in_context(span, parent))
        ids = span.get_span_context()
        self.trace: TraceContext | None = None
        if ids.is_valid:
            self.trace = TraceContext(trace.format_trace_id(ids.trace_id), trace.format_span_id(ids.span_id))

    def end(self, route: str | None, status: int | None, failure: BaseException | None) -> None:
        """End it: the route's template, None where there was none; the status, None where no answer began."""
        context.detach(self._attached)
        span = self._span
        if route is not None:
            span.update_name(f"{self._name} {route}")
            span.set_attribute("http.route", route)
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if failure is not None:
            _tell(span, failure)
        elif status is not None and status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(Status(StatusCode.ERROR))
        span.end()


class StatementSpan:
    """The span of one statement."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, queued: float | None, driven: float | None, rows: int, error: BaseException | None) -> None:
        """End it. Seconds are as `Metrics.statement_ended` takes them."""
        span = self._span
        if queued is not None:
            span.set_attribute("asgi_cassandra.queue.duration", queued)
        if driven is not None:
            span.set_attribute("asgi_cassandra.driver.duration", driven)
        if isinstance(error, Exception):
            _tell(span, error)
        elif error is not None:
            span.set_attribute("error.type", "cancelled")  # its client left, which is nobody's error
        else:
            span.set_attribute("db.response.returned_rows", rows)
        span.end()


def _is_within_server_span(span: Span) -> bool:
    """Return whether `span` or one above it in this process is of the kind SERVER, as far as can be seen.

    A span has the context of its parent and not the parent's kind. One that is below another of this process is taken
    to be below a server span: that is where others come from while a request is served. The API promises neither
    attribute; spans of the SDK have both. A span that is not recorded has none, and its children are not recorded.
    """
    if getattr(span, "kind", None) is SpanKind.SERVER:
        return True
    parent = getattr(span, "parent", None)
    return parent is not None and not parent.is_remote


def _carrier(headers: list[tuple[bytes, bytes]], parent_is_sound: bool) -> Mapping[str, list[str]]:
    carrier: dict[str, list[str]] = {}
    for name, value in headers:
        if parent_is_sound or name != HEADER:
            carrier.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return carrier


def _tell(span: Span, error: BaseException) -> None:
    """A bug comes with its traceback; another error of the service's with what caused it, as the log has it."""
    span.set_attribute("error.type", error.code if isinstance(error, ServiceError) else type(error).__qualname__)
    if isinstance(error, ServiceError) and not isinstance(error, InternalError):
        cause = error.__cause__ or error
        told = {"exception.type": type(cause).__qualname__, "exception.message": str(cause)[:LONGEST_MESSAGE]}
        span.add_event("exception", told)
    else:
        span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR))
