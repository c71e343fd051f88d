"""A parent application as its author would write it, checked by mypy in `scripts/check`; it is not run.

`assert_type` fails if a public name of `asgi_app` has no type of its own, as it would if it came from `__getattr__`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, assert_type

import msgspec
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

import asgi_app
from asgi_app import (
    Action,
    ContactPoint,
    Database,
    Deadline,
    Forbidden,
    Principal,
    Secret,
    ServiceError,
    Settings,
    SettingsError,
    Statement,
    Unauthorized,
    create_app,
    lifespan_of,
    principal_of,
)

COUNT = Statement("SELECT count(*) FROM shop.users", idempotent=True, writes=False)


class Named(msgspec.Struct):
    name: str


def authorize(connection: HTTPConnection, action: Action) -> Principal:
    if "x-user" not in connection.headers:
        raise Unauthorized("Log in first.")
    principal = Principal(connection.headers["x-user"], frozenset({"read"}))
    if not principal.may(action):
        raise Forbidden
    return principal


async def count(request: Request) -> JSONResponse:
    database: Database = service.state.database
    try:
        result = await database.execute(COUNT, deadline=Deadline.after(1.0))
    except ServiceError as error:
        return JSONResponse({"code": error.code}, error.status)
    async for row in database.rows(COUNT, deadline=Deadline.after(1.0)):
        assert_type(row, dict[str, Any])
    async for named in database.rows(COUNT, [], Named, deadline=Deadline.after(1.0)):
        assert_type(named, Named)
    principal = principal_of(request.scope)
    return JSONResponse({"rows": result.row_count, "by": principal.name if principal else None})


settings = Settings(cassandra_hosts=(ContactPoint("127.0.0.1", 9042),), admin_token=Secret("x" * 32))
service = create_app(settings, authorize=authorize)
parent = Starlette(routes=[Mount("/db", service), Route("/count", count)], lifespan=lifespan_of(service))

assert_type(service, Starlette)
assert_type(lifespan_of(service), Callable[[Any], AbstractAsyncContextManager[None]])
assert_type(Settings.load(), Settings)
assert_type(SettingsError([]), SettingsError)
asgi_app.nonsense  # type: ignore[attr-defined]  # noqa: B018 - mypy reports the comment if it accepts the name
