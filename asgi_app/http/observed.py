"""Observation of one request: its record, its span, its metrics and its line in the access log."""

from __future__ import annotations

import logging
import time
from contextvars import Token
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from starlette.types import Scope

from asgi_app.http.context import Service, principal_of
from asgi_app.http.paths import encoded_path
from asgi_app.telemetry.request_record import RequestRecord, TraceContext, current_record, milliseconds

UNMATCHED = "unmatched"
"""The `route` label of requests that no route matched."""

access_logger = logging.getLogger("asgi_app.access")


class ObservedRequest:
    """A context in which one request is served; on exit it reports the request to the log, metrics and tracing.

    `status` is the status of the response, None until it begins. Without a `service` (the application is not started)
    only the log gets a line.
    """

    __slots__ = ("_begun", "_outer_route", "_scope", "_service", "_span", "record", "status")

    def __init__(self, scope: Scope, service: Service | None, request_id: str, trace: TraceContext | None) -> None:
        self._scope = scope
        self._service = service
        self._outer_route = scope.get("route")  # of the parent that this application is mounted in
        self._span: Any = None
        self._begun: Token[RequestRecord | None]
        self.record = RequestRecord(request_id, trace)
        self.status: int | None = None

    def __enter__(self) -> Self:
        """Make the record current, count the request and begin its span."""
        self._begun = current_record.set(self.record)
        service = self._service
        if service is not None:
            service.database.metrics.request_began()
            tracing = service.database.observer.tracing
            if tracing is not None:
                record, scope = self.record, self._scope
                span = tracing.begin_request(scope, encoded_path(scope), traceparent_is_valid=record.trace is not None)
                record.trace = span.trace or record.trace
                self._span = span
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Report the request as ended."""
        record = self.record
        seconds = time.perf_counter() - record.began
        route = self._scope.get("route")
        own = route if route is not self._outer_route else None
        template: str | None = getattr(own, "path", None)
        if self._service is not None:
            metrics = self._service.database.metrics
            metrics.request_ended(template or UNMATCHED, self._scope["method"], self.status or 0, seconds)
        level = logging.DEBUG if getattr(own, "routine", False) and self._has_succeeded() else logging.INFO
        if access_logger.isEnabledFor(level):
            self._log(level, template, seconds)
        current_record.reset(self._begun)
        # The failure's traceback refers to frames that refer to the record. Do not keep the cycle.
        failure, record.failure = record.failure, None
        if self._span is not None:
            self._span.end(template, self.status, failure)

    def _has_succeeded(self) -> bool:
        return self.status is not None and self.status < 400

    def _log(self, level: int, template: str | None, seconds: float) -> None:
        scope, record = self._scope, self.record
        path = encoded_path(scope)
        principal = _principal_name(scope)
        status = self.status if self.status is not None else "disconnected"
        by = f" by {principal}" if principal is not None else ""
        values = (scope["method"], path, status, seconds * 1000, by, record.request_id)
        # `Logger.info` would take longer than all the rest: it looks for the caller and checks each extra field.
        line = access_logger.makeRecord(
            access_logger.name, level, __file__, 0, "%s %s %s %.1fms%s [request %s]", values, None
        )
        fields = line.__dict__
        fields |= record.log_fields()
        fields["method"] = scope["method"]
        fields["route"] = template
        fields["path"] = path
        fields["status"] = self.status
        fields["duration_ms"] = milliseconds(seconds)
        fields["queue_ms"] = milliseconds(record.queued)
        fields["driver_ms"] = milliseconds(record.driven)
        fields["statements"] = record.statements
        if record.rows is not None:
            fields["rows"] = record.rows
            fields["bytes"] = record.bytes
        if principal is not None:
            fields["principal"] = principal
        if scope.get("client"):
            fields["client"] = scope["client"][0]
        access_logger.handle(line)


def _principal_name(scope: Scope) -> str | None:
    """Return the client's name without control characters, because it may come from a token that others wrote."""
    principal = principal_of(scope)
    return quote(principal.name[:100], safe="@:/+=.|", errors="replace") if principal else None
