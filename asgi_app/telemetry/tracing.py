"""OpenTelemetry spans: one for each request, statement and page. Imported only if the settings turn tracing on.

Names and attributes follow OpenTelemetry's semantic conventions for HTTP and for databases. Spans begin and end on the
event loop. A span never contains a bound value, the query of a URL, or a header.
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
from asgi_app.telemetry.request_record import TRACEPARENT, TraceContext

_METHODS = frozenset(HTTPMethod)

LONGEST_MESSAGE = 1000
"""Characters of an error's text that a span contains at most."""


class Tracing:
    """Creates the spans of one application with the tracer provider of the process."""

    def __init__(self, keyspace: str, consistency: str) -> None:
        """`keyspace` and `consistency` are those of statements that have none of their own."""
        self._tracer = trace.get_tracer("asgi_app", __version__)
        self._keyspace = keyspace
        self._consistency = consistency

    def begin_request(self, scope: MutableMapping[str, Any], path: str, *, traceparent_is_valid: bool) -> RequestSpan:
        """Begin the span of a request and make it current until its `end`. `path` is percent-encoded.

        Its parent is the current span, of an outer application or an instrumentation. Without one it is the span that
        the request's headers name; the header `traceparent` is ignored unless `traceparent_is_valid`. The kind is
        SERVER, or INTERNAL inside a SERVER span: backends would count a request with two SERVER spans twice.
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
            parent = propagate.extract(_carrier(scope["headers"], traceparent_is_valid))
        name = "HTTP" if method == "_OTHER" else method
        span = self._tracer.start_span(name, parent, kind, attributes)
        return RequestSpan(span, name, parent)

    def begin_statement(self, statement: Statement, batch_size: int | None) -> StatementSpan:
        """Begin the span of a statement as a child of the current span. `batch_size`: see `StatementObserver.begin`."""
        operation = statement.cql.split(None, 1)[0].upper()
        if batch_size is not None:
            operation = f"BATCH {operation}"
        attributes: dict[str, str | int] = {
            "db.system.name": "cassandra",
            "db.operation.name": operation,
            "db.query.text": statement.cql,
            "cassandra.consistency.level": (statement.consistency or self._consistency).lower(),
            "cassandra.query.idempotent": statement.idempotent,
        }
        name = operation
        if statement.table is not None:
            name = f"{operation} {statement.table.name}"
            attributes["db.namespace"] = statement.table.keyspace or self._keyspace
            attributes["db.collection.name"] = statement.table.name
        if batch_size is not None and batch_size > 1:
            attributes["db.operation.batch.size"] = batch_size
        return StatementSpan(self._tracer.start_span(name, None, SpanKind.CLIENT, attributes))


class RequestSpan:
    """The span of one request. It is current until `end`, which must be called in the same task."""

    def __init__(self, span: Span, name: str, parent: context.Context | None) -> None:
        self._span = span
        self._name = name
        self._attached: Token[context.Context] = context.attach(trace.set_span_in_context(span, parent))
        ids = span.get_span_context()
        self.trace: TraceContext | None = None
        if ids.is_valid:
            self.trace = TraceContext(trace.format_trace_id(ids.trace_id), trace.format_span_id(ids.span_id))

    def end(self, route: str | None, status: int | None, failure: BaseException | None) -> None:
        """End the span.

        `route`: the template of the route, None if no route matched. `status`: None if no response began. `failure`:
        the error that the response reports as the service's fault, None without one.
        """
        context.detach(self._attached)
        span = self._span
        if route is not None:
            span.update_name(f"{self._name} {route}")
            span.set_attribute("http.route", route)
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if failure is not None:
            _record_error(span, failure)
        elif status is not None and status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(Status(StatusCode.ERROR))
        span.end()


class StatementSpan:
    """The span of one statement."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, queued: float | None, driven: float | None, rows: int, error: BaseException | None) -> None:
        """End the span. `queued` and `driven` are in seconds, as for `Metrics.statement_ended`."""
        span = self._span
        if queued is not None:
            span.set_attribute("asgi_cassandra.queue.duration", queued)
        if driven is not None:
            span.set_attribute("asgi_cassandra.driver.duration", driven)
        if isinstance(error, Exception):
            _record_error(span, error)
        elif error is not None:
            span.set_attribute("error.type", "cancelled")  # the client left: not an error
        else:
            span.set_attribute("db.response.returned_rows", rows)
        span.end()


def _is_within_server_span(span: Span) -> bool:
    """Return whether `span` or one of its ancestors in this process has the kind SERVER, as far as can be known.

    A span knows its parent's context but not the parent's kind. A span with a parent in this process is assumed to be
    inside a server span, because that is where spans come from while a request is served. The API promises neither
    `kind` nor `parent`, but the SDK's spans have both. A span that is not recorded has neither, and its children are
    not recorded either.
    """
    if getattr(span, "kind", None) is SpanKind.SERVER:
        return True
    parent = getattr(span, "parent", None)
    return parent is not None and not parent.is_remote


def _carrier(headers: list[tuple[bytes, bytes]], traceparent_is_valid: bool) -> Mapping[str, list[str]]:
    carrier: dict[str, list[str]] = {}
    for name, value in headers:
        if traceparent_is_valid or name != TRACEPARENT:
            carrier.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return carrier


def _record_error(span: Span, error: BaseException) -> None:
    """Set the span's status to an error: a bug with its traceback, another error with its cause, as in the log."""
    span.set_attribute("error.type", error.code if isinstance(error, ServiceError) else type(error).__qualname__)
    if isinstance(error, ServiceError) and not isinstance(error, InternalError):
        cause = error.__cause__ or error
        event = {"exception.type": type(cause).__qualname__, "exception.message": str(cause)[:LONGEST_MESSAGE]}
        span.add_event("exception", event)
    else:
        span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR))
