"""Answer GET /openapi.json: make the document once for each state of the schema, and keep it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

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
"""Seconds between two questions for what is not known yet, or may have changed."""

ANSWER_SECONDS = 2.0
"""Seconds that the document waits for these answers, at most."""

_REVALIDATE = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
"""A client may keep the document, and must ask each time whether it has changed."""


class OpenApi:
    """The handler of the document of one application. Use it on the event loop of the application."""

    def __init__(self, queries: Sequence[Query]) -> None:
        """`queries` are served beside the resources."""
        self._queries = tuple(queries)
        self._documents: Documents | None = None

    async def answer(self, request: Request) -> Response:
        """Answer GET /openapi.json: the document, or 304 if the client has it."""
        document = await self._of(service_of(request.scope)).current(deadline_of(request))
        prefix = location(request, "")
        compressed = accepts_gzip(list_field(request, "accept-encoding") or "")
        headers = {**_REVALIDATE, "ETag": document.etag(prefix, compressed=compressed)}
        if has_current(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        body = await to_thread.run_sync(document.compressed_at if compressed else document.at, prefix)
        encoding = {"Content-Encoding": "gzip"} if compressed else {}
        return Response(body, media_type=MEDIA_TYPE, headers={**headers, **encoding})

    def _of(self, service: Service) -> Documents:
        """Return the documents of this start of the application: another start may have other settings."""
        if self._documents is None or self._documents.service is not service:
            self._documents = Documents(service, self._queries)
        return self._documents


class Documents:
    """The document of a started application, made again when what it describes has changed."""

    def __init__(self, service: Service, queries: Sequence[Query]) -> None:
        self.service = service
        self._queries = queries
        self._parameters: dict[Query, tuple[Parameter, ...]] = {}
        self._asked_at = -ASK_SECONDS
        self._kept: tuple[object, Document] | None = None
        self._making = anyio.Lock()

    async def current(self, deadline: Deadline) -> Document:
        """Return the document. If it must be made, that takes place in a worker thread, once for all who wait."""
        if self._kept is not None and self._kept[0] == self._state and not self._should_ask:
            return self._kept[1]
        async with self._making:
            if self._should_ask:
                await self._ask(deadline)
            return await self._made()

    async def _made(self) -> Document:
        state = self._state
        if self._kept is None or self._kept[0] != state:
            self._kept = state, await to_thread.run_sync(Document, self._contents())
        return self._kept[1]

    @property
    def _state(self) -> object:
        """What the document depends on."""
        return self.service.catalog.version, dict(self._parameters)

    @property
    def _should_ask(self) -> bool:
        """Whether to ask for what is not known yet, or may have changed, as the parameters of statements may."""
        is_settled = self.service.catalog.was_read and not self._queries
        return not is_settled and time.monotonic() - self._asked_at >= ASK_SECONDS

    async def _ask(self, deadline: Deadline) -> None:
        """Ask for the schema and for the parameters of statements: Cassandra is asked where it is not known here.

        What it does not answer stays as it was: the document is made without it, and again when it is known.
        """
        self._asked_at = time.monotonic()
        deadline = deadline.at_most(ANSWER_SECONDS)
        with suppress(ServiceError):
            await self.service.catalog.ensure_read(deadline)
        for query in self._queries:
            with suppress(ServiceError):
                self._parameters[query] = await self.service.database.parameters(query.statement, deadline)

    def _contents(self) -> Contents:
        service, catalog = self.service, self.service.catalog
        return Contents(
            [service.resources[name] for name in service.resources if name not in catalog.live],
            catalog.live,
            catalog.current,
            catalog.read_only,
            self._queries,
            dict(self._parameters),
            examples=bool(service.queries),
            diagnostics=service.diagnostics and bool(service.queries),
            has_keys=isinstance(service.authorize, ApiKeys),
            has_console=service.settings.console,
            has_shutdown=service.settings.admin_token is not None,
            longest_timeout=service.settings.max_request_timeout,
        )


def is_documented(scope: Scope) -> bool:
    """Return whether the settings allow the document and its page."""
    return settings_of(scope).docs
