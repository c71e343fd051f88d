"""Answer GET /openapi.json: make the document once for each state of the schema, and keep it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
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
from asgi_app.openapi.document import Contents, Document, ServedTable
from asgi_app.resources.query import Query
from asgi_app.resources.table.headers import has_current
from asgi_app.runtime.deadline import Deadline

MEDIA_TYPE = "application/json"

_REVALIDATE = {"Cache-Control": "no-cache"}
"""A client may keep the document, and must ask each time whether it has changed."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A document, and the state of the application that it describes."""

    state: Hashable
    document: Document


class OpenApi:
    """The handler of the document of one application. Use it on the event loop of the application."""

    def __init__(self, queries: Sequence[Query], *, examples: bool) -> None:
        """`queries` are served beside the resources; with `examples` the built-in tables are."""
        self._queries = tuple(queries)
        self._examples = examples
        self._kept: _Kept | None = None
        self._parameters: dict[Query, tuple[Parameter, ...]] = {}
        self._making = anyio.Lock()

    async def answer(self, request: Request) -> Response:
        """Answer GET /openapi.json: the document, or 304 if the client has it."""
        document = await self._document(request)
        prefix = location(request, "")
        headers = {**_REVALIDATE, "ETag": document.etag(prefix)}
        if has_current(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(document.at(prefix), media_type=MEDIA_TYPE, headers=headers)

    async def _document(self, request: Request) -> Document:
        service = service_of(request.scope)
        kept = self._kept
        if kept is not None and kept.state == self._state(service):
            return kept.document
        async with self._making:
            return await self._made(service, deadline_of(request))

    async def _made(self, service: Service, deadline: Deadline) -> Document:
        state = self._state(service)
        if self._kept is not None and self._kept.state == state:  # made while this request waited
            return self._kept.document
        await self._learn_parameters(service, deadline)
        document = await to_thread.run_sync(Document, self._contents(service))
        self._kept = _Kept(state, document)
        return document

    def _state(self, service: Service) -> Hashable:
        """Return what the document depends on."""
        return id(service), service.catalog.version, len(self._parameters)

    async def _learn_parameters(self, service: Service, deadline: Deadline) -> None:
        """Ask Cassandra for the parameters of statements that are not known yet. One that it refuses stays unknown."""
        for query in self._queries:
            if query not in self._parameters:
                try:
                    self._parameters[query] = await service.database.parameters(query.statement, deadline)
                except ServiceError:
                    continue

    def _contents(self, service: Service) -> Contents:
        catalog = service.catalog
        tables = [
            ServedTable(served, catalog.current.get(name, served.table), name in catalog.read_only)
            for name, served in service.resources.items()
        ]
        return Contents(
            tables,
            self._queries,
            dict(self._parameters),
            examples=self._examples,
            diagnostics=service.diagnostics,
            has_keys=isinstance(service.authorize, ApiKeys),
            has_shutdown=service.settings.admin_token is not None,
            longest_timeout=service.settings.max_request_timeout,
        )


def is_documented(scope: Scope) -> bool:
    """Return whether the settings allow the document and its page."""
    return settings_of(scope).docs
