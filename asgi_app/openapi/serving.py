"""Answer GET /openapi.json: make the document once for each state of the schema, and keep it."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from asgi_app.db import Parameter
from asgi_app.errors import ServiceError
from asgi_app.http.auth import ApiKeys
from asgi_app.http.context import Service, deadline_of, service_of, settings_of
from asgi_app.http.paths import location
from asgi_app.http.requests import list_field
from asgi_app.openapi.document import Contents, Document
from asgi_app.resources.query import Query
from asgi_app.resources.table.headers import has_current
from asgi_app.runtime.deadline import Deadline
from asgi_app.stream import accepts_gzip

MEDIA_TYPE = "application/json"

ASK_SECONDS = 5.0
"""Seconds between two questions to Cassandra for what is not known yet."""

_REVALIDATE = {"Cache-Control": "no-cache"}
"""A client may keep the document, and must ask each time whether it has changed."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A document, and the state of the application that it describes."""

    state: Hashable
    document: Document


class OpenApi:
    """The handler of the document of one application. Use it on the event loop of the application."""

    def __init__(self, queries: Sequence[Query]) -> None:
        """`queries` are served beside the resources."""
        self._queries = tuple(queries)
        self._kept: _Kept | None = None
        self._parameters: dict[Query, tuple[Parameter, ...]] = {}
        self._asked_at = -ASK_SECONDS
        self._making = anyio.Lock()

    async def answer(self, request: Request) -> Response:
        """Answer GET /openapi.json: the document, or 304 if the client has it."""
        document = await self._document(request)
        prefix = location(request, "")
        compressed = accepts_gzip(list_field(request, "accept-encoding") or "")
        headers = {**_REVALIDATE, "ETag": document.etag(prefix, compressed=compressed), "Vary": "Accept-Encoding"}
        if has_current(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        if not compressed:
            return Response(document.at(prefix), media_type=MEDIA_TYPE, headers=headers)
        body = await to_thread.run_sync(document.compressed_at, prefix)
        return Response(body, media_type=MEDIA_TYPE, headers={**headers, "Content-Encoding": "gzip"})

    async def _document(self, request: Request) -> Document:
        service = service_of(request.scope)
        kept = self._kept
        if kept is not None and kept.state == self._state(service) and not self._may_learn(service):
            return kept.document
        async with self._making:
            if self._may_learn(service):
                await self._learn(service, deadline_of(request))
            return await self._made(service)

    async def _made(self, service: Service) -> Document:
        state = self._state(service)
        if self._kept is None or self._kept.state != state:
            document = await to_thread.run_sync(Document, self._contents(service))
            self._kept = _Kept(state, document)
        return self._kept.document

    def _state(self, service: Service) -> Hashable:
        """Return what the document depends on."""
        return id(service), service.catalog.version, len(self._parameters)

    def _may_learn(self, service: Service) -> bool:
        """Return whether Cassandra should be asked for what is not known yet."""
        knows_all = service.catalog.was_read and len(self._parameters) == len(set(self._queries))
        return not knows_all and time.monotonic() - self._asked_at >= ASK_SECONDS

    async def _learn(self, service: Service, deadline: Deadline) -> None:
        """Ask Cassandra for the schema, and for the parameters of statements, as far as they are not known yet.

        What it does not answer stays unknown: the document is made without it, and again when it is known.
        """
        self._asked_at = time.monotonic()
        with suppress(ServiceError):
            await service.catalog.ensure_read(deadline)
        for query in self._queries:
            if query not in self._parameters:
                with suppress(ServiceError):
                    self._parameters[query] = await service.database.parameters(query.statement, deadline)

    def _contents(self, service: Service) -> Contents:
        catalog = service.catalog
        declared = [service.resources[name] for name in service.resources if name not in catalog.live]
        return Contents(
            declared,
            catalog.live,
            catalog.current,
            catalog.read_only,
            self._queries,
            dict(self._parameters),
            examples=bool(service.queries),
            diagnostics=service.diagnostics,
            has_keys=isinstance(service.authorize, ApiKeys),
            has_shutdown=service.settings.admin_token is not None,
            longest_timeout=service.settings.max_request_timeout,
        )


def is_documented(scope: Scope) -> bool:
    """Return whether the settings allow the document and its page."""
    return settings_of(scope).docs
