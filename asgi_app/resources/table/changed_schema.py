"""Serve a request once more if its statement failed because the schema had changed."""

from __future__ import annotations

from starlette.types import Message, Receive, Scope

from asgi_app.catalog import Catalog
from asgi_app.errors import RejectedByCassandra, SchemaMissing, ServiceError
from asgi_app.http.context import context_of, kept_body, service_of
from asgi_app.telemetry.request_record import current_record

_IS_SECOND = "asgi_cassandra.second"


class SecondTry:
    """Decides after a failure of a resource's handler whether the request is served again: a `Recover` of its routes.

    It is if the schema has changed since the request began. Cassandra refused the statement, so a write was not applied
    and can be sent again. A response has not begun: after that, failures are of another kind. There is one second try.
    """

    def __init__(self, name: str) -> None:
        """`name` is that of the resource."""
        self._name = name

    async def __call__(self, error: ServiceError, scope: Scope, receive: Receive) -> Receive | None:
        """Return the `receive` of the second try, or None if there is none. Never raises."""
        if scope.get(_IS_SECOND) or not _was_refused(error, scope) or not await self._has_changed(error, scope):
            return None
        scope[_IS_SECOND] = True
        body = kept_body(scope)
        return receive if body is None else _with_body(body, receive)

    async def _has_changed(self, error: ServiceError, scope: Scope) -> bool:
        """Return whether the schema changed since the request began; read it again if that is not known yet."""
        catalog, context = service_of(scope).catalog, context_of(scope)
        if _changed_meanwhile(catalog):
            return True
        if context is None:
            return False
        is_certain = isinstance(error, SchemaMissing) and self._name in catalog.current
        try:
            await catalog.read_again(context.deadline, is_certain=is_certain)
        except ServiceError:
            return False
        return is_certain or _changed_meanwhile(catalog)


def _was_refused(error: ServiceError, scope: Scope) -> bool:
    """Return whether Cassandra refused the statement as one does that is made for another schema.

    It names what is missing. A read is refused in other words too, if an index has gone.
    """
    is_read = scope["method"] in ("GET", "HEAD")
    refusals = (SchemaMissing, RejectedByCassandra) if is_read else SchemaMissing
    return isinstance(error, refusals) and error.outcome is None


def _changed_meanwhile(catalog: Catalog) -> bool:
    record = current_record.get()
    return record is not None and catalog.changed_at > record.began


def _with_body(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body first, which was received before."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again
