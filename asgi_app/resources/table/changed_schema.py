"""Serve a request once more if its statement failed because the schema had changed."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_app.errors import RejectedByCassandra, SchemaMissing, ServiceError
from asgi_app.http.context import context_of, service_of
from asgi_app.http.routing import SegmentRoute, serve_again
from asgi_app.tables.table import Table

_READS = ("GET", "HEAD")
_IS_SECOND = "asgi_cassandra.second"


def with_second_try(route: SegmentRoute, name: str, live: Table | None = None) -> SegmentRoute:
    """Return the route of a resource's operations with a second try.

    `live` is the table that the route was made from, for a resource of the live schema.
    """
    endpoint = _SecondTry(route.endpoint, name, live)
    return SegmentRoute(route.path, endpoint, lane=route.lane, while_draining=route.while_draining)


class _SecondTry:
    """An endpoint that reads the schema after a failure, and serves the request again if the table has changed.

    Cassandra refused the statement, so a write was not applied and can be sent again. A response has not begun: after
    that, failures are of another kind. There is one second try.
    """

    def __init__(self, endpoint: ASGIApp, name: str, live: Table | None) -> None:
        self._endpoint = endpoint
        self._name = name
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        before = self._live or service_of(scope).catalog.current.get(self._name)
        body = None if scope["method"] in _READS else _Replayed(receive)
        try:
            await self._endpoint(scope, receive if body is None else body.receive, send)
        except (SchemaMissing, RejectedByCassandra) as error:
            if not await self._may_succeed(error, scope, before):
                raise
        else:
            return
        scope[_IS_SECOND] = True
        await serve_again(scope, receive if body is None else body.again(), send)

    async def _may_succeed(self, error: ServiceError, scope: Scope, before: Table | None) -> bool:
        """Return whether the table is another one than when the request began, is gone, or is back. Never raises."""
        is_read = scope["method"] in _READS
        context = context_of(scope)
        if error.outcome is not None or not (is_read or isinstance(error, SchemaMissing)) or context is None:
            return False
        if scope.get(_IS_SECOND):
            return False
        catalog = service_of(scope).catalog
        is_certain = before is not None and isinstance(error, SchemaMissing)
        if catalog.current.get(self._name) is before:
            try:
                await catalog.read_again(context.deadline, is_certain=is_certain)
            except ServiceError:
                return False
        return is_certain or catalog.current.get(self._name) is not before


class _Replayed:
    """Passes on the messages of a request's body, and can give them again."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: list[Message] = []

    async def receive(self) -> Message:
        """Return the next message, as ASGI's `receive`."""
        message = await self._receive()
        self._messages.append(message)
        return message

    def again(self) -> Receive:
        """Return a `receive` that begins with the messages received so far."""
        messages = iter(self._messages)

        async def receive() -> Message:
            message = next(messages, None)
            return await self._receive() if message is None else message

        return receive
